"""From sketches and their arrangement to a plan: buffers, launches and loops, without code.

A sketch is one launch, but for loops: these are as many as their body has, and those that copy what carried values
start with. So the positions in which the arrangement counts become numbers of launches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from graphc.assembly.loops import inlined, starts_apart
from graphc.assembly.records import LOCAL, Planned, Sketch
from graphc.assembly.sketch import sketch_copy
from graphc.assembly.values import Values
from graphc.backends.backend import Writer
from graphc.fusion.results import result_base
from graphc.ir.graph import Graph
from graphc.ir.indices import Indexed, numbered, numbers
from graphc.memory.numbers import Position, ValueNumber
from graphc.memory.storage import Arrangement, Lifetime
from graphc.plan.plan import NO_PROGRAM, REGISTERS, SCRATCH, Buffer, BufferNumber, Launch, LaunchNumber, Loop, Plan, Ref

__all__ = ["linked"]

Launches = tuple[LaunchNumber, ...]
ALIGNMENT = 64  # bytes, of what lies in scratch memory behind a kernel's own


def linked(
    graph: Graph,
    sketches: Sequence[Sketch],
    arrangement: Arrangement,
    home: Sequence[ValueNumber],
    values: Values,
    writer: Writer,
) -> Planned:
    """The plan; a value that lives in another's storage, or is local (`home`), has no buffer of its own."""
    linker = _Linker([sketches[number] for number in arrangement.order], arrangement, home, values, writer)
    linker.link()
    constants = [o.attrs["value"].array for o in values.owners if o is not None and o.op == "constant"]
    parameters = tuple(p for p in values.parameters.values() if p in values.number)
    return Planned(_plan(graph, linker, values), tuple(linker.flat), parameters, (*constants, *linker.held))


def _plan(graph: Graph, linker: _Linker, values: Values) -> Plan:
    buffer, launches = linker.buffer, tuple(linker.launches)
    owners = numbered(BufferNumber, (values.owners[value] for value in linker.kept))
    parameters = [p for p in values.parameters.values() if p in values.number]
    return Plan(
        tuple(linker.buffers),
        launches,
        (),
        tuple(numbers(BufferNumber, len(graph.inputs))),
        tuple(buffer[values.locate(result_base(r))[0]] for r in graph.outputs),
        tuple(buffer[values.number[p]] for p in parameters),
        (*(b for b, owner in owners if owner is not None and owner.op == "constant"), *linker.constants),
        buffer[values.rng] if values.rng >= 0 else BufferNumber(-1), linker.arrangement.arena_bytes,
        max((launch.scratch for launch in launches), default=0), linker.arrangement.lower_bound,
        tuple(node.attrs["name"] for node in graph.inputs) + graph.names,
        tuple(buffer[values.number[p]] for p in parameters if not p.trainable),
        loops=tuple(linker.loops), alignment=linker.arrangement.alignment,
    )  # fmt: skip


