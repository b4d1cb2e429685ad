"""Rematerialisation: some values are dropped while they wait for a later reader, and made once more when it comes.

    problem  = tasks in their order, what each costs, and recipes: how a value can be rematerialised
    drops    = for values, the positions after which they are kept no longer
    schedule = steps: the tasks, and before the readers of what was dropped the recipes that make it once more

`rematerialise` turns drops into a schedule: a value that a step reads and that is gone is made just before it, with
everything that its recipe reads and that is gone as well, and is then kept until its last reader or its next drop. A
value that was rematerialised is a value of its own, so nothing can merge it with the first. Whatever is dropped, each
task reads the same contents. All is in numbers of values and tasks, as in `storage`, which places a schedule's values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TypeVar

from graphc.errors import InternalError
from graphc.ir.indices import Indexed, numbered, numbers
from graphc.memory.numbers import Instance, Position, ValueNumber
from graphc.memory.storage import Task, Value

__all__ = [
    "NEVER",
    "WHOLE",
    "Drops",
    "Problem",
    "Recipe",
    "Step",
    "TaskSchedule",
    "bytes_shared",
    "check_recipes",
    "rematerialise",
]  # fmt: skip

WHOLE = ValueNumber(-1)  # the part of a task that is all of it
NEVER = Position(1 << 62)
Number = TypeVar("Number", bound=int)
Drops = Mapping[ValueNumber, Sequence[Position]]


@dataclass(frozen=True)
class Recipe:
    """How to rematerialise values: by the task at position `task` as a whole, or by the `part` that makes one value.

    `cost` is in seconds.
    """

    task: Position
    part: ValueNumber
    reads: tuple[ValueNumber, ...]
    writes: tuple[ValueNumber, ...]
    cost: float
    in_place: tuple[tuple[ValueNumber, ValueNumber], ...] = ()


@dataclass(frozen=True)
class Problem:
    """`tasks` in their order; `costs` in seconds; `recipes` by value, the cheapest first.

    `forced` are drops that every schedule is to make.
    """

    values: Sequence[Value]
    tasks: Sequence[Task]
    costs: Sequence[float]
    recipes: Mapping[ValueNumber, Sequence[Recipe]]
    forced: Drops = field(default_factory=dict)

    @cached_property
    def sizes(self) -> Indexed[ValueNumber, int]:
        """The bytes of each value in the arena."""
        return tuple(0 if value.storage is not None else value.nbytes for value in self.values)

    @cached_property
    def makers(self) -> dict[ValueNumber, Position]:
        """The position of the first task that writes a value."""
        found: dict[ValueNumber, Position] = {}
        for position, task in numbered(Position, self.tasks):
            for value in task.writes:
                found.setdefault(value, position)
        return found

    @cached_property
    def readers(self) -> dict[ValueNumber, list[Position]]:
        """The positions of the tasks that read a value, in order."""
        found: dict[ValueNumber, list[Position]] = {}
        for position, task in numbered(Position, self.tasks):
            for value in dict.fromkeys(task.reads):
                found.setdefault(value, []).append(position)
        return found

    @cached_property
    def deadlines(self) -> dict[ValueNumber, Position]:
        """For values outside the arena, the position of the task that overwrites them."""
        holders: dict[str, list[ValueNumber]] = {}
        for number, value in numbered(ValueNumber, self.values):
            if value.storage is not None:
                holders.setdefault(value.storage, []).append(number)
        found: dict[ValueNumber, Position] = {}
        for held in holders.values():
            for number in held:
                others = (self.makers[n] for n in held if n != number and n in self.makers)
                first = min((at for at in others if at > self.makers.get(number, -1)), default=None)
                if first is not None:
                    found[number] = first
        return found

    def deadline(self, recipe: Recipe) -> Position:
        """The last position before which the recipe still finds what it reads from outside the arena."""
        return min((self.deadlines.get(value, NEVER) for value in recipe.reads), default=NEVER)


def check_recipes(problem: Problem) -> None:
    """Raises InternalError where to rematerialise a value might take that value, which would never end.

    Tasks read what earlier tasks write, and a part reads what its own task writes besides. Ends, as each round takes
    out at least one value or raises.
    """
    waits: dict[ValueNumber, set[ValueNumber]] = {}  # for values, what their own task writes and their parts read
    for value, recipes in problem.recipes.items():
        for recipe in recipes:
            later = [read for read in recipe.reads if problem.makers.get(read, -1) > recipe.task]
            if later:
                raise InternalError(f"rematerialisation: the recipe of value {value} reads {later}, made later")
            own = {read for read in recipe.reads if problem.makers.get(read, -1) == recipe.task}
            if own:
                waits.setdefault(value, set()).update(own)
    while waits:
        ready = [value for value, own in waits.items() if waits.keys().isdisjoint(own)]
        if not ready:
            raise InternalError(f"rematerialisation: values {sorted(waits)} are made again from one another")
        for value in ready:
            del waits[value]


@dataclass(frozen=True, slots=True)
class Step:
    """The task at a position, or a recipe for it, with what it reads and writes in numbers of the schedule's values."""

    task: Position
    recipe: Recipe | None
    reads: tuple[Instance, ...]
    writes: tuple[Instance, ...]
    in_place: tuple[tuple[Instance, Instance], ...]


