"""Building and compiling take time linear in the number of parts: calls are counted, which no clock disturbs."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from benchmarks import scale
from graphc.api import build_graph
from graphc.fusion.fuse import fuse
from graphc.pipeline import compile_plan, optimise

BUILT, COMPILED = 200, 30  # parts of the smaller programs
MOST = 5  # times as many calls that four times as many parts may take


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls, of Python and of C, `work` makes."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what it finalises, and when, depends on what ran before
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def growths(name: str) -> list[float]:
    """By how much building and compiling grow for four times as many parts."""
    build = scale.PROGRAMS[name]
    built, compiled = (400, 400) if name == "tangents" else (BUILT, COMPILED)
    compile_plan(build_graph(*build(compiled))[0])  # what is made once is made now
    few, many = (build_graph(*build(count))[0] for count in (compiled, 4 * compiled))
    return [
        calls_of(lambda: build(4 * built)) / calls_of(lambda: build(built)),
        calls_of(lambda: compile_plan(many)) / calls_of(lambda: compile_plan(few)),
    ]


@pytest.mark.parametrize("name", scale.PROGRAMS)
def test_building_and_compiling_grow_with_the_number_of_parts(name: str) -> None:
    assert max(growths(name)) < MOST


def test_what_grows_faster_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def quadratic(count: int) -> scale.Program:
        x = gx.input("x", (4,))
        return [x], [gx.sin(sum((x for _ in range(i)), x)) for i in range(count)], {}

    monkeypatch.setitem(scale.PROGRAMS, "quadratic", quadratic)
    assert max(growths("quadratic")) > MOST


# Concatenations of many parts ----------------------------------------------------------------------------------------
def _shapes(count: int, kind: str) -> list[tuple[int, int]]:
    widths = {"alike": [3], "uneven": [1, 2, 3], "runs": [1] * 20 + [4] * 20}[kind]
    return [(4, widths[i % len(widths)]) for i in range(count)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["alike", "uneven", "runs"])
@pytest.mark.parametrize("axis", [0, 1])
def test_joins_of_many_parts_choose_among_few(kind: str, axis: int, dtype: str) -> None:
    shapes = [shape[::-1] if axis == 0 else shape for shape in _shapes(150, kind)]
    inputs = [gx.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    whole = gx.concatenate(inputs, axis)
    outputs = [whole, gx.concatenate([gx.maximum(x, 1) for x in inputs], axis), whole * 2 + whole[::-1]]
    groups = fuse(optimise(build_graph(inputs, outputs)[0]))
    assert max(len(trace.leaves) for group in groups for traces in group.reads.values() for trace in traces) <= 8
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-5, 5, shape).astype(x.dtype.numpy) for x, shape in zip(inputs, shapes, strict=True)]
    wanted = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for got, right in zip(gx.compile(inputs, outputs)(*arrays), wanted, strict=True):
        assert got.tobytes() == right.tobytes()


# The command ---------------------------------------------------------------------------------------------------------
def test_the_command_prints_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--sizes", "10,20", "--only", "outputs", "--only", "layers"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"outputs +20 +20 +[\d.]+ s +-?[\d.]+ +[\d.]+ s +-?[\d.]+", out)
    assert "layers" in out
