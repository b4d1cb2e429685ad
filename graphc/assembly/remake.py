"""Computing again: what drafts can be repeated, wholly or in part, and the drafts of a schedule that repeats some.

A draft is repeated with the same code on other buffers; a part (fusion/parts.py) gets a draft of its own. What has a
place outside the arena, or is put together by several launches, is never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.assembly.draft import Draft, sketch_group
from graphc.assembly.regions import region_drops
from graphc.assembly.values import Values
from graphc.backends.target import Target
from graphc.fusion.group import Group
from graphc.fusion.parts import part_of
from graphc.fusion.regions import Regions
from graphc.ir.node import Node
from graphc.memory.rematerialise import WHOLE, Problem, Recipe, Schedule, check_recipes
from graphc.memory.storage import Arrangement, Task, Value, arrange, in_wholes, order_tasks
from graphc.plan.cost import seconds

__all__ = ["Remaking", "arranged", "remaking"]

_EFFORT = 200_000_000  # of placing what repeats: tight packings are worth a fraction of a second


@dataclass(frozen=True)
class Remaking:
    """The problem of a program, whose task at each position is that of the draft `order[position]`."""

    problem: Problem
    order: Sequence[int]
    drafts: Sequence[Draft]
    parts: Mapping[tuple[int, int], Group]  # by position and value

    def drafts_of(self, schedule: Schedule, values: Values, target: Target) -> list[Draft]:
        """The launches of `schedule`. Values that stand for others are added to `values`."""
        number = [*range(len(self.problem.values))]
        number += [values.repeat(origin) for origin in schedule.origin[len(number) :]]
        written: dict[tuple[int, int], Draft] = {}
        first: dict[int, int] = {}  # where each task runs for the first time
        drafts = []
        for position, step in enumerate(schedule.steps):
            draft, task = self.drafts[self.order[step.task]], step.recipe or self.problem.tasks[step.task]
            if step.recipe is None:
                first[step.task] = position
            elif step.recipe.part != WHOLE:
                key = step.task, step.recipe.part
                if key not in written:
                    written[key] = sketch_group(self.parts[key], values, target.threads).draft(target)
                draft = written[key]
            new = dict(zip((*task.reads, *task.writes), (*step.reads, *step.writes), strict=True))
            drafts.append(_renamed(draft, {value: number[at] for value, at in new.items()}))
            if step.recipe is not None:
                drafts[-1] = replace(drafts[-1], repeats=first[step.task])
        return drafts


def arranged(schedule: Schedule) -> Arrangement:
    """Where the values of a schedule lie."""
    known = schedule.problem.values
    added = [Value(known[origin].nbytes) for origin in schedule.origin[len(known) :]]
    tasks = [Task(step.reads, step.writes, step.in_place) for step in schedule.steps]
    return arrange([*known, *added], tasks, range(len(tasks)), _EFFORT)


def _renamed(draft: Draft, new: Mapping[int, int]) -> Draft:
    """The draft on other values."""
    operands, program_operands = (
        tuple((new.get(value, value), offset) for value, offset in places)
        for places in (draft.operands, draft.program_operands)
    )
    reads, writes = (tuple(new.get(value, value) for value in touched) for touched in (draft.reads, draft.writes))
    pairs = tuple((new.get(read, read), new.get(written, written)) for read, written in draft.in_place)
    return replace(
        draft, operands=operands, program_operands=program_operands, reads=reads, writes=writes, in_place=pairs
    )


def remaking(
    drafts: Sequence[Draft], groups: Sequence[Group], tasks: Sequence[Task], values: Values, regions: Regions | None
) -> Remaking:
    """What can be computed again of `drafts` with their `tasks`, of which the first are those of `groups`."""
    order = order_tasks(values.values, tasks)
    wholes = [in_wholes(tasks[number], values.values) for number in order]
    writers = Counter(value for task in wholes for value in task.writes)
    fixed = {
        number for number, value in enumerate(values.values)
        if value.storage is not None or number in values.pieces or writers[number] != 1
    }  # fmt: skip
    recipes: dict[int, list[Recipe]] = {}
    parts: dict[tuple[int, int], Group] = {}
    costs = []
    for position, (number, task) in enumerate(zip(order, wholes, strict=True)):
        draft, group = drafts[number], groups[number] if number < len(groups) else None
        costs.append(_seconds(draft, task, values.values))
        for value in task.writes:
            if value not in fixed and group is not None:
                part = _part(position, value, group, values)
                if part is not None:
                    parts[position, value] = part[1]
                    recipes.setdefault(value, []).append(part[0])
        if fixed.isdisjoint(task.writes) and task.reads == draft.reads and task.writes == draft.writes:
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
    return Remaking(problem, order, drafts, parts)


def _stores(group: Group) -> Sequence[Node]:
    return group.stores if group.library is None else (*group.stores, group.library)


def _part(position: int, value: int, group: Group, values: Values) -> tuple[Recipe, Group] | None:
    """The part of a group that makes `value` alone, if there is one that reads whole values."""
    node = values.owners[value]
    part = None if node is None else part_of(group, node)
    if part is None:
        return None
    sketch = sketch_group(part, values, 1)
    whole = in_wholes(Task(sketch.reads, sketch.writes, sketch.in_place), values.values)
    if whole.reads != sketch.reads:
        return None
    cost = seconds(sketch.effort, _bytes((*sketch.reads, *sketch.writes), values.values))
    return Recipe(position, value, sketch.reads, sketch.writes, cost, sketch.in_place), part


def _seconds(draft: Draft, task: Task, values: Sequence[Value]) -> float:
    return seconds(draft.effort, _bytes((*task.reads, *task.writes), values))


def _bytes(touched: Iterable[int], values: Sequence[Value]) -> int:
    return sum(values[value].nbytes for value in set(touched))
