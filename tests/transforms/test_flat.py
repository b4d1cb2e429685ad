"""A loss that moves only in steps warns, once for a line; zeros that are meant, or known from the docs, do not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import GraphcWarning
from graphc.ops.record import FUNCTIONS, Function
from tests.ops.helpers import build, cases

Loss = Callable[[Any, Any], Any]

FLAT: dict[str, tuple[Loss, str]] = {
    "accuracy": (lambda x, w: gx.mean((gx.argmax(x @ w, 1) == 1).astype("float32")), "argmax"),
    "a count": (lambda x, w: gx.sum(gx.where(x @ w > 0, 1.0, 0.0)), "greater"),
    "rounding": (lambda x, w: gx.sum(gx.round(x @ w) * 2.0), "round"),
    "signs": (lambda x, w: gx.sum(gx.sign(w)), "sign"),
    "integers": (lambda x, w: gx.sum(w.astype("int32").astype("float32")), "cast"),
    "indices": (lambda x, w: gx.sum(x[gx.argmax(w)]), "argmax"),
    "joined before": (lambda x, w: gx.sum(gx.round(gx.concatenate([w, x @ w]))), "round"),
    "joined after": (lambda x, w: gx.sum(gx.concatenate([gx.round(w), gx.sign(w)])), "round|sign"),
}
QUIET: dict[str, Loss] = {
    "smooth": lambda x, w: gx.sum(gx.tanh(x @ w)),
    "unrelated": lambda x, w: gx.sum(x),
    "stopped": lambda x, w: gx.sum(gx.stop_gradient(x @ w)),
    "stopped, then stepped": lambda x, w: gx.sum(gx.sign(gx.stop_gradient(w))),
    "a mask besides": lambda x, w: gx.sum(gx.where(w > 0, w, 0.0)),
    "linear in one, steps in another": lambda x, w: gx.sum(w) + gx.sum(gx.sign(w)),
}


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.ir.notice._given", set())


def graph() -> tuple[Any, Any]:
    return gx.input("x", (4, 3)), gx.parameter("w", np.ones((3, 3), np.float32))


@pytest.mark.parametrize("name", FLAT)
def test_a_loss_that_moves_in_steps_warns(name: str) -> None:
    build_loss, op = FLAT[name]
    x, w = graph()
    loss = build_loss(x, w)
    with pytest.warns(
        GraphcWarning, match=rf"gradient 0 everywhere.*only in steps, through ({op}) at .*test_flat"
    ) as caught:
        gradients = [gx.grad(loss, w) for _ in range(2)]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not gx.evaluate(gradients, {x: np.ones((4, 3), np.float32)})[0].any()


@pytest.mark.parametrize("name", QUIET)
def test_what_is_meant_is_quiet(name: str) -> None:
    x, w = graph()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gx.grad(QUIET[name](x, w), w)


def test_minimize_warns_and_some_of_many_do_not() -> None:
    x, w = graph()
    b = gx.parameter("b", np.ones(3, np.float32))
    with pytest.warns(GraphcWarning, match="argmax"):
        optim.SGD(lr=0.1).minimize(FLAT["accuracy"][0](x, w), [w])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optim.SGD(lr=0.1).minimize(gx.sum(gx.sign(w) + b), [w, b])
        nn.cross_entropy(x @ w, np.zeros(4, np.int64))


NO_DERIVATIVE = [item for item in FUNCTIONS.values() if not item.differentiable and "float32" in item.dtypes]
MEANT = ("stop_gradient", "zeros_like", "ones_like", "full_like")  # cut on purpose, or a matter of the shape alone


@pytest.mark.parametrize("function", NO_DERIVATIVE, ids=lambda item: item.name)
def test_every_function_without_derivative_warns(function: Function) -> None:
    """Derived from the table: what depends on floats only through such a function is flat."""
    for case in cases(function, ["float32"]):
        built = build(case)
        variables = [built.inputs[place] for place in built.variables if built.inputs[place].size]
        if not variables or function.name in MEANT:
            continue
        loss = gx.sum(built.outputs[0].astype("float32"))
        with pytest.warns(GraphcWarning, match="only in steps"):
            gx.grad(loss, variables)
        return
