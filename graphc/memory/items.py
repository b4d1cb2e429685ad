"""What may be dropped around the task where memory peaks, the turn.

An *item* is a value and a task after which it may be dropped: each value that can be rematerialised and is not dropped
in any case, is made before the turn and is read has one, after the last task up to the turn that makes or reads it. A
*choice* is the set of items that are dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

from graphc.memory.numbers import Position, ValueNumber
from graphc.memory.rematerialise import Drops, Problem

__all__ = ["Choice", "Item", "Items"]

Item = tuple[ValueNumber, Position]
Choice = frozenset[Item]


class Items:
    """The items of `problem` around the task at position `turn`, by value."""

    def __init__(self, problem: Problem, turn: Position) -> None:
        self.problem = problem
        self.turn = turn
        self.free = problem.recipes.keys() - problem.forced.keys()  # values that may be dropped
        self._prices = {value: ways[0].cost / max(problem.sizes[value], 1) for value, ways in problem.recipes.items()}
        self.all = self._all()

    def _all(self) -> tuple[Item, ...]:
        found = []
        for value in sorted(self.free):
            made, readers = self.problem.makers[value], self.problem.readers.get(value, [])
            if made <= self.turn and self.problem.sizes[value] and readers:
                before = bisect_right(readers, self.turn)
                found.append((value, max(made, readers[before - 1] if before else made)))
        return tuple(found)

    @cached_property
    def by_price(self) -> list[Item]:
        """All items, those first that are cheapest to rematerialise for their size."""
        return sorted(self.all, key=self.price)

    def price(self, item: Item) -> tuple[float, Item]:
        """Seconds for each byte that the item gives free; ties go by number."""
        return self._prices[item[0]], item

    def waits(self, value: ValueNumber) -> bool:
        """Whether something reads the value after the turn."""
        return self.problem.readers[value][-1] > self.turn

    def drops(self, choice: Choice) -> Drops:
        """The choice, with what every schedule is to drop."""
        drops: dict[ValueNumber, Sequence[Position]] = {}
        for value, position in sorted(choice):
            drops[value] = (*drops.get(value, ()), position)
        return {**drops, **self.problem.forced}
