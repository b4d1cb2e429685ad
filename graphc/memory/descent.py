"""From a solution down towards the lower bound: searches for packings within smaller and smaller capacities.

A search within one capacity either finds a packing, proves that there is none, or runs out of the work it was given.
Which ranking of the blocks leads to a packing soon differs from problem to problem, by orders of magnitude; so each is
tried with little work first, and all again with twice as much. Parts of time that no block crosses are solved alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from graphc.memory.packing import Integers, PlacementProblem, Solution, solution
from graphc.memory.search import IMPOSSIBLE, PLACED, Search

__all__ = ["descend"]

_ORDERS = (b"LDA", b"LAD", b"DAL")  # live bytes, duration, area: what ranks the blocks
_FINE = 200  # capacities that are closer than this part of the bound are told apart by proofs only, the goal excepted


def descend(
    problem: PlacementProblem, best: Solution, goal: int, effort: int, progress: Callable[[int, float], None] | None
) -> Solution:
    """A solution of at most `goal` units, else the best that is found with `effort`, never worse than `best`.

    A goal above the bound is a capacity: at first nothing else is tried. Ends, as every round spends twice the work of
    the one before on each search, or proves that another capacity is too small.
    """
    attempts, least = _Attempts(problem, effort, progress), goal
    while best.peak > least and attempts.spent < effort:
        alone = problem.bound < goal == least and attempts.spent < effort // 2
        best, least = _round(attempts, best, least, alone)
        attempts.work *= 2
    return best


def _round(attempts: _Attempts, best: Solution, least: int, alone: bool) -> tuple[Solution, int]:
    """A better solution where one is found, and the least capacity that is not proved to be too small.

    Tries `least` first and then, unless that is to be `alone`, halves what lies between failure and the best peak.
    Ends, as that becomes small.
    """
    target = failed = least
    while True:
        found, impossible = attempts.within(best, target)
        if found is not None:
            best = found
        else:
            failed, least = target, target + 1 if impossible else least
        close = 1 if impossible else 1 + least // _FINE
        if alone or best.peak - failed <= close or attempts.spent >= attempts.effort:
            return best, least
        target = (failed + best.peak) // 2


class _Attempts:
    """Searches within a capacity, with `work` for each ranking of the blocks. `spent` is the work done so far."""

    def __init__(self, problem: PlacementProblem, effort: int, progress: Callable[[int, float], None] | None) -> None:
        self.problem, self.effort, self.progress, self.spent = problem, effort, progress, 0
        first, last = _sections(problem)
        duration = (problem.last - problem.first + 1).astype(np.float64)
        self.search = Search(problem.size, duration, first.astype(np.int32), last.astype(np.int32))
        self.work = 100_000 + 8 * self.search.entries
        reached = np.concatenate([[-1], np.maximum.accumulate(last)])
        begins = [*np.flatnonzero(first > reached[:-1]).tolist(), len(first)]
        self.parts = list(pairwise(begins))

    def within(self, best: Solution, capacity: int) -> tuple[Solution | None, bool]:
        """A solution of at most `capacity`, and whether it is proved that there is none. Parts that fit stay."""
        offset = best.offset.copy()
        for begin, end in self.parts:
            if int((offset[begin:end] + self.problem.size[begin:end]).max()) <= capacity:
                continue
            for order in _ORDERS:
                work = min(self.work, self.effort - self.spent)
                result, low, done = self.search.find(begin, end, capacity, order, work)
                self.spent += done
                if self.progress is not None:
                    self.progress(best.peak, min(self.spent / self.effort, 1.0))
                if result == IMPOSSIBLE:
                    return None, True
                if result == PLACED:
                    offset[begin:end] = low
                    break
            else:
                return None, False
        return solution(self.problem, offset), False


def _sections(problem: PlacementProblem) -> tuple[Integers, Integers]:
    """First and last section of each block. A section is a step at which all live that will before one of them ends."""
    steps = np.array(sorted(set(problem.first.tolist())), np.int64)
    ended = np.zeros(len(steps), np.bool_)
    ended[np.searchsorted(steps, problem.last, side="right") - 1] = True
    kept = steps[ended]
    return np.searchsorted(kept, problem.first), np.searchsorted(kept, problem.last, side="right") - 1
