"""The memory contract on random training steps: whatever is rematerialised, planned how or in what order, bits are the
same, in an arena of NaN where each buffer is poisoned at its death; budgets are kept or refused; and these tests notice
planted faults."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.assembly.budgeted import Budgeted
from graphc.assembly.write import Assembled, write
from graphc.backends.c.backend import C
from graphc.errors import InternalError, MemoryBudgetError
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.passes import resolve_marks
from graphc.pipeline import Settings, compile_graph, ways_of
from graphc.plan.liveness import arena_spans
from graphc.plan.loops import nests
from graphc.plan.memory_report import memory_report
from graphc.plan.plan import Plan
from graphc.plan.verify import verify
from graphc.runtime.executor import Executor, table_bytes
from graphc.toolchain.isa import kernels
from tests.runtime.support import needs_compiler
from tests.training_programs import TrainingProgram, training_program

SEEDS = range(16)
STEPS = 2
Bits = list[bytes]


def budgeted(graph: Graph) -> Budgeted:
    return ways_of(graph, threads=1)


def graph_of(program: TrainingProgram) -> Graph:
    return build_graph(program.inputs, program.outputs, program.updates)[0]


def deaths(plan: Plan) -> list[list[tuple[int, int]]]:
    """For each launch the bytes of the arena that no buffer holds any more after it, in whatever iteration of a loop.

    What is older than a loop lives in all of it.
    """
    dead: list[list[tuple[int, int]]] = []
    spans = arena_spans(plan)
    for number, around in enumerate(nests(plan.loops, len(plan.launches))):
        live = sorted(
            (s.offset, s.offset + s.nbytes)
            for s in spans
            if s.first <= number < s.last or any(s.first < loop.first and s.last >= loop.last - 1 for loop in around)
        )
        free, end = [], 0
        for start, stop in [*live, (plan.arena_bytes, plan.arena_bytes)]:
            if start > end:
                free.append((end, start - end))
            end = max(end, stop)
        dead.append(free)
    return dead


def run(program: TrainingProgram, assembled: Assembled, code: Any = None, plan: Plan | None = None) -> Bits:
    """The bits of outputs and parameters after some steps, each in poisoned memory."""
    plan = plan or assembled.plan
    storage = [parameter.storage for parameter in assembled.parameters]
    before = [array.copy() for array in storage]
    executor = Executor(plan, storage, assembled.constants, code or kernels().table, 1, 7)
    outputs = [np.empty(output.shape, output.dtype.numpy) for output in program.outputs.values()]
    bits: Bits = []
    for _ in range(STEPS):
        executor.run_poisoned(list(program.arrays), outputs, deaths(plan))
        bits += [array.tobytes() for array in (*outputs, *storage)]
    for array, value in zip(storage, before, strict=True):
        array[...] = value
    return bits


def choices(ways: Budgeted) -> Iterator[Assembled]:
    for choice in ways.choices():
        assert verify(choice.planned.plan) is choice.planned.plan
        found = write(choice.planned, ways.program.writer)
        assert verify(found.plan) is found.plan
        yield found


@functools.cache
def unmarked(seed: int) -> tuple[TrainingProgram, Budgeted]:
    """A program without checkpoints and the ways to run it, worked out once for all tests."""
    program = training_program(seed)
    return program, budgeted(graph_of(program))


@functools.cache
def plain_bits(seed: int) -> Bits:
    program, ways = unmarked(seed)
    return run(program, next(choices(ways)))


# The same bits -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_rematerialised_has_the_same_bits(seed: int) -> None:
    program, ways = unmarked(seed)
    expected = plain_bits(seed)
    _, *others = choices(ways)
    for assembled in others:
        assert any(launch.rematerialises >= 0 for launch in assembled.plan.launches)
        assert run(program, assembled) == expected
    plain = resolve_marks(graph_of(program))
    reference = evaluate(plain.outputs, dict(zip(plain.inputs, program.arrays, strict=True)), seed=7, step=0)
    got = [np.frombuffer(bits, np.float32).reshape(r.shape) for bits, r in zip(expected, reference, strict=False)]
    for array, wanted in zip(got, reference, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_checkpointed_parts_have_the_same_bits(seed: int) -> None:
    expected = plain_bits(seed)
    marked = training_program(seed, checkpointed=True)
    for assembled in choices(budgeted(graph_of(marked))):
        bits = run(marked, assembled)
        assert bits[: len(marked.outputs)] == expected[: len(marked.outputs)]
        assert losses(bits) == losses(expected)


def losses(bits: Bits) -> Bits:
    """The first output of each step."""
    return bits[:: len(bits) // STEPS]


@needs_compiler
def test_generated_c_has_the_same_bits() -> None:
    program = training_program(17)
    graph = graph_of(program)
    smallest = ways_of(graph, C, 1).smallest()
    late = [launch for launch in smallest.planned.plan.launches if launch.rematerialises >= 0]
    assert any(smallest.planned.plan.rng in launch.reads for launch in late)
    made = [compile_graph(graph, C, Settings(1, budget=budget)) for budget in (None, smallest.peak)]
    bits = [run(program, found, runs) for found, runs in made]
    assert bits[0] == bits[1]


# Budgets -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 3, 5])
def test_budgets_are_kept_and_a_larger_one_never_costs_more(seed: int) -> None:
    _, ways = unmarked(seed)
    smallest, largest = ways.smallest().peak, ways.plain.peak
    overheads = []
    for number in range(12):
        limit = smallest + (largest - smallest) * number // 11
        choice = ways.within(limit)
        assert choice.peak <= limit
        overheads.append(choice.overhead)
    assert overheads == sorted(overheads, reverse=True)
    assert overheads[-1] == 0.0 < overheads[0]
    with pytest.raises(MemoryBudgetError, match=f"smallest budget that will do is {smallest} "):
        ways.within(smallest - 1)


def test_a_program_within_its_budget_trains_like_one_without() -> None:
    results = []
    for budget in (None, 0.98, "1 MB"):
        program = training_program(19)
        step = gx.compile(program.inputs, program.outputs, program.updates, backend="cython", memory_budget=budget)
        if isinstance(budget, float):
            assert step.memory.peak_bytes <= budget * results[0][0]
        results.append((step.memory.peak_bytes, [step(*program.arrays)["loss"].tobytes() for _ in range(3)]))
    assert results[0][1] == results[1][1] == results[2][1]


@pytest.mark.parametrize("budget", ["much", -1, 0.0, 1.5, True, "10 XB", [1]])
def test_what_is_no_budget_is_refused(budget: Any) -> None:
    x = gx.input("x", (3,))
    with pytest.raises(gx.errors.GraphError, match="a memory budget is"):
        gx.compile([x], x + 1, memory_budget=budget)


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_counted_before_they_are_made(seed: int) -> None:
    assembled = next(choices(unmarked(seed)[1]))
    executor = Executor(
        assembled.plan, [p.storage for p in assembled.parameters], assembled.constants, kernels().table, 2
    )
    assert executor.table_bytes == table_bytes(assembled.plan, kernels().table)


# Planted faults ------------------------------------------------------------------------------------------------------
@functools.cache
def rematerialising(seed: int = 19) -> tuple[TrainingProgram, Assembled, Bits]:
    program, ways = unmarked(seed)
    *_, last = choices(ways)
    return program, last, run(program, last)


def test_an_early_free_is_noticed() -> None:
    """A buffer that is over before its last reader; and where the verifier is not asked, by the bits."""
    program, assembled, expected = rematerialising()
    plan, noticed = assembled.plan, 0
    for position, buffer in enumerate(plan.buffers):
        if buffer.space != "arena" or buffer.last == buffer.first or buffer.nbytes < 64:
            continue
        early = replace(buffer, last=buffer.last - 1)
        wrong = replace(plan, buffers=(*plan.buffers[:position], early, *plan.buffers[position + 1 :]))
        with pytest.raises(InternalError, match="outside its lifetime"):
            verify(wrong)
        noticed += run(program, assembled, plan=wrong) != expected
    assert noticed > 10


def test_an_overlap_in_place_is_noticed() -> None:
    """A product that is written over its own operand, declared as if that were allowed."""
    program, assembled, expected = rematerialising()
    plan, noticed = assembled.plan, 0
    for number, launch in enumerate(plan.launches):
        for read, written in ((r, w) for r in launch.reads for w in launch.writes if launch.kernel.startswith("gemm")):
            a, b = plan.buffers[read], plan.buffers[written]
            apart = {a.space, b.space} == {"arena"} and a.offset != b.offset and (read, written) not in launch.in_place
            if not apart or a.last != number or b.nbytes > a.nbytes:
                continue
            moved = replace(b, offset=a.offset)
            wrong = replace(plan, buffers=(*plan.buffers[:written], moved, *plan.buffers[written + 1 :]))
            with pytest.raises(InternalError):
                verify(wrong)
            noticed += run(program, assembled, plan=wrong) != expected
    assert noticed


def test_a_merged_rematerialisation_is_noticed() -> None:
    """A reader of what was rematerialised that reads the first one instead."""
    program, assembled, expected = rematerialising()
    plan, noticed = assembled.plan, 0
    for late in (launch for launch in plan.launches if launch.rematerialises >= 0):
        first = plan.launches[late.rematerialises]
        for again, before in zip(late.writes, first.writes, strict=False):
            if plan.buffers[again].shape != plan.buffers[before].shape or plan.buffers[before].space != "arena":
                continue
            wrong = replace(plan, launches=tuple(_reading(launch, again, before) for launch in plan.launches))
            if wrong == plan:
                continue
            with pytest.raises(InternalError):
                verify(wrong)
            noticed += run(program, assembled, plan=wrong) != expected
    assert noticed


def _reading(launch: Any, again: int, before: int) -> Any:
    if again not in launch.reads or again in launch.writes:
        return launch
    operands, program_operands = (
        tuple(replace(ref, buffer=before) if ref.buffer == again else ref for ref in refs)
        for refs in (launch.operands, launch.program_operands)
    )
    reads = tuple(before if read == again else read for read in launch.reads)
    return replace(launch, operands=operands, program_operands=program_operands, reads=reads)


def test_redrawn_dropout_is_noticed() -> None:
    """A rematerialisation that draws the numbers of another stream."""
    noticed = 0
    for seed in SEEDS:
        program, assembled, expected = rematerialising(seed)
        plan = assembled.plan
        for number, launch in enumerate(plan.launches):
            if launch.rematerialises < 0 or plan.rng not in launch.reads:
                continue
            redrawn = replace(launch, program=len(plan.programs))
            words = _other_stream(plan.programs[launch.program])
            wrong = replace(
                plan, programs=(*plan.programs, words),
                launches=(*plan.launches[:number], redrawn, *plan.launches[number + 1 :]),
            )  # fmt: skip
            noticed += run(program, assembled, plan=wrong) != expected
        if noticed > 3:
            break
    assert noticed > 3


def _other_stream(words: tuple[int, ...]) -> tuple[int, ...]:
    """The program with its streams, which count from 2**31 on, changed."""
    return tuple(word ^ 0x1000 if 1 << 31 <= word < (1 << 31) + 4096 else word for word in words)


def test_poison_is_needed_for_these_tests() -> None:
    """An arena that is not poisoned hides some early frees: the checker checks more than values."""
    _, assembled, _ = rematerialising()
    dead = deaths(assembled.plan)
    assert any(dead)
    held = memory_report(assembled.plan).timeline
    free = [assembled.plan.arena_bytes - sum(nbytes for _, nbytes in bytes_) for bytes_ in dead]
    assert all(left <= alive + 64 * len(assembled.plan.buffers) for left, alive in zip(free, held, strict=True))
