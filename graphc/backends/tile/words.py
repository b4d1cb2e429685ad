"""Tile programs as records, and the words they become: what `kernels/cpu/include/graphc/tile_decode.h` reads back.

An `Instruction` is one loop over a whole value. A value is a number into `values`: (bytes of an element, level,
constant's bits or None). Levels, types and forms are numbered as in tile_machine.h, operations as in tile_ops.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graphc.kernel.nest import NestIndex
from graphc.scalar.tile import operations

__all__ = ["FORMS", "OPS", "TYPES", "Instruction", "Layout", "Segment", "TileValue", "encode", "names"]

names = str.split
MAGIC = int.from_bytes(b"gctile01", "little")
TYPES = {name: number for number, name in enumerate(names("u8 i8 u16 i32 u32 i64 f32 f64"))}
FORMS = {name: number for number, name in enumerate(names("VV VS SV SS VR RV"))}
OPS = {name: number for number, name in enumerate(operations())}


@dataclass(frozen=True)
class TileValue:
    """`size` bytes an element on a level; `bits` for a constant."""

    size: int
    level: int
    bits: int | None = None


@dataclass(frozen=True)
class Instruction:
    """One loop. Absent values are -1; the target of a store is its argument `a`."""

    op: str
    type: str
    form: str
    level: int
    target: int = -1
    a: int = -1
    b: int = -1
    c: int = -1
    access: NestIndex | None = None
    extra: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The values it reads."""
        if self.op in ("random", "bind"):
            return ()
        values = tuple(value for value in (self.a, self.b, self.c) if value >= 0)
        return (*values, self.target) if self.op.endswith("_step") else values


@dataclass(frozen=True)
class Segment:
    """Instructions that run once a tile, or once for every chunk of the reduce part."""

    instructions: tuple[Instruction, ...]
    looped: bool = False


@dataclass(frozen=True)
class Layout:
    """The numbers of a program: space, tile and grain by part, capacities and places of values in bytes of scratch.

    `block` is the length of a row where the tiles of a flat program are blocks of rows and columns, else 0.
    """

    extents: tuple[int, int, int]
    steps: tuple[int, int, int]
    grains: tuple[int, int, int]
    flat: bool
    block: int
    tiles: int
    scratch: int
    capacities: tuple[int, int]
    places: tuple[int, ...]


def encode(
    layout: Layout, operand_sizes: Iterable[int], values: list[TileValue], segments: list[Segment]
) -> tuple[int, ...]:
    """The words of a program. The first segment runs once for a region, the others for each tile of it."""
    axes: list[int] = []
    accesses: dict[NestIndex, list[int]] = {}
    numbers: dict[NestIndex, int] = {}
    instructions: list[int] = []
    runs: list[int] = []
    for segment in segments:
        runs += (len(instructions) // 10, len(segment.instructions), int(segment.looped))
        for x in segment.instructions:
            if x.access is not None and x.access not in numbers:
                numbers[x.access] = len(numbers)
                accesses[x.access] = _access_words(x.access, axes)
            number = 0 if x.access is None else numbers[x.access]
            operands = (max(0, value) for value in (x.target, x.a, x.b, x.c))
            instructions += (OPS[x.op], TYPES[x.type], FORMS[x.form], x.level, *operands, number, x.extra)
    constants = [value.bits for value in values if value.bits is not None]
    access_words = [word for words in accesses.values() for word in words]
    places = zip(values, layout.places, strict=True)
    value_words = [word for value, place in places for word in (place, value.size, value.level)]
    sizes = list(operand_sizes)
    counts = [len(sizes), len(axes) // 4, len(accesses), len(constants), len(values), len(instructions) // 10]
    parts = [sizes, axes, access_words, constants, value_words, instructions, runs]
    body = [*_head(layout), *counts, len(segments), *(word for part in parts for word in part)]
    return (MAGIC, len(body) + 2, *body)


def _head(layout: Layout) -> list[int]:
    spaces = (*layout.extents, *layout.steps, *layout.grains)
    return [*spaces, int(layout.flat), layout.block, layout.tiles, layout.scratch, *layout.capacities]


def _access_words(access: NestIndex, axes: list[int]) -> list[int]:
    words = [access.operand, access.size, access.offset, access.level]
    for part in access.parts:
        words += (len(axes) // 4, len(part))
        for axis in part:
            axes += (axis.extent, axis.stride, axis.low, axis.high)
    return words
