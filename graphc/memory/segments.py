"""Choices that keep what crosses the cuts between segments, and drop the rest: checkpoints along a chain of layers.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost; here segments end where the cut is narrowest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.indices import Indexed
from graphc.memory.items import Choice, Item, Items
from graphc.memory.numbers import ValueNumber

__all__ = ["segmented"]

_LIMITS = 48  # lengths of segments that are tried, each a tenth shorter than the last
_WINDOW = 0.6  # of a segment's length: from there on, the narrowest cut ends it


def segmented(items: Items, peak: int) -> list[Choice]:
    """Choices with ever shorter segments; a first one that is as long as a `peak` of so many bytes allows."""
    chain, found, limit = _chain(items), dict[Choice, None](), float(peak)
    for _ in range(_LIMITS):
        found[frozenset(items.all) - chain.crossing_cuts(int(limit))] = None
        limit *= 0.9
    return list(found)


@dataclass(frozen=True)
class _Chain:
    """For each task up to the turn: the items that tasks up to the turn make by it and read after it, their bytes, and
    the bytes that it makes for tasks after the turn."""

    sizes: Indexed[ValueNumber, int]
    crossing: Sequence[Sequence[Item]]
    widths: Sequence[int]
    made: Sequence[int]

    def crossing_cuts(self, limit: int) -> Choice:
        """What crosses the cuts between segments that, with what is kept below them, need about `limit` bytes.

        Ends, as `start` rises with every cut, and `position` between them.
        """
        kept = set[Item]()
        start, held, below, position = 0, 0, 0, 0
        while position < len(self.made) - 1:
            held += self.made[position]
            if held > limit - below and position > start:
                earliest = start + int((position - start) * _WINDOW)
                cut = min(range(earliest, position), key=lambda at: (self.widths[at], -at))
                new = [item for item in self.crossing[cut] if item not in kept]
                kept.update(new)
                below += sum(self.sizes[value] for value, _ in new)
                start, held, position = cut + 1, 0, cut
            position += 1
        return frozenset(kept)


def _chain(items: Items) -> _Chain:
    problem = items.problem
    crossing: list[list[Item]] = [[] for _ in range(items.turn + 1)]
    made = [0] * (items.turn + 1)
    for value, last in items.all:
        maker = problem.makers[value]
        for position in range(maker, last):
            crossing[position].append((value, last))
        made[maker] += problem.sizes[value] * items.waits(value)
    widths = [sum(problem.sizes[value] for value, _ in waiting) for waiting in crossing]
    return _Chain(problem.sizes, crossing, widths, made)
