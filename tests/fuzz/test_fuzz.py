"""300 random programs on the compiled engines; and that the fuzzer sees what it looks for, whole and made small."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.text import graph_text
from graphc.ops.record import OPS
from graphc.passes import resolve_marks
from graphc.plan.plan import Launch, Plan
from graphc.plan.verify import verify
from tests.fuzz import judge
from tests.fuzz.__main__ import main
from tests.fuzz.grow import grow
from tests.fuzz.judge import EndlessError, faults, time_limit
from tests.fuzz.oracle import Oracle
from tests.fuzz.program import Array, FuzzProgram
from tests.fuzz.shrink import script, shrunk
from tests.runtime.support import needs_compiler

COUNT = 3_000 if os.environ.get("GRAPHC_TEST_FULL") else 300
BLOCK = 20  # programs of one test
IN_C = 5  # one program of so many, of every kind, is compiled to C as well


@pytest.mark.parametrize("start", range(0, COUNT, BLOCK))
def test_programs_agree_with_the_reference(start: int) -> None:
    found = [(seed, fault) for seed in range(start, start + BLOCK) for fault in faults(grow(seed), ["cython"])]
    assert not found, "\n".join(f"program {seed}: {kind}: {text}" for seed, (kind, text) in found[:5])


@needs_compiler
@pytest.mark.parametrize("seed", range(0, COUNT, IN_C))
def test_programs_in_c_agree_with_the_reference(seed: int) -> None:
    assert not faults(grow(seed), ["c"])


@needs_compiler
@pytest.mark.parametrize(("dtype", "large"), [("float64", True), ("bfloat16", False), ("float16", False)])
def test_large_programs_and_those_of_short_floats_in_c(dtype: str, large: bool) -> None:
    for seed in range(0, COUNT // 10, IN_C):
        assert not faults(grow(seed, dtype, large), ["c"]), f"program {seed}"


@pytest.mark.parametrize("start", range(0, COUNT // 10, 10))
def test_large_programs_agree_with_the_reference(start: int) -> None:
    """Arrays that are cut into many tiles: the same bits on any number of threads."""
    for seed in range(start, start + 10):
        assert not faults(grow(seed, "float64", large=True), ["cython"]), f"program {seed}"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_programs_of_short_floats(dtype: str) -> None:
    for seed in range(25):
        assert not faults(grow(seed, dtype), ["cython"]), f"program {seed}"


def test_a_program_depends_on_its_seed_alone() -> None:
    first, again = grow(11), grow(11)
    assert graph_text(first.graph) == graph_text(again.graph)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.arrays, again.arrays, strict=True))


def test_nearly_every_op_is_drawn() -> None:
    """Five are made by passes and layers alone; a few more are rare."""
    drawn = {node.op for seed in range(300) for node in grow(seed).graph.nodes}
    assert {"copy", "matmul_panels", "matmul_turned", "max_pool2d_both", "with_update"} <= set(OPS) - drawn
    assert len(set(OPS) - drawn) < 18


# The oracle ----------------------------------------------------------------------------------------------------------
def _changed(array: Array, at: tuple[int, ...]) -> Array:
    """A copy with one element wrong by more than rounding: a thousandth, or 3 % in 16 bits; an integer by 1."""
    wrong, value = array.copy(), array[at]
    if array.dtype.kind in "biu":
        wrong[at] = value == 0 if array.dtype.kind == "b" else value + 1
    else:
        share = 0.03 if array.dtype.itemsize == 2 else 1e-3
        wrong[at] = value * (1 + share) + share if np.isfinite(value) else 1
    return wrong


def test_a_wrong_element_is_noticed() -> None:
    """In nearly every result: what is ill conditioned may be off by more."""
    missed = total = 0
    for seed in range(25):
        program, rng = grow(seed), np.random.default_rng(seed)
        graph = resolve_marks(program.graph)
        oracle = Oracle(graph, dict(zip(graph.inputs, program.arrays, strict=True)))
        assert not oracle.faults(oracle.reference)
        for i, result in enumerate(oracle.reference):
            if result.size:
                wrong = list(oracle.reference)
                wrong[i] = _changed(result, tuple(int(rng.integers(n)) for n in result.shape))
                total, missed = total + 1, missed + (not oracle.faults(wrong))
    assert missed <= 0.06 * total


@pytest.mark.parametrize(
    ("got", "wrong"),
    [(0.0, False), (-0.0, True), (np.nan, True), (1e-3, True), (1e-300, True)],
)
def test_a_zero_has_a_sign(got: float, wrong: bool) -> None:
    x = gx.input("x", (1,), "float64")
    oracle = Oracle(Graph((x,), (gx.maximum(x, x),)), {x: np.zeros(1)})
    assert bool(oracle.faults([np.array([got])])) == wrong


# The judge -----------------------------------------------------------------------------------------------------------
def _mlp() -> FuzzProgram:
    """A step in which every launch matters."""
    rng = np.random.default_rng(0)
    x, y = gx.input("x", (40, 30), "float64"), gx.input("y", (40,), "int64")
    weights = [gx.parameter(f"w{i}", rng.normal(size=shape) / 5) for i, shape in enumerate([(30, 20), (20, 9)])]
    loss = gx.nn.cross_entropy(gx.tanh(x @ weights[0]) @ weights[1], y)
    updates = tuple((w, w - 0.1 * g) for w, g in zip(weights, gx.grad(loss, weights), strict=True))
    graph = Graph((x, y), (loss,), updates, ("loss",))
    return FuzzProgram(graph, (rng.normal(size=x.shape), rng.integers(0, 9, 40)), "mlp")


def _without_last_tile(launch: Launch) -> Launch:
    return replace(launch, tiles=launch.tiles - 1)


def _reading_beside(launch: Launch) -> Launch:
    """The first operand of the program an element further, which may leave its buffer: the executor then refuses."""
    first, *rest = launch.program_operands or launch.operands
    moved = (replace(first, offset=first.offset + 8), *rest)
    return replace(launch, program_operands=moved) if launch.program_operands else replace(launch, operands=moved)


def _planted(monkeypatch: pytest.MonkeyPatch, change: Callable[[Plan], Plan]) -> None:
    """Plans of the Cython engine are changed before they run."""
    original = judge.ENGINES["cython"]

    def engine(*args: Any) -> Any:
        assembled, code = original(*args)
        return replace(assembled, plan=change(assembled.plan)), code

    monkeypatch.setitem(judge.ENGINES, "cython", engine)


@pytest.mark.parametrize("change", [_without_last_tile, _reading_beside])
def test_a_wrong_tile_is_noticed_in_every_launch(
    change: Callable[[Launch], Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _mlp()
    assert not faults(program, ["cython"])
    plan = judge.ENGINES["cython"](program.graph, 2, None)[0].plan
    for position in range(len(plan.launches)):

        def plant(plan: Plan, position: int = position) -> Plan:
            launches = list(plan.launches)
            launches[position] = change(launches[position])
            return replace(plan, launches=tuple(launches))

        with monkeypatch.context() as patch:
            _planted(patch, plant)
            assert faults(program, ["cython"]), f"a wrong tile of {plan.launches[position].label} went unnoticed"


def test_an_overlap_in_the_arena_is_noticed() -> None:
    """Every two buffers that live at the same time and do not hand over in place, put at one offset."""
    plan = judge.ENGINES["cython"](_mlp().graph, 2, None)[0].plan
    handed = {pair for launch in plan.launches for pair in launch.in_place}
    arena = [i for i, buffer in enumerate(plan.buffers) if buffer.space == "arena"]
    count = 0
    for a, b in combinations(arena, 2):
        one, two = plan.buffers[a], plan.buffers[b]
        if one.last < two.first or two.last < one.first or {(a, b), (b, a)} & handed:
            continue
        moved = {a: replace(one, offset=0), b: replace(two, offset=0)}
        buffers = tuple(moved.get(i, buffer) for i, buffer in enumerate(plan.buffers))
        with pytest.raises(InternalError, match="overlap"):
            verify(replace(plan, buffers=buffers))
        count += 1
    assert count >= 5


@pytest.mark.parametrize("raised", [InternalError("a bug"), ValueError("min() of nothing"), RecursionError("deep")])
def test_an_error_is_a_fault(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(*_: Any) -> Any:
        raise raised

    monkeypatch.setitem(judge.ENGINES, "cython", engine)
    assert [kind for kind, _ in faults(grow(1), ["cython"])] == [f"{type(raised).__name__} on cython"]


def test_what_does_not_end_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(*_: Any) -> Any:
        while True:
            time.sleep(0.01)

    monkeypatch.setitem(judge.ENGINES, "cython", engine)
    assert [kind for kind, _ in faults(grow(1), ["cython"], seconds=0.1)] == ["EndlessError on cython"]
    with pytest.raises(EndlessError), time_limit(0.05):
        time.sleep(5)


# Shrinking -----------------------------------------------------------------------------------------------------------
def _sums_a_product(program: FuzzProgram) -> bool:
    """A stand-in for a fault: a sum somewhere above a multiplication."""
    return any(
        node.op == "sum" and any(source.op == "multiply" for source in node.inputs) for node in program.graph.nodes
    )


def test_a_program_is_made_small() -> None:
    seeds = [seed for seed in range(60) if _sums_a_product(grow(seed))][:6]
    assert len(seeds) == 6
    for seed in seeds:
        small = shrunk(grow(seed), _sums_a_product)
        assert sorted(node.op for node in small.graph.nodes if node.op != "input") == ["multiply", "sum"]
        assert len(small.graph.results) == 1
    assert len(shrunk(grow(3), lambda _: False).graph.nodes) == len(grow(3).graph.nodes)


def test_a_script_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(8):
        program = grow(seed)
        exec(script(program).replace("('numpy', 'cython', 'c')", "('numpy',)"), {})
        assert "numpy" in capsys.readouterr().out


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "4", "--seed", "2", "--engines", "cython", "--jobs", "2"]) == 0
    assert "4 programs from seed 2 on cython: no fault" in capsys.readouterr().out
    assert main(["--only", "2", "--engines", "cython"]) == 0
