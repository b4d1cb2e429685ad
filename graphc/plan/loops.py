"""What loops make of a plan's launches and buffers: how often each runs, and whose bytes a slice is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from graphc.ir.indices import numbers
from graphc.plan.plan import BufferNumber, Launch, Loop, Plan

__all__ = ["iterations", "nests", "outermost", "roots", "touched_bytes"]


def roots(plan: Plan) -> list[BufferNumber]:
    """For each buffer the one whose bytes it is: itself, but for slices."""
    found = [*numbers(BufferNumber, len(plan.buffers))]
    for loop in plan.loops:  # those further out come first
        for part in loop.slices:
            found[part.buffer] = found[part.of]
    return found


def touched_bytes(plan: Plan, launch: Launch) -> dict[BufferNumber, int]:
    """For each buffer that a launch touches, how many bytes of it one run may: those of the slice, where it is one."""
    sizes = {index: plan.buffers[index].nbytes for index in (*launch.reads, *launch.writes)}
    if plan.loops:
        whose = roots(plan)
        refs = (ref for ref in (*launch.operands, *launch.program_operands) if ref.buffer >= 0)
        sizes.update({whose[ref.buffer]: plan.buffers[ref.buffer].nbytes for ref in refs})
    return sizes


def nests(loops: Sequence[Loop], launches: int) -> list[tuple[Loop, ...]]:
    """For each launch the loops that it is in, the outermost first."""
    found: list[tuple[Loop, ...]] = [()] * launches
    for loop in loops:
        for launch in range(loop.first, loop.last):
            found[launch] += (loop,)
    return found


def iterations(loops: Sequence[Loop], launches: int) -> list[int]:
    """How often each launch runs in a step."""
    return [prod(loop.count for loop in around) for around in nests(loops, launches)]


def outermost(loops: Sequence[Loop]) -> Iterator[Loop]:
    """The loops that are in no other."""
    end = 0
    for loop in loops:
        if loop.last > end:
            yield loop
            end = loop.last
