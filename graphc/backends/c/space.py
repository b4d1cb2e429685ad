"""The iteration space of a kernel as the C printer walks it: dims dropped and merged, a vector dim chosen.

Dims that follow each other in every operand become one. A `Walk` says which dims are counted over by the two ranges
of a region (`rows` and `columns`), which lie inside the *box* that a fused loop covers, and which is the last of
them, the dim that is vectorised. A box holds whole rows of a reduction where they fit into the cache; where an
operand is strided along the vector dim but dense along another, it takes a block of both, so that the operand can be
transposed through scratch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from graphc.kernel.ir import Index, Iota, Kernel, Load, Random, Store

__all__ = ["MergedIndex", "MergedSpace", "Walk", "blocked_walk", "domain_of", "paired_walk", "plain_walk"]

SHORT = 128  # reduced rows of at most so many elements are taken side by side, one in each lane
FILLS = 16  # positions that fill the vectors of a loop
LEAST_BLOCK = 4  # extent of a dim from which on transposing along it pays
_INDEXED = (Load, Iota, Random, Store)


@dataclass(frozen=True)
class MergedIndex:
    """An affine index over merged dims; `guard` holds (dim, low, high) where less than all of a dim is inside."""

    offset: int
    strides: tuple[int, ...]
    guard: tuple[tuple[int, int, int], ...] = ()

    @cached_property
    def dims(self) -> frozenset[int]:
        """The dims that it varies along."""
        return frozenset(d for d, s in enumerate(self.strides) if s) | {d for d, _, _ in self.guard}


@dataclass(frozen=True)
class MergedSpace:
    """The merged dims of a kernel by part, and the places of statements with an index that is not always outside."""

    kernel: Kernel
    extents: tuple[int, ...]
    outer: tuple[int, ...]
    reduce: tuple[int, ...]
    inner: tuple[int, ...]
    places: dict[int, MergedIndex]

    @property
    def is_flat(self) -> bool:
        return not self.reduce

    def size(self, dims: Iterable[int]) -> int:
        """Points of the dims."""
        return math.prod(self.extents[d] for d in dims)

    def memory(self) -> Iterator[tuple[MergedIndex, int]]:
        """The places of loads and stores, and their elements' bytes."""
        for position, place in self.places.items():
            statement = self.kernel.body[position]
            if isinstance(statement, (Load, Store)):
                yield place, self.kernel.operands[statement.operand].dtype.itemsize


def domain_of(kernel: Kernel, needed: Iterable[bool], *, join: bool = False) -> MergedSpace:
    """The merged space of `kernel`; `join` lets dims of the outer and inner part become one (a flat kernel's)."""
    space = kernel.space
    indices = {
        position: statement.index
        for position, (statement, need) in enumerate(zip(kernel.body, needed, strict=True))
        if need and isinstance(statement, _INDEXED)
    }
    guards = {position: _guard(index, space.extents) for position, index in indices.items()}
    indices = {position: index for position, index in indices.items() if guards[position] is not None}
    guarded = {d for guard in guards.values() for d, _, _ in guard or ()}
    outer, reduce = len(space.outer), len(space.outer) + len(space.reduce)
    parts = [0 if d < outer and not join else 1 if outer <= d < reduce else 2 for d in range(len(space.extents))]
    groups: list[list[int]] = []
    for d, extent in enumerate(space.extents):
        if extent == 1:
            continue
        before = groups[-1][-1] if groups else None
        joins = before is not None and parts[before] == parts[d] and not guarded & {before, d}
        if joins and all(index.strides[groups[-1][-1]] == index.strides[d] * extent for index in indices.values()):
            groups[-1].append(d)
        else:
            groups.append([d])
    number = {d: merged for merged, group in enumerate(groups) for d in group}
    places = {
        position: MergedIndex(
            index.offset,
            tuple(index.strides[group[-1]] for group in groups),
            tuple((number[d], low, high) for d, low, high in guards[position] or ()),
        )
        for position, index in indices.items()
    }
    merged = tuple(math.prod(space.extents[d] for d in group) for group in groups)
    of_part = [tuple(m for m, group in enumerate(groups) if parts[group[0]] == part) for part in range(3)]
    return MergedSpace(kernel, merged, of_part[0], of_part[1], of_part[2], places)


def _guard(index: Index, extents: tuple[int, ...]) -> tuple[tuple[int, int, int], ...] | None:
    """The guard's intervals that shut something out, one for each dim; None if all is shut out."""
    intervals: dict[int, tuple[int, int]] = {}
    for d, low, high in index.guard:
        old = intervals.get(d, (0, extents[d]))
        intervals[d] = max(old[0], low), min(old[1], high)
    if any(low >= high for low, high in intervals.values()):
        return None
    return tuple((d, low, high) for d, (low, high) in sorted(intervals.items()) if (low, high) != (0, extents[d]))


