"""Placement of blocks in one arena: offsets for sizes and lifetimes, such that no two live blocks overlap.

`place` tries simple heuristics first, keeps the best, and searches between it and the lower bound, which is the peak of
the sizes alive together. It stops as soon as the bound, or a given capacity, is reached. Everything is counted in
steps, nothing in seconds, so equal blocks give equal offsets on every machine. `check` shares no code with `place`.

Sizes are rounded up to the alignment; peak and bound count the rounded sizes. Lifetimes are inclusive at both ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import InternalError
from graphc.memory.descent import descend
from graphc.memory.packing import Integers, PlacementProblem, Solution, better, liveness, reverse, solution
from graphc.memory.search import best_fit
from graphc.memory.sweeps import sweep

__all__ = ["ALIGNMENT", "EFFORT", "Block", "Placement", "check", "place"]

ALIGNMENT = 64  # bytes
EFFORT = 10_000_000  # entries of tables that a search may look at, about 2 ns each
_MOST_GREEDY = 20_000  # blocks that are placed greedily, which compares each with each; beyond that, only sweeps run
_FEW = 4_000  # blocks for which every order is tried, and a search
_MOST_UNITS = 1 << 60  # of all blocks together


@dataclass(frozen=True)
class Block:
    """`size` bytes that must be kept from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Placement:
    """An offset for each block, the bytes the arena needs, and the bytes that any arena would need."""

    offsets: tuple[int, ...]
    peak: int
    lower_bound: int


def place(
    blocks: Sequence[Block],
    *,
    alignment: int = ALIGNMENT,
    capacity: int | None = None,
    effort: int = EFFORT,
    progress: Callable[[int, float], None] | None = None,
) -> Placement:
    """Offsets for `blocks`, multiples of `alignment`, such that no two that are alive together overlap.

    With `capacity`, anything of at most so many bytes will do; whether the arena is that small, its peak tells. Where
    the lower bound is above the capacity, nothing is searched.
    `effort` bounds the search: how many entries of tables it may look at, about 2 ns each. `progress` is told now and
    then the peak so far in bytes and the part of the effort that is spent. Blocks of size 0 get offset 0.
    Raises InternalError for a negative size, a lifetime that ends before it starts, or more than 2^60 units in all.

    >>> place([Block(64, 0, 1), Block(128, 1, 2), Block(64, 2, 3)]).peak
    192
    """
    for position, block in enumerate(blocks):
        if block.size < 0 or block.last < block.first:
            raise InternalError(f"memory placement: block {position} is impossible: {block}")
    used = sorted((i for i, block in enumerate(blocks) if block.size), key=lambda i: (blocks[i].first, i))
    if not used:
        return Placement((0,) * len(blocks), 0, 0)
    problem = _problem([blocks[i] for i in used], alignment)
    goal = problem.bound if capacity is None else max(problem.bound, capacity // alignment)
    tell = (lambda peak, part: progress(peak * alignment, part)) if progress else None
    hopeless = capacity is not None and capacity // alignment < problem.bound
    found = _solve(problem, goal, 0 if hopeless else effort, tell)
    offsets = [0] * len(blocks)
    for i, offset in zip(used, found.offset.tolist(), strict=True):
        offsets[i] = offset * alignment
    return Placement(tuple(offsets), found.peak * alignment, problem.bound * alignment)


def _problem(blocks: Sequence[Block], alignment: int) -> PlacementProblem:
    """The blocks, sorted by their first step, in units of the alignment."""
    units = [-(-block.size // alignment) for block in blocks]
    if sum(units) > _MOST_UNITS:
        raise InternalError(f"memory placement: blocks of {sum(units)} times {alignment} bytes are too many to count")
    size = np.array(units, np.int64)
    first = np.array([block.first for block in blocks], np.int64)
    last = np.array([block.last for block in blocks], np.int64)
    return PlacementProblem(size, first, last, int(liveness(size, first, last).max()))


def _solve(
    problem: PlacementProblem, goal: int, effort: int, progress: Callable[[int, float], None] | None
) -> Solution:
    """The first solution of at most `goal` units, else the best that all methods find. Ends, as these are few."""
    heuristics = _heuristics(problem)
    best = next(heuristics)
    while best.peak > goal and (found := next(heuristics, None)) is not None:
        best = better(best, found)
    if best.peak <= goal or effort <= 0 or len(problem.size) > _FEW:
        return best
    return descend(problem, best, goal, effort, progress)


def _heuristics(problem: PlacementProblem) -> Iterator[Solution]:
    """What cheap ways lead to that the number of blocks allows, the most promising first; made when asked for."""
    yield sweep(problem, sided=False)
    yield sweep(problem, sided=True)
    yield sweep(reverse(problem), sided=False)
    yield sweep(reverse(problem), sided=True)
    count = len(problem.size)
    for order in _orders(problem)[: 0 if count > _MOST_GREEDY else 1 if count > _FEW else None]:
        yield solution(problem, best_fit(order, problem.size, problem.first, problem.last))


def _orders(problem: PlacementProblem) -> list[Integers]:
    """Orders in which greedy placement tends to do well, most promising first."""
    size, lifetime = problem.size, problem.last - problem.first + 1
    ties = np.arange(len(size))
    keys = ((problem.first, -lifetime, -size), (-size, -(size * lifetime)), (problem.first, -size, -lifetime))
    return [np.lexsort((ties, *key)).astype(np.int64) for key in keys]


# Checking --------------------------------------------------------------------------------------------------------
def check(blocks: Sequence[Block], placement: Placement, *, alignment: int = 1) -> None:
    """Raise InternalError unless `placement` is one: aligned, within the peak, and no two live blocks overlap."""
    if len(placement.offsets) != len(blocks):
        raise InternalError(f"memory placement: {len(blocks)} blocks but {len(placement.offsets)} offsets")
    for i, (block, offset) in enumerate(zip(blocks, placement.offsets, strict=True)):
        if offset < 0 or offset % alignment or offset + block.size > placement.peak:
            raise InternalError(
                f"memory placement: block {i} ({block}) at offset {offset} is not aligned to {alignment} "
                f"or not within the arena of {placement.peak} bytes"
            )
    live: list[tuple[int, int]] = []  # (offset, block), sorted; disjoint, so neighbours tell
    events = [(block.first, 1, i) for i, block in enumerate(blocks) if block.size]
    events += [(block.last + 1, 0, i) for i, block in enumerate(blocks) if block.size]
    for step, begins, i in sorted(events):
        item = (placement.offsets[i], i)
        position = bisect_right(live, item)
        if not begins:
            del live[position - 1]
            continue
        for _, j in live[max(position - 1, 0) : position + 1]:
            if _meet(placement.offsets[i], blocks[i].size, placement.offsets[j], blocks[j].size):
                raise InternalError(
                    f"memory placement: blocks {j} ({blocks[j]} at {placement.offsets[j]}) and {i} ({blocks[i]} at "
                    f"{placement.offsets[i]}) overlap at step {step}"
                )
        live.insert(position, item)


def _meet(a: int, a_size: int, b: int, b_size: int) -> bool:
    return a < b + b_size and b < a + a_size
