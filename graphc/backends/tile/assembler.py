"""The assembler of the tile machine: a kernel becomes a program of words, run by `kernels/cpu/include/graphc/tile.h`.

`assemble(kernel)` normalises the loop nest, selects instructions, places values in scratch memory, chooses the tile
and how the work is cut for threads. All of that depends on the kernel alone, so results do not depend on threads.

    kernel -> Nest (kernel/nest.py) -> Selection (selection.py) -> Slots and steps (slots.py) -> words (words.py)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.backends.tile.selection import Selection, select
from graphc.backends.tile.slots import (
    STRIP,
    Slots,
    Steps,
    assign_slots,
    chunk_steps,
    flat_steps,
    instructions_of,
    places,
    resident_steps,
    tile_bytes,
)  # fmt: skip
from graphc.backends.tile.words import Instruction, Layout, encode, names
from graphc.kernel.cost import BLOCKS, GRAIN, MEMORY_COST, operation_cost, share_of
from graphc.kernel.ir import Kernel, Space
from graphc.kernel.nest import FULL, Nest, without_empty_reductions
from graphc.kernel.verify import verify

__all__ = ["TileProgram", "assemble"]

_FUSED = frozenset(names("multiply_add multiply_subtract subtract_product multiply_multiply add_add add_multiply"))


@dataclass(frozen=True)
class TileProgram:
    """An assembled kernel.

    `words` are the program as 64-bit integers. Its `tiles` units of work are independent of each other; each needs
    `scratch` bytes, aligned to 64. `work` is the number of scalar operations of all tiles together.
    """

    words: tuple[int, ...]
    tiles: int
    scratch: int
    work: int


def assemble(kernel: Kernel) -> TileProgram:
    """The tile program of `kernel`. Raises InternalError for malformed kernel IR.

    An operand that is written may be the very memory of one that is read, if all reads of that memory have the
    write's index and elements are of one size.
    """
    verify(kernel)
    nest = Nest(without_empty_reductions(kernel))
    if nest.size == 0:
        nest = Nest(Kernel(kernel.operands, Space((), (), (0,)), ()))
    selection = select(nest, resident=True)
    slots = assign_slots(nest, selection)
    if nest.is_flat:
        steps, block = flat_steps(nest, selection, tile_bytes(slots, selection))
        return _program(nest, selection, slots, steps, block)
    steps_or_none = resident_steps(nest, tile_bytes(slots, selection))
    # what reads everything just once, for one round of reductions, gains nothing from holding whole columns
    if steps_or_none is not None and (steps_or_none[2] == nest.extents[2] or not _is_one_round(nest)):
        return _program(nest, selection, slots, steps_or_none)
    selection = select(nest, resident=False)
    slots = assign_slots(nest, selection)
    share = _column_share(nest, _cost(selection))
    return _program(nest, selection, slots, chunk_steps(nest, tile_bytes(slots, selection), share))


def _program(nest: Nest, selection: Selection, slots: Slots, steps: Steps, block: int = 0) -> TileProgram:
    capacities = (steps[0] * steps[1] * steps[2], 1 if nest.is_flat else steps[0] * steps[2])
    where, scratch = places(slots, selection.values, capacities)
    cost = _cost(selection)
    grains, tiles = _grains(nest, steps, block, cost)
    layout = Layout(nest.extents, steps, grains, nest.is_flat, block, tiles, scratch, capacities, where)
    sizes = (operand.dtype.itemsize for operand in nest.operands)
    return TileProgram(encode(layout, sizes, selection.values, selection.segments), tiles, scratch, nest.size * cost)


def _is_one_round(nest: Nest) -> bool:
    """Whether no full value waits for a reduction."""
    return all(
        stage == 0
        for stage, level, needed in zip(nest.stages, nest.levels, nest.needed, strict=True)
        if needed and level == FULL
    )


def _cost(selection: Selection) -> int:
    """Scalar operations for each point of the space."""
    return max(1, sum(_instruction_cost(x) for x in instructions_of(selection.segments) if x.level == FULL))


def _instruction_cost(x: Instruction) -> int:
    wide = 2 if x.type in ("f64", "i64") else 1
    if x.op in ("load", "store", "load_over", "bind"):
        return MEMORY_COST
    return (2 if x.op in _FUSED else operation_cost(x.op)) * wide


def _grains(nest: Nest, steps: Steps, block: int, cost: int) -> tuple[Steps, int]:
    """How many outer, reduce and inner positions make one unit of parallel work, and how many units there are."""
    outer, reduce, inner = nest.extents
    points = max(1, GRAIN // cost)
    if nest.is_flat:
        total, row, step = (nest.size // block, block, steps[0]) if block else (nest.size, 1, steps[2])
        share = share_of(total, points / row, step)
        return (share if block else 1, 1, 1 if block else share), math.ceil(total / share)
    columns = max(1, min(inner, _column_share(nest, cost)))
    rows = share_of(outer, points / (reduce * inner), steps[0]) if columns == inner else 1
    return (rows, reduce, columns), math.ceil(outer / rows) * math.ceil(inner / columns)


def _column_share(nest: Nest, cost: int) -> int:
    """The inner positions of one unit of work: all, unless a single outer position with all of them is far too much."""
    outer, reduce, inner = nest.extents
    points = max(1, GRAIN // cost)
    if outer >= BLOCKS or reduce * inner < points * 3 // 2 or inner < 32 * STRIP:
        return inner
    return share_of(inner, points / reduce, 16 * STRIP)
