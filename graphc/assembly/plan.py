"""`sketch_program`: groups become sketches of launches; and these a plan, with a place for every value, without code.

A parameter's next value is written straight over the old one where nothing needs the old one any more, else it is
written beside it and copied by a last launch. A plan follows a schedule where some values are dropped (see
`rematerialise`), else the order that the sketches are given by `storage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from graphc.assembly.linking import linked
from graphc.assembly.local import keep_local
from graphc.assembly.loops import sketch_loop
from graphc.assembly.records import LOCAL, Planned, Sketch
from graphc.assembly.rematerialise import Rematerialisable, arranged, rematerialisable
from graphc.assembly.sketch import sketch_copy, sketch_group
from graphc.assembly.values import Values
from graphc.backends.backend import Planning, Writer
from graphc.fusion.fuse import fuse
from graphc.fusion.group import Group
from graphc.fusion.regions import Regions, regions_of
from graphc.fusion.results import result_base
from graphc.fusion.verify import checked
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.ir.indices import numbered, numbers
from graphc.memory.numbers import TaskNumber, ValueNumber
from graphc.memory.rematerialise import TaskSchedule, rematerialise
from graphc.memory.storage import Arrangement, Task, Value, arrange, plan_updates
from graphc.ops.primitives.loops import Looped
from graphc.ops.record import Kind, op_of
from graphc.plan.verify import verify

__all__ = ["SketchedProgram", "sketch_program"]


@dataclass(frozen=True)
class SketchedProgram:
    """The sketches of a program, or of a loop's body, and what they need.

    `home` is, for each value, the one in whose storage it lives. The plan of a body is no program: it writes inputs.
    """

    graph: Graph
    planning: Planning
    threads: int
    writer: Writer
    values: Values
    groups: Sequence[Group]
    sketches: Sequence[Sketch]
    tasks: Sequence[Task]
    home: Sequence[ValueNumber]
    regions: Regions | None
    is_body: bool = False

    @cached_property
    def rematerialisable(self) -> Rematerialisable:
        """What of this program can be rematerialised."""
        return rematerialisable(
            self.sketches, self.groups, self.tasks, self.values, self.planning.lowering, self.regions
        )

    def plan(self) -> Planned:
        """The plan in which every value is computed once, but for what checkpointed regions drop."""
        if self.regions is not None:
            problem = self.rematerialisable.problem
            schedule = rematerialise(problem, problem.forced)
            return self.rematerialising(schedule)
        arrangement = arrange(self.values.values, self.tasks, alignment=self.planning.alignment)
        return self._planned(self.sketches, arrangement, self.home, self.values)

    def rematerialising(self, schedule: TaskSchedule) -> Planned:
        """The plan of a schedule."""
        arrangement = arranged(schedule, self.planning.alignment)
        values = self.values.copy()
        sketches = self.rematerialisable.sketches_of(schedule, values, self.planning.lowering, self.threads)
        home = [*self.home, *numbers(ValueNumber, len(values.values))[len(self.home) :]]
        return self._planned(sketches, arrangement, home, values)

    def _planned(
        self, sketches: Sequence[Sketch], arrangement: Arrangement, home: Sequence[ValueNumber], values: Values
    ) -> Planned:
        planned = linked(self.graph, sketches, arrangement, home, values, self.writer)
        if verifies() and not self.is_body:
            verify(planned.plan)
        return planned


def sketch_program(
    graph: Graph, groups: Sequence[Group], planning: Planning, threads: int, around: Writer | None = None
) -> SketchedProgram:
    """The sketches of `graph`, whose work is cut into `groups`, in an order in which they can run.

    Of a loop's body `around` is the writer of the program around it.
    """
    values, writer = Values(graph, groups), around or planning.writer()
    groups = [group for group in groups if any(node.elements for node in group.members)]
    sketches = [_sketch(group, values, planning, threads, writer) for group in groups]
    wanted = {values.locate(result_base(result))[0] for result in graph.results}
    sketches, local = keep_local(sketches, values, wanted)
    tasks, sketches, home = _update(graph, sketches, values)
    for value in local:
        home[value] = LOCAL
    numbered = [replace(sketch, number=number) for number, sketch in enumerate(sketches)]
    regions = regions_of(graph)
    return SketchedProgram(
        graph, planning, threads, writer, values, groups, numbered, tasks, home, regions, around is not None
    )  # fmt: skip


def _sketch(group: Group, values: Values, planning: Planning, threads: int, writer: Writer) -> Sketch:
    """The sketch of a group: of a loop, once its body is planned, which one thread runs."""
    node = group.library
    if node is None or op_of(node).kind is not Kind.LOOP:
        return sketch_group(group, values, planning.lowering, threads)
    body = Looped(node).body
    return sketch_loop(node, group, values, sketch_program(body, checked(body, fuse(body)), planning, 1, writer).plan())


def _update(graph: Graph, sketches: list[Sketch], values: Values) -> tuple[list[Task], list[Sketch], list[ValueNumber]]:
    """Write next values over the old ones where possible, else copy them at the end.

    Answers with the tasks, the sketches, and for each value the one in whose storage it lives.
    """
    pairs = [(values.number[target], values.locate(result_base(value))[0]) for target, value in graph.updates]
    tasks, direct = plan_updates([Task(d.reads, d.writes, d.in_place) for d in sketches], pairs)
    readers: dict[ValueNumber, list[TaskNumber]] = {}
    for number, sketch in numbered(TaskNumber, sketches):
        for value in sketch.reads:
            readers.setdefault(value, []).append(number)
    home = [record.inside[0] if record.inside else value for value, record in numbered(ValueNumber, values.values)]
    copies = []
    for old, new in pairs:
        if new in direct or not values.values[old].nbytes:
            home[new] = old
            values.values[new] = Value(values.values[new].nbytes, values.values[old].storage)
        else:
            renewed = values.add(None, values.names[old], values.types[old], values.values[old].storage)
            home.append(old)
            copies.append(sketch_copy((new, 0), (renewed, 0), values))
            tasks.append(Task((new,), (renewed,), after=tuple(readers.get(old, ()))))
    return tasks, [*sketches, *copies], home
