"""What stands in the arena, launch by launch: read off a plan's buffers, which know their lifetimes and offsets.

A result that is written over an operand shares its bytes with it: the two are one span, counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from graphc.ir.indices import numbered
from graphc.plan.plan import BufferNumber, LaunchNumber, Plan

__all__ = ["Span", "arena_spans", "bytes_alive"]


@dataclass(frozen=True)
class Span:
    """`nbytes` of the arena from `offset` on, in use from launch `first` to launch `last`, both included.

    `buffers` are the positions in `Plan.buffers` of those that lie in it, one after the other.
    """

    first: LaunchNumber
    last: LaunchNumber
    offset: int
    nbytes: int
    buffers: tuple[BufferNumber, ...]


def arena_spans(plan: Plan) -> list[Span]:
    """The spans of the arena by offset and time. Buffers of no bytes are in none."""
    used = [i for i, buffer in numbered(BufferNumber, plan.buffers) if buffer.space == "arena" and buffer.nbytes]
    used.sort(key=lambda i: (plan.buffers[i].offset, plan.buffers[i].first, plan.buffers[i].last))
    spans: list[Span] = []
    for position in used:
        buffer = plan.buffers[position]
        before = spans[-1] if spans else None
        if before is not None and before.offset == buffer.offset and buffer.first <= before.last:
            last, nbytes = max(before.last, buffer.last), max(before.nbytes, buffer.nbytes)
            spans[-1] = Span(before.first, last, before.offset, nbytes, (*before.buffers, position))
        else:
            spans.append(Span(buffer.first, buffer.last, buffer.offset, buffer.nbytes, (position,)))
    return spans


def bytes_alive(spans: Sequence[Span], launches: int, alignment: int) -> tuple[int, ...]:
    """The bytes in use during each launch, in multiples of `alignment`, as places are given out."""
    change = [0] * (launches + 1)
    for span in spans:
        taken = -(-span.nbytes // alignment) * alignment
        change[span.first] += taken
        change[span.last + 1] -= taken
    return tuple(accumulate(change[:launches]))
