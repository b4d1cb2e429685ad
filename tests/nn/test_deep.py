"""Whatever nests deep works, or says in an error of graphc's how deep it may be: never a RecursionError."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.errors import GraphcError, GraphError
from tests.nn.support import forward
from tests.runtime.support import BACKENDS

DEPTH = 5_000


def nested(depth: int = DEPTH, wrap: Callable[[nn.Module], nn.Module] = nn.Sequential) -> nn.Module:
    """A small layer in modules in modules."""
    model: nn.Module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    for _ in range(depth):
        model = wrap(model)
    return model


DEEP = nested()
ACTIONS: dict[str, Callable[[nn.Module], Any]] = {
    "call": lambda model: model(gx.input("x", (1, 2))),
    "repr": repr,
    "parameters": lambda model: model.parameters(),
    "state_dict": lambda model: model.load_state_dict(model.state_dict()),
    "train": lambda model: model.eval().train(),
    "deepcopy": lambda model: copy.deepcopy(model)(gx.input("x", (1, 2))),
    "copy": copy.copy,
    "name": lambda model: repr(model.parameters()[0]),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_deep_sequentials(action: Callable[[nn.Module], Any]) -> None:
    action(DEEP)


def test_a_deep_sequential_computes_what_its_layer_does() -> None:
    x = np.float32([[1, 2]])
    np.testing.assert_array_equal(forward(DEEP.eval(), x), forward(DEEP.modules().__next__().eval(), x))
    assert len(repr(DEEP)) < 10_000
    assert "Sequential(...)" in repr(DEEP)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_of_a_deep_module(backend: str) -> None:
    model, x = DEEP.eval(), gx.input("x", (1, 2))
    program = gx.compile([x], model(x), backend=backend)
    assert "x: float32[1, 2]" in repr(program)
    assert list(program.state_dict()) == list(model.state())


def nested_list(depth: int) -> list[Any]:
    parts: list[Any] = [nn.Linear(2, 2)]
    for _ in range(depth):
        parts = [parts]
    return parts


def checkpoints(depth: int) -> gx.Tensor:
    function: Callable[[gx.Tensor], gx.Tensor] = gx.tanh
    for _ in range(depth):
        function = gx.checkpoint(function)
    return function(gx.input("x", (2,)))


class Endless(nn.Module):
    def forward(self, x: gx.Tensor) -> gx.Tensor:
        return self(x)


def of_lists(depth: int) -> nn.Module:
    model = nn.Module()
    model.layers = nested_list(depth)
    return model


x = gx.input("x", (2,))
# what cannot be, as it would need a deep stack of Python's
REFUSED: dict[str, Callable[[], Any]] = {
    "modules of one's own": lambda: nested(wrap=nn.Residual)(gx.input("x", (1, 2))),
    "a module that calls itself": lambda: Endless()(x),
    "deepcopy of lists": lambda: copy.deepcopy(of_lists(DEPTH)),
    "checkpoints": lambda: checkpoints(DEPTH),
    "a checkpoint of deep arguments": lambda: gx.checkpoint(lambda part: part)(nested_list(DEPTH)),
    "constants": lambda: gx.constant(nested_list(DEPTH)),
    "outputs": lambda: gx.compile([x], nested_list(DEPTH)),
    "gradients": lambda: gx.grad(gx.sum(x), nested_list(DEPTH)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_is_too_deep_is_refused_in_words(make: Callable[[], Any]) -> None:
    with pytest.raises(GraphcError) as caught:
        make()
    assert not isinstance(caught.value, RecursionError)
    assert sys.getrecursionlimit() == 1_000


def test_the_error_says_how_deep_modules_may_nest() -> None:
    with pytest.raises(GraphError, match=r"1000 frames.*long Sequentials"):
        Endless()(x)


def test_lists_of_modules_nest_to_any_depth() -> None:
    model = of_lists(DEPTH)
    assert len(model.parameters()) == 2
    assert len(repr(model)) > DEPTH
