"""Matrix products as library calls: in which order a kernel goes, how the batch folds, how the work is cut into tiles.

Tiles are large enough that packing pays, and enough for the threads to share: no bit depends on how they are cut.
Operands have any strides, and so have the rows and matrices of the result, and all of a turned one. A stack of small
products goes side by side where that costs less (`stack_cost`). `kernels/cpu/include/graphc/gemm.h` documents the
parameters.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from graphc.backends.cpu.stack_cost import cycle_of, product_cycles, stack_cycles
from graphc.errors import InternalError
from graphc.ir.types import DType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, contiguous_strides, type_tag
from graphc.ops.primitives.contraction import PANEL_COLUMNS
from graphc.ops.record import WIDE_FLOAT

__all__ = [
    "DEPTH",
    "PANEL_BYTES",
    "SMALL_WORK",
    "Gemm",
    "can_turn",
    "is_vector_product",
    "matmul",
    "matmul_panels",
    "matmul_turned",
    "product_shapes",
]

DEPTH = 256  # GC_DEPTH: how much of the depth is packed at a time if nobody says
SMALL_PANEL_BYTES = 16384  # GC_SMALL_PANEL: a panel of B that is read where it lies
PANEL_BYTES = DEPTH * 128  # a packed panel is at most two of the widest vectors across
ROW_GAP = 16  # GC_ROW_GAP
BLOCK_STRIP_ROWS = 8 * 14  # rows of A that are packed at a time for a block of B, at most
MOST_RESULT_BYTES = 1 << 20  # of a tile whose results stay in scratch memory for an epilogue
COLLIDING_BYTES = 4096  # rows that are a multiple of this apart fall into the same few sets of the first cache

SMALL_WORK = 1 << 22  # operations that are not worth cutting
LARGE_WORK = 1 << 28  # operations of a tile that is large enough
LEAST_TILES, MOST_TILES = 2, 4  # tiles for each thread, wanted of a product that is worth cutting
LEAST_ROWS, LEAST_COLUMNS = 56, 64  # of a tile
BLOCK_ROWS = 320  # from so many rows on, a block of B is packed at a time
PANELS_DEPTH, BLOCKS_DEPTH = 768, 512  # most of the depth that is summed at a time, in either order
TURNED_DEPTH = 256  # the same by blocks where A lies by columns, which leaves the block room for more columns
PANELS_A_BYTES = 448 << 10  # of A's slice, which stays in the second cache
BLOCK_BYTES = 512 << 10  # of the block of B, which stays there
TILE_BYTES = 1 << 20  # of C's tile, which an epilogue reads again
# What an element costs besides: fetched, packed on the way, packed by itself; a cycle's work is 32.
READ_COST, COPY_COST, PACK_COST = 3, 3, 10

_KERNELS = {"u32": "i32", "u8": "i8"}  # two's complement: products of either sign have the same bits


# Orders in which a kernel may go: gemm_real.h
BY_PANELS, BY_BLOCKS, IN_PANELS, SIDE_BY_SIDE = range(4)
STACK_STEP = 16  # batches: a multiple of every vector's lanes


class Gemm(NamedTuple):
    """The parameters of the kernels of gemm.h, by name: strides in elements; `dims` tells the batch, four for each dim.

    `tile_*` are what one tile computes, `step` is how much of the depth is summed at a time.
    """

    rows: int
    columns: int
    depth: int
    a_row: int
    a_column: int
    b_row: int
    b_column: int
    c_row: int
    c_column: int
    tile_rows: int
    tile_columns: int
    tile_batches: int
    batches: int
    step: int
    packs_a: int
    order: int
    exchanged: int
    dims: tuple[int, ...] = ()

    @property
    def words(self) -> tuple[int, ...]:
        """As the kernels take them."""
        return (*self[:-1], len(self.dims) // 4, *self.dims)

    @classmethod
    def of(cls, call: LibraryCall) -> Gemm:
        """The parameters of a call of such a kernel."""
        return cls._make((*call.params[:17], call.params[18:]))


@dataclass(frozen=True)
class _MatrixProduct:
    """A stack of products. `batch` holds (extent, stride in A, in B and in C) for each dim left after folding.

    `in_panels`: B lies in panels of PANEL_COLUMNS columns, one after the other. `is_dense`: C's batches, rows and
    columns follow each other. `exchanged`: A is the second operand.
    """

    rows: int
    columns: int
    depth: int
    a: tuple[int, int]
    b: tuple[int, int]
    c: tuple[int, int]
    batch: tuple[tuple[int, int, int, int], ...]
    in_panels: bool = False
    is_dense: bool = True
    exchanged: bool = False

    @property
    def batches(self) -> int:
        return math.prod(dim[0] for dim in self.batch)

    def flipped(self) -> _MatrixProduct:
        """The same, computed as transpose(C) = transpose(B) transpose(A)."""
        a, b, c = self.b[::-1], self.a[::-1], self.c[::-1]
        batch = tuple((extent, of_b, of_a, of_c) for extent, of_a, of_b, of_c in self.batch)
        return replace(self, rows=self.columns, columns=self.rows, a=a, b=b, c=c, batch=batch, exchanged=True)


def _folded_batch(a: OperandView, b: OperandView, c: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Batch dims without those of extent 1, neighbours merged where all three allow it."""
    dims: list[tuple[int, int, int, int]] = []
    for extent, of_a, of_b, of_c in zip(a.shape[:-2], a.strides[:-2], b.strides[:-2], c[:-2], strict=True):
        if extent == 1:
            continue
        if dims and dims[-1][1:] == (of_a * extent, of_b * extent, of_c * extent):
            extent *= dims.pop()[0]
        dims.append((extent, of_a, of_b, of_c))
    return dims


