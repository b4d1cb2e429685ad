"""Training steps as a whole: how many launches they take, and that they compute what the reference says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.fusion.fuse import fuse
from graphc.fusion.results import result_base
from graphc.ir.graph import topological
from graphc.pipeline import optimise
from graphc.plan.plan import Launch, Plan

STEPS, BATCH, SIZE, HIDDEN = 10, 8, 24, 16


def launches_of(program: gx.Program) -> tuple[Launch, ...]:
    assert isinstance(program.plan, Plan)
    return program.plan.launches


class LSTM(nn.Module):
    """Layers of LSTM cells, unrolled: (steps, batch, size) to the last output (batch, HIDDEN)."""

    def __init__(self, layers: int) -> None:
        self.layers = nn.Sequential(*(nn.Linear(HIDDEN if layer else SIZE, 4 * HIDDEN) for layer in range(layers)))
        self.recurrent = nn.Sequential(*(nn.Linear(HIDDEN, 4 * HIDDEN, bias=False) for _ in range(layers)))

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        for project, recur in zip(self.layers, self.recurrent, strict=True):
            gates, outputs = project(x), []
            h, c = gx.zeros((BATCH, HIDDEN)), gx.zeros((BATCH, HIDDEN))
            for step in range(STEPS):
                i, f, g, o = gx.split(gates[step] + recur(h), 4, axis=1)
                c = gx.sigmoid(f) * c + gx.sigmoid(i) * gx.tanh(g)
                h = gx.sigmoid(o) * gx.tanh(c)
                outputs.append(h)
            x = gx.stack(outputs)
        return outputs[-1]


class Transformer(nn.Module):
    """One causal block of two heads over codes (batch, steps): logits of `codes` classes for each."""

    def __init__(self, size: int, codes: int) -> None:
        self.token, self.norm = nn.Embedding(codes, size), nn.LayerNorm(size)
        self.qkv, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.hidden = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        self.head = nn.Linear(size, codes, bias=False)

    def forward(self, codes: gx.Tensor) -> gx.Tensor:
        x = self.token(codes)
        batch, steps, size = x.shape
        parts = gx.split(self.qkv(self.norm(x)), 3, axis=2)
        q, k, v = (part.reshape(batch, steps, 2, size // 2).transpose(0, 2, 1, 3) for part in parts)
        seen = np.tril(np.ones((steps, steps), bool))
        weights = gx.softmax(gx.where(seen, (q @ k.mT) * 0.25, -np.inf), axis=-1)
        x = x + self.mix((weights @ v).transpose(0, 2, 1, 3).reshape(batch, steps, size))
        return self.head(x + self.hidden(x)).reshape(batch * steps, -1)


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
    step = training_step(LSTM(layers))
    kinds = Counter(launch.kernel for launch in launches_of(step))
    assert kinds["gemm_f32"] <= 2 * STEPS * layers + 4 * layers
    assert kinds["tile"] <= 2 * STEPS * layers + 4 * layers + 4


def test_the_projections_of_a_recurrent_net_and_its_weight_gradients_are_one_product_each() -> None:
    step = training_step(ElmanNet())
    products = [launch for launch in launches_of(step) if launch.kernel == "gemm_f32"]
    assert (
        len(products) == 2 * STEPS - 1 + 3
    )  # h @ w_rec and back (the first h is no variable), projections, two gradients


@pytest.mark.parametrize("build", [ElmanNet, lambda: LSTM(2)])
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
    step = training_step(LSTM(1))
    state = BATCH * HIDDEN * 4
    assert step.memory.arena <= STEPS * state * 12


# Gradients and updates ------------------------------------------------------------------------------------------------
def regression(model: nn.Module, x: gx.Tensor) -> gx.Tensor:
    prediction = model(x)
    return nn.mse_loss(prediction, gx.input("y", prediction.shape))


def classification(model: nn.Module, x: gx.Tensor) -> gx.Tensor:
    logits = model(x)
    return nn.cross_entropy(logits, gx.input("y", logits.shape[:1], "int64"))


MODELS = {
    "mlp": lambda: classification(
        nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 6)),
        gx.input("x", (32, 20)),
    ),
    "lstm": lambda: regression(LSTM(2), gx.input("x", (STEPS, BATCH, SIZE))),
    "transformer": lambda: classification(Transformer(24, 11), gx.input("x", (3, 8), "int64")),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_used_up_where_they_are_computed(name: str) -> None:
    """The launch that computes a weight's gradient writes the next weight and moments, and nothing else."""
    loss = MODELS[name]()
    weights = [node for node in topological([loss]) if isinstance(node, gx.Parameter)]
    updates = optim.AdamW(lr=1e-3).minimize(loss, weights)
    graph = optimise(build_graph(_inputs(loss), loss, updates)[0])
    results = {result_base(result) for result in graph.results}
    matrices = {result_base(value) for target, value in graph.updates if target.ndim == 2}
    updating = [group for group in fuse(graph) if not matrices.isdisjoint(group.stores)]
    assert [node for group in updating for node in group.stores if node not in results] == []
    tables = 1 if name == "transformer" else 0  # rows of embeddings are gathered, and their gradients scattered
    assert sum(group.library is None for group in updating) == tables


def _inputs(loss: gx.Tensor) -> list[gx.Tensor]:
    return [node for node in topological([loss]) if node.op == "input" and isinstance(node, gx.Tensor)]


# Losses ---------------------------------------------------------------------------------------------------------------
def test_a_cross_entropy_and_its_gradient_take_three_launches_and_one_pass_over_the_logits() -> None:
    logits, labels = gx.input("logits", (64, 100)), gx.input("labels", (64,), "int64")
    loss = nn.cross_entropy(logits, labels)
    groups = fuse(optimise(build_graph([logits, labels], [loss, gx.grad(loss, logits)])[0]))
    assert len(groups) == 3  # the number of labels that count; the rows; the sum over them
    assert [n.op for group in groups for n in group.stores if n.shape == (64, 100)] == ["add"]


def test_a_cross_entropy_with_probabilities_takes_two_launches() -> None:
    logits, target = gx.input("logits", (64, 100)), gx.input("target", (64, 100))
    loss = nn.cross_entropy(logits, target)
    assert len(fuse(optimise(build_graph([logits, target], [loss, gx.grad(loss, logits)])[0]))) == 2


def test_a_small_regression_step_takes_one_launch_beside_each_product_and_bias() -> None:
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    x, y = gx.input("x", (64, 10)), gx.input("y", (64, 1))
    loss = nn.mse_loss(model(x), y)
    step = gx.compile([x, y], loss, optim.AdamW(lr=1e-3).minimize(loss, model.parameters()))
    assert Counter(launch.kernel for launch in launches_of(step)) == {"gemm_f32": 5, "tile": 2}
