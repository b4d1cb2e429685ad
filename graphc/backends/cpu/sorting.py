"""Sorting and searching as library calls over rows. `kernels/cpu/include/graphc/sort.h` documents the kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.types import TensorType, TupleType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, type_tag

__all__ = ["searchsorted", "sort"]

TILE_WORK = 1 << 19  # scalar operations of a tile
FEW = 16  # GC_SORT_FEW: so many are kept in order while a row is read once
SHORT = 48  # GC_SORT_SHORT: rows of at most so many are sorted by insertion


def sort(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """x[*batch, n] -> the first attrs["count"] of each row in order, and where they stood."""
    x, count = operands[0], attrs["count"]
    *batch, extent = x.shape
    rows, passes = math.prod(batch), x.dtype.itemsize
    if count <= FEW and count < extent:
        each = extent * (2 + count // 4)
    elif extent <= SHORT:
        each = extent * (4 + extent // 4)
    else:
        each = extent * (6 + 4 * passes)
    per_tile = max(1, min(rows, TILE_WORK // max(each, 1)))
    params = (rows, extent, count, int(attrs["descending"]), int(attrs["nan_first"]), per_tile)
    scratch = 2 * extent * 16 + 8 * 256 * 8
    return LibraryCall(f"sort_{type_tag(x.dtype)}", params, ceil_div(rows, per_tile), scratch, rows * each)


def searchsorted(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """sorted[*batch, n], values[*batch, m] -> how many of a row lie before each value."""
    line, values = operands
    *batch, extent = line.shape
    rows, count = math.prod(batch), values.shape[-1]
    each = 4 * (2 + extent.bit_length())
    per_tile = max(1, min(rows * count, TILE_WORK // each))
    params = (rows, extent, count, int(attrs["right"]), per_tile)
    tiles = ceil_div(rows * count, per_tile)
    return LibraryCall(f"searchsorted_{type_tag(line.dtype)}", params, tiles, 0, rows * count * each)
