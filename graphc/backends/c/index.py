"""Positions as C text: indices of operands, conditions of guards, places in buffers.

Names: `i` where the box begins along a dim, `n` how many positions it holds, `j` positions within the box, `p` and `e`
where a piece of a row begins and ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.backends.c.space import MergedIndex, Walk

__all__ = ["SMALL", "Places", "plus"]

SMALL = 1 << 31  # what is less fits int


@dataclass(frozen=True)
class Places:
    """The positions of one walk."""

    walk: Walk

    def count(self, dim: int) -> str:
        return str(self.walk.domain.extents[dim]) if self.walk.is_whole(dim) else f"n{dim}"

    def bound(self, dim: int) -> str:
        count = self.count(dim)
        return count if count.isdigit() or self.walk.domain.extents[dim] >= SMALL else f"(int){count}"

    def index(self, place: MergedIndex, nest: Iterable[int] = (), whole: Iterable[int] = ()) -> str:
        """An index; along the dims of `nest` it moves with the box, those of `whole` start at 0."""
        nest, starts = set(nest), ""
        terms: list[tuple[int, str]] = []
        for d, stride in enumerate(place.strides):
            if not stride:
                continue
            if d not in whole and not self.walk.is_whole(d):
                terms.append((stride, f"i{d}"))
            if d in nest:
                terms.append((stride, f"j{d}"))
        reach = sum(abs(s) * self.walk.domain.extents[d] for d, s in enumerate(place.strides) if d in nest)
        for stride, variable in terms:
            size = str(abs(stride)) if reach + abs(place.offset) < SMALL else f"INT64_C({abs(stride)})"
            term = variable if abs(stride) == 1 else f"{size} * {variable}"
            starts += (" - " if stride < 0 else " + ") + term
        if place.offset or not terms:
            starts += (" - " if place.offset < 0 else " + ") + str(abs(place.offset))
        return starts[3:] if starts.startswith(" + ") else "-" + starts[3:]

    def inside(self, place: MergedIndex, nest: Iterable[int]) -> str:
        """The condition of a guard."""
        parts = []
        for d, low, high in sorted(place.guard, key=lambda interval: interval[0] in set(nest)):
            at, limits = f"i{d}", [str(low), str(high)]
            if d in set(nest):
                at = f"j{d}"
                limits = limits if self.walk.is_whole(d) else [f"(int)({limit} - i{d})" for limit in limits]
            parts += [f"{at} >= {limits[0]}"] if low > 0 else []
            parts += [f"{at} < {limits[1]}"] if high < self.walk.domain.extents[d] else []
        return " && ".join(parts)

    def number(self, place: MergedIndex, nest: Sequence[int]) -> str:
        """An index as a number: in 32 bits where that holds all of them, so that loops over it are narrow."""
        spans = [(s * (e - 1)) for s, e in zip(place.strides, self.walk.domain.extents, strict=True)]
        least = place.offset + sum(min(0, span) for span in spans)
        most = place.offset + sum(max(0, span) for span in spans)
        if least < -SMALL or most >= SMALL:
            return self.index(place, nest)
        outside = tuple(0 if d in nest and self.walk.is_whole(d) else s for d, s in enumerate(place.strides))
        start = self.index(MergedIndex(place.offset, outside))
        inside = [(s, f"j{d}") for d, s in enumerate(place.strides) if s and d in nest]
        text = f"(int32_t)({start})" if start != "0" or not inside else ""
        for stride, variable in inside:
            term = variable if abs(stride) == 1 else f"{abs(stride)} * {variable}"
            text += (" - " if stride < 0 else " + ") + term
        return text[3:] if text.startswith(" + ") else text.replace(" - ", "-", 1) if text.startswith(" -") else text

    def slot(self, dims: Sequence[int], nest: Iterable[int]) -> str:
        """Where the box's position lies in a buffer over `dims`."""
        step, terms = 1, []
        for d in reversed(dims):
            if d in set(nest):
                terms.append(f"j{d}" if step == 1 else f"{step} * j{d}")
            step *= self.walk.room(d)
        return " + ".join(reversed(terms)) or "0"

    def pitch(self, dim: int, dims: Sequence[int]) -> int:
        """Elements of a buffer over `dims` from one position of a dim to the next."""
        return math.prod(self.walk.room(d) for d in dims[dims.index(dim) + 1 :])


def plus(pointer: str, index: str) -> str:
    """`pointer + index`."""
    return pointer if index == "0" else f"{pointer} - {index[1:]}" if index.startswith("-") else f"{pointer} + {index}"
