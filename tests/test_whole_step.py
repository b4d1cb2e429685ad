"""Training steps as a whole: how many launches they take, and that they compute what the reference says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphc as gx
from benchmarks.models import LSTM
from graphc import nn, optim
from graphc.runtime.plan import Launch, Plan

STEPS, BATCH, SIZE, HIDDEN = 10, 8, 24, 16


def launches_of(program: gx.Program) -> tuple[Launch, ...]:
    assert isinstance(program.plan, Plan)
    return program.plan.launches


class ElmanNet(nn.Module):
    """A recurrent net that projects its input step by step."""

    def __init__(self) -> None:
        self.w_in, self.w_rec = nn.Linear(SIZE, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        h = gx.zeros((BATCH, HIDDEN))
        for step in range(STEPS):
            h = gx.tanh(self.w_in(x[step]) + self.w_rec(h))
        return h


def training_step(model: nn.Module, *, optimizer: optim.Optimizer | None = None) -> gx.Program:
    x, y = gx.input("x", (STEPS, BATCH, SIZE)), gx.input("y", (BATCH, HIDDEN))
    loss = nn.mse_loss(model(x), y)
    return gx.compile([x, y], loss, (optimizer or optim.SGD(lr=0.1)).minimize(loss, model.parameters()))


@pytest.mark.parametrize("layers", [1, 2])
def test_an_unrolled_lstm_takes_two_launches_a_step_and_layer_forward_and_two_backward(layers: int) -> None:
    step = training_step(LSTM(SIZE, HIDDEN, layers))
    kinds = Counter(launch.kernel for launch in launches_of(step))
    assert kinds["gemm_f32"] <= 2 * STEPS * layers + 4 * layers
    assert kinds["tile"] <= 2 * STEPS * layers + 4 * layers + 4


def test_the_projections_of_a_recurrent_net_and_its_weight_gradients_are_one_product_each() -> None:
    step = training_step(ElmanNet())
    products = [launch for launch in launches_of(step) if launch.kernel == "gemm_f32"]
    assert (
        len(products) == 2 * STEPS - 1 + 3
    )  # h @ w_rec and back (the first h is no variable), projections, two gradients


@pytest.mark.parametrize("build", [ElmanNet, lambda: LSTM(SIZE, HIDDEN, 2)])
def test_recurrent_nets_learn_what_the_reference_does(build) -> None:
    nn.seed(3)
    model = build()
    x, y = gx.input("x", (STEPS, BATCH, SIZE)), gx.input("y", (BATCH, HIDDEN))
    loss = nn.mse_loss(model(x), y)
    wanted = [loss, *gx.grad(loss, list(model.parameters()))]
    program = gx.compile([x, y], wanted)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(tensor.shape).astype(np.float32) for tensor in (x, y)]
    reference = gx.evaluate(wanted, dict(zip([x, y], arrays, strict=True)))
    for found, value in zip(program(*arrays), reference, strict=True):
        np.testing.assert_allclose(found, value, rtol=2e-4, atol=2e-5)


def test_memory_of_a_recurrent_step_holds_each_stack_once() -> None:
    """Gates, states, their gradients: eleven arrays of each step and no more; a copy of a stack would show."""
    step = training_step(LSTM(SIZE, HIDDEN, 1))
    state = BATCH * HIDDEN * 4
    assert step.memory.arena <= STEPS * state * 12
