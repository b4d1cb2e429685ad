"""Where values lie in scratch memory, and how large a tile is.

Values share slots by liveness: a slot holds values of one level and size, a value may take the slot of an argument that
dies with it. The tile is then made as large as keeps the slots in the first-level cache, with regard to shapes alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from graphc.backends.tile.selection import Selection
from graphc.backends.tile.words import Instruction, Segment, TileValue
from graphc.kernel.nest import FULL, ONE, ROW, Nest, NestIndex

__all__ = [
    "STRIP",
    "Slots",
    "Steps",
    "assign_slots",
    "chunk_steps",
    "flat_steps",
    "instructions_of",
    "places",
    "resident_steps",
    "tile_bytes",
]

ALIGNMENT = 64
CACHE = 24 * 1024  # bytes that the values of a tile may take, so that they stay in the first-level cache
SECOND_CACHE = 256 * 1024  # the same for a tile that must hold a whole row
MOST = 8192  # elements of a tile
STRIP = 16  # least inner positions of a tile, a cache line of float32
BLOCK = 64  # columns of a block where an operand is transposed

Steps = tuple[int, int, int]
_NOT_IN_PLACE = ("load", "load_over", "repeat", "iota", "random")


@dataclass(frozen=True)
class Slots:
    """`of[value]` is the value's slot, -1 for constants; `kinds[slot]`: (is operand memory, level, element bytes)."""

    of: tuple[int, ...]
    kinds: tuple[tuple[bool, int, int], ...]


def assign_slots(nest: Nest, selection: Selection) -> Slots:
    """Slots by liveness. Values of the first segment live for good, as do a loop's outer values until it ends."""
    values, last = selection.values, _last_uses(selection)
    of = [-1] * len(values)
    kinds: list[tuple[bool, int, int]] = []
    free: dict[tuple[bool, int, int], list[int]] = defaultdict(list)
    position = 0
    for segment in selection.segments:
        for x in segment.instructions:
            dying = [value for value in set(x.reads) if last.get(value) == position and of[value] >= 0]
            target = x.target
            if target >= 0 and of[target] < 0:
                kind = (x.op == "load" and is_dense(nest, x.access), values[target].level, values[target].size)
                shared = _shared(x, dying, kind, [kinds[of[value]] for value in dying])
                if shared >= 0:
                    of[target] = of[shared]
                    dying.remove(shared)
                elif free[kind]:
                    of[target] = free[kind].pop()
                else:
                    of[target] = len(kinds)
                    kinds.append(kind)
                if target not in last:  # never read
                    dying.append(target)
            for value in dying:
                free[kinds[of[value]]].append(of[value])
            position += 1
    return Slots(tuple(of), tuple(kinds))


def _shared(x: Instruction, dying: list[int], kind: tuple[bool, int, int], kinds: list[tuple[bool, int, int]]) -> int:
    """An argument that dies here and whose slot the target may take: of the instruction's level, element by element."""
    if x.op in _NOT_IN_PLACE or x.op.endswith(("_start", "_step", "_finish")):
        return x.a if x.op == "load_over" and x.a in dying and kind in kinds else -1
    for value, found in zip(dying, kinds, strict=True):
        if found == kind:
            return value
    return -1


def _last_uses(selection: Selection) -> dict[int, int]:
    """The position of the last instruction that needs each value that is read."""
    last: dict[int, int] = {}
    made: dict[int, int] = {}
    position = 0
    end = sum(len(segment.instructions) for segment in selection.segments)
    for number, segment in enumerate(selection.segments):
        close = position + len(segment.instructions) - 1
        for x in segment.instructions:
            if x.target >= 0:
                made.setdefault(x.target, number)
                if number == 0:
                    last[x.target] = end
            for value in x.reads:
                outlives = segment.looped and made.get(value, number) < number
                last[value] = max(last.get(value, 0), close if outlives else position)
            position += 1
    return last


def is_dense(nest: Nest, access: NestIndex | None) -> bool:
    """Whether a tile of the access usually is the operand's memory itself: unguarded, the innermost part dense."""
    if access is None or access.is_guarded:
        return False
    if access.level == ONE:
        return True
    inner = [part for part, extent in zip(access.parts, nest.extents, strict=True) if extent > 1 or part]
    if nest.is_flat:
        inner = [access.parts[2]]
    if access.level == ROW and not nest.is_flat:
        inner = [
            part
            for part, extent in zip((access.parts[0], access.parts[2]), (nest.extents[0], nest.extents[2]), strict=True)
            if extent > 1
        ]
    return all(len(part) == 1 for part in inner) and bool(inner) and inner[-1][0].stride == 1


