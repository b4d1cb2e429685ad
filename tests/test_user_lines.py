"""Errors of layers, initialisers, optimisers and schedules name the user's line, as all errors do."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import GraphcError

PACKAGE = Path(gx.__file__).parent


def nested() -> nn.Module:
    model: nn.Module = nn.ReLU()
    for _ in range(5000):
        outer = nn.Module()
        outer.inner = model
        outer.forward = model
        model = outer
    return model


WRONG: dict[str, Callable[[], Any]] = {
    "fans": lambda: nn.init.fans((3,)),
    "gain": lambda: nn.init.calculate_gain("swoosh"),
    "mode": lambda: nn.init.kaiming_normal((3, 4), np.random.default_rng(0), mode="fan_up"),
    "calls": lambda: nested()(gx.input("x", (3,))),
    "nesterov": lambda: optim.SGD(nesterov=True),
    "state": lambda: optim.Adam().load_state_dict({}),
    "norm": lambda: optim.global_norm([]),
    "clip": lambda: optim.clip_grad_value({}, -1.0),
    "schedule": lambda: optim.schedules.cosine(0.1, steps=0),
    "compose": lambda: optim.schedules.compose([optim.schedules.constant(0.1)], [3]),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_names_the_users_line(what: str) -> None:
    with pytest.raises(GraphcError) as caught:
        WRONG[what]()
    assert __file__ in str(caught.value)


@pytest.mark.parametrize("path", sorted([*(PACKAGE / "nn").glob("*.py"), *(PACKAGE / "optim").glob("*.py")]), ids=str)
def test_no_error_is_raised_without_a_line(path: Path) -> None:
    """Each `raise` of one of graphc's errors goes through what adds the line."""
    bare = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        if node.exc.func.id.endswith("Error") and node.exc.func.id != "AttributeError"
    ]
    assert bare == []
