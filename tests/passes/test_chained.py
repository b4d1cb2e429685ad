"""A layer used twice in a training program moves its statistics twice, in the order of use, as in PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.ir.text import graph_text
from tests.nn.support import random
from tests.runtime.support import BACKENDS

A, B = random(1, 8, 3) * 2 + 1, random(2, 8, 3) - 3
# how a model is used on two batches, in an order that the graph's text alone does not tell
USES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "first then second": lambda model, a, b: (model(a) * 2 + model(b)).mean(),
    "read in the other order": lambda model, a, b: (lambda x, y: (y * 2 + x).mean())(model(a), model(b)),
    "one over the other": lambda model, a, b: (model(model(a)) + model(b)).mean(),
    "three times": lambda model, a, b: (model(a) + model(b) + model(a * 2.0)).mean(),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("use", "momentum"), list(zip(USES.values(), (0.1, None, 0.1, None), strict=True)), ids=USES)
def test_agrees_with_pytorch(use: Callable[[Any, Any, Any], Any], momentum: float | None, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=momentum), nn.ReLU(), nn.BatchNorm1d(3))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3, momentum=momentum), torch.nn.ReLU(), torch.nn.BatchNorm1d(3)
    )
    theirs.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    a, b = gx.input("a", A.shape), gx.input("b", B.shape)
    loss = use(model, a, b)
    step = gx.compile([a, b], loss, optim.SGD(lr=0.1).minimize(loss, model.parameters()), backend=backend)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        expected = use(theirs, torch.tensor(A), torch.tensor(B))
        expected.backward()
        optimizer.step()
        np.testing.assert_allclose(step(A, B), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gan_with_batch_norm_trains_in_one_program(backend: str) -> None:
    class GAN(nn.Module):
        def __init__(self) -> None:
            self.generator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
            self.discriminator = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    model, real, noise = GAN(), gx.input("real", (8, 3)), gx.input("noise", (8, 2))
    fake = model.generator(noise)
    yes, no = model.discriminator(real), model.discriminator(fake)
    losses = {"discriminator": gx.mean(gx.softplus(-yes) + gx.softplus(no)), "generator": gx.mean(gx.softplus(-no))}
    updates = {
        parameter: value
        for name, loss in losses.items()
        for parameter, value in optim.Adam(getattr(model, name).parameters()).minimize(loss).items()
    }
    step = gx.compile([real, noise], losses, updates, backend=backend)
    for number in range(2):
        step(A, random(number, 8, 2))
    tracked = {name: int(value) for name, value in model.state_dict().items() if "num_batches" in name}
    assert tracked == {"generator.1.num_batches_tracked": 2, "discriminator.1.num_batches_tracked": 4}


def test_one_use_is_left_as_it_is_and_the_order_of_use_is_in_the_text() -> None:
    def text(swapped: bool) -> str:
        model, a, b = nn.BatchNorm1d(3), gx.input("a", (8, 3)), gx.input("b", (8, 3))
        first, second = (model(x) for x in ((b, a) if swapped else (a, b)))
        total = second + first if swapped else first + second
        return graph_text(build_graph([a, b], total)[0])

    assert text(False) == text(False)
    assert text(False) != text(True)
    layer, x = nn.BatchNorm1d(3), gx.input("x", (8, 3))
    once = build_graph([x], layer(x) + layer(x))[0]
    assert once.outputs[0] is layer(x) + layer(x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_of_both_modes_share_parameters_and_statistics(backend: str) -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1)), gx.input("x", (8, 3))
    loss = (model.train()(x) ** 2).mean()
    step = gx.compile([x], loss, optim.SGD(lr=0.1).minimize(loss, model.parameters()), backend=backend)
    predict = gx.compile([x], model.eval()(x), backend=backend)
    first = predict(A)
    np.testing.assert_array_equal(predict(A), first)
    before = model.state_dict()
    step(A)  # still trains, although the model is in eval mode by now
    assert not np.array_equal(model.state_dict()["0.running_mean"], before["0.running_mean"])
    fresh, copied = copy.deepcopy(model), gx.input("x", (8, 3))
    np.testing.assert_array_equal(predict(A), gx.compile([copied], fresh(copied), backend=backend)(A))
    assert not np.array_equal(predict(A), first)
