"""What of a program can be rematerialised, by sketches or parts of them, and the sketches of a schedule that does so.

A sketch makes values once more by the same code on other buffers; a part (fusion/parts.py) gets a sketch of its own.
What has a place outside the arena, or is put together by several launches, is never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.assembly.records import Sketch
from graphc.assembly.regions import region_drops
from graphc.assembly.sketch import sketch_group
from graphc.assembly.values import Values
from graphc.backends.backend import Lowering
from graphc.fusion.group import Group
from graphc.fusion.parts import part_of
from graphc.fusion.regions import Regions
from graphc.ir.indices import Indexed, numbered, numbers
from graphc.ir.node import Node
from graphc.memory.numbers import Instance, Position, StepNumber, TaskNumber, ValueNumber
from graphc.memory.rematerialise import WHOLE, Problem, Recipe, TaskSchedule, check_recipes
from graphc.memory.storage import Arrangement, Task, Value, arrange, in_wholes, order_tasks
from graphc.plan.cost import seconds

__all__ = ["Rematerialisable", "arranged", "rematerialisable"]

_EFFORT = 200_000_000  # of placing the values of a schedule: tight packings are worth a fraction of a second


@dataclass(frozen=True)
class Rematerialisable:
    """The problem of a program, whose task at each position is that of the sketch `order[position]`."""

    problem: Problem
    order: Indexed[Position, TaskNumber]
    sketches: Sequence[Sketch]
    parts: Mapping[tuple[Position, ValueNumber], Group]  # by position and value

    def sketches_of(self, schedule: TaskSchedule, values: Values, lowering: Lowering, threads: int) -> list[Sketch]:
        """The launches of `schedule`. Values that stand for others are added to `values`."""
        known = numbers(ValueNumber, len(self.problem.values))
        added = [values.rematerialised(origin) for origin in schedule.origin[len(known) :]]
        number: Indexed[Instance, ValueNumber] = [*known, *added]
        written: dict[tuple[Position, ValueNumber], Sketch] = {}
        first: dict[Position, StepNumber] = {}  # where each task runs for the first time
        sketches = []
        for at, step in numbered(StepNumber, schedule.steps):
            sketch, task = self.sketches[self.order[step.task]], step.recipe or self.problem.tasks[step.task]
            if step.recipe is None:
                first[step.task] = at
            elif step.recipe.part != WHOLE:
                key = step.task, step.recipe.part
                if key not in written:
                    part = sketch_group(self.parts[key], values, lowering, threads)
                    written[key] = replace(part, number=len(self.sketches) + len(written))
                sketch = written[key]
            new = dict(zip((*task.reads, *task.writes), (*step.reads, *step.writes), strict=True))
            sketches.append(_renamed(sketch, {value: number[instance] for value, instance in new.items()}))
            if step.recipe is not None:
                sketches[-1] = replace(sketches[-1], rematerialises=first[step.task])
        return sketches


def arranged(schedule: TaskSchedule, alignment: int) -> Arrangement:
    """Where the values of a schedule lie."""
    known = schedule.problem.values
    added = [Value(known[origin].nbytes) for origin in schedule.origin[len(known) :]]
    tasks = [Task(step.reads, step.writes, step.in_place) for step in schedule.steps]
    return arrange([*known, *added], tasks, numbers(TaskNumber, len(tasks)), _EFFORT, alignment)


def _renamed(sketch: Sketch, new: Mapping[ValueNumber, ValueNumber]) -> Sketch:
    """The sketch on other values."""
    operands, program_operands = (
        tuple((new.get(value, value), offset) for value, offset in places)
        for places in (sketch.operands, sketch.program_operands)
    )
    reads, writes = (tuple(new.get(value, value) for value in touched) for touched in (sketch.reads, sketch.writes))
    pairs = tuple((new.get(read, read), new.get(written, written)) for read, written in sketch.in_place)
    loop = sketch.loop and replace(sketch.loop, room=new.get(sketch.loop.room, sketch.loop.room))
    return replace(
        sketch, operands=operands, program_operands=program_operands, reads=reads, writes=writes, in_place=pairs,
        loop=loop,
    )  # fmt: skip


def rematerialisable(
    sketches: Sequence[Sketch],
    groups: Sequence[Group],
    tasks: Sequence[Task],
    values: Values,
    lowering: Lowering,
    regions: Regions | None,
) -> Rematerialisable:
    """What can be rematerialised of `sketches` with their `tasks`, of which the first are those of `groups`."""
    order = order_tasks(values.values, tasks)
    wholes = [in_wholes(tasks[number], values.values) for number in order]
    writers = Counter(value for task in wholes for value in task.writes)
    fixed = {
        number for number, value in numbered(ValueNumber, values.values)
        if value.storage is not None or number in values.pieces or writers[number] != 1
    }  # fmt: skip
    recipes: dict[ValueNumber, list[Recipe]] = {}
    parts: dict[tuple[Position, ValueNumber], Group] = {}
    costs = []
    for position, (number, task) in numbered(Position, zip(order, wholes, strict=True)):
        sketch, group = sketches[number], groups[number] if number < len(groups) else None
        costs.append(_seconds(sketch, task, values))
        for value in task.writes:
            if value not in fixed and group is not None:
                part = _part(position, value, group, values, lowering)
                if part is not None:
                    parts[position, value] = part[1]
                    recipes.setdefault(value, []).append(part[0])
        if fixed.isdisjoint(task.writes) and task.reads == sketch.reads and task.writes == sketch.writes:
            whole = Recipe(position, WHOLE, task.reads, task.writes, costs[-1], task.in_place)
            for value in task.writes:
                recipes.setdefault(value, []).append(whole)
    for ways in recipes.values():
        ways.sort(key=lambda recipe: recipe.cost)
    problem = Problem(tuple(values.values), wholes, costs, recipes)
    if regions is not None:
        stores = [_stores(groups[number]) if number < len(groups) else () for number in order]
        problem = replace(problem, forced=region_drops(regions, problem, values.owners, stores))
    check_recipes(problem)
    return Rematerialisable(problem, order, sketches, parts)


def _stores(group: Group) -> Sequence[Node]:
    return group.stores if group.library is None else (*group.stores, group.library)


def _part(
    position: Position, value: ValueNumber, group: Group, values: Values, lowering: Lowering
) -> tuple[Recipe, Group] | None:
    """The part of a group that makes `value` alone, if there is one that reads whole values."""
    node = values.owners[value]
    part = None if node is None else part_of(group, node)
    if part is None:
        return None
    sketch = sketch_group(part, values, lowering, 1)
    whole = in_wholes(Task(sketch.reads, sketch.writes, sketch.in_place), values.values)
    if whole.reads != sketch.reads:
        return None
    cost = seconds(sketch.routine.effort, _bytes((*sketch.reads, *sketch.writes), values))
    return Recipe(position, value, sketch.reads, sketch.writes, cost, sketch.in_place), part


def _seconds(sketch: Sketch, task: Task, values: Values) -> float:
    if sketch.loop is not None:
        return sketch.loop.seconds
    return seconds(sketch.routine.effort, _bytes((*task.reads, *task.writes), values))


def _bytes(touched: Iterable[ValueNumber], values: Values) -> int:
    return sum(values.values[value].nbytes for value in set(touched))
