"""`assemble`: groups become drafts of launches, and these a plan, with a place for every value.

A parameter's next value is written straight over the old one where nothing needs the old one any more, else it is
written beside it and copied by a last launch. A plan follows a schedule where some values are dropped and made again
(see `remake`), else the order that the drafts are given by `storage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphc.assembly.draft import Draft, draft_copy, sketch_group
from graphc.assembly.local import LOCAL, keep_local
from graphc.assembly.remake import Remaking, arranged, remaking
from graphc.assembly.values import Values
from graphc.backends.target import Target
from graphc.fusion.group import Group
from graphc.fusion.regions import Regions, regions_of
from graphc.fusion.results import result_base
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.memory.rematerialise import Schedule, replay
from graphc.memory.storage import Arrangement, Task, Value, arrange, plan_updates
from graphc.ops.tensor import Parameter
from graphc.plan.plan import Buffer, Launch, Plan, Ref
from graphc.plan.verify import verify

__all__ = ["Assembled", "Assembly", "assemble"]


@dataclass(frozen=True)
class Assembled:
    """A plan and what it is bound to: parameters and constants in the plan's order, and its kernels as text."""

    plan: Plan
    parameters: tuple[Parameter, ...]
    constants: tuple[np.ndarray, ...]
    source: str


@dataclass(frozen=True)
class Assembly:
    """The drafts of a program and what they need; `home` is, for each value, the one in whose storage it lives."""

    graph: Graph
    target: Target
    values: Values
    groups: Sequence[Group]
    drafts: Sequence[Draft]
    tasks: Sequence[Task]
    home: Sequence[int]
    regions: Regions | None

    @cached_property
    def remaking(self) -> Remaking:
        """What of this program can be computed again."""
        return remaking(self.drafts, self.groups, self.tasks, self.values, self.regions)

    def plan(self) -> Assembled:
        """The plan in which every value is computed once, but for what checkpointed regions drop."""
        if self.regions is not None:
            schedule = replay(self.remaking.problem, self.remaking.problem.forced)
            return self.repeating(schedule, arranged(schedule))
        return self._assembled(self.drafts, arrange(self.values.values, self.tasks), self.home, self.values)

    def repeating(self, schedule: Schedule, arrangement: Arrangement) -> Assembled:
        """The plan of a schedule, whose values lie as in `arrangement`."""
        values = self.values.copy()
        drafts = self.remaking.drafts_of(schedule, values, self.target)
        home = [*self.home, *range(len(self.home), len(values.values))]
        return self._assembled(drafts, arrangement, home, values)

    def _assembled(
        self, drafts: Sequence[Draft], arrangement: Arrangement, home: Sequence[int], values: Values
    ) -> Assembled:
        plan = _plan(self.graph, drafts, arrangement, home, values, self.target)
        if verifies():
            verify(plan)
        owners = values.owners
        parameters = tuple(p for p in values.parameters.values() if p in values.number)
        constants = tuple(o.attrs["value"].array for o in owners if o is not None and o.op == "constant")
        return Assembled(plan, parameters, constants, self.target.source)


def assemble(graph: Graph, groups: Sequence[Group], target: Target) -> Assembly:
    """The drafts of `graph`, whose work is cut into `groups`, in an order in which they can run."""
    values = Values(graph, groups)
    groups = [group for group in groups if any(node.size for node in group.members)]
    drafts = [sketch_group(group, values, target.threads).draft(target) for group in groups]
    wanted = {values.locate(result_base(result))[0] for result in graph.results}
    drafts, local = keep_local(drafts, values, wanted)
    tasks, drafts, home = _update(graph, drafts, values, target)
    for value in local:
        home[value] = LOCAL
    return Assembly(graph, target, values, groups, drafts, tasks, home, regions_of(graph))


def _update(
    graph: Graph, drafts: list[Draft], values: Values, target: Target
) -> tuple[list[Task], list[Draft], list[int]]:
    """Write next values over the old ones where possible, else copy them at the end.

    Answers with the tasks, the drafts, and for each value the one in whose storage it lives.
    """
    pairs = [(values.number[target], values.locate(result_base(value))[0]) for target, value in graph.updates]
    tasks, direct = plan_updates([Task(d.reads, d.writes, d.in_place) for d in drafts], pairs)
    readers: dict[int, list[int]] = {}
    for position, draft in enumerate(drafts):
        for value in draft.reads:
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
            copies.append(draft_copy(new, renewed, values, target))
            tasks.append(Task((new,), (renewed,), after=tuple(readers.get(old, ()))))
    return tasks, [*drafts, *copies], home


def _plan(
    graph: Graph, drafts: Sequence[Draft], arrangement: Arrangement, home: Sequence[int], values: Values, target: Target
) -> Plan:
    """The plan; a value that lives in another's storage, or is local (`home`), has no buffer of its own."""
    kept = [value for value in range(len(home)) if home[value] == value]
    programs = {number: position for position, number in enumerate(_programs(drafts))}
    written = target.programs
    number = {LOCAL: LOCAL, **{value: position for position, value in enumerate(kept)}}
    buffer = [number[home[value]] for value in range(len(home))]
    written_by = Counter(number for draft in drafts for number in {buffer[value] for value in draft.writes})
    shared = {number for number, launches in written_by.items() if launches > 1}
    owners = (values.owners[value] for value in kept)
    ops = [owner.op if owner is not None else "" for owner in owners]
    return Plan(
        tuple(_buffer(value, arrangement, values) for value in kept),
        tuple(
            _launch(drafts[n], arrangement.depends[at], programs, buffer, values, shared)
            for at, n in enumerate(arrangement.order)
        ),
        tuple(written[number] for number in programs),
        tuple(range(len(graph.inputs))), tuple(buffer[values.locate(result_base(r))[0]] for r in graph.outputs),
        tuple(number[values.number[p]] for p in values.parameters.values() if p in values.number),
        tuple(b for b, op in enumerate(ops) if op == "constant"),
        buffer[values.rng] if values.rng >= 0 else -1, arrangement.arena_bytes,
        max((draft.code.scratch for draft in drafts), default=0), arrangement.lower_bound,
        tuple(node.attrs["name"] for node in graph.inputs) + graph.names,
        tuple(
            number[values.number[p]] for p in values.parameters.values() if p in values.number and not p.trainable
        ),
    )  # fmt: skip


def _programs(drafts: Sequence[Draft]) -> list[int]:
    """The tile programs that the drafts run, in the order in which they were written."""
    return sorted({draft.code.program for draft in drafts if draft.code.program >= 0})


def _launch(
    draft: Draft,
    depends: tuple[int, ...],
    programs: Mapping[int, int],
    buffer: list[int],
    values: Values,
    shared: set[int],
) -> Launch:
    operands, program_operands = (
        tuple(_ref(value, offset, buffer, values) for value, offset in places)
        for places in (draft.operands, draft.program_operands)
    )
    reads, writes = (tuple(dict.fromkeys(buffer[v] for v in touched)) for touched in (draft.reads, draft.writes))
    in_place = tuple((buffer[r], buffer[w]) for r, w in draft.in_place if buffer[r] != buffer[w])
    code = draft.code
    return Launch(
        draft.label, code.kernel, code.params, operands, programs.get(code.program, -1), program_operands,
        reads, writes, code.tiles, code.scratch, code.work, draft.effort, depends, draft.location, in_place,
        draft.repeats, tuple(number for number in writes if number in shared),
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
