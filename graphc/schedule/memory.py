"""Placement of blocks in one arena: offsets for sizes and lifetimes, such that no two live blocks overlap.

`place` tries several simple heuristics, keeps the best and improves it towards the lower bound, which is the peak of
the sizes alive together. It stops as soon as the bound is reached; what is within 0.5 % of it is not improved.
Everything is counted in steps, nothing in seconds, so equal blocks give equal offsets on every machine. `check` shares
no code with `place`.

Sizes are rounded up to the alignment; peak and bound count the rounded sizes. Lifetimes are inclusive at both ends.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import InternalError

__all__ = ["Block", "Placement", "check", "liveness", "place"]

Integers = np.ndarray[Any, np.dtype[np.int64]]

_MOST_PAIRS = 8_000_000  # overlapping pairs that are listed; beyond that, overlaps are found by scanning
_MOST_SCANNED = 20_000  # blocks for which scanning is affordable; beyond that, only the sweeps run
_FEW = 4_000  # blocks for which every order is tried and improved
_UNPLACED = 1 << 60


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


@dataclass(frozen=True)
class _Problem:
    """The blocks of nonzero size, sorted by their first step, in units of the alignment."""

    size: Integers
    first: Integers
    last: Integers
    bound: int


@dataclass(frozen=True)
class _Solution:
    offset: Integers
    peak: int


def place(blocks: Sequence[Block], *, alignment: int = 64, effort: int = 1_000_000) -> Placement:
    """Offsets for `blocks`, multiples of `alignment`, such that no two that are alive together overlap.

    `effort` bounds the improvement: how many blocks it may look at. Blocks of size 0 get offset 0.
    Raises InternalError for a negative size or a lifetime that ends before it starts.

    >>> place([Block(64, 0, 1), Block(128, 1, 2), Block(64, 2, 3)]).peak
    192
    """
    for position, block in enumerate(blocks):
        if block.size < 0 or block.last < block.first:
            raise InternalError(f"memory placement: block {position} is impossible: {block}")
    used = sorted((i for i, block in enumerate(blocks) if block.size), key=lambda i: (blocks[i].first, i))
    if not used:
        return Placement((0,) * len(blocks), 0, 0)
    size = np.array([-(-blocks[i].size // alignment) for i in used], np.int64)
    first = np.array([blocks[i].first for i in used], np.int64)
    last = np.array([blocks[i].last for i in used], np.int64)
    solution = _solve(_Problem(size, first, last, int(liveness(size, first, last).max())), effort)
    offsets = [0] * len(blocks)
    for i, offset in zip(used, solution.offset.tolist(), strict=True):
        offsets[i] = offset * alignment
    bound = int(liveness(size, first, last).max())
    return Placement(tuple(offsets), solution.peak * alignment, bound * alignment)


def liveness(size: Integers, first: Integers, last: Integers) -> Integers:
    """The bytes alive at each step at which some block begins (in time order, one entry for each distinct step)."""
    steps = np.array(sorted(set(first.tolist())), np.int64)  # np.unique would import numpy.ma
    begun = np.zeros(len(steps) + 1, np.int64)
    np.add.at(begun, np.searchsorted(steps, first), size)
    np.subtract.at(begun, np.searchsorted(steps, last, side="right"), size)
    return np.cumsum(begun[:-1])


def _solve(problem: _Problem, effort: int) -> _Solution:
    """The best of all heuristics that the number of blocks allows, improved."""
    best = _sweep(problem, sided=False)
    for same, sided in ((problem, True), (_reversed(problem), False), (_reversed(problem), True)):
        if best.peak > problem.bound:
            best = _better(best, _sweep(same, sided=sided))
    overlaps = _overlaps(problem) if best.peak > problem.bound else None
    if overlaps is None:
        return best
    count = len(problem.size)
    for order in _orders(problem)[: None if count <= _FEW else 1]:
        if best.peak == problem.bound:
            return best
        best = _better(best, _greedy(problem, order, overlaps))
    if count <= _FEW and best.peak > problem.bound * _GOOD:
        best = _improve(problem, best, overlaps, effort)
    return best


def _better(a: _Solution, b: _Solution) -> _Solution:
    return b if b.peak < a.peak else a


# Sweeps ----------------------------------------------------------------------------------------------------------
class _FreeList:
    """The gaps of an arena of `top` units, merged when they touch. The arena grows when no gap is large enough."""

    def __init__(self, top: int) -> None:
        self.starts: list[int] = []
        self.ends: dict[int, int] = {}
        self.by_size: list[tuple[int, int]] = []
        self.top = top
        self._insert(0, top)

    def take(self, size: int) -> tuple[int, int]:
        """The smallest gap that holds `size` units, no longer free: its start and end."""
        found = bisect_left(self.by_size, (size, -1))
        if found < len(self.by_size):
            start = self.by_size[found][1]
            return start, self._remove(start)
        start = self.top
        if self.starts and self.ends[self.starts[-1]] == self.top:
            start = self.starts[-1]
            self._remove(start)
        self.top = start + size
        return start, self.top

    def give(self, start: int, end: int) -> None:
        """Make the units from `start` up to `end` free again."""
        position = bisect_left(self.starts, start)
        if position < len(self.starts) and self.starts[position] == end:
            end = self._remove(end)
        if position and self.ends[self.starts[position - 1]] == start:
            start = self.starts[position - 1]
            self._remove(start)
        self._insert(start, end)

    def _insert(self, start: int, end: int) -> None:
        if start < end:
            insort(self.starts, start)
            self.ends[start] = end
            insort(self.by_size, (end - start, start))

    def _remove(self, start: int) -> int:
        end = self.ends.pop(start)
        del self.starts[bisect_left(self.starts, start)]
        del self.by_size[bisect_left(self.by_size, (end - start, start))]
        return end


def _sweep(problem: _Problem, *, sided: bool) -> _Solution:
    """Place blocks as an allocator would: in time order, best fit, long-lived before short-lived at one step.

    A block goes to the low end of its gap; with `sided` to the end where the arena ends, else to that beside the block
    that is freed at the nearest time, in an arena that starts as large as the bound.
    """
    size, first, last = (part.tolist() for part in (problem.size, problem.first, problem.last))
    begin = np.lexsort((np.arange(len(size)), -problem.size, -problem.last, problem.first)).tolist()
    finish = np.argsort(problem.last, kind="stable").tolist()
    free, offset, ended = _FreeList(problem.bound if sided else 0), [0] * len(size), 0
    freed_below: dict[int, int] = {}  # for the end of each block, when it was or will be freed
    freed_above: dict[int, int] = {}  # the same for its start
    for i in begin:
        while last[finish[ended]] < first[i]:
            free.give(offset[finish[ended]], offset[finish[ended]] + size[finish[ended]])
            ended += 1
        low, high = free.take(size[i])
        offset[i] = low
        if sided and low > 0:
            above = 0 if high == free.top else abs(freed_above[high] - last[i])
            offset[i] = low if abs(freed_below[low] - last[i]) < above else high - size[i]
        for start, end in ((low, offset[i]), (offset[i] + size[i], high)):
            if start < end:
                free.give(start, end)
        freed_above[offset[i]] = freed_below[offset[i] + size[i]] = last[i]
    return _Solution(np.array(offset, np.int64), max(o + s for o, s in zip(offset, size, strict=True)))


def _reversed(problem: _Problem) -> _Problem:
    """The same blocks with time running backwards: a packing of one is a packing of the other."""
    return _Problem(problem.size, -problem.last, -problem.first, problem.bound)


# Greedy ----------------------------------------------------------------------------------------------------------
def _overlaps(problem: _Problem) -> Callable[[int], Integers] | None:
    """A function that answers with the blocks alive together with a block; None where there are too many to look at."""
    count = len(problem.size)
    stop = np.searchsorted(problem.first, problem.last, side="right")
    later = stop - np.arange(count) - 1
    pairs = int(later.sum())
    if pairs > _MOST_PAIRS:
        return _scanned_overlaps(problem, stop) if count <= _MOST_SCANNED else None
    # Sorted by first step, the blocks that begin while i is alive are the range i + 1 ... stop[i].
    left = np.repeat(np.arange(count), later)
    right = np.arange(pairs) - np.repeat(np.cumsum(later) - later, later) + left + 1
    owner, other = np.concatenate([left, right]), np.concatenate([right, left])
    grouped = other[np.argsort(owner, kind="stable")]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).tolist()
    return lambda i: grouped[bounds[i] : bounds[i + 1]]


def _scanned_overlaps(problem: _Problem, stop: Integers) -> Callable[[int], Integers]:
    def overlaps(i: int) -> Integers:
        together = problem.last[: stop[i]] >= problem.first[i]
        together[i] = False
        return np.flatnonzero(together)

    return overlaps


def _orders(problem: _Problem) -> list[list[int]]:
    """Orders in which greedy placement tends to do well, most promising first."""
    size, lifetime = problem.size, problem.last - problem.first + 1
    ties = np.arange(len(size))
    keys = ((problem.first, -lifetime, -size), (-size, -(size * lifetime)), (problem.first, -size, -lifetime))
    return [np.lexsort((ties, *key)).tolist() for key in keys]


def _greedy(problem: _Problem, order: Sequence[int], overlaps: Callable[[int], Integers]) -> _Solution:
    """Place blocks in `order`, each into the tightest gap between the placed blocks that it overlaps in time."""
    offset = np.full(len(problem.size), _UNPLACED, np.int64)
    top = offset.copy()
    sizes = problem.size.tolist()
    for i in order:
        near = overlaps(i)
        start = _best_fit(offset[near], top[near], sizes[i])
        offset[i], top[i] = start, start + sizes[i]
    return _Solution(offset, int(top.max()))


def _best_fit(starts: Integers, ends: Integers, size: int) -> int:
    """The start of the tightest gap of `size` units left by the intervals, else the end of the last one."""
    by_start = np.argsort(starts)
    begin = np.append(starts[by_start], _UNPLACED)
    reached = np.concatenate([[0], np.maximum.accumulate(ends[by_start])])
    gap = np.where(begin - reached >= size, begin - reached, 2 * _UNPLACED)
    return int(reached[int(np.argmin(gap))])


# Improvement -----------------------------------------------------------------------------------------------------
_GOOD = 1.005  # of the bound: a peak that is not improved
_WARMTH = 0.003  # of the bound: the rise of the peak that annealing accepts gladly at its start


def _improve(problem: _Problem, start: _Solution, overlaps: Callable[[int], Integers], effort: int) -> _Solution:
    """Anneal the order in which blocks are stacked, turning round pairs on a stack that reaches the peak.

    Stacking puts each block on top of the highest block placed before it that it overlaps. Stacking in the order of a
    packing's offsets never raises it, so some order gives the least peak. The peak is the sum of a critical stack;
    it can only fall when two blocks of that stack change their order, as in job-shop scheduling.
    """
    search = _Stacking(problem, overlaps)
    chance = random.Random(len(problem.size))
    order = np.argsort(start.offset, kind="stable").tolist()
    top = search.stack(order, 0, [0] * len(order))
    peak, best = max(top), _Solution(np.array(top, np.int64) - problem.size, max(top))
    while search.spent < effort and best.peak > problem.bound * _GOOD:
        moved, changed = search.turn(order, top, peak, chance)
        candidate = search.stack(moved, changed, top)
        found = max(candidate)
        warmth = _WARMTH * problem.bound * (1 - search.spent / effort)
        if found > peak and (warmth <= 0 or chance.random() >= math.exp((peak - found) / warmth)):
            continue
        order = sorted(range(len(order)), key=lambda i: (candidate[i] - search.size[i], i))
        peak, top = found, candidate
        if peak < best.peak:
            best = _Solution(np.array(top, np.int64) - problem.size, peak)
    return _better(start, best)


class _Stacking:
    """Blocks stacked in an order; `top` is where each ends. `spent` counts the blocks that were looked at."""

    def __init__(self, problem: _Problem, overlaps: Callable[[int], Integers]) -> None:
        self.size: list[int] = problem.size.tolist()
        self.near: list[list[int]] = [overlaps(i).tolist() for i in range(len(self.size))]
        self.spent = 0

    def stack(self, order: list[int], changed: int, top: list[int]) -> list[int]:
        """The tops in `order`, of which the blocks before position `changed` stay as in `top`."""
        size, near, new = self.size, self.near, [0] * len(top)
        for i in order[:changed]:
            new[i] = top[i]
        for i in order[changed:]:
            new[i] = size[i] + max([new[j] for j in near[i]], default=0)
            self.spent += len(near[i])
        self.spent += len(order)
        return new

    def turn(self, order: list[int], top: list[int], peak: int, chance: random.Random) -> tuple[list[int], int]:
        """`order` with two blocks of a critical stack in the other order; also the position of the first change."""
        stack = self._critical_stack(top, peak, chance)
        if len(stack) < 2:
            return order, 0
        high = chance.randrange(len(stack) - 1)
        low = chance.randrange(high + 1, len(stack))
        above, below = order.index(stack[high]), order.index(stack[low])
        between = order[below + 1 : above]
        pair = [order[above], order[below]]
        turned = pair + between if chance.random() < 0.5 else between + pair
        return order[:below] + turned + order[above + 1 :], below

    def _critical_stack(self, top: list[int], peak: int, chance: random.Random) -> list[int]:
        """Blocks that stand on each other from the peak down to offset 0, highest first."""
        stack = [chance.choice([i for i, end in enumerate(top) if end == peak])]
        while base := top[stack[-1]] - self.size[stack[-1]]:
            stack.append(chance.choice([j for j in self.near[stack[-1]] if top[j] == base]))
        return stack


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