def _product(operands: Sequence[OperandView], c: Sequence[int]) -> _MatrixProduct:
    """The product in its simplest form: a batch that shares B and lies row after row in A and C becomes rows."""
    a, b = operands
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    (a_row, a_column), (b_row, b_column), (c_row, c_column) = a.strides[-2:], b.strides[-2:], c[-2:]
    batch = _folded_batch(a, b, c)
    while batch and batch[-1][2] == 0 and (rows == 1 or batch[-1][1::2] == (rows * a_row, rows * c_row)):
        extent, step, _, c_step = batch.pop()
        rows, a_row, c_row = rows * extent, step if rows == 1 else a_row, c_step if rows == 1 else c_row
    # The stride of an axis of extent 1 is free: choose the one that suits the kernels best.
    a_column = 1 if depth == 1 else a_column
    b_row = columns if depth == 1 else b_row
    a_row = depth if rows == 1 else a_row
    b_column = 1 if columns == 1 else b_column
    c_row, c_column = columns if rows == 1 else c_row, 1 if columns == 1 else c_column
    shape = (*a.shape[:-1], columns)
    dense = all(n == 1 or s == w for n, s, w in zip(shape, c, contiguous_strides(shape), strict=True))
    return _MatrixProduct(
        rows, columns, depth, (a_row, a_column), (b_row, b_column), (c_row, c_column), tuple(batch), is_dense=dense
    )


def _work(rows: int, columns: int, depth: int) -> int:
    """Operations of a product, counting a narrow one as memory traffic has it."""
    return 2 * rows * max(columns, 16) * max(depth, 1)


def _by_blocks(p: _MatrixProduct) -> bool:
    """Whether B is packed by blocks that all rows go by, rather than by panels on the way (gemm_real.h)."""
    return not p.in_panels and p.rows >= BLOCK_ROWS and min(p.columns, p.depth) > PANEL_COLUMNS


def _slice(p: _MatrixProduct) -> int:
    """How much of the depth is summed at a time, in about equal slices."""
    most = PANELS_DEPTH if not _by_blocks(p) else BLOCKS_DEPTH if p.a[1] == 1 else TURNED_DEPTH
    return max(1, ceil_div(p.depth, max(1, ceil_div(p.depth, most))))


