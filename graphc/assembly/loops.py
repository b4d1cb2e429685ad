"""Loops in a plan: the sketch of a loop, and the launches, buffers and slices that it comes to.

The body has a plan of its own, in which carried values are updated as a program updates its parameters: in place where
nothing needs the old value any more. Within the whole plan its arena is one piece of memory, in which the body's
buffers keep their places; its carried values are the results of the loop. What they start with is copied there first,
unless it lies there already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.assembly.records import Looping, Planned, Sketch
from graphc.assembly.values import Values
from graphc.backends.backend import Routine
from graphc.fusion.group import Group
from graphc.ir.indices import Indexed, numbered
from graphc.ir.node import Node
from graphc.memory.numbers import ValueNumber
from graphc.ops.primitives.loops import Looped
from graphc.plan.loops import roots
from graphc.plan.plan import Buffer, BufferNumber, Launch, LaunchNumber, Loop, Plan, Ref, Slice

__all__ = ["Inlined", "inlined", "sketch_loop", "starts_apart"]

Places = Mapping[BufferNumber, Ref]  # where buffers of the body's plan lie in the whole plan


def sketch_loop(node: Node, group: Group, values: Values, body: Planned) -> Sketch:
    """The sketch of the loop `node`, whose results `group` stores and whose body has the plan `body`."""
    looped = Looped(node)
    carried = len(looped.body.updates)
    _, places = values.operands(node)
    results = [(values.number[part], 0) for part in group.stores]
    room = ValueNumber(-1)
    if body.plan.arena_bytes:
        room = values.add_bytes(node.op, body.plan.arena_bytes)
    uses = Counter(value for value, _ in places)
    pairs = tuple(
        (value, result)
        for (value, offset), (result, _) in zip(places[:carried], results, strict=False)
        if offset == 0 and uses[value] == 1 and value not in values.pieces
    )
    operands = (*places[:carried], *results[:carried], *places[carried:], *results[carried:])
    looping = Looping(body, looped.count, carried, int(node.attrs["stacked"]), looped.is_reversed, room)
    writes = [value for value, _ in results] + ([room] if room >= 0 else [])
    return Sketch(
        node.op, Routine(None, None), operands, (), values.with_pieces(value for value, _ in places),
        tuple(writes), pairs, str(node.location or "").split("\n")[0], loop=looping,
    )  # fmt: skip


def starts_apart(sketch: Sketch, buffer: Indexed[ValueNumber, BufferNumber], values: Values) -> list[int]:
    """The carried values of a loop that must be copied from elsewhere, where values lie in these buffers."""
    assert sketch.loop is not None
    starts, carried, *_ = sketch.loop.divided(sketch.operands)
    pairs = enumerate(zip(starts, carried, strict=True))
    return [i for i, ((a, _), (b, _)) in pairs if buffer[a] != buffer[b] and values.values[b].nbytes]


@dataclass(frozen=True)
class Inlined:
    """What a loop adds to a plan."""

    buffers: list[Buffer]
    launches: list[Launch]
    loops: list[Loop]
    constants: list[BufferNumber]


def inlined(sketch: Sketch, places: Sequence[Ref], room: int, buffers: BufferNumber, first: LaunchNumber) -> Inlined:
    """The launches of a loop from number `first` on, and its own buffers, from number `buffers` on.

    `places` say where the operands of the sketch lie, `room` where in the arena that of the body does.
    """
    assert sketch.loop is not None
    body = sketch.loop.body.plan
    if not body.launches:
        return Inlined([], [], [], [])
    _, carried, stacks, fixed, outputs = sketch.loop.divided(places)
    place = dict(zip(body.inputs, (*carried, *stacks, *fixed), strict=True))
    place |= dict(zip(body.outputs, outputs, strict=True))
    moving = {*body.inputs[len(carried) : len(carried) + len(stacks)], *body.outputs}
    added: list[Buffer] = []
    slices: list[Slice] = []
    for number, buffer in numbered(BufferNumber, body.buffers):
        new = BufferNumber(buffers + len(added))
        if number in moving:
            slices.append(_slice(new, place[number], buffer.nbytes, sketch.loop))
        elif number in place:
            continue
        place[number] = Ref(new)
        added.append(_moved(buffer, number in moving, room, first))
    own = Loop(
        first, LaunchNumber(first + len(body.launches)), sketch.loop.count, tuple(slices), sketch.label, sketch.location
    )
    root = _roots(body, place, slices)
    launches = [_launch(launch, body, place, root, first) for launch in body.launches]
    inner = [_inner(loop, place, first) for loop in body.loops]
    return Inlined(added, launches, [own, *inner], [place[number].buffer for number in body.constants])


def _slice(number: BufferNumber, stack: Ref, nbytes: int, loop: Looping) -> Slice:
    last = nbytes * (loop.count - 1)
    return Slice(number, stack.buffer, stack.offset + last * loop.is_reversed, -nbytes if loop.is_reversed else nbytes)


def _later(launch: LaunchNumber, first: LaunchNumber) -> LaunchNumber:
    """The number of a launch of the body, whose own launches start from `first` on in the whole plan."""
    return LaunchNumber(first + launch)


def _moved(buffer: Buffer, is_slice: bool, room: int, first: LaunchNumber) -> Buffer:
    """A buffer of the body's plan as one of the whole plan."""
    if buffer.space == "arena":
        born, dies = _later(buffer.first, first), _later(buffer.last, first)
        return replace(buffer, offset=room + buffer.offset, first=born, last=dies)
    return replace(buffer, space="slice", first=LaunchNumber(0), last=LaunchNumber(0)) if is_slice else buffer


def _roots(body: Plan, place: Places, slices: Sequence[Slice]) -> list[BufferNumber]:
    """For each buffer of the body's plan the buffer of the whole plan whose bytes it is."""
    stacks = {part.buffer: part.of for part in slices}
    return [stacks.get(place[number].buffer, place[number].buffer) for number in roots(body)]


def _launch(
    launch: Launch, body: Plan, place: Places, root: Indexed[BufferNumber, BufferNumber], first: LaunchNumber
) -> Launch:
    operands, program_operands = (
        tuple(ref if ref.buffer < 0 else _ref(ref, place) for ref in refs)
        for refs in (launch.operands, launch.program_operands)
    )
    reads, writes, shares = (
        tuple(dict.fromkeys(root[number] for number in touched))
        for touched in (launch.reads, launch.writes, launch.shares)
    )
    pairs = [pair for pair in launch.in_place if all(body.buffers[number].space == "arena" for number in pair)]
    return replace(
        launch, operands=operands, program_operands=program_operands, reads=reads, writes=writes, shares=shares,
        depends=tuple(_later(number, first) for number in launch.depends),
        in_place=tuple((root[read], root[written]) for read, written in pairs),
        rematerialises=_later(launch.rematerialises, first) if launch.rematerialises >= 0 else launch.rematerialises,
    )  # fmt: skip


def _ref(ref: Ref, place: Places) -> Ref:
    return Ref(place[ref.buffer].buffer, place[ref.buffer].offset + ref.offset)


def _inner(loop: Loop, place: Places, first: LaunchNumber) -> Loop:
    """A loop within the body as one of the whole plan."""
    slices = tuple(
        Slice(place[part.buffer].buffer, place[part.of].buffer, place[part.of].offset + part.offset, part.step)
        for part in loop.slices
    )
    return replace(loop, first=_later(loop.first, first), last=_later(loop.last, first), slices=slices)
