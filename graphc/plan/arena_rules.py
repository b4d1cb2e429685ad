"""The rules of the arena over time: see plan/verify.py."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from graphc.ir.indices import Indexed, numbered
from graphc.ir.types import DTYPES
from graphc.plan.fault import fault
from graphc.plan.loops import nests
from graphc.plan.plan import BufferNumber, LaunchNumber, Loop, Plan

__all__ = ["check_arena", "check_lifetimes", "overlapping"]

Interval = tuple[int, int, BufferNumber]  # offset, end, whose bytes these are


def check_lifetimes(plan: Plan) -> None:
    for position, launch in numbered(LaunchNumber, plan.launches):
        for index in (*launch.reads, *launch.writes):
            buffer = plan.buffers[index]
            if buffer.space == "arena" and not buffer.first <= position <= buffer.last:
                what = f"launch {position} touches buffer {index} outside its lifetime {buffer.first}..{buffer.last}"
                raise fault(plan, what, [position], [index])
    for index in plan.outputs:
        if plan.buffers[index].space == "arena" and plan.buffers[index].last < len(plan.launches) - 1:
            raise fault(plan, f"buffer {index} is an output but dies before the end", [], [index])


def check_arena(plan: Plan) -> None:
    """No two buffers alive at the same time share bytes, but for declared in-place pairs."""
    around = nests(plan.loops, len(plan.launches))
    events: list[tuple[LaunchNumber, int, LaunchNumber, BufferNumber]] = []  # step, whether born, last step, buffer
    for index, buffer in numbered(BufferNumber, plan.buffers):
        if buffer.space == "arena" and buffer.nbytes:
            events += [(buffer.first, 1, buffer.last, index), (LaunchNumber(buffer.last + 1), 0, buffer.last, index)]
    live: list[Interval] = []  # sorted
    for step, born, _, index in sorted(events):
        buffer = plan.buffers[index]
        item = (buffer.offset, buffer.offset + buffer.nbytes, index)
        if not born:
            position = bisect_left(live, item)
            if position < len(live) and live[position] == item:
                del live[position]
            continue
        for other in overlapping(live, item):
            if not _is_declared(plan, step, other[2], index, around):
                raise fault(plan, f"buffers {other[2]} and {index} overlap at launch {step}", [step], [other[2], index])
            del live[bisect_left(live, other)]
        insort(live, item)


def _is_declared(
    plan: Plan,
    step: LaunchNumber,
    old: BufferNumber,
    new: BufferNumber,
    around: Indexed[LaunchNumber, Sequence[Loop]],
) -> bool:
    """Whether launch `step` may write buffer `new` in the place of `old`, which dies in it.

    Of two that live in it alone, either may be the one that is written over. What is older than a loop never dies in
    it before the last iteration.
    """
    if step < len(around) and any(plan.buffers[old].first < loop.first for loop in around[step]):
        return False
    a, b = plan.buffers[old], plan.buffers[new]
    same_elements = a.offset == b.offset and DTYPES[a.dtype].itemsize == DTYPES[b.dtype].itemsize
    pairs = plan.launches[step].in_place if step < len(plan.launches) else ()
    declared = (old, new) in pairs or (a.first == b.last and (new, old) in pairs)
    return a.last == b.first == step and same_elements and declared


def overlapping(live: list[Interval], item: Interval) -> list[Interval]:
    """The intervals of `live`, sorted and disjoint, that meet `item`."""
    position = bisect_left(live, (item[0],))
    start = position - 1 if position and live[position - 1][1] > item[0] else position
    stop = bisect_left(live, (item[1],), lo=start)
    return live[start:stop]
