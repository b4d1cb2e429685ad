"""The assembler of the tile machine: a kernel becomes a program of words, run by `kernels/cpu/include/graphc/tile.h`.

`assemble(kernel)` normalises the loop nest, selects instructions, places values in scratch memory, chooses the tile and
how the work is cut for threads. All of that depends on the kernel alone, so results do not depend on the machine's threads.

    kernel -> Nest (tile_nest) -> Selection (tile_select) -> Slots and steps (tile_place) -> words (tile_words)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.codegen.tile_nest import Nest, without_empty_reductions
from graphc.codegen.tile_place import (
    STRIP, Slots, Steps, assign_slots, chunk_steps, instructions_of, places, resident_steps, tile_bytes,
)  # fmt: skip
from graphc.codegen.tile_select import Selection, select
from graphc.codegen.tile_words import FULL, ONE, ROW, Instruction, Layout, encode
from graphc.lower.kernel import Kernel
from graphc.lower.kernel_verify import verify

__all__ = ["TileProgram", "assemble"]

GRAIN = 800_000  # scalar operations of one unit of parallel work: some 40 microseconds
_DEAR = {
    **dict.fromkeys(("divide", "sqrt", "floor", "ceil", "round", "trunc", "to_i64", "random"), 4),
    **dict.fromkeys("exp exp2 log tanh sigmoid erf sin cos".split(), 12),
    **dict.fromkeys("expm1 log2 log10 log1p tan asin acos atan sinh cosh asinh acosh atanh erfc softplus".split(), 30),
    **dict.fromkeys(("power", "atan2", "floor_divide", "remainder"), 60),
    **dict.fromkeys(("load", "store", "load_over", "bind"), 3),
}


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
    selection, slots, steps = _fitted(nest)
    capacities = (steps[0] * steps[1] * steps[2], 1 if nest.is_flat else steps[0] * steps[2])
    where, scratch = places(slots, selection.values, capacities)
    cost = _cost(selection)
    outer, _, inner = nest.extents
    grains = _grains(nest, steps, cost)
    tiles = math.ceil(outer * inner / grains[2]) if nest.is_flat else math.ceil(outer / grains[0]) * math.ceil(inner / grains[2])
    layout = Layout(nest.extents, steps, grains, nest.is_flat, tiles, scratch, capacities, where)
    sizes = (operand.dtype.itemsize for operand in kernel.operands)
    words = encode(layout, sizes, selection.values, selection.segments)
    return TileProgram(words, tiles, scratch, nest.size * cost)


def _fitted(nest: Nest) -> tuple[Selection, Slots, Steps]:
    """The program with the reduce part in one tile where that fits, else in chunks.

    A kernel that reads everything just once, for one round of reductions, gains nothing from holding whole columns.
    """
    selection = select(nest, resident=True)
    slots = assign_slots(nest, selection)
    width = tile_bytes(slots, selection)
    steps = resident_steps(nest, width)
    if steps is not None and (nest.is_flat or steps[2] == nest.extents[2] or not _is_one_round(nest)):
        return selection, slots, steps
    selection = select(nest, resident=False)
    slots = assign_slots(nest, selection)
    return selection, slots, chunk_steps(nest, tile_bytes(slots, selection))


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
    wide = 2 if x.type in ("f64", "i64") and x.op not in ("load", "store", "bind") else 1
    return _DEAR.get(x.op, 1) * wide


def _grains(nest: Nest, steps: Steps, cost: int) -> Steps:
    """How many outer, reduce and inner positions make one unit of parallel work."""
    outer, reduce, inner = nest.extents
    points = max(1, GRAIN // cost)
    if nest.size < points * 3 // 2:
        return max(1, outer), max(1, reduce), max(1, outer * inner if nest.is_flat else inner)
    if nest.is_flat:
        return 1, 1, _even(nest.size, points, steps[2])
    rows = points // (reduce * inner)
    if rows >= 1 or inner < 2 * STRIP:
        return _even(outer, max(1, rows), steps[0]), reduce, inner
    return 1, reduce, _even(inner, max(1, points // reduce), min(steps[2], 4 * STRIP))


def _even(total: int, most: int, unit: int) -> int:
    """A share of `total` near `most`, the shares nearly equal and a multiple of `unit` where there are several."""
    shares = max(1, round(total / most))
    share = math.ceil(total / shares)
    return min(total, math.ceil(share / unit) * unit)