class _Linker:
    """The plan as it grows. `sketches` are in the arrangement's order; `flat` has one for each launch."""

    def __init__(
        self,
        sketches: Sequence[Sketch],
        arrangement: Arrangement,
        home: Sequence[ValueNumber],
        values: Values,
        writer: Writer,
    ) -> None:
        self.sketches, self.arrangement, self.values, self.writer = sketches, arrangement, values, writer
        self.home, self.lifetimes = _merged(sketches, arrangement, home, values)
        rooms = {sketch.loop.room for sketch in sketches if sketch.loop}  # in which buffers of bodies lie
        every = numbers(ValueNumber, len(home))
        self.kept = [value for value in every if self.home[value] == value and value not in rooms]
        number = {LOCAL: SCRATCH, **{value: buffer for buffer, value in numbered(BufferNumber, self.kept)}}
        self.buffer: Indexed[ValueNumber, BufferNumber] = [
            SCRATCH if value in rooms else number[self.home[value]] for value in every
        ]
        written_by = Counter(number for s in sketches for number in {self.buffer[value] for value in s.writes})
        self.shared = {number for number, launches in written_by.items() if launches > 1}
        self.first: Indexed[Position, LaunchNumber] = []  # the first launch of each sketch
        self.inside: dict[Position, LaunchNumber] = {}  # of loops the first launch of the body
        self.ends: list[Launches] = []  # the launches of each sketch for which those behind it wait
        self.buffers: list[Buffer] = []
        self.launches: list[Launch] = []
        self.loops: list[Loop] = []
        self.flat: list[Sketch] = []
        self.constants: list[BufferNumber] = []  # buffers of constants that bodies have
        self.held: list[np.ndarray] = []  # and these

    def link(self) -> None:
        sizes = [self._size(sketch) for sketch in self.sketches]
        self.first = [LaunchNumber(before) for before in accumulate(sizes, initial=0)]
        self.buffers = [self._buffer(value, sizes) for value in self.kept]
        for at, sketch in numbered(Position, self.sketches):
            waits = tuple(sorted({end for before in self.arrangement.depends[at] for end in self.ends[before]}))
            self.ends.append(self._link_loop(sketch, waits) if sketch.loop else self._link_launch(sketch, waits))

    def _size(self, sketch: Sketch) -> int:
        if sketch.loop is None:
            return 1
        return len(starts_apart(sketch, self.buffer, self.values)) + len(sketch.loop.body.plan.launches)

    def _link_launch(self, sketch: Sketch, waits: Launches) -> Launches:
        self.flat.append(sketch)
        self.launches.append(self._launch(sketch, waits))
        return (LaunchNumber(len(self.launches) - 1),)

    def _link_loop(self, sketch: Sketch, waits: Launches) -> Launches:
        """The copies of what a loop starts with, then the launches of its body."""
        assert sketch.loop is not None
        starts, carried, *_ = sketch.loop.divided(sketch.operands)
        earlier, apart = sketch.rematerialises, starts_apart(sketch, self.buffer, self.values)
        copies = [sketch_copy(starts[i], carried[i], self.values) for i in apart]
        before = [end for copy in copies for end in self._link_launch(replace(copy, rematerialises=earlier), waits)]
        waits, first = tuple(before) or waits, LaunchNumber(len(self.launches))
        places = [self._ref(*place) for place in sketch.operands]
        room = (self.arrangement.offsets[sketch.loop.room] or 0) if sketch.loop.room >= 0 else 0
        found = inlined(sketch, places, room, BufferNumber(len(self.buffers)), first)
        self.inside[Position(len(self.ends))] = first
        for at, launch in enumerate(found.launches):
            entry = launch if any(number >= first for number in launch.depends) else replace(launch, depends=waits)
            known = launch.rematerialises if earlier is None else LaunchNumber(self.inside[earlier] + at)
            self.launches.append(replace(entry, rematerialises=known))
        self.buffers += found.buffers
        self.loops += found.loops
        self.flat += sketch.loop.body.sketches
        self.constants += found.constants
        self.held += sketch.loop.body.constants if found.launches else ()
        needed = {number for launch in found.launches for number in launch.depends}
        own = numbers(LaunchNumber, len(self.launches))[first:]
        return tuple(number for number in own if number not in needed) or waits

    def _launch(self, sketch: Sketch, depends: Launches) -> Launch:
        footprint, buffer = self.writer.measure(sketch.routine), self.buffer
        scratch, start = footprint.scratch, -(-footprint.scratch // ALIGNMENT) * ALIGNMENT
        local = Ref(REGISTERS) if sketch.routine.in_registers else Ref(SCRATCH, start)
        if sketch.is_local and not sketch.routine.in_registers:
            scratch = start + sketch.routine.result_bytes
        operands, program_operands = (
            tuple(local if value == LOCAL else self._ref(value, offset) for value, offset in places)
            for places in (sketch.operands, sketch.program_operands)
        )
        reads, writes = (tuple(dict.fromkeys(buffer[v] for v in touched)) for touched in (sketch.reads, sketch.writes))
        in_place = tuple((buffer[r], buffer[w]) for r, w in sketch.in_place if buffer[r] != buffer[w])
        return Launch(
            sketch.label, "", (), operands, NO_PROGRAM, program_operands, reads, writes, footprint.tiles, scratch,
            footprint.work, sketch.routine.effort, depends, sketch.location, in_place,
            LaunchNumber(-1) if sketch.rematerialises is None else self.first[sketch.rematerialises],
            tuple(number for number in writes if number in self.shared),
        )  # fmt: skip

    def _ref(self, value: ValueNumber, offset: int) -> Ref:
        return Ref(self.buffer[value], self.values.place(value, offset)[1])

    def _buffer(self, value: ValueNumber, sizes: Indexed[Position, int]) -> Buffer:
        values, storage = self.values, self.values.values[value].storage
        space = storage.split(" ")[0] if storage else "arena"
        type, owner = values.types[value], values.owners[value]
        born, dies = self.lifetimes[value]
        first, last = LaunchNumber(0), LaunchNumber(0)
        location = str(owner.location).split("\n")[0] if owner is not None and owner.location else ""
        if space == "arena" and sizes:
            first = self.first[born]
            last = LaunchNumber(max(self.first[dies] + sizes[dies] - 1, first))
        return Buffer(
            values.names[value], type.dtype.name, type.shape, type.nbytes, space, self.arrangement.offsets[value] or 0,
            first, last, location,
        )  # fmt: skip


def _merged(
    sketches: Sequence[Sketch], arrangement: Arrangement, home: Sequence[ValueNumber], values: Values
) -> tuple[list[ValueNumber], list[Lifetime]]:
    """Homes and lifetimes, where a loop's carried value that starts in the place of another one is the same buffer."""
    homes, lifetimes = list(home), list(arrangement.lifetimes)
    for at, sketch in enumerate(sketches):
        for start, carried in sketch.in_place if sketch.loop else ():
            in_arena = values.values[start].storage is values.values[carried].storage is None
            together = arrangement.offsets[start] == arrangement.offsets[carried] and lifetimes[start][1] == at
            if in_arena and together and homes[carried] == carried:
                homes = [homes[start] if home == carried else home for home in homes]
                lifetimes[homes[start]] = lifetimes[homes[start]][0], lifetimes[carried][1]
    return homes, lifetimes
