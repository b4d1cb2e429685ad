"""Loops of fusion and of memory planning that run until something is so say why they end; faults end in an error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.errors import InternalError
from graphc.fusion import fuse as fusion
from graphc.fusion.group import Group
from graphc.memory import rematerialise
from graphc.memory.rematerialise import WHOLE, Problem, Recipe, check_recipes
from graphc.memory.storage import Task, Value
from graphc.pipeline import optimise

ROOMS = [Path(room.__file__).parent for room in (fusion, rematerialise)]
_CHECKED = ("pending", "stack", "low < high", "outer")  # what the condition names where the loop is of a known kind


def endless(source: str) -> Iterator[str]:
    """The functions with a `while` loop that is no walk over what waits, no bisection, no descent through inputs, and
    that do not say how they end."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef) or "Ends" in (ast.get_docstring(function) or ""):
            continue
        for loop in (node for node in ast.walk(function) if isinstance(node, ast.While)):
            condition = ast.unparse(loop.test)
            if not any(known in condition for known in _CHECKED) and not _goes_down(loop):
                yield f"{function.name}: while {condition}"


def _goes_down(loop: ast.While) -> bool:
    """Whether each round steps to an input of a node, or counts up or down towards the bound in the condition."""
    text = "\n".join(map(ast.unparse, loop.body))
    counts = any(
        isinstance(node, ast.AugAssign) and ast.unparse(node.target) in ast.unparse(loop.test) for node in loop.body
    )
    return counts or ".inputs" in text


@pytest.mark.parametrize(
    "path", [path for room in ROOMS for path in sorted(room.glob("*.py"))], ids=lambda path: path.stem
)
def test_loops_say_how_they_end(path: Path) -> None:
    assert list(endless(path.read_text())) == []


def test_a_loop_that_does_not_is_noticed() -> None:
    assert list(endless("def f(x):\n    while x.changed:\n        x = g(x)")) == ["f: while x.changed"]
    assert not list(endless("def f(x):\n    '''Ends, as x falls.'''\n    while x.changed:\n        x = g(x)"))
    assert not list(endless("def f(i):\n    while i < 3:\n        i += 1"))


def test_a_fault_in_fusion_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heights tell who may take a node in. Where they do not, groups wait for one another, which once ran for ever."""

    class Lowest(dict[Group, int]):
        def __setitem__(self, group: Group, rank: int) -> None:
            super().__setitem__(group, -1)

    plain = fusion._Fusion.__init__

    def planted(self: fusion._Fusion, *arguments: Any) -> None:
        plain(self, *arguments)
        self.height = Lowest()

    monkeypatch.setattr(fusion._Fusion, "__init__", planted)
    x = gx.input("x", (8, 8))
    shared = gx.sin(x)
    sums = gx.cumsum(shared, 0)
    graph = optimise(build_graph([x], [gx.exp(sums) * shared, gx.cos(shared) + gx.cumsum(gx.exp(sums), 1)])[0])
    with pytest.raises(InternalError, match="merging"):
        fusion.fuse(graph)


# Recipes -------------------------------------------------------------------------------------------------------------
def problem_of(*recipes: Recipe) -> Problem:
    """Two tasks, of which the second reads what the first writes, and writes two values."""
    tasks = [Task((), (0,)), Task((0,), (1, 2))]
    by_value: dict[int, list[Recipe]] = {}
    for recipe in recipes:
        by_value.setdefault(recipe.writes[0], []).append(recipe)
    return Problem([Value(64)] * 3, tasks, [1.0, 1.0], by_value)


def test_recipes_that_take_what_they_make_are_refused() -> None:
    whole = Recipe(1, WHOLE, (0,), (1, 2), 1.0)
    check_recipes(problem_of(whole, Recipe(1, 2, (1,), (2,), 1.0)))
    with pytest.raises(InternalError, match=r"values \[1, 2\] are made again from one another"):
        check_recipes(problem_of(Recipe(1, 1, (2,), (1,), 1.0), Recipe(1, 2, (1,), (2,), 1.0)))
    with pytest.raises(InternalError, match=r"value 0 reads \[1\], made later"):
        check_recipes(problem_of(Recipe(0, WHOLE, (1,), (0,), 1.0)))
