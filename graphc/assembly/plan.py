"""`sketch_program`: groups become sketches of launches; and these a plan, with a place for every value, without code.

A parameter's next value is written straight over the old one where nothing needs the old one any more, else it is
written beside it and copied by a last launch. A plan follows a schedule where some values are dropped and made again
(see `rematerialise`), else the order that the sketches are given by `storage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from graphc.assembly.local import keep_local
from graphc.assembly.rematerialise import Rematerialisation, arranged, rematerialisation
from graphc.assembly.sketch import LOCAL, Sketch, sketch_copy, sketch_group
from graphc.assembly.values import Values
from graphc.backends.backend import Planning, Writer
from graphc.fusion.group import Group
from graphc.fusion.regions import Regions, regions_of
from graphc.fusion.results import result_base
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.memory.rematerialise import TaskSchedule, replay
from graphc.memory.storage import Arrangement, Task, Value, arrange, plan_updates
from graphc.ops.parameter import Parameter
from graphc.plan.plan import Buffer, Launch, Plan, Ref
from graphc.plan.verify import verify

__all__ = ["Planned", "SketchedProgram", "sketch_program"]

ALIGNMENT = 64  # bytes, of what lies in scratch memory behind a kernel's own


@dataclass(frozen=True)
class Planned:
    """A plan whose launches name no code yet, the sketch of each, and what the plan is bound to, in its order."""

    plan: Plan
    sketches: tuple[Sketch, ...]
    parameters: tuple[Parameter, ...]
    constants: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class SketchedProgram:
    """The sketches of a program and what they need; `home` is, for each value, the one in whose storage it lives."""

    graph: Graph
    planning: Planning
    threads: int
    writer: Writer
    values: Values
    groups: Sequence[Group]
    sketches: Sequence[Sketch]
    tasks: Sequence[Task]
    home: Sequence[int]
    regions: Regions | None

    @cached_property
    def rematerialisation(self) -> Rematerialisation:
        """What of this program can be computed again."""
        return rematerialisation(
            self.sketches, self.groups, self.tasks, self.values, self.planning.lowering, self.regions
        )

    def plan(self) -> Planned:
        """The plan in which every value is computed once, but for what checkpointed regions drop."""
        if self.regions is not None:
            problem = self.rematerialisation.problem
            schedule = replay(problem, problem.forced)
            return self.repeating(schedule, arranged(schedule))
        return self._planned(self.sketches, arrange(self.values.values, self.tasks), self.home, self.values)

    def repeating(self, schedule: TaskSchedule, arrangement: Arrangement) -> Planned:
        """The plan of a schedule, whose values lie as in `arrangement`."""
        values = self.values.copy()
        sketches = self.rematerialisation.sketches_of(schedule, values, self.planning.lowering, self.threads)
        home = [*self.home, *range(len(self.home), len(values.values))]
        return self._planned(sketches, arrangement, home, values)

    def _planned(
        self, sketches: Sequence[Sketch], arrangement: Arrangement, home: Sequence[int], values: Values
    ) -> Planned:
        plan = _plan(self.graph, sketches, arrangement, home, values, self.writer)
        if verifies():
            verify(plan)
        owners = values.owners
        parameters = tuple(p for p in values.parameters.values() if p in values.number)
        constants = tuple(o.attrs["value"].array for o in owners if o is not None and o.op == "constant")
        return Planned(plan, tuple(sketches[n] for n in arrangement.order), parameters, constants)


def sketch_program(graph: Graph, groups: Sequence[Group], planning: Planning, threads: int) -> SketchedProgram:
    """The sketches of `graph`, whose work is cut into `groups`, in an order in which they can run."""
    values = Values(graph, groups)
    groups = [group for group in groups if any(node.elements for node in group.members)]
    sketches = [sketch_group(group, values, planning.lowering, threads) for group in groups]
    wanted = {values.locate(result_base(result))[0] for result in graph.results}
    sketches, local = keep_local(sketches, values, wanted)
    tasks, sketches, home = _update(graph, sketches, values)
    for value in local:
        home[value] = LOCAL
    numbered = [replace(sketch, number=number) for number, sketch in enumerate(sketches)]
    regions = regions_of(graph)
    return SketchedProgram(
        graph, planning, threads, planning.writer(), values, groups, numbered, tasks, home, regions
    )  # fmt: skip


def _update(graph: Graph, sketches: list[Sketch], values: Values) -> tuple[list[Task], list[Sketch], list[int]]:
    """Write next values over the old ones where possible, else copy them at the end.

    Answers with the tasks, the sketches, and for each value the one in whose storage it lives.
    """
    pairs = [(values.number[target], values.locate(result_base(value))[0]) for target, value in graph.updates]
    tasks, direct = plan_updates([Task(d.reads, d.writes, d.in_place) for d in sketches], pairs)
    readers: dict[int, list[int]] = {}
    for position, sketch in enumerate(sketches):
        for value in sketch.reads:
            readers.setdefault(value, []).append(position)
    home = [value.inside[0] if value.inside else number for number, value in enumerate(values.values)]
    copies = []
    for old, new in pairs:
        if new in direct or not values.values[old].nbytes:
            home[new] = old
            values.values[new] = Value(values.values[new].nbytes, values.values[old].storage)
        else:
            renewed = values.add(None, values.names[old], values.types[old], values.values[old].storage)
            home.append(old)
            copies.append(sketch_copy(new, renewed, values))
            tasks.append(Task((new,), (renewed,), after=tuple(readers.get(old, ()))))
    return tasks, [*sketches, *copies], home


def _plan(
    graph: Graph,
    sketches: Sequence[Sketch],
    arrangement: Arrangement,
    home: Sequence[int],
    values: Values,
    writer: Writer,
) -> Plan:
    """The plan; a value that lives in another's storage, or is local (`home`), has no buffer of its own."""
    kept = [value for value in range(len(home)) if home[value] == value]
    number = {LOCAL: LOCAL, **{value: position for position, value in enumerate(kept)}}
    buffer = [number[home[value]] for value in range(len(home))]
    written_by = Counter(number for sketch in sketches for number in {buffer[value] for value in sketch.writes})
    shared = {number for number, launches in written_by.items() if launches > 1}
    owners = (values.owners[value] for value in kept)
    ops = [owner.op if owner is not None else "" for owner in owners]
    launches = tuple(
        _launch(sketches[n], arrangement.depends[at], buffer, values, shared, writer)
        for at, n in enumerate(arrangement.order)
    )
    return Plan(
        tuple(_buffer(value, arrangement, values) for value in kept),
        launches,
        (),
        tuple(range(len(graph.inputs))), tuple(buffer[values.locate(result_base(r))[0]] for r in graph.outputs),
        tuple(number[values.number[p]] for p in values.parameters.values() if p in values.number),
        tuple(b for b, op in enumerate(ops) if op == "constant"),
        buffer[values.rng] if values.rng >= 0 else -1, arrangement.arena_bytes,
        max((launch.scratch for launch in launches), default=0), arrangement.lower_bound,
        tuple(node.attrs["name"] for node in graph.inputs) + graph.names,
        tuple(
            number[values.number[p]] for p in values.parameters.values() if p in values.number and not p.trainable
        ),
    )  # fmt: skip


