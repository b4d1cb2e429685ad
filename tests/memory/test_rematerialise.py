"""Dropping and rematerialising, in numbers alone: schedules read what tasks read, the simulator tells what they make,
frontiers fall and rise, and small ones are close to the best there is."""

from __future__ import annotations

import itertools
import random

import pytest

from graphc.memory.budget import Point, frontier, unbudgeted
from graphc.memory.rematerialise import WHOLE, Problem, Recipe, TaskSchedule, rematerialise
from graphc.memory.simulator import Simulator
from graphc.memory.storage import Task, Value

SEEDS = range(40)


def problem_of(seed: int, layers: int = 0) -> Problem:
    """A random chain of layers and its gradients: some keep two values, some have skips, the last are updates."""
    chance = random.Random(seed)
    layers = layers or chance.randint(3, 12)
    values = [Value(0, "input x")]
    tasks: list[Task] = []
    costs: list[float] = []
    recipes: dict[int, list[Recipe]] = {}
    results, raws = [0], [0]

    def add(storage: str | None = None) -> int:
        values.append(Value(chance.choice((64, 128, 256, 512)) if storage is None else 64, storage))
        return len(values) - 1

    for layer in range(layers):
        weight, reads = add(f"parameter {layer}"), [results[-1]]
        if chance.random() < 0.3 and len(results) > 2:
            reads.append(results[-3])
        raw = add()
        position, cost = len(tasks), chance.uniform(1, 9)
        if chance.random() < 0.4:  # an activation beside its argument: made of it alone, or of all
            result = add()
            values[result] = Value(values[raw].nbytes)
            tasks.append(Task((*reads, weight), (raw, result), ((raw, result),)))
            recipes[result] = [Recipe(position, result, (raw,), (result,), cost / 8)]
        else:
            result = raw
            tasks.append(Task((*reads, weight), (raw,)))
        whole = Recipe(position, WHOLE, tasks[-1].reads, tasks[-1].writes, cost, tasks[-1].in_place)
        for value in tasks[-1].writes:
            recipes.setdefault(value, []).append(whole)
        costs.append(cost)
        raws.append(raw)
        results.append(result)
    gradient = results[-1]
    for layer in reversed(range(layers)):
        reads = [gradient, *{results[layer], raws[layer + 1]} - {gradient}]
        weight = next(i for i, value in enumerate(values) if value.storage == f"parameter {layer}")
        renewed = add(f"parameter {layer}")
        gradient = add()
        tasks.append(Task((*reads, weight), (gradient,)))
        tasks.append(Task((*reads, gradient, weight), (renewed,)))
        costs += [2.0, 2.0]
    return Problem(values, tasks, costs, recipes)


def random_choice(problem: Problem, chance: random.Random) -> list[tuple[int, int]]:
    items = [(v, at) for v in problem.recipes for at in (problem.makers[v], *problem.readers.get(v, ()))]
    return chance.sample(items, chance.randint(0, len(items)))


def drops_of(choice: list[tuple[int, int]]) -> dict[int, list[int]]:
    drops: dict[int, list[int]] = {}
    for value, position in sorted(choice):
        drops.setdefault(value, []).append(position)
    return drops


def check(schedule: TaskSchedule) -> None:
    """Each task once and in order, each step on values that hold what it asks for and were written before."""
    problem, written = schedule.problem, set[int]()
    makers = {value for task in problem.tasks for value in task.writes}
    assert [step.task for step in schedule.steps if step.recipe is None] == list(range(len(problem.tasks)))
    for step in schedule.steps:
        work = step.recipe or problem.tasks[step.task]
        assert tuple(schedule.origin[value] for value in step.reads) == work.reads
        assert tuple(schedule.origin[value] for value in step.writes) == work.writes
        assert all(value in written or value not in makers for value in step.reads)
        assert written.isdisjoint(step.writes)
        written.update(step.writes)


def test_a_value_that_is_dropped_is_made_again_before_its_reader() -> None:
    """x -> a -> b; the gradient reads b, then a. Dropped, a is rematerialised from x for the second."""
    values = [Value(0, "input x"), Value(64), Value(64), Value(64), Value(64)]
    tasks = [Task((0,), (1,)), Task((1,), (2,)), Task((2,), (3,)), Task((3, 1), (4,))]
    recipes = {1: [Recipe(0, WHOLE, (0,), (1,), 1.0)], 2: [Recipe(1, WHOLE, (1,), (2,), 1.0)]}
    problem = Problem(values, tasks, [1.0] * 4, recipes)
    schedule = rematerialise(problem, {1: (1,)})
    check(schedule)
    assert [(step.task, step.recipe is not None) for step in schedule.steps] == [
        (0, False), (1, False), (2, False), (0, True), (3, False),
    ]  # fmt: skip
    assert schedule.steps[3].writes == (5,)
    assert schedule.steps[4].reads == (3, 5)
    assert (schedule.cost, rematerialise(problem, {}).peak, schedule.peak) == (1.0, 192, 192)


def test_nothing_reads_a_parameter_after_its_update() -> None:
    """A recipe that comes too late is not used: the value is kept."""
    values = [Value(64, "parameter w"), Value(64), Value(64, "parameter w"), Value(64)]
    tasks = [Task((0,), (1,)), Task((0, 1), (2,)), Task((1,), (3,))]
    problem = Problem(values, tasks, [1.0] * 3, {1: [Recipe(0, WHOLE, (0,), (1,), 1.0)]})
    schedule = rematerialise(problem, {1: (1,)})
    check(schedule)
    assert schedule.failed == {1}
    assert all(step.recipe is None for step in schedule.steps)


