"""What to drop: schedules of falling peak and rising cost, from which a memory budget picks the cheapest that fits.

For peaks from the largest down, the cheapest choice (items.py) that fits is searched. Starts come from four methods:
the items that are cheapest to make for their size (`_fewest`); these without what has to be kept for them (cuts.py);
all but what crosses the cuts between segments (segments.py); and what served for more memory, with more dropped where
the peak stands, be it values that wait there for a second time, or kept for which the peak rematerialises much
(`_lowered`). Each is filled up: values are kept after all, the dearest for their size first, as the peak allows.
The best is annealed. A choice that was looked at on the way and is the cheapest for some peak counts as well.

The frontier does not depend on the budget, so a larger budget never costs more. All is counted in runs of the
simulator and in flows, never in seconds: equal programs give equal plans on every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.memory.cuts import minimum_cuts
from graphc.memory.items import Choice, Item, Items
from graphc.memory.numbers import ValueNumber
from graphc.memory.rematerialise import Drops, Problem, bytes_shared
from graphc.memory.segments import segmented
from graphc.memory.simulator import Simulator
from graphc.memory.storage import Task

__all__ = ["Point", "frontier", "unbudgeted"]

_RUNGS = 32  # peaks between the largest and the least possible
_POINTS = 64  # of the frontier, at most, or about
_STARTS = 3  # choices that are filled up for one peak
_EFFORT = 24_000_000  # tasks that all runs of the simulator together may look at
_LOOKS = 16  # looks at least that filling up may take
_PLENTY = 8000  # runs for which all rungs are tried; half of them for larger problems
_WARMTH = 0.004  # of the cost of a step: the rise that annealing accepts gladly at its start
_PREFIXES = 24  # shares of what could be paid for without a budget that are looked at: more may raise the peak
_UNBUDGETED = 0.035  # of the cost of a step: what is spent without a budget, at most
_WORTH = 2.0  # shares of the peak that a share of the cost of a step is worth, where no budget asks for it
_ROUNDS_OF_DROPS = 24  # in which one more value is dropped
_TRIES = 24  # items that are tried where the peak stands
_ROUNDS_OF_ITEM = 16  # of annealing, at most


@dataclass(frozen=True)
class Point:
    """One choice: `peak` in bytes of live values, `cost` in seconds of rematerialisation, and what is dropped."""

    peak: int
    cost: float
    drops: Drops


def unbudgeted(problem: Problem) -> Point:
    """What is worth dropping without being asked: the cheapest items, or these without what has to be kept for
    them, as far as they lower the peak; then large values, one by one, while each lowers the peak by twice its share of
    the cost. The frontier has a point that is as good."""
    return _Search(problem).unbudgeted()


def frontier(problem: Problem) -> tuple[Point, ...]:
    """Choices of falling peak and rising cost; the first costs least, which is what the forced drops cost."""
    return _Search(problem).run()


@dataclass(frozen=True)
class _Look:
    """What the simulator said of a choice."""

    peak: int
    cost: float


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.simulator = Simulator(problem)
        self.whole = sum(problem.costs) or 1.0  # the cost of a step that computes nothing twice
        self.seen: dict[Choice, _Look] = {}
        self.start = self.look(frozenset())
        self.items = Items(problem, self.simulator.position)
        self.order = self.items.by_price
        self.chance = random.Random(len(self.order))
        self.cuts = minimum_cuts(self.items)
        self.most = _EFFORT // max(len(problem.tasks), 1)  # runs in all, or somewhat more
        self.rungs = _RUNGS if self.most >= _PLENTY else _RUNGS // 2

    # Looking ---------------------------------------------------------------------------------------------------------
    def look(self, choice: Choice) -> _Look:
        found = self.seen.get(choice)
        if found is None:
            self.simulator.run(choice)
            found = self.seen[choice] = _Look(self.simulator.peak, self.simulator.cost)
        return found

    def _point(self, choice: Choice) -> Point:
        looked = self.look(choice)
        return Point(looked.peak, looked.cost, self.items.drops(choice))

    def _cost(self, choice: Choice) -> float:
        return self.look(choice).cost

    # The frontier ----------------------------------------------------------------------------------------------------
    def run(self) -> tuple[Point, ...]:
        if not self.order:
            return (self._point(frozenset()),)
        wanted = self.unbudgeted().peak
        starts, best = [*segmented(self.items, self.start.peak), *self.cuts], frozenset[Item]()
        least = min(max(map(self._floor, self.problem.tasks), default=1) or 1, self.start.peak)
        for rung in range(1, self.rungs + 1):
            limit = int(self.start.peak * (least / self.start.peak) ** (rung / self.rungs))
            found = self._cheapest(limit, best, starts)
            if found is None:
                break
            best = found
        return tuple(self._point(choice) for choice in self._undominated(wanted))

    def unbudgeted(self) -> Point:
        most = self.start.cost + _UNBUDGETED * self.whole
        low, high = 0, len(self.order)
        while low < high:
            middle = (low + high + 1) // 2
            if self.look(frozenset(self.order[:middle])).cost <= most:
                low = middle
            else:
                high = middle - 1
        prefixes = [frozenset(self.order[: low * part // _PREFIXES]) for part in range(1, _PREFIXES + 1)]
        choices = [*prefixes, *(choice for choice in self.cuts if self._cost(choice) <= most)]
        choice = min(choices, key=lambda choice: (self.look(choice).peak, self.look(choice).cost))
        return self._point(self._extended(self._filled(choice, self.look(choice).peak), most))

    def _extended(self, choice: Choice, most: float) -> Choice:
        """`choice` with large values dropped where the peak stands, while that is worth it and costs at most `most`."""
        for _ in range(_ROUNDS_OF_DROPS):
            looked, found = self.look(choice), []
            self.simulator.run(choice)
            waiting, _ = self._standing(choice)
            for item in sorted(waiting, key=lambda item: (-self.problem.sizes[item[0]], item))[:_TRIES]:
                other = self.look(choice | {item})
                worth = (looked.peak - other.peak) / self.start.peak - _WORTH * (other.cost - looked.cost) / self.whole
                if worth > 0 and other.cost <= most:
                    found.append((-worth, item))
            if not found:
                break
            choice |= {min(found)[1]}
        return choice

    def _undominated(self, wanted: int) -> list[Choice]:
        """What was looked at and no other choice beats in both, by falling peak and rising cost: the cheapest for each
        of some limits, of which `wanted` is one."""
        best: list[tuple[int, Choice]] = []
        for choice, looked in sorted(self.seen.items(), key=lambda entry: (entry[1].cost, entry[1].peak)):
            if not best or looked.peak < best[-1][0]:
                best.append((looked.peak, choice))
        highest, lowest = best[0][0], best[-1][0]
        ratio = lowest / max(highest, 1)
        limits = {max(lowest, int(highest * ratio ** (part / _POINTS))) for part in range(_POINTS + 1)}
        limits |= {highest, max(lowest, wanted)}
        cheapest = (next(choice for peak, choice in best if peak <= limit) for limit in sorted(limits, reverse=True))
        return list(dict.fromkeys(cheapest))

    def _floor(self, task: Task) -> int:
        """Bytes that a task needs by itself."""
        sizes = self.problem.sizes
        return sum(sizes[value] for value in {*task.reads, *task.writes}) - bytes_shared(task.in_place, sizes)

    def _cheapest(self, limit: int, known: Choice, ready: Sequence[Choice]) -> Choice | None:
        """The cheapest choice found whose peak is at most `limit`; `known` is one for a larger peak."""
        starts = sorted((choice for choice in ready if self.look(choice).peak <= limit), key=self._cost)[:_STARTS]
        others = [self._fewest(limit), self._lowered(known, limit, together=self.most < _PLENTY)]
        if not starts and others == [None, None]:
            lowest = min(ready, key=lambda choice: self.look(choice).peak)
            others += [
                self._lowered(choice, limit, together=together)
                for choice in (known, lowest) for together in (False, True)
            ]  # fmt: skip
        filled = [self._filled(choice, limit) for choice in (*starts, *others) if choice is not None]
        return self._annealed(min(filled, key=self._cost), limit) if filled else None

    # Starts ----------------------------------------------------------------------------------------------------------
    def _fewest(self, limit: int) -> Choice | None:
        """As few of the cheapest items as possible."""
        low, high = 0, len(self.order) + 1
        while low < high:
            middle = (low + high) // 2
            if middle > len(self.order) or self.look(frozenset(self.order[:middle])).peak <= limit:
                high = middle
            else:
                low = middle + 1
        return frozenset(self.order[:low]) if low <= len(self.order) else None

    def _lowered(self, choice: Choice, limit: int, *, together: bool) -> Choice | None:
        """`choice` changed where the peak stands until it fits: by the items that lower what exceeds at least cost.

        One at a time, or `together`, which is quicker and gets further, but costs more. Ends, as what exceeds falls
        with every turn, and tries are counted.
        """
        self.simulator.run(choice, limit)
        left = 2 * max(self.most // self.rungs, 4 * _TRIES)
        while self.simulator.excess:
            excess, cost, ways = self.simulator.excess, self.simulator.cost, self._near(choice)
            gains = []
            for item in ways:
                self.simulator.run(choice ^ {item}, limit)
                if self.simulator.excess < excess:
                    price = max(self.simulator.cost - cost, 1e-9)
                    gains.append(((self.simulator.excess - excess) / price, self.simulator.excess, item))
            left -= len(ways)
            if not gains or left < 0:
                return None
            choice = self._turned(choice, sorted(gains) if together else [min(gains)], limit)
        return choice

    def _turned(self, choice: Choice, gains: Sequence[tuple[float, int, Item]], limit: int) -> Choice:
        """`choice` with the best of the items turned, and as many of the next as lower what exceeds further."""
        count = len(gains)
        while count > 1:
            other = choice.symmetric_difference(item for _, _, item in gains[:count])
            self.simulator.run(other, limit)
            if self.simulator.excess < gains[0][1]:
                return other
            count //= 2
        other = choice ^ {gains[0][2]}
        self.simulator.run(other, limit)
        return other

    def _near(self, choice: Choice) -> list[Item]:
        """Items to turn: those that wait while the peak stands, and those that are rematerialised there."""
        waiting, rematerialised = self._standing(choice)
        more = sorted(waiting, key=self.items.price)
        less = sorted((item for item in choice if item[0] in rematerialised), key=self.items.price, reverse=True)
        return more[:_TRIES] + less[:_TRIES]

    def _standing(self, choice: Choice) -> tuple[set[Item], set[ValueNumber]]:
        """While the peak of `choice`, which ran last, stands: the items that wait and could be dropped, and the values
        that are rematerialised."""
        waiting, rematerialised = self.simulator.waiting()
        return {item for item in waiting if item[0] in self.items.free} - choice, set(rematerialised)

    # Improvement -----------------------------------------------------------------------------------------------------
    def _filled(self, choice: Choice, limit: int) -> Choice:
        """`choice` without some items, the dearest first, as long as the peak and the effort allow."""
        cost, order = self._cost(choice), sorted(choice, key=self.items.price, reverse=True)
        at, count = 0, max(1, len(order) // 4)
        for _ in range(max(_LOOKS, self.most // (self.rungs * _STARTS))):
            if at >= len(order):
                break
            fewer = choice.difference(order[at : at + count])
            looked = self.look(fewer)
            if looked.peak <= limit and looked.cost <= cost:
                choice, cost = fewer, looked.cost
                at, count = at + count, 2 * count
            elif count > 1:
                count //= 2
            else:
                at += 1
        return choice

    def _annealed(self, choice: Choice, limit: int) -> Choice:
        """`choice` with items in and out as long as that makes it cheaper, by simulated annealing."""
        items, chance, cost = sorted({*self.order, *choice}), self.chance, self._cost(choice)
        best, least = choice, cost
        rounds = min(self.most // (2 * self.rungs), _ROUNDS_OF_ITEM * len(items))
        warmth = _WARMTH * self.whole
        for number in range(rounds if cost > self.start.cost else 0):
            turned = chance.sample(items, min(1 + (chance.random() < 0.5), len(items)))
            other = choice.symmetric_difference(turned)
            looked = self.look(other)
            rise = (looked.cost - cost) / warmth * rounds / (rounds - number)
            if looked.peak <= limit and (rise <= 0 or chance.random() < math.exp(-rise)):
                choice, cost = other, looked.cost
                if cost < least:
                    best, least = choice, cost
        return best
