"""The plan verifier: good plans pass, each planted fault is caught, and the cost grows linearly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graphc.errors import InternalError
from graphc.plan.plan import REGISTERS, Launch, Plan, Ref
from graphc.plan.verify import verify
from tests.runtime.support import add_launch, buffer, chain, plan_of


def diamond() -> Plan:
    """t0 = x + x; t1 = t0 + x; t2 = t0 + t0; y = t1 + t2, and t3 = y + x in the place of t0, then z = t3 + t3."""
    buffers = [
        buffer("x", "input", 16),
        buffer("y", "output", 16),
        buffer("z", "output", 16),
        buffer("t0", "arena", 16, 0, 0, 2),
        buffer("t1", "arena", 16, 64, 1, 3),
        buffer("t2", "arena", 16, 128, 2, 3),
        buffer("t3", "arena", 16, 0, 4, 5),
    ]
    launches = [
        add_launch(0, 0, 3, 16),
        add_launch(3, 0, 4, 16, depends=[0]),
        add_launch(3, 3, 5, 16, depends=[0]),
        add_launch(4, 5, 1, 16, depends=[1, 2]),
        add_launch(1, 0, 6, 16, depends=[3]),
        add_launch(6, 6, 2, 16, depends=[4]),
    ]
    return plan_of(buffers, launches, arena=192)


def in_place() -> Plan:
    """t1 takes the place of t0 in the launch that reads t0 for the last time."""
    buffers = [
        buffer("x", "input", 16),
        buffer("y", "output", 16),
        buffer("t0", "arena", 16, 0, 0, 1),
        buffer("t1", "arena", 16, 0, 1, 2),
    ]
    launches = [
        add_launch(0, 0, 2, 16),
        add_launch(2, 0, 3, 16, depends=[0], in_place=((2, 3),)),
        add_launch(3, 0, 1, 16, depends=[1]),
    ]
    return plan_of(buffers, launches, arena=64)


def anywhere(plan: Plan) -> Plan:
    """`plan`, whose buffers may begin at any byte."""
    return replace(plan, alignment=1)


def edit(plan: Plan, position: int, **changes: Any) -> Plan:
    """`plan` with one launch changed."""
    launches = list(plan.launches)
    launches[position] = replace(launches[position], **changes)
    return replace(plan, launches=tuple(launches))


def edit_buffer(plan: Plan, position: int, **changes: Any) -> Plan:
    buffers = list(plan.buffers)
    buffers[position] = replace(buffers[position], **changes)
    return replace(plan, buffers=tuple(buffers))


@pytest.mark.parametrize("plan", [diamond(), in_place(), chain(1, 4), chain(5, 100), chain(3, 0)])
def test_good_plans_pass(plan: Plan) -> None:
    assert verify(plan) is plan


FAULTS: dict[str, tuple[Callable[[], Plan], str]] = {
    "overlap in space and time": (lambda: edit_buffer(anywhere(diamond()), 4, offset=32), "buffers 3 and 4 overlap"),
    "overlap of one byte": (lambda: edit_buffer(anywhere(diamond()), 5, offset=127), "overlap"),
    "no multiple of the alignment": (lambda: edit_buffer(diamond(), 5, offset=127), "buffer 5 begins at no multiple"),
    "no alignment": (lambda: replace(diamond(), alignment=0), "begins at no multiple of 0 bytes"),
    "in place, not declared": (lambda: edit(in_place(), 1, in_place=()), "overlap at launch 1"),
    "in place, shifted": (
        lambda: edit_buffer(anywhere(replace(in_place(), arena_bytes=96)), 3, offset=4),
        "overlap at launch 1",
    ),
    "in place, other elements": (
        lambda: edit_buffer(in_place(), 3, dtype="float64", shape=(8,)),
        "overlap at launch 1",
    ),
    "in place, still read": (lambda: edit_buffer(in_place(), 2, last=2), "overlap at launch 1"),
    "in place of what is not touched": (lambda: edit(in_place(), 2, in_place=((2, 1),)), "in-place pair"),
    "missing dependency, read after write": (lambda: edit(diamond(), 3, depends=(1,)), "launches 2 and 3 both touch"),
    "missing dependency, write after read": (lambda: edit(diamond(), 4, depends=()), "not ordered"),
    "missing dependency, bytes reused": (
        lambda: edit(
            edit(diamond(), 4, depends=(1,), reads=(0,), operands=(Ref(0), Ref(0), Ref(6))), 5, depends=(3, 4)
        ),
        "launches 2 and 4 both touch the bytes of buffer 3",
    ),
    "early free": (lambda: edit_buffer(diamond(), 3, last=1), "touches buffer 3 outside its lifetime 0..1"),
    "late birth": (lambda: edit_buffer(diamond(), 4, first=2), "outside its lifetime"),
    "read before write": (lambda: edit(diamond(), 1, reads=(0, 5), operands=(Ref(5), Ref(0), Ref(4))), "lifetime"),
    "read of what nobody wrote": (
        lambda: edit(edit_buffer(diamond(), 5, first=1), 1, reads=(0, 5), operands=(Ref(5), Ref(0), Ref(4))),
        "before anything has written it",
    ),
    "outside the arena": (lambda: replace(diamond(), arena_bytes=191), "leaves the arena"),
    "operand out of bounds": (lambda: edit(diamond(), 0, operands=(Ref(0), Ref(0, 64), Ref(3))), "out of bounds"),
    "operand before its buffer": (lambda: edit(diamond(), 0, operands=(Ref(0, -4), Ref(0), Ref(3))), "out of bounds"),
    "operand without buffer": (lambda: edit(diamond(), 0, operands=(Ref(7), Ref(0), Ref(3))), "out of bounds"),
    "registers before the result": (
        lambda: edit(diamond(), 0, operands=(Ref(REGISTERS), Ref(0), Ref(3))),
        "out of bounds",
    ),
    "a place in registers": (lambda: edit(diamond(), 0, operands=(Ref(0), Ref(REGISTERS, 4))), "out of bounds"),
    "undeclared access": (lambda: edit(diamond(), 0, writes=()), "declares no access"),
    "too few bytes": (lambda: edit_buffer(diamond(), 0, nbytes=60), "holds 60 bytes but needs 64"),
    "input written": (lambda: edit(diamond(), 0, writes=(3, 0)), "read-only"),
    "depends on itself": (lambda: edit(diamond(), 2, depends=(2,)), "not before it"),
    "output never written": (
        lambda: edit(diamond(), 5, operands=(Ref(6), Ref(6), Ref(1)), writes=(1,), depends=(4,)),
        "output buffer 2 is never written",
    ),
    "two sources of one input": (lambda: replace(diamond(), inputs=(0, 0)), "list of inputs"),
    "unbound parameter": (lambda: edit_buffer(diamond(), 0, space="parameter"), "differ"),
    "state that is no parameter": (lambda: replace(diamond(), states=(3,)), "none of its parameters"),
    "unknown space": (lambda: edit_buffer(diamond(), 0, space="attic"), "unknown space"),
    "too much scratch": (lambda: edit(diamond(), 0, scratch=1), "scratch"),
    "output that is not there": (lambda: replace(diamond(), outputs=(1, 7)), "a buffer 7, which is not there"),
    "output before the first": (
        lambda: replace(diamond(), outputs=(1, 2, -1)),
        "a buffer -1, which is not there",
    ),
    "random state that is not there": (lambda: replace(diamond(), rng=7), "random state is buffer 7"),
    "more names than tensors": (lambda: replace(diamond(), names=("x", "y", "z", "more")), "as many names"),
    "unknown dtype": (lambda: edit_buffer(diamond(), 0, dtype="float37"), "unknown dtype 'float37'"),
    "negative extents": (lambda: edit_buffer(diamond(), 0, shape=(-4, -4)), "a shape that no array has"),
    "too many axes": (lambda: edit_buffer(diamond(), 0, shape=(1,) * 65), "a shape that no array has"),
    "no such program": (lambda: edit(diamond(), 0, kernel="tile"), "has no program"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str) -> None:
    plan, message = FAULTS[fault]
    with pytest.raises(InternalError, match=message):
        verify(plan())


def test_the_message_shows_the_neighbourhood() -> None:
    with pytest.raises(InternalError) as caught:
        verify(edit(diamond(), 3, depends=(1,)))
    text = str(caught.value)
    assert "> launch 3: add 4 5 1 (add) reads (4, 5) writes (1,) depends (1,)" in text
    assert "  launch 4: " in text
    assert "buffer 5: Buffer(name='t2'" in text


def test_an_epilogue_may_read_what_its_kernel_wrote() -> None:
    plan = diamond()
    launch = replace(plan.launches[0], kernel="gemm", program=0, reads=(0, 3), program_operands=(Ref(3),))
    plan = replace(plan, programs=((1,),), launches=(launch, *plan.launches[1:]))
    assert verify(plan) is plan
    with pytest.raises(InternalError, match="before anything has written it"):
        verify(edit(plan, 0, kernel="tile", operands=()))


def shared(**fields: tuple[int, ...]) -> Plan:
    """Two launches write the halves of one buffer, each without waiting for the other; a third reads it."""
    buffers = [
        buffer("x", "input", 16), buffer("y", "output", 16), buffer("t", "arena", 16, 0, 0, 1),
        buffer("both", "arena", 32, 64, 1, 3),
    ]  # fmt: skip
    first = add_launch(0, 0, 2, 16)
    halves = [replace(add_launch(0, 2, 3, 16, depends=[0]), shares=(3,)) for _ in range(2)]
    halves[1] = replace(halves[1], operands=(Ref(0), Ref(0), Ref(3, 64)), reads=(0,))
    reader = replace(add_launch(3, 3, 1, 16, depends=[1, 2]), **fields)
    return plan_of(buffers, [first, *halves, reader], arena=192)


def test_those_that_share_a_buffer_need_not_wait_for_each_other() -> None:
    plan = shared()
    assert verify(plan) is plan
    for position in (1, 2):
        with pytest.raises(InternalError, match="launches 1 and 2 both touch the bytes of buffer 3"):
            verify(edit(plan, position, shares=()))
    with pytest.raises(InternalError, match="launches 1 and 3 both touch the bytes of buffer 3"):
        verify(shared(depends=(2,)))
    with pytest.raises(InternalError, match="launches 2 and 3 both touch the bytes of buffer 3"):
        verify(shared(depends=(1,)))
    with pytest.raises(InternalError, match="shares a buffer that it does not write"):
        verify(shared(shares=(3,)))


def test_what_shares_a_buffer_waits_for_one_that_reads_it_as_well() -> None:
    plan = edit(shared(), 2, operands=(Ref(0), Ref(3), Ref(3, 64)), reads=(0, 3), depends=(1,))
    first = replace(plan.launches[1], depends=(2,))
    plan = replace(plan, launches=(*plan.launches[:3], first, replace(plan.launches[3], depends=(3,))))
    plan = edit_buffer(edit_buffer(plan, 2, last=3), 3, last=4)
    assert verify(plan) is plan
    with pytest.raises(InternalError, match="launches 2 and 3 both touch the bytes of buffer 3"):
        verify(edit(plan, 3, depends=(1,)))


def test_all_that_share_a_buffer_wait_for_what_was_there_before() -> None:
    plan = edit_buffer(edit_buffer(shared(), 2, last=0), 3, offset=0)
    plan = edit(plan, 1, operands=(Ref(0), Ref(0), Ref(3)), reads=(0,))
    assert verify(plan) is plan
    for position in (1, 2):
        with pytest.raises(InternalError, match=f"launches 0 and {position} both touch"):
            verify(edit(plan, position, depends=()))


def test_an_epilogue_may_write_in_the_place_of_what_its_kernel_wrote() -> None:
    """Both buffers are born in one launch; the kernel's own result dies there."""
    plan = edit_buffer(in_place(), 3, first=0)
    launch = replace(
        plan.launches[0], kernel="gemm", program=0, writes=(2, 3), program_operands=(Ref(2), Ref(3)), in_place=((2, 3),)
    )
    buffers = list(edit_buffer(plan, 2, last=0).buffers)
    final = add_launch(3, 0, 1, 16, depends=[0])
    plan = replace(plan, buffers=tuple(buffers), launches=(launch, final), programs=((1,),))
    plan = edit_buffer(plan, 3, last=1)
    assert verify(plan) is plan
    with pytest.raises(InternalError, match="overlap at launch 0"):
        verify(edit(plan, 0, in_place=()))