@dataclass(frozen=True)
class Walk:
    """How a function goes over a domain.

    A region's first range counts over `rows`, its second over `columns`; `swapped` says that `columns` are counted by
    the first and nothing by the second. `box` are the dims inside fused loops, the vector dim last; `limits` say for
    how much of a dim the box has room. `is_line`: rows and columns together are the one dim that there is.
    `all_columns`: the function is only ever asked for whole rows.
    """

    domain: MergedSpace
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    box: tuple[int, ...]
    limits: dict[int, int]
    swapped: bool = False
    is_line: bool = False
    all_columns: bool = False

    @property
    def vector(self) -> int | None:
        """The dim that innermost loops go along."""
        return self.box[-1] if self.box else None

    @cached_property
    def row_dims(self) -> tuple[int, ...]:
        """The dims of the box that values of a row vary along: what is not reduced, or the vector dim if nothing is."""
        if self.domain.is_flat:
            return self.box[-1:]
        return tuple(d for d in self.box if d not in self.domain.reduce)

    @cached_property
    def around(self) -> tuple[int, ...]:
        """Reduce dims that are looped over outside the box."""
        return tuple(d for d in self.domain.reduce if d not in self.box)

    def room(self, dim: int) -> int:
        """Positions of a dim that a box holds at most."""
        return min(self.domain.extents[dim], self.limits.get(dim, self.domain.extents[dim]))

    @property
    def is_unlimited(self) -> bool:
        """Whether the box has room for all of the vector dim."""
        return self.vector is not None and self.room(self.vector) == self.domain.extents[self.vector]

    def is_whole(self, dim: int) -> bool:
        """Whether a box always holds all of the dim, from 0 on."""
        always = dim in self.domain.reduce or (self.all_columns and dim in self.columns)
        return always and dim in self.box and self.room(dim) == self.domain.extents[dim]

    def transposing_dim(self, place: MergedIndex) -> int | None:
        """The dim of the box along which a place is dense, if it is strided along the vector dim."""
        if self.vector is None or place.guard or place.strides[self.vector] in (-1, 0, 1):
            return None
        if self.domain.extents[self.vector] < LEAST_BLOCK:
            return None
        dims = [d for d in self.box[:-1] if place.strides[d] == 1 and self.room(d) >= LEAST_BLOCK]
        return dims[-1] if dims else None


def plain_walk(domain: MergedSpace) -> Walk:
    """The walk of a region of `domain`: the ranges count over the outer and the inner dims."""
    if domain.is_flat:
        box = domain.inner[-1:]
        if not box:
            return Walk(domain, (), domain.outer, domain.outer[-1:], {}, swapped=True)
        if domain.outer and _blocks_with(domain, domain.outer[-1], box[0]):
            box = (domain.outer[-1], *box)
        return Walk(domain, domain.outer, domain.inner, box, {})
    if domain.inner:
        return Walk(domain, domain.outer, domain.inner, (*domain.reduce, domain.inner[-1]), {})
    if domain.outer and domain.size(domain.reduce) <= SHORT and domain.extents[domain.outer[-1]] >= 8:
        return Walk(domain, (), domain.outer, (*domain.reduce, domain.outer[-1]), {}, swapped=True)
    return Walk(domain, domain.outer, (), domain.reduce, {})


def blocked_walk(domain: MergedSpace) -> Walk:
    """The best walk over all of a flat domain: its rows are the dims but the vector dim, in any order."""
    dims = range(len(domain.extents))
    vector = min(reversed(dims), key=lambda d: _time_along(domain, d))
    others = [d for d in dims if d != vector]
    block = max(others, key=lambda d: _bytes_dense_along(domain, d, vector), default=None)
    if block is None or not _blocks_with(domain, block, vector):
        return Walk(domain, tuple(others), (vector,), (vector,), {})
    others.remove(block)
    return Walk(domain, (*others, block), (vector,), (block, vector), {})


def paired_walk(domain: MergedSpace) -> Walk | None:
    """The walk of a reduction of pairs, or None for another.

    Of pairs, nothing that is read along the reduced dims varies along both the vector dim and another one, the block:
    in a box of several positions of the block it is read again.
    """
    last, kept = domain.reduce[-1], (*domain.outer, *domain.inner)
    reduced = [place for place in domain.places.values() if place.dims & set(domain.reduce)]
    others = [place for place in domain.places.values() if place not in reduced]
    pairs = [pair for pair in itertools.permutations(kept, 2) if not any(set(pair) <= place.dims for place in reduced)]

    def fitness(pair: tuple[int, int]) -> tuple[int, ...]:
        vector, block = pair
        scattered = [[p for p in places if p.strides[vector] not in (-1, 0, 1)] for places in (reduced, others)]
        hard = [p for p in scattered[0] if p.strides[last] != 1 or p.guard]
        fills = [min(domain.extents[d], FILLS) for d in pair]
        return -len(hard), fills[0], -len(scattered[1]), fills[1], vector, block

    if not pairs or not reduced:
        return None
    vector, block = max(pairs, key=fitness)
    rows = [d for d in kept if d not in (vector, block)]
    return Walk(domain, (*rows, block), (vector,), (last, block, vector), {})


def _time_along(domain: MergedSpace, vector: int) -> float:
    """Rough cycles for each element with `vector` as the innermost dim."""
    total = 10.0 / domain.extents[vector]
    for place, size in domain.memory():
        stride = abs(place.strides[vector])
        blocks = any(s == 1 and e >= LEAST_BLOCK for s, e in zip(place.strides, domain.extents, strict=True))
        total += 0.1 if stride == 0 else size / 8 if stride == 1 else size / 3 if blocks and not place.guard else 4.0
    return total


def _bytes_dense_along(domain: MergedSpace, dim: int, vector: int) -> int:
    """Bytes of the places that are dense along `dim` and strided along `vector`."""
    return sum(
        size
        for place, size in domain.memory()
        if place.strides[dim] == 1 and place.strides[vector] not in (-1, 0, 1) and not place.guard
    )


def _blocks_with(domain: MergedSpace, dim: int, vector: int) -> bool:
    return (
        min(domain.extents[dim], domain.extents[vector]) >= LEAST_BLOCK and _bytes_dense_along(domain, dim, vector) > 0
    )