# Tile sizes ----------------------------------------------------------------------------------------------------------
def tile_bytes(slots: Slots, selection: Selection) -> int:
    """Bytes that one full element takes: its slots, and the operands that stream by."""
    held = sum(size for is_memory, level, size in slots.kinds if level == FULL and not is_memory)
    streams = {
        (x.access.operand, x.access.size)
        for segment in selection.segments
        for x in segment.instructions
        if x.access is not None and x.access.level == FULL and x.op in ("load", "bind", "store")
    }
    return max(1, held + sum(size for _, size in streams))


def flat_steps(nest: Nest, selection: Selection, width: int) -> tuple[Steps, int]:
    """The tile of a flat nest, and the length of a row if it is a block of rows and columns. `width` in bytes."""
    room = max(256, min(MOST, CACHE // width))
    row = _block_row(nest, selection)
    if row:
        columns = min(row, BLOCK)
        return (max(1, min(nest.size // row, max(room, BLOCK * BLOCK // 2) // columns, 2 * BLOCK)), 1, columns), row
    return (1, 1, _rounded(room, nest.size)), 0


def _block_row(nest: Nest, selection: Selection) -> int:
    """The extent of the innermost dim if an operand is strided along it, but dense along another dim."""
    for x in instructions_of(selection.segments):
        axes = (
            x.access.parts[2] if x.access is not None and x.op in ("load", "store") and not x.access.is_guarded else ()
        )
        if len(axes) > 1 and axes[-1].stride not in (0, 1) and axes[-2].stride == 1 and axes[-2].extent >= 8:
            return axes[-1].extent
    return 0


def resident_steps(nest: Nest, width: int) -> Steps | None:
    """The largest tile that holds the whole reduce part within the caches; None if there is none. `width` in bytes."""
    outer, reduce, inner = nest.extents
    room = max(1, CACHE // width)
    if reduce * inner <= room:
        return max(1, min(outer, room // (reduce * inner))), reduce, inner
    if inner == 1:
        return (1, reduce, 1) if reduce * width <= SECOND_CACHE else None
    for budget in (CACHE, SECOND_CACHE):
        columns = budget // (width * reduce) // STRIP * STRIP
        if columns:
            return 1, reduce, min(columns, inner)
    return None


def chunk_steps(nest: Nest, width: int, share: int) -> Steps:
    """A tile of a piece of the reduce part: long inner rows, else a stretch that stays within one axis of the dims.

    `share` is how many inner positions one unit of work has.
    """
    _, reduce, inner = nest.extents
    room = max(256, min(MOST, CACHE // width))
    if inner > 1:
        columns = share if share <= room else max(STRIP, room // 8 // STRIP * STRIP)
        return 1, max(1, min(reduce, room // columns)), columns
    last = nest.kernel.space.reduce[-1] if nest.kernel.space.reduce else 1
    if last < reduce and last >= 256:
        pieces = math.ceil(last / room)
        if last % pieces == 0:
            return 1, last // pieces, 1
    return 1, min(reduce, room), 1


def _rounded(step: int, most: int) -> int:
    """A multiple of 64, or all where that is little more."""
    step = max(64, step // 64 * 64)
    return max(1, most) if most <= step * 5 // 4 else step


def places(slots: Slots, values: list[TileValue], capacities: tuple[int, int]) -> tuple[tuple[int, ...], int]:
    """Each value's place in bytes, -1 - position for constants, and the bytes of scratch that this takes.

    The pointers of the machine come first, then the slots that are written, then those that mostly stand for operands.
    """
    offset = -(-8 * len(values) // ALIGNMENT) * ALIGNMENT
    starts = [0] * len(slots.kinds)
    for slot in sorted(range(len(slots.kinds)), key=lambda slot: slots.kinds[slot][0]):
        _, level, size = slots.kinds[slot]
        starts[slot] = offset
        offset += -(-(1 if level == ONE else capacities[level]) * size // ALIGNMENT) * ALIGNMENT
    constants = iter(range(len(values)))
    alike = {(level, size): start for start, (_, level, size) in zip(starts, slots.kinds, strict=True)}

    def place(value: TileValue, slot: int) -> int:
        if value.bits is not None:
            return -1 - next(constants)
        if slot < 0:  # one instruction computes it on the way to another value of its kind, and needs no place for it
            return alike[value.level, value.size]
        return starts[slot]

    return tuple(place(value, slot) for value, slot in zip(values, slots.of, strict=True)), offset


def instructions_of(segments: Iterable[Segment]) -> list[Instruction]:
    """All instructions in order."""
    return [x for segment in segments for x in segment.instructions]
