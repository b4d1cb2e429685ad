"""Loops in plans: good ones run as they say, on any number of threads; each planted fault is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from graphc.errors import InternalError
from graphc.plan.format import from_json, plan_digest, to_json
from graphc.plan.loops import iterations, roots
from graphc.plan.plan import Loop, Plan, Ref, Slice
from graphc.plan.rematerialisation import launch_seconds
from graphc.plan.stages import group
from graphc.plan.verify import verify
from tests.plan.loops import COUNT, ROW, SIZE, nested, running_sum
from tests.plan.test_verify import edit, edit_buffer
from tests.runtime.support import add_launch, buffer, plan_of


def edit_loop(plan: Plan, number: int = 0, **changes: Any) -> Plan:
    loops = list(plan.loops)
    loops[number] = replace(loops[number], **changes)
    return replace(plan, loops=tuple(loops))


def edit_slice(plan: Plan, loop: int, number: int, **changes: Any) -> Plan:
    slices = list(plan.loops[loop].slices)
    slices[number] = replace(slices[number], **changes)
    return edit_loop(plan, loop, slices=tuple(slices))


@pytest.mark.parametrize("plan", [running_sum(), running_sum(reverse=True), nested()])
def test_good_plans_pass_and_are_read_back(plan: Plan) -> None:
    assert verify(plan) is plan
    assert from_json(to_json(plan)) == plan
    assert plan_digest(from_json(to_json(plan))) == plan_digest(plan)
    assert plan_digest(edit_loop(plan, count=1)) != plan_digest(plan)


def test_launches_are_counted_as_often_as_they_run() -> None:
    plan = running_sum()
    assert iterations(plan.loops, 5) == [1, COUNT, COUNT, COUNT, 1]
    assert iterations(nested().loops, 1) == [6]
    assert roots(nested()) == [0, 1, 2, 0, 2, 0, 2, 1]
    once, often = (launch_seconds(edit_loop(plan, count=count)) for count in (1, COUNT))
    assert often[1] == pytest.approx(COUNT * once[1])
    assert often[0] == once[0]


def test_a_loop_is_a_stage() -> None:
    """However much it does; small neighbours join one that does little."""
    (stage,) = group(running_sum().launches, running_sum().loops)
    assert (stage.first, stage.last, stage.tiles, stage.loop) == (0, 5, 1, 0)
    heavy = replace(running_sum(), launches=tuple(replace(n, work=10**6, tiles=9) for n in running_sum().launches))
    stages = group(heavy.launches, heavy.loops)
    assert [(s.first, s.last, s.tiles, s.loop) for s in stages] == [(0, 1, 9, 0), (1, 4, 1, 0), (4, 5, 9, 1)]
    assert [s.depends for s in stages] == [(), (0,), (1,)]
    assert stages[1].work == 3 * COUNT * 10**6


def test_the_text_names_loops_and_slices() -> None:
    text = str(running_sum(reverse=True))
    assert f"%0 + {4 * ROW} + -{ROW} i" in text
    assert "loop  launches  times  computes" in text
    assert "0     1..3      5      sum" in text
    assert "loop" not in str(plan_of([buffer("x", "input", 1), buffer("y", "output", 1)], [add_launch(0, 0, 1, 1)]))


FAULTS: dict[str, tuple[Callable[[], Plan], str]] = {
    "no range": (lambda: edit_loop(running_sum(), first=4), "no range of launches"),
    "beyond the launches": (lambda: edit_loop(running_sum(), last=6), "no range of launches"),
    "no times": (lambda: edit_loop(running_sum(), count=0), "runs 0 times"),
    "loops that cross": (
        lambda: replace(running_sum(), loops=(*running_sum().loops, Loop(2, 5, 2))), "neither within another nor apart",
    ),
    "inner before outer": (lambda: replace(nested(), loops=nested().loops[::-1]), "no part of a buffer that is there"),
    "too deep": (lambda: replace(running_sum(), loops=(*running_sum().loops, *[Loop(1, 4, 1)] * 64)), "more than 64"),
    "one iteration too many": (lambda: edit_loop(running_sum(), count=COUNT + 1), "leaves its buffer"),
    "one row further": (lambda: edit_slice(running_sum(), 0, 0, offset=ROW), "leaves its buffer"),
    "backwards from the start": (lambda: edit_slice(running_sum(), 0, 0, step=-ROW), "leaves its buffer"),
    "written on one place": (lambda: edit_slice(running_sum(), 0, 1, step=0), "written over by the next iteration"),
    "written on half of the last": (
        lambda: edit_slice(running_sum(), 0, 1, step=ROW // 2), "written over by the next iteration"
    ),
    "one iteration too few": (lambda: edit_loop(running_sum(), count=COUNT - 1), f"slices write {4 * ROW} bytes"),
    "slice of itself": (lambda: edit_slice(running_sum(), 0, 0, of=5), "no part of a buffer"),
    "slice of another's loop": (lambda: edit_slice(nested(), 0, 0, of=5), "no part of a buffer"),
    "two slices in one buffer": (lambda: edit_slice(running_sum(), 0, 1, buffer=5), "differ"),
    "slice that is none": (lambda: edit_slice(running_sum(), 0, 1, buffer=4), "no part of a buffer"),
    "slice of no loop": (lambda: edit_loop(running_sum(), slices=running_sum().loops[0].slices[:1]), "differ"),
    "touched outside its loop": (
        lambda: edit(running_sum(), 4, operands=(Ref(3), Ref(5), Ref(2)), reads=(3, 0)), "not in the loop of its slices"
    ),
    "touched as if it were a buffer": (lambda: edit(running_sum(), 1, reads=(3, 0, 5)), "not what it is a part of"),
    "what it is a part of not declared": (lambda: edit(running_sum(), 1, reads=(3,)), "declares no access"),
    "slice of an input written": (lambda: edit(running_sum(), 3, writes=(1, 0)), "read-only"),
    "carried value freed too early": (
        lambda: edit_buffer(edit(running_sum(), 4, operands=(Ref(0), Ref(0), Ref(2)), reads=(0,)), 3, last=2),
        "outside its lifetime",
    ),
    "carried value freed before the next iteration": (
        lambda: edit_buffer(
            edit(
                edit(running_sum(), 4, operands=(Ref(0), Ref(0), Ref(2)), reads=(0,)),
                3, operands=(Ref(5), Ref(5), Ref(6)), reads=(0,),
            ),
            3, last=2,
        ),
        "before the last iteration of loop 0",
    ),
    "carried value of nothing": (
        lambda: edit(edit_buffer(running_sum(), 3, first=1), 0, operands=(Ref(0), Ref(0), Ref(2)), writes=(2,)),
        "before anything has written it",
    ),
    "carried value overwritten": (lambda: edit_buffer(running_sum(), 4, offset=0), "overlap"),
    "loop does not wait for its start": (lambda: edit(running_sum(), 1, depends=()), "launches 0 and 1 both touch"),
    "body out of order": (lambda: edit(running_sum(), 2, depends=()), "launches 1 and 2 both touch"),
    "reader does not wait for the loop": (lambda: edit(running_sum(), 4, depends=()), "launches 2 and 4 both touch"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str) -> None:
    plan, message = FAULTS[fault]
    with pytest.raises(InternalError, match=message):
        verify(plan())


def over_an_older(first: int) -> Plan:
    """In a loop over launches 1 and 2, t is written in the place of w, which launch `first` made and launch 2 reads."""
    buffers = [
        buffer("x", "input", SIZE), buffer("y", "output", SIZE), buffer("w", "arena", SIZE, 0, first, 2),
        buffer("t", "arena", SIZE, 0, 2, 3), buffer("v", "arena", SIZE, ROW, 1 - first, 1 - first),
    ]  # fmt: skip
    launches = [
        add_launch(0, 0, 2 if first == 0 else 4, SIZE),
        add_launch(0, 0, 4 if first == 0 else 2, SIZE, depends=[0]),
        add_launch(2, 0, 3, SIZE, depends=[0, 1], in_place=((2, 3),)),
        add_launch(3, 0, 1, SIZE, depends=[2]),
    ]
    return replace(plan_of(buffers, launches, arena=2 * ROW), loops=(Loop(1, 3, 2),))


def test_nothing_older_than_a_loop_is_written_over_in_it() -> None:
    assert verify(over_an_older(1))
    with pytest.raises(InternalError, match="overlap at launch 2"):
        verify(over_an_older(0))


def test_a_stack_may_be_written_by_two_loops() -> None:
    """The slices of both make it whole."""
    plan = running_sum()
    halves = [add_launch(0, 0, 2, SIZE), add_launch(0, 0, 3, SIZE, depends=[0])]
    launches = [replace(launch, writes=(1,), shares=(1,)) for launch in halves]
    buffers = [*plan.buffers[:2], buffer("a", "slice", SIZE), buffer("b", "slice", SIZE)]
    made = plan_of(buffers, launches)
    made = replace(made, loops=(Loop(0, 1, 2, (Slice(2, 1, 0, ROW),)), Loop(1, 2, 3, (Slice(3, 1, 2 * ROW, ROW),))))
    assert verify(made)
    with pytest.raises(InternalError, match="slices write"):
        verify(replace(made, loops=(Loop(0, 1, 2, (Slice(2, 1, 0, ROW),)), Loop(1, 2, 2, (Slice(3, 1, 0, ROW),)))))
