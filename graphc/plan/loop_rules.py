"""The rules of loops: see plan/verify.py."""

from __future__ import annotations

from graphc.ir.indices import Indexed, numbered
from graphc.plan.fault import fault
from graphc.plan.loops import nests
from graphc.plan.plan import BufferNumber, LaunchNumber, Loop, Plan, Slice

__all__ = ["check_carried", "check_loops", "check_slices"]

MOST_DEEP = 64  # loops in loops


def check_loops(plan: Plan) -> None:
    """Loops are ranges of launches, each within another or apart; their slices are buffers of their own, in bounds."""
    around: list[Loop] = []
    known = {number for number, buffer in numbered(BufferNumber, plan.buffers) if buffer.space != "slice"}
    for number, loop in enumerate(plan.loops):
        if not 0 <= loop.first < loop.last <= len(plan.launches) or loop.count < 1:
            raise fault(plan, f"loop {number} is no range of launches, or runs {loop.count} times", [], [])
        while around and around[-1].last <= loop.first:
            known.difference_update(part.buffer for part in around.pop().slices)
        ends = [loop.first, LaunchNumber(loop.last - 1)]
        if around and not around[-1].first <= loop.first < loop.last <= around[-1].last:
            raise fault(plan, f"loop {number} is neither within another nor apart", ends, [])
        if len(around) == MOST_DEEP:
            raise fault(plan, f"loops nest more than {MOST_DEEP} deep", [loop.first], [])
        for part in loop.slices:
            if what := _slice_fault(plan, loop, part, known):
                raise fault(plan, f"slice {part.buffer} of loop {number} {what}", [], [part.buffer, part.of])
        known.update(part.buffer for part in loop.slices)
        around.append(loop)
    parts = [part.buffer for loop in plan.loops for part in loop.slices]
    strays = {number for number, buffer in numbered(BufferNumber, plan.buffers) if buffer.space == "slice"} ^ {*parts}
    if strays or len({*parts}) != len(parts):
        raise fault(plan, "the slices of loops and the buffers that are slices differ", [], sorted(strays))


def _slice_fault(plan: Plan, loop: Loop, part: Slice, known: set[BufferNumber]) -> str:
    """What is wrong with a slice; `known` are the buffers that it may be a part of."""
    if part.of not in known or not 0 <= part.buffer < len(plan.buffers) or part.buffer in known:
        return "is no part of a buffer that is there"
    last = part.offset + part.step * (loop.count - 1)
    end = max(part.offset, last) + plan.buffers[part.buffer].nbytes
    return "leaves its buffer" if min(part.offset, last) < 0 or end > plan.buffers[part.of].nbytes else ""


def check_slices(plan: Plan, roots: Indexed[BufferNumber, BufferNumber]) -> None:
    """Launches touch slices of loops that they are in; what slices alone write, they write once and wholly."""
    around = nests(plan.loops, len(plan.launches))
    covered: dict[BufferNumber, int] = {}  # bytes of a buffer that slices cover
    written: set[BufferNumber] = set()
    whole: set[BufferNumber] = set()  # buffers that are not written by slices alone
    for position, launch in numbered(LaunchNumber, plan.launches):
        at_hand = {part.buffer: (part, loop) for loop in around[position] for part in loop.slices}
        for ref in (*launch.operands, *launch.program_operands):
            if ref.buffer < 0 or roots[ref.buffer] not in launch.writes:
                continue
            if ref.buffer == roots[ref.buffer] or ref.buffer not in at_hand or roots[ref.buffer] in launch.reads:
                whole.add(roots[ref.buffer])
            elif ref.buffer not in written:
                written.add(ref.buffer)
                covered.setdefault(roots[ref.buffer], 0)
                covered[roots[ref.buffer]] += _covered(plan, ref.buffer, at_hand)
        strays = {r.buffer for r in (*launch.operands, *launch.program_operands) if r.buffer >= 0} - at_hand.keys()
        strays = {buffer for buffer in strays if plan.buffers[buffer].space == "slice"}
        if strays:
            raise fault(plan, f"launch {position} is not in the loop of its slices", [position], sorted(strays))
    for root, nbytes in covered.items():
        if root not in whole and nbytes != plan.buffers[root].nbytes:
            raise fault(plan, f"slices write {nbytes} bytes of buffer {root}", [], [root, *sorted(written)])


def _covered(plan: Plan, buffer: BufferNumber, at_hand: dict[BufferNumber, tuple[Slice, Loop]]) -> int:
    """The bytes that a slice writes in all iterations."""
    nbytes = plan.buffers[buffer].nbytes
    inner = nbytes
    while buffer in at_hand:
        part, loop = at_hand[buffer]
        if abs(part.step) < inner and loop.count > 1 and inner:
            raise fault(plan, f"slice {buffer} is written over by the next iteration", [], [buffer])
        nbytes, inner, buffer = nbytes * loop.count, plan.buffers[part.of].nbytes, part.of
    return nbytes


def check_carried(plan: Plan) -> None:
    """What a loop finds there when it starts stays there until its last iteration is over."""
    for number, loop in enumerate(plan.loops):
        touched = {i for launch in plan.launches[loop.first : loop.last] for i in (*launch.reads, *launch.writes)}
        for index in sorted(touched):
            buffer = plan.buffers[index]
            if buffer.space == "arena" and buffer.first < loop.first and buffer.last < loop.last - 1:
                what = f"buffer {index} is over in launch {buffer.last}, before the last iteration of loop {number}"
                raise fault(plan, what, [buffer.last], [index])