@pytest.mark.parametrize("seed", SEEDS)
def test_schedules_read_what_tasks_read(seed: int) -> None:
    problem, chance = problem_of(seed), random.Random(seed)
    for _ in range(10):
        check(rematerialise(problem, drops_of(random_choice(problem, chance))))


def test_a_wrong_schedule_is_noticed() -> None:
    problem = problem_of(3)
    schedule = rematerialise(problem, drops_of(random_choice(problem, random.Random(1))))
    steps = schedule.steps
    wrong = TaskSchedule(problem, (*steps[1:], steps[0]), schedule.origin)
    with pytest.raises(AssertionError):
        check(wrong)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_simulator_tells_what_rematerialise_makes(seed: int) -> None:
    problem, chance = problem_of(seed), random.Random(seed)
    simulator = Simulator(problem)
    for _ in range(20):
        choice = random_choice(problem, chance)
        schedule = rematerialise(problem, drops_of(choice))
        limit = chance.randrange(schedule.peak + 1)
        simulator.run(choice, limit)
        assert simulator.peak == schedule.peak
        assert simulator.cost == pytest.approx(schedule.cost)
        assert set(simulator.failed) == schedule.failed
        assert simulator.excess == sum(max(live - limit, 0) for live in schedule.live)
        tasks = itertools.accumulate((step.recipe is None for step in schedule.steps), initial=0)
        assert simulator.position == list(tasks)[schedule.live.index(schedule.peak)]


def test_many_pairs_in_place() -> None:
    """Ten values are written over ten others: of a hundred pairs the last counts as the first."""
    values = [Value(64) for _ in range(20)]
    pairs = tuple((read, written) for read in range(10) for written in range(10, 20))
    tasks = [Task((), tuple(range(10))), Task(tuple(range(10)), tuple(range(10, 20)), pairs)]
    problem = Problem(values, tasks, [1.0, 1.0], {})
    simulator = Simulator(problem)
    simulator.run([])
    assert simulator.peak == rematerialise(problem, {}).peak == 640


def test_drops_of_no_value_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no value 99"):
        Simulator(problem_of(0)).run([(99, 0)])


# The frontier --------------------------------------------------------------------------------------------------------
def rematerialised(problem: Problem, point: Point) -> tuple[int, float]:
    schedule = rematerialise(problem, point.drops)
    check(schedule)
    return schedule.peak, schedule.cost


@pytest.mark.parametrize("seed", range(12))
def test_points_fall_and_rise_and_are_what_they_say(seed: int) -> None:
    problem = problem_of(seed, layers=12)
    points = frontier(problem)
    assert points == frontier(problem)
    assert (points[0].peak, points[0].cost) == rematerialised(problem, Point(0, 0, {}))
    for before, after in itertools.pairwise(points):
        assert after.peak < before.peak
        assert after.cost > before.cost
    for point in points:
        assert rematerialised(problem, point) == (point.peak, pytest.approx(point.cost))


@pytest.mark.parametrize("seed", range(12))
def test_small_frontiers_are_close_to_the_best(seed: int) -> None:
    """All choices of which values to keep, tried one by one: at no peak of theirs does the frontier cost much more."""
    problem = problem_of(seed, layers=6)
    simulator, ends = Simulator(problem), {v: problem.makers[v] for v in problem.recipes}
    turn = rematerialise(problem, {}).live.index(rematerialise(problem, {}).peak)
    for value in ends:
        ends[value] = max([ends[value], *(at for at in problem.readers.get(value, ()) if at <= turn)])
    items = [(value, at) for value, at in ends.items() if problem.makers[value] <= turn]
    found: dict[int, float] = {}
    for count in range(len(items) + 1):
        for choice in itertools.combinations(items, count):
            simulator.run(choice)
            found[simulator.peak] = min(found.get(simulator.peak, 1e9), simulator.cost)
    points, whole = frontier(problem), sum(problem.costs)
    for limit in found:
        ours = min((point.cost for point in points if point.peak <= limit), default=None)
        if ours is None:
            assert limit < 1.1 * points[-1].peak
        else:
            nearby = min(cost for peak, cost in found.items() if peak <= 0.95 * limit or peak == min(found))
            assert ours <= nearby + 0.02 * whole


@pytest.mark.parametrize("seed", range(6))
def test_what_runs_without_a_budget_costs_little(seed: int) -> None:
    problem = problem_of(seed, layers=40)
    point, plain = unbudgeted(problem), rematerialise(problem, {})
    assert point.cost <= 0.035 * sum(problem.costs)
    assert point.peak <= plain.peak
    assert rematerialised(problem, point) == (point.peak, pytest.approx(point.cost))


def test_what_comes_with_a_forced_rematerialisation_is_dropped_for_nothing() -> None:
    """One task makes a and b; a has to be rematerialised, and b with it: the first point does not keep b."""
    values = [Value(0, "input x"), Value(64), Value(256), Value(64), Value(512), Value(64), Value(64)]
    tasks = [Task((0,), (1, 2)), Task((1,), (3,)), Task((3,), (4,)), Task((4,), (5,)), Task((5, 1, 2), (6,))]
    whole = Recipe(0, WHOLE, (0,), (1, 2), 1.0)
    problem = Problem(values, tasks, [1.0] * 5, {1: [whole], 2: [whole]}, {1: (1,)})
    first, forced = frontier(problem)[0], rematerialise(problem, problem.forced)
    assert first.cost == forced.cost == 1.0
    assert first.peak < forced.peak
    assert first.drops != problem.forced
