"""The records that the methods of placement share: a problem in whole units, and a solution of it.

Blocks are sorted by their first step; those of size 0 are left out. Lifetimes are inclusive at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Integers", "PlacementProblem", "Solution", "better", "liveness", "reverse", "solution"]

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class PlacementProblem:
    """Blocks of `size` units that live from step `first` to step `last`; `bound` is the most that is ever alive."""

    size: Integers
    first: Integers
    last: Integers
    bound: int


@dataclass(frozen=True)
class Solution:
    """Where each block begins, and where the highest ends."""

    offset: Integers
    peak: int


def solution(problem: PlacementProblem, offset: Integers) -> Solution:
    """The solution that places the blocks at `offset`."""
    return Solution(offset, int((offset + problem.size).max()))


def better(a: Solution, b: Solution) -> Solution:
    """The lower of two; the first where they are equal."""
    return b if b.peak < a.peak else a


def reverse(problem: PlacementProblem) -> PlacementProblem:
    """The same blocks with time running backwards, no longer sorted: a packing of one is a packing of the other."""
    return PlacementProblem(problem.size, -problem.last, -problem.first, problem.bound)


def liveness(size: Integers, first: Integers, last: Integers) -> Integers:
    """The units alive at each step at which some block begins (in time order, one entry for each distinct step)."""
    steps = np.array(sorted(set(first.tolist())), np.int64)  # np.unique would import numpy.ma
    begun = np.zeros(len(steps) + 1, np.int64)
    np.add.at(begun, np.searchsorted(steps, first), size)
    np.subtract.at(begun, np.searchsorted(steps, last, side="right"), size)
    return np.cumsum(begun[:-1])