def test_either_of_two_that_live_in_one_launch_may_be_written_over() -> None:
    """A result that nothing reads, as it is rematerialised later, dies with the kernel's own, which it replaces."""
    buffers = [
        buffer("x", "input", 16), buffer("y", "output", 16), buffer("t0", "arena", 16), buffer("t1", "arena", 16)
    ]  # fmt: skip
    refs = (Ref(3), Ref(2))
    both = replace(
        add_launch(0, 0, 3, 16), kernel="gemm", program=0, writes=(3, 2), program_operands=refs, in_place=((3, 2),)
    )
    plan = replace(plan_of(buffers, [both, add_launch(0, 0, 1, 16)], arena=64), programs=((1,),))
    assert verify(plan) is plan
    with pytest.raises(InternalError, match="overlap at launch 0"):
        verify(edit(plan, 0, in_place=()))


def random_plan(seed: int, count: int = 40) -> Plan:
    """Launches that read earlier results at random; every buffer has bytes of its own, every dependency is declared."""
    random = np.random.default_rng(seed)
    buffers, launches = [buffer("x", "input", 16), buffer("y", "output", 16)], []
    sources = [sorted(random.choice(i, size=min(i, 2), replace=False).tolist()) if i else [] for i in range(count)]
    last = [max([i, *(j for j in range(count) if i in sources[j])]) for i in range(count)]
    for i in range(count):
        buffers.append(buffer(f"t{i}", "arena", 16, 64 * i, i, last[i]))
        reads = [2 + j for j in sources[i]] or [0]
        launches.append(add_launch(reads[0], reads[-1], 2 + i, 16, depends=sources[i]))
    everything = [i for i in range(count) if last[i] == i]
    buffers = [replace(b, last=count) if b.space == "arena" and b.last == b.first else b for b in buffers]
    final = Launch(
        "gather",
        "add",
        (16, 16, 0),
        (Ref(1),),
        -1,
        (),
        tuple(2 + i for i in everything),
        (1,),
        1,
        0,
        1,
        1,
        tuple(everything),
    )
    return plan_of(buffers, [*launches, final], arena=64 * count)


@pytest.mark.parametrize("seed", range(20))
def test_every_needed_dependency_of_random_plans_is_noticed(seed: int) -> None:
    """Against plain reachability: leaving out a dependency is a fault unless another path keeps the order."""
    plan = verify(random_plan(seed))
    for position, launch in enumerate(plan.launches):
        for left_out in launch.depends:
            changed = edit(plan, position, depends=tuple(d for d in launch.depends if d != left_out))
            if reaches(changed, left_out, position):
                verify(changed)
            else:
                with pytest.raises(InternalError, match=f"launches {left_out} and {position} both touch"):
                    verify(changed)


def reaches(plan: Plan, before: int, after: int) -> bool:
    pending = [after]
    while pending:
        position = pending.pop()
        if position == before:
            return True
        pending.extend(plan.launches[position].depends)
    return False


def test_the_cost_grows_linearly() -> None:
    def seconds(length: int) -> float:
        plan = chain(length, 4)
        start = time.perf_counter()
        verify(plan)
        return time.perf_counter() - start

    seconds(100)
    small, large = min(seconds(2_000) for _ in range(3)), min(seconds(20_000) for _ in range(2))
    assert large < 40 * small
