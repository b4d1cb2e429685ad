"""Programs within a memory budget: the cheapest schedule whose plan fits, or the smallest budget that would do.

Schedules are judged by what their plans need in all: parameters, constants, inputs, outputs, arena, scratch memory and
the engine's tables, to the byte. Of the points of the frontier, which does not depend on the budget, the cheapest that
fits is taken; so a larger budget is never slower by the cost model. Without a budget, a large program drops what is
worth it; a budget that the plain program fits drops nothing but what the graph asks for (`gx.checkpoint`).

What several launches write is never dropped. Where the program holds such buffers, budgets that ask for more are met
by the same program with each concatenation put together by launches of its own, if that is cheaper; and where loops
stack what others read, by one whose loops compute that again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import merge

from graphc.assembly.plan import SketchedProgram
from graphc.assembly.records import Planned
from graphc.assembly.rematerialise import Rematerialisable
from graphc.errors import MemoryBudgetError
from graphc.memory.budget import Point, frontier, unbudgeted
from graphc.memory.quantity import bytes_of
from graphc.memory.rematerialise import rematerialise
from graphc.plan.memory_report import MemoryReport, memory_report
from graphc.plan.text import bytes_text

__all__ = ["LARGE_ARENA", "Budgeted", "Choice"]

_NAMED = 5  # tensors that a refusal names
LARGE_ARENA = 64 << 20  # bytes of an arena from which on memory is worth a little time
_SPARED = 0.9  # of the arena: what must go for it


@dataclass(frozen=True)
class Choice:
    """One way to run a program: its plan needs `peak` bytes, to rematerialise takes `overhead` of a step."""

    peak: int
    overhead: float
    planned: Planned


class Budgeted:
    """The ways to run a program with less memory.

    `others` make those of other programs that compute the same: where less memory is asked for, one may do.
    """

    def __init__(self, program: SketchedProgram, others: Sequence[Callable[[], Budgeted]] = ()) -> None:
        self.program = program
        self._make_others = others
        self._chosen: dict[int, Choice] = {}  # by number of the point
        plain = program.plan()
        self.plain = Choice(self.report(plain).peak_bytes, self._forced_overhead(), plain)

    def report(self, planned: Planned) -> MemoryReport:
        """What a program of this plan holds while it runs."""
        routines = [sketch.routine for sketch in planned.sketches]
        tables = self.program.writer.tables(planned.plan, routines)
        return memory_report(planned.plan, self.program.threads, tables)

    @property
    def _rematerialisable(self) -> Rematerialisable:
        return self.program.rematerialisable

    def _forced_overhead(self) -> float:
        """What checkpointed regions cost."""
        if self.program.regions is None:
            return 0.0
        return rematerialise(self._rematerialisable.problem, self._rematerialisable.problem.forced).cost / self._whole

    @cached_property
    def unbudgeted(self) -> Choice:
        """What runs without a budget: the plain program, where that is large without what is worth dropping."""
        if self.plain.planned.plan.arena_bytes < LARGE_ARENA:
            return self.plain
        point = unbudgeted(self._rematerialisable.problem)
        if point.peak > _SPARED * self.plain.planned.plan.arena_bytes:
            return self.plain
        return self._made(point)

    @cached_property
    def _others(self) -> list[Budgeted]:
        return [make() for make in self._make_others]

    def _cost(self, choice: Choice) -> float:
        """Seconds that a step takes by the model."""
        return (1 + choice.overhead) * self._whole

    def _seen_from(self, other: Budgeted, choice: Choice) -> Choice:
        """A choice of this program, with its cost in terms of another's."""
        return replace(choice, overhead=max(self._cost(choice) / other._whole - 1, 0.0))

    @cached_property
    def _points(self) -> tuple[Point, ...]:
        """The frontier, cheapest first, without what the plain program is: no more dropped than must be."""
        problem = self._rematerialisable.problem
        return tuple(point for point in frontier(problem) if point.drops != problem.forced)

    def _choice(self, number: int) -> Choice:
        """The choice that a point of the frontier comes to."""
        if number not in self._chosen:
            self._chosen[number] = self._made(self._points[number])
        return self._chosen[number]

    def _made(self, point: Point) -> Choice:
        schedule = rematerialise(self._rematerialisable.problem, point.drops)
        planned = self.program.rematerialising(schedule)
        return Choice(self.report(planned).peak_bytes, point.cost / self._whole, planned)

    @property
    def _whole(self) -> float:
        return sum(self._rematerialisable.problem.costs) or 1.0

    def _least(self, number: int) -> int:
        """Bytes that the plan of a point needs at least: what its arena needs above that comes on top, and tables."""
        return self._points[number].peak + self._beside

    @cached_property
    def _beside(self) -> int:
        """Bytes beside the arena."""
        plain = self.plain.planned.plan
        return memory_report(plain, self.program.threads).peak_bytes - plain.arena_bytes

    def within(self, budget: int | float | None) -> Choice:
        """The cheapest choice that needs at most `budget`, bytes or a fraction of the plain program's peak.

        Without one, what runs then (`unbudgeted`). Raises MemoryBudgetError, which names the smallest budget that would
        do and what stands in the way.
        """
        if budget is None:
            return self.unbudgeted
        limit = bytes_of(budget, self.plain.peak)
        if self.plain.peak <= limit:
            return self.plain
        found = self._fitting(limit)
        for other in self._others:
            found = self._cheaper(found, other, limit)
        if found is None:
            raise self._refusal(limit)
        return found

    def _cheaper(self, found: Choice | None, other: Budgeted, limit: int) -> Choice | None:
        """What was found, or what fits of another program, if that is cheaper."""
        most = self._cost(found) if found is not None else math.inf
        if other._cost(other.plain) >= most:
            return found
        fitting = other.plain if other.plain.peak <= limit else other._fitting(limit)
        return found if fitting is None or other._cost(fitting) >= most else other._seen_from(self, fitting)

    def _fitting(self, limit: int) -> Choice | None:
        """The cheapest point that needs at most `limit` bytes."""
        for number in range(len(self._points)):
            if self._least(number) <= limit:
                choice = self._choice(number)
                if choice.peak <= limit:
                    return choice
        return None

    def smallest(self) -> Choice:
        """The choice that needs the fewest bytes."""
        best = self.plain
        for other in self._others:
            best = min(best, other._seen_from(self, other.smallest()), key=lambda choice: choice.peak)
        for number in sorted(range(len(self._points)), key=self._least):
            if self._least(number) >= best.peak:
                break
            choice = self._choice(number)
            best = choice if choice.peak < best.peak else best
        return best

    def choices(self) -> Iterator[Choice]:
        """All choices that are worth it: of falling peak and rising overhead."""
        yield self.plain
        peak = self.plain.peak
        own: Iterator[Choice] = map(self._choice, range(len(self._points)))
        theirs = [self._choices_of(other) for other in self._others]
        for choice in merge(own, *theirs, key=lambda choice: choice.overhead):
            if choice.peak < peak:
                peak = choice.peak
                yield choice

    def _choices_of(self, other: Budgeted) -> Iterator[Choice]:
        """The choices of another program, with their costs in terms of this one's."""
        return (other._seen_from(self, choice) for choice in other.choices())

    def _refusal(self, limit: int) -> MemoryBudgetError:
        smallest = self.smallest()
        report = memory_report(smallest.planned.plan)
        fixed = smallest.peak - report.arena
        message = (
            f"the budget is {limit} bytes ({bytes_text(limit)}); the smallest budget that will do is {smallest.peak} "
            f"({bytes_text(smallest.peak)}), of which {bytes_text(fixed)} are parameters, inputs and the like; "
            f"without a budget the program takes {self.unbudgeted.peak} ({bytes_text(self.unbudgeted.peak)})"
        )
        lines = [f"  {bytes_text(held.nbytes):>12}  {'  '.join(held.cells())}" for held in report.at_peak[:_NAMED]]
        where = [f"in the way stand, in {report.peak_label}:"] if lines else []
        return MemoryBudgetError("\n".join([message, *where, *lines]))
