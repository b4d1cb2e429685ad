"""Random programs on the compiled engines: the reference's values, the same bits on any number of threads, no stale
memory; and that these tests notice planted faults. With GRAPHC_TEST_FULL=1 there are twice as many programs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.engines import c_code, cython_code
from graphc.errors import InternalError
from graphc.ops.reference import evaluate
from graphc.passes import resolve_marks
from graphc.runtime.executor import Executor
from graphc.runtime.plan import Launch, Plan
from graphc.runtime.verify import verify
from tests.random_programs import RandomProgram, random_program

SEED, STEP = 3, 5
TOLERANCE = {"float64": 1e-9, "float32": 2e-4, "float16": 0.02, "bfloat16": 0.2}
BLOCK = 25  # programs of one test
BLOCKS = 12 if os.environ.get("GRAPHC_TEST_FULL") else 6
Arrays = list[np.ndarray[Any, Any]]


class Bench:
    """A random program, compiled once; runs start from the same state. `plan` may change its plan."""

    def __init__(
        self, program: RandomProgram, plan: Callable[[Plan], Plan] = lambda plan: plan, backend: str = "cython"
    ) -> None:
        self.program = program
        self.graph, _ = build_graph(program.inputs, program.outputs, program.updates)
        self.before = [parameter.value for parameter in program.parameters]
        self.assembled, self.code = {"cython": cython_code, "c": c_code}[backend](self.graph, 2)
        self.plan = plan(self.assembled.plan)

    def reset(self) -> None:
        for parameter, value in zip(self.program.parameters, self.before, strict=True):
            parameter.value = value

    def expected(self) -> Arrays:
        plain = resolve_marks(self.graph)
        values = dict(zip(self.program.inputs, self.program.arrays, strict=True))
        return evaluate(plain.results, values, seed=SEED, step=STEP)

    def executor(self, threads: int) -> Executor:
        storage = [parameter.storage for parameter in self.assembled.parameters]
        return Executor(self.plan, storage, self.assembled.constants, self.code, threads, SEED)

    def run(self, executor: Executor, together: bool) -> Arrays:
        """Outputs, then the parameters that are updated. What is left unwritten is NaN."""
        self.reset()
        executor.poison()
        executor.step = STEP
        outputs = [
            np.frombuffer(b"\xff" * o.type.nbytes, o.dtype.numpy).reshape(o.shape).copy() for o in self.program.outputs
        ]
        (executor.run_together if together else executor.run)(list(self.program.arrays), outputs)
        for parameter, value in zip(self.program.parameters, self.before, strict=True):
            if parameter not in self.program.updates:
                assert parameter.value.tobytes() == value.tobytes(), f"{parameter!r} has changed"
        return outputs + [parameter.value for parameter in self.program.updates]


def faults(bench: Bench) -> list[str]:
    """What is wrong with a program: a wrong value, or bits that depend on threads, on the run or on stale memory."""
    found, results = [], bench.graph.results
    first: Arrays = []
    for threads in (1, 2, 4):
        executor = bench.executor(threads)
        for together in (False, True):
            got = bench.run(executor, together)
            first = first or got
            found += [
                f"result {i}, {node!r}: other bits with {threads} threads"
                for i, (node, a, b) in enumerate(zip(results, first, got, strict=True))
                if a.tobytes() != b.tobytes()
            ]
    bench.reset()
    for i, (node, a, b) in enumerate(zip(results, first, bench.expected(), strict=True)):
        tolerance = TOLERANCE[bench.program.dtype] if node.dtype.is_float else 0.0
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        if not np.allclose(a, b, tolerance, tolerance * scale):
            found.append(f"result {i}, {node!r}: {a} but the reference says {b}")
    return found


@pytest.mark.parametrize("block", range(BLOCKS))
def test_compiled_programs_agree_with_the_reference(block: int) -> None:
    wrong = []
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        wrong += [f"program {seed}: {fault}" for fault in faults(Bench(random_program(seed)))]
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("seed", range(0, 300, 30))
def test_programs_in_c_agree_with_the_reference(seed: int) -> None:
    program = random_program(seed, "float64", large=True) if seed % 90 == 0 else random_program(seed)
    assert not faults(Bench(program, backend="c"))


@pytest.mark.parametrize("block", range(3))
def test_large_programs_have_the_same_bits_on_any_number_of_threads(block: int) -> None:
    """Arrays that are cut into many tiles."""
    wrong = []
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        wrong += [f"program {seed}: {fault}" for fault in faults(Bench(random_program(seed, "float64", large=True)))]
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_programs_of_short_floats(dtype: str) -> None:
    for seed in range(BLOCK):
        assert not faults(Bench(random_program(seed, dtype))), f"program {seed}"


# Programs that were wrong once, by the seed with which they were found.
REGRESSIONS = {
    575: "an update is a view of a value that lies in another output too",
    2266: "merging two groups made a view unfollowable, and its node was in no buffer",
}


@pytest.mark.parametrize("seed", REGRESSIONS, ids=str)
def test_programs_that_were_wrong(seed: int) -> None:
    assert not faults(Bench(random_program(seed)))


# Planted faults ------------------------------------------------------------------------------------------------------
def _without_last_tile(launch: Launch) -> Launch:
    return replace(launch, tiles=launch.tiles - 1)


def _reading_beside(launch: Launch) -> Launch:
    """The first operand of the program an element further, which may leave its buffer: the executor then refuses."""
    first, *rest = launch.program_operands or launch.operands
    moved = (replace(first, offset=first.offset + 8), *rest)
    return replace(launch, program_operands=moved) if launch.program_operands else replace(launch, operands=moved)


def _mlp() -> RandomProgram:
    """A step in which every launch matters."""
    rng = np.random.default_rng(0)
    x, y = gx.input("x", (300, 200), "float64"), gx.input("y", (300,), "int64")
    weights = [gx.parameter(f"w{i}", rng.normal(size=shape) / 9) for i, shape in enumerate([(200, 180), (180, 30)])]
    logits = gx.tanh(x @ weights[0]) @ weights[1]
    loss = gx.nn.cross_entropy(logits, y)
    updates = {w: w - 0.1 * g for w, g in zip(weights, gx.grad(loss, weights), strict=True)}
    arrays = [rng.normal(size=x.shape), rng.integers(0, 30, 300)]
    return RandomProgram(0, "float64", [x, y], [loss], updates, weights, arrays)


@pytest.mark.parametrize("change", [_without_last_tile, _reading_beside])
def test_a_wrong_tile_is_noticed_in_every_launch(change: Callable[[Launch], Launch]) -> None:
    assert not faults(Bench(_mlp()))
    for position in range(len(Bench(_mlp()).plan.launches)):

        def plant(plan: Plan, position: int = position) -> Plan:
            launches = list(plan.launches)
            launches[position] = change(launches[position])
            return replace(plan, launches=tuple(launches))

        bench = Bench(_mlp(), plant)
        try:
            assert faults(bench), f"a wrong tile of launch {bench.plan.launches[position].label} went unnoticed"
        except InternalError as error:
            assert "needs" in str(error)  # noqa: PT017 - the executor may notice first


def test_an_overlap_in_the_arena_is_noticed() -> None:
    """Every two buffers that live at the same time and do not hand over in place, put at one offset."""
    plan = Bench(_mlp()).plan
    handed = {pair for launch in plan.launches for pair in launch.in_place}
    arena = [i for i, buffer in enumerate(plan.buffers) if buffer.space == "arena"]
    count = 0
    for a in arena:
        for b in arena:
            one, two = plan.buffers[a], plan.buffers[b]
            if a >= b or one.last < two.first or two.last < one.first or {(a, b), (b, a)} & handed:
                continue
            moved = {a: replace(one, offset=0), b: replace(two, offset=0)}
            buffers = tuple(moved.get(i, buffer) for i, buffer in enumerate(plan.buffers))
            with pytest.raises(InternalError, match="overlap"):
                verify(replace(plan, buffers=buffers))
            count += 1
    assert count >= 5