def _launch(
    sketch: Sketch, depends: tuple[int, ...], buffer: list[int], values: Values, shared: set[int], writer: Writer
) -> Launch:
    footprint = writer.measure(sketch.routine)
    scratch, start = footprint.scratch, -(-footprint.scratch // ALIGNMENT) * ALIGNMENT
    if sketch.is_local:
        scratch = start + sketch.routine.result_bytes
    operands, program_operands = (
        tuple(_ref(value, start if value == LOCAL else offset, buffer, values) for value, offset in places)
        for places in (sketch.operands, sketch.program_operands)
    )
    reads, writes = (tuple(dict.fromkeys(buffer[v] for v in touched)) for touched in (sketch.reads, sketch.writes))
    in_place = tuple((buffer[r], buffer[w]) for r, w in sketch.in_place if buffer[r] != buffer[w])
    return Launch(
        sketch.label, "", (), operands, -1, program_operands, reads, writes, footprint.tiles, scratch, footprint.work,
        sketch.routine.effort, depends, sketch.location, in_place, sketch.repeats,
        tuple(number for number in writes if number in shared),
    )  # fmt: skip


def _ref(value: int, offset: int, buffer: list[int], values: Values) -> Ref:
    return Ref(LOCAL, offset) if value == LOCAL else Ref(buffer[value], values.place(value, offset)[1])


def _buffer(value: int, arrangement: Arrangement, values: Values) -> Buffer:
    storage = values.values[value].storage
    space = storage.split(" ")[0] if storage else "arena"
    type, owner = values.types[value], values.owners[value]
    first, last = arrangement.lifetimes[value]
    location = str(owner.location).split("\n")[0] if owner is not None and owner.location else ""
    return Buffer(
        values.names[value], type.dtype.name, type.shape, type.nbytes, space, arrangement.offsets[value] or 0, first,
        last, location,
    )  # fmt: skip