@dataclass(frozen=True)
class TaskSchedule:
    """Steps in their order. `origin` is, for each value, the problem's value that it holds.

    `failed` are values that could not be rematerialised where they were needed, and so were kept.
    """

    problem: Problem
    steps: tuple[Step, ...]
    origin: tuple[ValueNumber, ...]
    failed: frozenset[ValueNumber] = field(default=frozenset())

    @cached_property
    def cost(self) -> float:
        """Seconds that rematerialisation takes."""
        return sum(step.recipe.cost for step in self.steps if step.recipe is not None)

    @cached_property
    def spans(self) -> tuple[Indexed[Instance, int], Indexed[Instance, int]]:
        """The steps that touch each value first and last; -1 for values that no step touches."""
        first, last = [-1] * len(self.origin), [-1] * len(self.origin)
        for number, step in enumerate(self.steps):
            for value in (*step.writes, *step.reads):
                if first[value] < 0:
                    first[value] = number
                last[value] = number
        return first, last

    @cached_property
    def live(self) -> list[int]:
        """The bytes of the arena that are alive in each step; what is written over what it replaces counts once."""
        sizes, (first, last) = [self.problem.sizes[origin] for origin in self.origin], self.spans
        change = [0] * (len(self.steps) + 1)
        for value, size in numbered(Instance, sizes):
            if first[value] >= 0:
                change[first[value]] += size
                change[last[value] + 1] -= size
        live = list(accumulate(change))[:-1]
        for number, step in enumerate(self.steps):
            pairs = [(a, b) for a, b in step.in_place if last[a] == number == first[b]]
            live[number] -= bytes_shared(pairs, sizes)
        return live

    @cached_property
    def peak(self) -> int:
        """The most bytes of the arena that are alive in a step."""
        return max(self.live, default=0)


def bytes_shared(pairs: Iterable[tuple[Number, Number]], sizes: Indexed[Number, int]) -> int:
    """The bytes that are spared where, of pairs (read, written), values are written over others of their size."""
    taken, filled = set[Number](), set[Number]()
    for read, written in pairs:
        if sizes[read] == sizes[written] and read not in taken and written not in filled:
            taken.add(read)
            filled.add(written)
    return sum(sizes[value] for value in filled)


def rematerialise(problem: Problem, drops: Drops) -> TaskSchedule:
    """The schedule in which values are kept no longer than `drops` allows."""
    return _Run(problem, drops).run()


class _Run:
    """The state of one run of `rematerialise`: which value stands for each of the problem's now, and since when."""

    def __init__(self, problem: Problem, drops: Drops) -> None:
        self.problem = problem
        self.drops = drops
        self.steps: list[Step] = []
        self.origin = [*numbers(ValueNumber, len(problem.values))]
        self.now = [*numbers(Instance, len(problem.values))]
        self.made = [Position(-1)] * len(problem.values)
        self.failed: set[ValueNumber] = set()

    def run(self) -> TaskSchedule:
        now, made, drops = self.now, self.made, self.drops
        for position, task in numbered(Position, self.problem.tasks):
            for value in task.reads:
                if value in drops and self._is_gone(value, position):
                    self._rematerialise(value, position)
            reads = tuple([now[value] for value in task.reads])
            for value in task.writes:
                made[value] = position
            pairs = tuple([(now[read], Instance(written)) for read, written in task.in_place])
            self.steps.append(Step(position, None, reads, tuple(map(Instance, task.writes)), pairs))
        return TaskSchedule(self.problem, tuple(self.steps), tuple(self.origin), frozenset(self.failed))

    def _is_gone(self, value: ValueNumber, position: Position) -> bool:
        """Whether the value was dropped since it was made last."""
        since, drops = self.made[value], self.drops.get(value, ())
        at = bisect_left(drops, since)
        return since >= 0 and at < len(drops) and drops[at] < position and value not in self.failed

    def _rematerialise(self, value: ValueNumber, position: Position) -> None:
        """Make `value` once more, and what it takes. Ends, as recipes read earlier values alone (`check_recipes`)."""
        pending = [value]
        while pending:
            wanted = pending[-1]
            if not self._is_gone(wanted, position):
                pending.pop()
                continue
            recipe = self._recipe(wanted, position)
            if recipe is None:
                self.failed.add(wanted)
                continue
            missing = [read for read in recipe.reads if self._is_gone(read, position)]
            if missing:
                pending += missing
            else:
                pending.pop()
                self._emit(recipe, position)

    def _recipe(self, value: ValueNumber, position: Position) -> Recipe | None:
        """The cheapest recipe that still can run; not a part that needs what its whole would make as well."""
        found = None
        for recipe in self.problem.recipes.get(value, ()):
            if self.problem.deadline(recipe) < position:
                continue
            twice = recipe.part != WHOLE and any(
                self.problem.makers.get(read) == recipe.task and self._is_gone(read, position) for read in recipe.reads
            )
            if not twice:
                return recipe
            found = found or recipe
        return found

    def _emit(self, recipe: Recipe, position: Position) -> None:
        reads = tuple([self.now[read] for read in recipe.reads])
        old = dict(zip(recipe.reads, reads, strict=True))
        writes = []
        for value in recipe.writes:
            new = Instance(ValueNumber(len(self.origin)))
            self.origin.append(value)
            writes.append(new)
            if self._is_gone(value, position):
                self.now[value], self.made[value] = new, position
        made = dict(zip(recipe.writes, writes, strict=True))
        names = old | made
        pairs = tuple([(names[read], names[written]) for read, written in recipe.in_place])
        self.steps.append(Step(recipe.task, recipe, reads, tuple(writes), pairs))
