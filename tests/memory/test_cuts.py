"""Starts of the search for what to drop: minimum cuts keep the fewest bytes, segments what crosses cuts."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import pytest

from graphc.memory.cuts import minimum_cuts
from graphc.memory.items import Choice, Item, Items
from graphc.memory.rematerialise import WHOLE, Problem, Recipe
from graphc.memory.segments import segmented
from graphc.memory.simulator import Simulator
from graphc.memory.storage import Task, Value
from tests.memory.test_rematerialise import problem_of


def items_of(problem: Problem) -> Items:
    simulator = Simulator(problem)
    simulator.run([])
    return Items(problem, simulator.position)


def kept_bytes(items: Items, dropped: Choice) -> int:
    """The bytes of what is not dropped, of all that is read later or rematerialises what is dropped and read."""
    values, dropped_values = {value for value, _ in items.all}, {value for value, _ in dropped}
    pending = [value for value in values if items.waits(value)]
    needed = set(pending)
    while pending:
        value = pending.pop()
        if value in dropped_values:
            reads = [read for read in items.problem.recipes[value][0].reads if read in values and read not in needed]
            needed.update(reads)
            pending += reads
    return sum(items.problem.sizes[value] for value in needed - dropped_values)


def subsets(allowed: Collection[tuple[int, int]]) -> list[Choice]:
    return [frozenset(some) for count in range(len(allowed) + 1) for some in itertools.combinations(allowed, count)]


@pytest.mark.parametrize("seed", range(12))
def test_a_minimum_cut_keeps_the_fewest_bytes(seed: int) -> None:
    items = items_of(problem_of(seed, layers=4 + seed % 3))
    assert 3 < len(items.all) < 12
    found = minimum_cuts(items)
    assert len(found) > 1
    for choice in found:
        shares = [items.by_price[:share] for share in range(1, len(items.all) + 1)]
        allowed = next(share for share in shares if choice <= set(share))
        assert kept_bytes(items, choice) <= min(kept_bytes(items, some) for some in subsets(allowed))


def test_a_wide_value_is_made_of_a_narrow_one() -> None:
    """x -> a (small) -> b (large) -> c (large); the gradient reads c, then b. To rematerialise both, a is kept."""
    values = [Value(0, "input x"), Value(64), Value(1024), Value(1024), Value(64), Value(64)]
    tasks = [Task((0,), (1,)), Task((1,), (2,)), Task((2,), (3,)), Task((3,), (4,)), Task((4, 3, 2), (5,))]
    costs = [1000.0, 1.0, 1.0, 1.0, 1.0]
    recipes = {
        value: [Recipe(value - 1, WHOLE, (value - 1,), (value,), costs[value - 1])] for value in (1, 2, 3)
    }  # fmt: skip
    items = Items(Problem(values, tasks, costs, recipes), 3)
    assert frozenset({(2, 2), (3, 3)}) in minimum_cuts(items)


def test_nothing_to_drop() -> None:
    items = items_of(Problem([Value(0, "input x"), Value(64)], [Task((0,), (1,))], [1.0], {}))
    assert items.all == ()
    assert minimum_cuts(items) == []
    assert segmented(items, 64) == [frozenset()]


@pytest.mark.parametrize("seed", range(6))
def test_segments_keep_what_crosses_their_cuts(seed: int) -> None:
    """One segment that is as long as the chain keeps nothing, short ones what crosses their cuts."""
    items = items_of(problem_of(seed, layers=30))
    choices = segmented(items, sum(items.problem.sizes))
    assert all(choice <= set(items.all) for choice in choices)
    assert choices[0] == frozenset(items.all)
    assert len(choices[-1]) < len(choices[0])
    for choice in choices:
        kept = set(items.all) - choice
        for value, last in kept:
            cuts = [crossing(items, task) for task in range(items.problem.makers[value], last)]
            assert any(cut <= kept for cut in cuts)


def crossing(items: Items, task: int) -> set[Item]:
    """What is made by a task and read after it, up to the turn."""
    return {(value, last) for value, last in items.all if items.problem.makers[value] <= task < last}
