"""Placement by sweeps: blocks take their places in time order, as from an allocator, with best fit.

A sweep takes about n log n steps and often reaches the bound on the nested lifetimes of a training step.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np

from graphc.memory.packing import PlacementProblem, Solution, solution

__all__ = ["sweep"]


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


def sweep(problem: PlacementProblem, *, sided: bool) -> Solution:
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
    return solution(problem, np.array(offset, np.int64))
