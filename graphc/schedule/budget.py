"""What to drop: schedules of falling peak and rising cost, from which a memory budget picks the cheapest that fits.

Around the step where memory peaks, `turn`, every value that is made before it and read after it is either kept, or
dropped after its last reader before `turn` and made again. So a choice is a set of values that are kept. Starts come
from three methods: the values that are cheapest to make for their size are dropped until the rest fits (`_thrifty`);
everything is dropped but what crosses the cuts between segments, each as long as memory allows (`_segmented`); and what
served for less memory. Each is filled up: values are kept again, the dearest for their size first, as long as the peak
allows. The best is annealed: values change places. Below what these reach, values are dropped one by one where the
peak stands, several times if need be (`_deepen`).

The frontier does not depend on the budget, so a larger budget never costs more. All is counted in runs of the
simulator, never in seconds: equal programs give equal plans on every machine.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from graphc.schedule.rematerialise import Drops, Problem, Schedule, replay
from graphc.schedule.simulator import Simulator

__all__ = ["Point", "frontier"]

_RUNGS = 24  # peaks between the largest and the least for which the cheapest choice is searched
_LIMITS = 48  # lengths of segments that are tried, each a tenth shorter than the last
_WINDOW = 0.6  # of a segment's length: from there on, the narrowest cut ends it
_STARTS = 4  # choices that are filled up for one peak
_EFFORT = 12_000_000  # tasks that all runs of the simulator together may look at
_LOOKS = 48  # looks at least that filling up may take
_FILLS = _RUNGS * _STARTS  # choices that are filled up share the effort, beside annealing
_WARMTH = 0.004  # of the cost of a step: the rise that annealing accepts gladly at its start
_TRIES = 8  # values that are tried where the peak stands
Kept = frozenset[int]


@dataclass(frozen=True)
class Point:
    """One choice: `peak` in bytes of live values, `cost` in seconds of computing again, and what is dropped."""

    peak: int
    cost: float
    drops: Drops


def frontier(problem: Problem) -> tuple[Point, ...]:
    """Choices of falling peak and rising cost; the first drops nothing."""
    return _Search(problem).run()


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.simulator = Simulator(problem)
        self.seen: dict[Kept, tuple[int, float]] = {}
        self._simulate(problem.forced)
        self.start = Point(self.simulator.peak, self.simulator.cost, problem.forced)
        self.peak, self.turn = self.simulator.peak, self.simulator.position
        self.last = self._last_before()
        self.order = sorted(self.last, key=lambda value: (self._price(value), value))
        self.chance = random.Random(len(self.last))
        self.runs = _EFFORT // max(len(problem.tasks), 1)

    def _last_before(self) -> dict[int, int]:
        """For each value that may be dropped, the last task up to `turn` that makes or reads it."""
        found = {}
        for value in sorted(self.problem.recipes.keys() - self.problem.forced.keys()):
            made, readers = self.problem.makers[value], self.problem.readers.get(value, [])
            if made <= self.turn and self.problem.sizes[value] and readers:
                before = bisect_right(readers, self.turn)
                found[value] = max(made, readers[before - 1] if before else made)
        return found

    def _price(self, value: int) -> float:
        """Seconds for each byte that the value gives free."""
        return min(recipe.cost for recipe in self.problem.recipes[value]) / self.problem.sizes[value]

    def _drops(self, kept: Kept) -> dict[int, Sequence[int]]:
        dropped: dict[int, Sequence[int]] = {value: (at,) for value, at in self.last.items() if value not in kept}
        return {**dropped, **self.problem.forced}

    def look(self, kept: Kept) -> tuple[int, float]:
        """Peak and cost of a choice."""
        found = self.seen.get(kept)
        if found is None:
            self._simulate(self._drops(kept))
            found = self.seen[kept] = self.simulator.peak, self.simulator.cost
        return found

    def _simulate(self, drops: Drops) -> None:
        start = np.zeros(len(self.problem.values) + 1, np.int32)
        for value, positions in drops.items():
            start[value + 1] = len(positions)
        order = sorted(drops)
        flat = np.fromiter((at for value in order for at in drops[value]), np.int32)
        self.simulator.run(np.cumsum(start, dtype=np.int32), flat)

    # The frontier ----------------------------------------------------------------------------------------------------
    def run(self) -> tuple[Point, ...]:
        if not self.last:
            return (self.start,)
        segmented = self._all_segmented()
        least = min((self.look(kept)[0] for kept in segmented), default=self.peak)
        lowest = min(segmented, key=lambda kept: self.look(kept))
        points = [self.start]
        points += self._deepen(lowest)
        best = lowest
        for rung in range(_RUNGS):
            limit = int(least * (self.peak / max(least, 1)) ** (rung / _RUNGS))
            best = self._cheapest(limit, best, segmented)
            peak, cost = self.look(best)
            points.append(Point(peak, cost, self._drops(best)))
        return _undominated(points)

    def _cheapest(self, limit: int, known: Kept, segmented: Sequence[Kept]) -> Kept:
        """The cheapest choice found whose peak is at most `limit`; `known` is one that fits."""
        starts = sorted((kept for kept in segmented if self.look(kept)[0] <= limit), key=self._cost)[:_STARTS]
        thrifty = self._thrifty(limit)
        filled = [self._filled(kept, limit) for kept in (known, *starts, *([] if thrifty is None else [thrifty]))]
        return self._annealed(min(filled, key=self._cost), limit)

    def _cost(self, kept: Kept) -> float:
        return self.look(kept)[1]

    # Starts ----------------------------------------------------------------------------------------------------------
    def _thrifty(self, limit: int) -> Kept | None:
        """What is left when as few of the cheapest values as possible are dropped."""
        everything = frozenset(self.last)
        low, high = 0, len(self.order) + 1
        while low < high:
            middle = (low + high) // 2
            if middle > len(self.order) or self.look(everything.difference(self.order[:middle]))[0] <= limit:
                high = middle
            else:
                low = middle + 1
        return everything.difference(self.order[:low]) if low <= len(self.order) else None

    def _all_segmented(self) -> list[Kept]:
        """Choices with ever shorter segments."""
        crossing: list[list[int]] = [[] for _ in range(self.turn + 1)]  # after each task, what tasks up to turn read
        made = [0] * (self.turn + 1)  # bytes that are made and needed after `turn`
        for value, last in self.last.items():
            maker = self.problem.makers[value]
            for position in range(maker, last):
                crossing[position].append(value)
            made[maker] += self.problem.sizes[value] * (self.problem.readers[value][-1] > self.turn)
        found = dict[Kept, None]()
        limit = float(self.peak)
        for _ in range(_LIMITS):
            found[self._segmented(int(limit), crossing, made)] = None
            limit *= 0.9
        return list(found)

    def _segmented(self, limit: int, crossing: Sequence[Sequence[int]], made: Sequence[int]) -> Kept:
        """What crosses the cuts between segments that, with what is kept below them, need about `limit` bytes."""
        sizes, kept = self.problem.sizes, set[int]()
        widths = [sum(sizes[value] for value in values) for values in crossing]
        start, held, below, position = 0, 0, 0, 0
        while position < self.turn:
            held += made[position]
            if held > limit - below and position > start:
                earliest = start + int((position - start) * _WINDOW)
                cut = min(range(earliest, position), key=lambda at: (widths[at], -at), default=position - 1)
                kept.update(crossing[cut])
                below = sum(sizes[value] for value in kept)
                start, held, position = cut + 1, 0, cut
            position += 1
        return frozenset(kept)

    # Improvement -----------------------------------------------------------------------------------------------------
    def _filled(self, kept: Kept, limit: int) -> Kept:
        """`kept` with more values, the dearest first, as long as the peak and the effort allow."""
        cost = self._cost(kept)
        order = [value for value in reversed(self.order) if value not in kept]
        at, count = 0, max(1, len(order) // 4)
        for _ in range(max(_LOOKS, self.runs // _FILLS)):
            if at >= len(order):
                break
            more = kept.union(order[at : at + count])
            peak, new = self.look(more)
            if peak <= limit and new <= cost:
                kept, cost = more, new
                at, count = at + count, 2 * count
            elif count > 1:
                count //= 2
            else:
                at += 1
        return kept

    def _annealed(self, kept: Kept, limit: int) -> Kept:
        """`kept` with values in and out as long as that makes it cheaper, by simulated annealing."""
        everything, chance, cost = list(self.last), self.chance, self._cost(kept)
        best, least = kept, cost
        rounds = self.runs // (2 * _RUNGS)
        warmth = _WARMTH * sum(self.problem.costs)
        for number in range(rounds if cost else 0):
            turned = chance.sample(everything, 1 + (chance.random() < 0.5 and len(everything) > 1))
            other = kept.symmetric_difference(turned)
            peak, new = self.look(other)
            rise = (new - cost) / warmth * rounds / (rounds - number)
            if peak <= limit and (rise <= 0 or chance.random() < math.exp(-rise)):
                kept, cost = other, new
                if cost < least:
                    best, least = kept, cost
        return best

    # Below -----------------------------------------------------------------------------------------------------------
    def _deepen(self, kept: Kept) -> list[Point]:
        """Points of ever lower peak: what waits while the peak stands is dropped, too, the cheapest first."""
        drops = {value: list(positions) for value, positions in self._drops(kept).items()}
        points = [Point(*self.look(kept), self._drops(kept))]
        for _ in range(self.runs // (4 * _TRIES)):
            found = self._deeper(drops, points[-1].peak)
            if found is None:
                break
            drops = found
            points.append(Point(self.simulator.peak, self.simulator.cost, {v: tuple(at) for v, at in drops.items()}))
        return points

    def _deeper(self, drops: Mapping[int, Sequence[int]], peak: int) -> dict[int, list[int]] | None:
        """`drops` with one more, by which the peak falls; None where none is found."""
        for value, position in self._waiting(replay(self.problem, drops))[:_TRIES]:
            more = {value: list(positions) for value, positions in drops.items()}
            insort(more.setdefault(value, []), position)
            self._simulate(more)
            if self.simulator.peak < peak:
                return more
        return None

    def _waiting(self, schedule: Schedule) -> list[tuple[int, int]]:
        """Values that no one touches in the step of the peak, each with the task after which it may go."""
        peak = schedule.live.index(schedule.peak)
        tasks = list(accumulate(step.recipe is None for step in schedule.steps))
        before, after = dict[int, int](), dict[int, int]()
        for number, step in enumerate(schedule.steps):
            for value in (*step.writes, *step.reads):
                if number < peak:
                    before[value] = number
                elif value not in after:
                    after[value] = number
        found = []
        for value, number in before.items():
            origin = schedule.origin[value]
            if value in after and after[value] > peak and origin in self.problem.recipes:
                task = tasks[number] - (schedule.steps[number].recipe is None)  # the task in or before which it was
                if task < tasks[after[value]] - (schedule.steps[after[value]].recipe is None):
                    found.append((self._price(origin), origin, task))
        return [(origin, task) for _, origin, task in sorted(found)]


def _undominated(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other one beats in both, by falling peak and rising cost."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.peak)):
        if not found or point.peak < found[-1].peak:
            found.append(point)
    return tuple(found)