def _packs_a(p: _MatrixProduct, itemsize: int) -> bool:
    """Whether tiles copy their rows of A first: elements of a row, or rows, lie so that reading them again is slow."""
    if p.rows == 1 or p.columns <= 2 * PANEL_COLUMNS or (p.a[0] == 1 and p.depth <= 64):
        return False
    return p.a[1] != 1 or p.a[0] * itemsize % COLLIDING_BYTES == 0


def _parts(extent: int, least: int) -> list[int]:
    """Into how many parts an extent may be cut: 1, 2, 3, 4, 6, 8, ..., none smaller than `least`."""
    most = extent // least
    return [1, *(part for power in range(most.bit_length()) for part in (2 << power, 3 << power) if part <= most)]


def _tiles(work: int, threads: int) -> int:
    """Into how many tiles at least a product is cut for so many threads."""
    if threads == 1:
        return 1
    wanted = min(max(work // LARGE_WORK, LEAST_TILES * threads), MOST_TILES * threads)
    return min(wanted, ceil_div(work, SMALL_WORK))


def _cut_vector(p: _MatrixProduct, work: int, threads: int) -> tuple[int, int, int]:
    """A product with a vector, which reads a matrix once."""
    tiles = min(_tiles(work, threads), LEAST_TILES * threads)
    if p.rows == 1:
        return 1, ceil_div(ceil_div(p.columns, tiles), LEAST_COLUMNS) * LEAST_COLUMNS, 1
    return ceil_div(p.rows, tiles), 1, 1


def _cut(p: _MatrixProduct, itemsize: int, threads: int) -> tuple[int, int, int]:
    """Rows, columns and batches of a tile: enough of them to share, that fit the second cache and pack least again."""
    work = _work(p.rows, p.columns, p.depth)
    if work <= SMALL_WORK:
        return p.rows, p.columns, max(1, min(p.batches, SMALL_WORK // max(work, 1)))
    if min(p.rows, p.columns) == 1:
        return _cut_vector(p, work, threads)
    wanted = _tiles(work * p.batches, threads)
    depth, by_blocks = _slice(p), _by_blocks(p)
    cost_a = PACK_COST if _packs_a(p, itemsize) else READ_COST
    cost_b = 0 if p.in_panels else PACK_COST if by_blocks or p.b[1] != 1 else COPY_COST
    cuts = []
    for row_parts in _parts(p.rows, LEAST_ROWS):
        rows = ceil_div(p.rows, row_parts)
        for column_parts in _parts(p.columns, LEAST_COLUMNS):
            columns = ceil_div(ceil_div(p.columns, column_parts), PANEL_COLUMNS) * PANEL_COLUMNS
            tiles = ceil_div(p.rows, rows) * ceil_div(p.columns, columns) * p.batches
            held = columns * depth * itemsize > BLOCK_BYTES if by_blocks else rows * depth * itemsize > PANELS_A_BYTES
            fits = not held and rows * columns * itemsize <= TILE_BYTES
            cuts.append(((tiles < wanted, not fits, cost_a / columns + cost_b / rows, tiles), rows, columns))
    _, rows, columns = min(cuts)
    return rows, min(columns, p.columns), 1


def _scratch(dtype: DType, p: _MatrixProduct, rows: int, columns: int) -> int:
    """Bytes for packed B, packed A and wider sums, as gemm.h and gemm_real.h lay them out."""
    if not dtype.is_float:
        return 0
    if dtype.is_low_precision:
        return 2 * PANEL_BYTES + 4 * rows * (DEPTH + ROW_GAP) + 4 * (rows * columns + 16)
    packed_a = 0
    if _packs_a(p, dtype.itemsize):
        packed_a = (min(rows, BLOCK_STRIP_ROWS) if _by_blocks(p) else rows) * (_slice(p) + ROW_GAP)
    packed_b = _slice(p) * (ceil_div(columns, PANEL_COLUMNS) if _by_blocks(p) else 1) * PANEL_COLUMNS
    return dtype.itemsize * (packed_a + packed_b)


def _result_bytes(dtype: DType, p: _MatrixProduct, rows: int, columns: int, batches: int) -> int:
    """The stretch of C that one tile fills, if it may stay in scratch memory: rows of C lie as far apart as ever."""
    if not p.is_dense or not dtype.is_float or dtype.is_low_precision:
        return 0
    stretch = batches * p.rows * p.columns if batches > 1 else (rows - 1) * p.columns + columns
    return stretch * dtype.itemsize if stretch * dtype.itemsize <= MOST_RESULT_BYTES else 0


def matmul(operands: Sequence[OperandView], result: OperandView, threads: int) -> LibraryCall:
    """(*batch, M, K) @ (*batch, K, N) with any strides, zero and negative ones included.

    Columns of the result follow each other; its rows and matrices may lie apart.
    """
    return _call(_product(operands, result.strides), result.dtype, threads)


def matmul_turned(
    operands: Sequence[OperandView], result: OperandView, threads: int, axes: tuple[int, ...]
) -> LibraryCall:
    """The same with the result's axes in another order. Raises InternalError where no kernel can write it."""
    return _call(_turned(operands, result, axes), result.dtype, threads)


def can_turn(operands: Sequence[OperandView], result: OperandView, axes: tuple[int, ...]) -> bool:
    """Whether some kernel writes a product with its axes in this order."""
    p = _turned(operands, result, axes)
    return 1 in p.c or _goes_across(p, result.dtype)


def _turned(operands: Sequence[OperandView], result: OperandView, axes: tuple[int, ...]) -> _MatrixProduct:
    """The product whose axis `axes[i]` is axis `i` of the result."""
    strides = [result.strides[axes.index(axis)] for axis in range(len(axes))]
    return _product(operands, strides)


def _goes_across(p: _MatrixProduct, dtype: DType) -> bool:
    return bool(p.batch and p.depth and p.batches) and dtype.name in WIDE_FLOAT


def matmul_panels(operands: Sequence[OperandView], result: OperandView, threads: int) -> LibraryCall:
    """(M, K) of any strides @ (N / PANEL_COLUMNS, K, PANEL_COLUMNS), contiguous."""
    a, panels = operands
    rows, depth = a.shape
    a_row, a_column = depth if rows == 1 else a.strides[0], 1 if depth == 1 else a.strides[1]
    columns = panels.shape[0] * PANEL_COLUMNS
    c = columns if rows == 1 else result.strides[0], 1
    dense = c[0] == columns
    p = _MatrixProduct(
        rows, columns, depth, (a_row, a_column), (PANEL_COLUMNS, depth), c, (), in_panels=True, is_dense=dense
    )
    return _call(p, result.dtype, threads)


@functools.lru_cache(maxsize=256)
def _call(p: _MatrixProduct, dtype: DType, threads: int) -> LibraryCall:
    """The cheaper way, of those that can write the result."""
    ways = []
    if 1 in p.c:
        ways.append(_apart(p if p.c[1] == 1 else p.flipped(), dtype, threads))
    if _goes_across(p, dtype):
        ways.append(_across(p, dtype, threads))
    if not ways:
        raise InternalError(f"library: no product of {dtype.name} writes its result with strides {p.c}")
    return min(ways, key=lambda call: call.effort)


def _apart(p: _MatrixProduct, dtype: DType, threads: int) -> LibraryCall:
    """Product by product, by panels or by blocks."""
    itemsize = dtype.itemsize
    order = IN_PANELS if p.in_panels else BY_BLOCKS if _by_blocks(p) else BY_PANELS
    cycles = product_cycles(p.rows, p.columns, p.depth, p.a, p.b, itemsize) * p.batches if p.batch else 0
    return _written(p, dtype, _cut(p, itemsize, threads), order, _packs_a(p, itemsize), cycles)


def _across(p: _MatrixProduct, dtype: DType, threads: int) -> LibraryCall:
    """Side by side, along the last batch dim."""
    p = p.flipped() if p.rows > p.columns else p
    extent, *steps = p.batch[-1]
    cycles = stack_cycles(extent, steps, p.rows, p.columns, p.depth, (p.a, p.b, p.c), dtype.itemsize)
    cycles *= p.batches / extent
    most = SMALL_WORK * p.batches / max(1.0, cycles * cycle_of(dtype.itemsize)) if threads > 1 else p.batches
    batches = min(p.batches, ceil_div(max(1, int(most)), STACK_STEP) * STACK_STEP)
    return _written(p, dtype, (p.rows, p.columns, batches), SIDE_BY_SIDE, False, cycles)


def _written(
    p: _MatrixProduct, dtype: DType, tile: tuple[int, int, int], order: int, packs_a: bool, cycles: float
) -> LibraryCall:
    """The call that goes in this order, by such tiles; it takes so many cycles, or as long as its work does."""
    rows, columns, batches = (max(extent, 1) for extent in tile)
    tiles = ceil_div(p.rows, rows) * ceil_div(p.columns, columns) * ceil_div(p.batches, batches)
    gemm = Gemm(
        p.rows, p.columns, p.depth, *p.a, *p.b, *p.c, rows, columns, batches, p.batches, _slice(p), int(packs_a), order,
        int(p.exchanged), tuple(number for dim in p.batch for number in dim),
    )  # fmt: skip
    if order == SIDE_BY_SIDE:
        scratch = STACK_STEP * 4 * (p.rows * p.depth + p.depth * p.columns + p.rows * p.columns)
    else:
        scratch = _scratch(dtype, p, rows, columns)
    tag, work = type_tag(dtype), 2 * p.rows * p.columns * p.depth * p.batches
    held = _result_bytes(dtype, p, rows, columns, batches)
    slowness = max(1.0, cycles * cycle_of(dtype.itemsize) / max(work, 1))
    return LibraryCall(f"gemm_{_KERNELS.get(tag, tag)}", gemm.words, tiles, scratch, work, held, slowness)


def is_vector_product(call: LibraryCall) -> bool:
    """Whether a product goes by gemv.h on every machine: wide floats, one row or column, strides and length suit."""
    if call.name not in ("gemm_f32", "gemm_f64"):
        return False
    p = Gemm.of(call)
    if p.order == SIDE_BY_SIDE or (p.rows != 1 and p.columns != 1):
        return False
    x, k, line = (p.a_column, p.b_row, p.b_column) if p.rows == 1 else (p.b_row, p.a_column, p.a_row)
    tile = p.tile_columns if p.rows == 1 else p.tile_rows
    last = (p.columns if p.rows == 1 else p.rows) % tile or tile
    return (k == 1 and x == 1) or (line == 1 and min(tile, last) >= 16)


def product_shapes(calls: Iterable[LibraryCall]) -> list[tuple[int, int, int]]:
    """The tiles of the products of floats among `calls` that block.h serves, as heights.h wants to know them.

    Each as rows, columns, and what may be packed: 1 for panels of B as they are used, plus 2 for A; sorted.
    """
    floats = [call for call in calls if call.name in ("gemm_f64", "gemm_f32", "gemm_bf16", "gemm_f16")]
    products = [
        (Gemm.of(call), {"gemm_f64": 8, "gemm_f32": 4}.get(call.name, 0))
        for call in floats
        if not is_vector_product(call)
    ]
    apart = [(p, itemsize) for p, itemsize in products if p.order != SIDE_BY_SIDE]
    return sorted({(rows, p.columns, _packing(p, itemsize)) for p, itemsize in apart for rows in _tile_rows(p)})


def _tile_rows(p: Gemm) -> set[int]:
    """How many rows the tiles of a product have."""
    rows = max(p.rows, 1)
    return {min(rows, p.tile_rows), rows % p.tile_rows or p.tile_rows}


def _packing(p: Gemm, itemsize: int) -> int:
    """GC_PACKS_PANELS and GC_TAKES_A of heights.h."""
    large = min(p.depth, p.step) * p.b_row * itemsize > SMALL_PANEL_BYTES
    return int(p.order == BY_PANELS and p.b_column == 1 and large) + 2 * bool(p.packs_a)
