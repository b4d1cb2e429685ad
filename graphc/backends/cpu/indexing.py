"""Gather, scatter, positions of extremes, running sums and products as library calls over x[outer, extent, inner].

`kernels/cpu/include/graphc/index.h` and `scan.h` document the kernels. Tiles are cut over outer and inner, never over
the extent or the indices, so that everything is combined in one order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.types import TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, type_tag

__all__ = ["argmax", "argmin", "cumprod", "cumsum", "recurrence", "scatter_add", "take"]

TILE_ELEMENTS = 1 << 15  # elements that a tile reads and writes
SCAN_LINES = 8  # GC_SCAN_LINES
MANY_UPDATES = 16  # of each element, on average: their sums are formed in float64
LEAST_INNER = 64  # inner elements of a tile, where there are as many: some whole cache lines

_UNSIGNED = {"u32": "i32", "u8": "i8"}  # additions of either sign have the same bits


@dataclass(frozen=True)
class _Axis:
    """A shape as (outer, extent, inner) around an axis."""

    outer: int
    extent: int
    inner: int

    def cut(self, per_position: int) -> tuple[int, int, int]:
        """Outer and inner of a tile, and the number of tiles. `per_position` elements are handled for each position."""
        positions = max(1, TILE_ELEMENTS // max(per_position, 1))
        inner = max(1, min(self.inner, max(positions, LEAST_INNER)))
        outer = max(1, min(self.outer, positions // inner))
        return outer, inner, ceil_div(self.outer, outer) * ceil_div(self.inner, inner)


def _around(shape: tuple[int, ...], axis: int) -> _Axis:
    return _Axis(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def take(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x, indices -> the slices of x at the indices along attrs["axis"]."""
    x, indices = operands
    a, count = _around(x.shape, attrs["axis"]), math.prod(indices.shape)
    rows = max(1, min(a.outer * count, TILE_ELEMENTS // max(a.inner, 1)))
    params = (a.outer, a.extent, a.inner, count, indices.dtype.itemsize, rows)
    tiles = ceil_div(a.outer * count, rows)
    return LibraryCall(f"take_{x.dtype.itemsize}", params, tiles, 0, a.outer * count * (a.inner + 2))


def scatter_add(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x, indices, updates -> x with the updates added at the indices along attrs["axis"]."""
    x, indices, _ = operands
    a, count, tag = _around(x.shape, attrs["axis"]), math.prod(indices.shape), type_tag(x.dtype)
    outer, inner, tiles = a.cut(a.extent + 2 * count)
    params = (a.outer, a.extent, a.inner, count, indices.dtype.itemsize, outer, inner)
    wide = tag == "f32" and count >= MANY_UPDATES * a.extent
    scratch = 8 * a.extent * inner if wide or x.dtype.is_low_precision else 0
    work = a.outer * a.inner * (a.extent + 2 * count)
    return LibraryCall(f"scatter_add_{_UNSIGNED.get(tag, tag)}" + "_wide" * wide, params, tiles, scratch, work)


def _extreme(name: str, attrs: Mapping[str, Any], operands: Sequence[OperandView]) -> LibraryCall:
    a = _around(operands[0].shape, attrs["axis"])
    outer, inner, tiles = a.cut(2 * a.extent)
    params = (a.outer, a.extent, a.inner, outer, inner)
    work = 2 * a.outer * a.extent * a.inner
    return LibraryCall(f"{name}_{type_tag(operands[0].dtype)}", params, tiles, 8 * inner, work)


def argmax(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x -> the position of its first largest element along attrs["axis"]."""
    return _extreme("argmax", attrs, operands)


def argmin(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x -> the position of its first smallest element along attrs["axis"]."""
    return _extreme("argmin", attrs, operands)


def _scan(name: str, x: OperandView, axis: int, reverse: bool) -> LibraryCall:
    a, tag = _around(x.shape, axis), type_tag(x.dtype)
    outer, inner, tiles = a.cut(2 * a.extent)
    if a.inner == 1:  # lines are walked some at a time
        outer = ceil_div(outer, SCAN_LINES) * SCAN_LINES
        tiles = ceil_div(a.outer, outer)
    params = (a.outer, a.extent, a.inner, int(reverse), outer, inner)
    return LibraryCall(f"{name}_{_UNSIGNED.get(tag, tag)}", params, tiles, 8 * inner, 2 * math.prod(x.shape))


def cumsum(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x -> its running sums along attrs["axis"], from the end with attrs["reverse"]."""
    return _scan("cumsum", operands[0], attrs["axis"], attrs["reverse"])


def cumprod(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x -> its running products along attrs["axis"]."""
    return _scan("cumprod", operands[0], attrs["axis"], reverse=False)


def recurrence(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """a, b -> b plus a times what came before, along attrs["axis"], from the end with attrs["reverse"]."""
    return _scan("recurrence", operands[0], attrs["axis"], attrs["reverse"])
