"""Matrix products as library calls: which kernel, how the batch folds, how the work is cut into tiles.

Tiles are cut by shape alone: enough of them to share, large enough that packing pays. `kernels/cpu/include/graphc/
gemm.h` documents the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.types import DType, TensorType
from graphc.lower.kernel import LibraryCall
from graphc.lower.operand import OperandView, ceil_div, type_tag

__all__ = ["DEPTH", "LARGE_WORK", "PANEL_BYTES", "SMALL_WORK", "matmul"]

DEPTH = 256  # GC_DEPTH: how much of the depth is packed at a time
PANEL_BYTES = DEPTH * 128  # a packed panel is at most two of the widest vectors across
ROW_GAP = 16  # GC_ROW_GAP
SMALL_WORK = 1 << 22  # operations that are not worth cutting
LARGE_WORK = 1 << 26  # operations of a tile that is large enough for anything
LEAST_TILES, MOST_TILES = 8, 32  # tiles wanted of a product that is worth cutting
LEAST_COLUMNS, WIDE_COLUMNS, LEAST_ROWS, MOST_ROWS = 64, 512, 128, 512

_KERNELS = {"u32": "i32", "u8": "i8"}  # two's complement: products of either sign have the same bits


@dataclass(frozen=True)
class _Product:
    """A stack of products. `batch` holds (extent, stride in A, stride in B) for each dim left after folding."""

    rows: int
    columns: int
    depth: int
    a: tuple[int, int]
    b: tuple[int, int]
    batch: tuple[tuple[int, int, int], ...]

    @property
    def batches(self) -> int:
        return math.prod(extent for extent, _, _ in self.batch)


def _folded_batch(a: OperandView, b: OperandView) -> list[tuple[int, int, int]]:
    """Batch dims without those of extent 1, neighbours merged where both operands allow it."""
    dims: list[tuple[int, int, int]] = []
    for extent, step_a, step_b in zip(a.shape[:-2], a.strides[:-2], b.strides[:-2], strict=True):
        if extent == 1:
            continue
        if dims and dims[-1][1:] == (step_a * extent, step_b * extent):
            extent *= dims.pop()[0]
        dims.append((extent, step_a, step_b))
    return dims


def _product(a: OperandView, b: OperandView) -> _Product:
    """The product in its simplest form: a batch that shares B and lies row after row in A becomes rows."""
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    (a_row, a_column), (b_row, b_column) = a.strides[-2:], b.strides[-2:]
    batch = _folded_batch(a, b)
    while batch and batch[-1][2] == 0 and (rows == 1 or batch[-1][1] == rows * a_row):
        extent, step, _ = batch.pop()
        rows, a_row = rows * extent, step if rows == 1 else a_row
    # The stride of an axis of extent 1 is free: choose the one that suits the kernels best.
    a_column = 1 if depth == 1 else a_column
    b_row = columns if depth == 1 else b_row
    a_row = depth if rows == 1 else a_row
    b_column = 1 if columns == 1 else b_column
    return _Product(rows, columns, depth, (a_row, a_column), (b_row, b_column), tuple(batch))


def _work(rows: int, columns: int, depth: int) -> int:
    """Operations of a product, counting a narrow one as memory traffic has it."""
    return 2 * rows * max(columns, 16) * max(depth, 1)


def _packs_a(p: _Product, itemsize: int) -> bool:
    """Whether tiles copy their rows of A first: as they are no rows in memory, or collide there (gc_rows_collide)."""
    collide = p.rows >= 32 and p.columns >= 64 and p.a[0] * itemsize % 2048 == 0
    return p.rows > 1 and (p.a[1] != 1 or collide)


def _cut(p: _Product, itemsize: int) -> tuple[int, int, int]:
    """Rows, columns and batches of a tile."""
    work = _work(p.rows, p.columns, p.depth)
    if work <= SMALL_WORK:
        return p.rows, p.columns, max(1, min(p.batches, SMALL_WORK // max(work, 1)))
    rows, columns = ceil_div(p.rows, ceil_div(p.rows, MOST_ROWS)) if p.columns >= LEAST_COLUMNS else p.rows, p.columns
    wanted = max(LEAST_TILES, min(MOST_TILES, work * p.batches // LARGE_WORK))

    def too_few() -> bool:
        tiles = p.batches * ceil_div(p.rows, rows) * ceil_div(p.columns, columns)
        return tiles < wanted and _work(rows, columns, p.depth) > SMALL_WORK

    # A's rows are packed for every column of tiles, B's panels for every row of tiles: cut where less is packed again.
    for least_columns in (WIDE_COLUMNS, LEAST_COLUMNS) if _packs_a(p, itemsize) else (LEAST_COLUMNS,):
        while columns > least_columns and too_few():
            columns = max(least_columns, ceil_div(ceil_div(columns, 2), 32) * 32)
        while rows > LEAST_ROWS and too_few():
            rows = ceil_div(rows, 2)
    return rows, columns, 1


def _scratch(dtype: DType, p: _Product, rows: int, columns: int) -> int:
    if not dtype.is_float:
        return 0
    if dtype.is_low_precision:
        return PANEL_BYTES + 4 * rows * (DEPTH + ROW_GAP) + 4 * rows * columns
    return PANEL_BYTES + (dtype.itemsize * rows * (DEPTH + ROW_GAP) if _packs_a(p, dtype.itemsize) else 0)


def matmul(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """(*batch, M, K) @ (*batch, K, N) with any strides, zero and negative ones included."""
    a, b = operands
    p = _product(a, b)
    rows, columns, batches = (max(extent, 1) for extent in _cut(p, result.dtype.itemsize))
    tiles = ceil_div(p.rows, rows) * ceil_div(p.columns, columns) * ceil_div(p.batches, batches)
    strides = (*p.a, *p.b, p.columns, p.rows * p.columns)
    dims = tuple(number for dim in p.batch for number in dim)
    params = (p.rows, p.columns, p.depth, *strides, rows, columns, batches, p.batches, len(p.batch), *dims)
    tag = type_tag(result.dtype)
    return LibraryCall(
        f"gemm_{_KERNELS.get(tag, tag)}", params, tiles, _scratch(result.dtype, p, rows, columns),
        2 * p.rows * p.columns * p.depth * p.batches,
    )  # fmt: skip
