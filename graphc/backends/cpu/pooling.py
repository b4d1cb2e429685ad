"""Pooling as library calls. `kernels/cpu/include/graphc/pool.h` documents the kernels. A tile is a block of planes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.types import DType, TensorType, TupleType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, type_tag

__all__ = [
    "avg_pool2d", "avg_pool2d_grad", "max_pool2d", "max_pool2d_argmax", "max_pool2d_both", "max_pool2d_gather",
    "max_pool2d_scatter",
]  # fmt: skip

TILE_WORK = 1 << 17  # operations of a tile


def _windows(name: str, attrs: Mapping[str, Any], dtype: DType, x: tuple[int, ...], y: tuple[int, ...]) -> LibraryCall:
    """The call for planes of shape `x` pooled to `y`; 16-bit floats need a plane of x in float32."""
    window, ((top, _), (left, _)) = attrs["window"], attrs["padding"]
    planes, work = x[0] * x[1], 2 * math.prod(y[2:]) * math.prod(window)
    tile_planes = max(1, min(planes, TILE_WORK // max(work, 1)))
    dilation, count_padding = attrs.get("dilation", (1, 1)), int(attrs.get("count_include_pad", True))
    params = (planes, *x[2:], *y[2:], *window, *attrs["stride"], top, left, *dilation, count_padding, tile_planes)
    elements = 2 * y[3] + (math.prod(x[2:]) + math.prod(y[2:]) if dtype.is_low_precision else 0)
    scratch = elements * max(dtype.itemsize, 4)
    return LibraryCall(f"{name}_{type_tag(dtype)}", params, ceil_div(planes, tile_planes), scratch, work * planes)


def max_pool2d(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x[N, C, H, W] -> the maximum of each window."""
    return _windows("max_pool2d", attrs, result.dtype, operands[0].shape, result.shape)


def max_pool2d_argmax(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x[N, C, H, W] -> the flat position of each window's maximum in its plane."""
    return _windows("max_pool2d_argmax", attrs, operands[0].dtype, operands[0].shape, result.shape)


def max_pool2d_both(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """x[N, C, H, W] -> the maximum of each window, and its flat position in the plane."""
    return _windows("max_pool2d_both", attrs, operands[0].dtype, operands[0].shape, result.parts[0].shape)


def avg_pool2d(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x[N, C, H, W] -> the mean of each window."""
    return _windows("avg_pool2d", attrs, result.dtype, operands[0].shape, result.shape)


def avg_pool2d_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """The gradient of the windows' means, shared out to the planes."""
    return _windows("avg_pool2d_grad", attrs, result.dtype, result.shape, operands[0].shape)


def _positions(
    name: str, dtype: DType, shape: tuple[int, ...], values: tuple[int, ...], size: int, plane_bytes: int
) -> LibraryCall:
    """The call for planes of `values`, rows by columns, at positions in planes of `size` elements."""
    count = math.prod(values)
    planes, work = shape[0] * shape[1], 2 * count + size
    tile_planes = max(1, min(planes, TILE_WORK // max(work, 1)))
    params = (planes, count, size, tile_planes, *values)
    tiles = ceil_div(planes, tile_planes)
    return LibraryCall(f"{name}_{type_tag(dtype)}", params, tiles, size * plane_bytes, planes * work)


def max_pool2d_scatter(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """g, positions -> planes with each value of g added at its position."""
    size, plane_bytes = math.prod(result.shape[2:]), 4 if result.dtype.is_low_precision else 0
    return _positions("max_pool2d_scatter", result.dtype, result.shape, operands[0].shape[2:], size, plane_bytes)


def max_pool2d_gather(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x, positions -> the elements of the planes at these positions."""
    size = math.prod(operands[0].shape[2:])
    return _positions("max_pool2d_gather", result.dtype, result.shape, result.shape[2:], size, 0)
