"""Convolutions as library calls: sizes, tiles and scratch. `kernels/cpu/include/graphc/conv.h` documents the kernels.

A tile of the forward product and of the input's gradient is some items (an image's group) or a part of one; a tile
of the weights' gradient is a block of the weights, summed over all images in order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.types import DType, TensorType
from graphc.lower.kernel import LibraryCall
from graphc.lower.library_matmul import DEPTH, PANEL_BYTES, SMALL_WORK
from graphc.lower.operand import OperandView, ceil_div, type_tag

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]

PLANE_BYTES = 1 << 18  # padded planes of a tile should stay in the second cache
MOST_TAPS = 512  # rows of the patch matrix that the input's gradient makes at a time
LARGE_WORK = 1 << 24  # operations that make a large tile
LEAST_TILES = 16  # tiles wanted of a large convolution
SLACK = 64  # elements that a vector may run over


@dataclass(frozen=True)
class _Convolution:
    """The sizes in gc_conv's order; `channels` and `outputs` are those of one group."""

    images: int
    groups: int
    channels: int
    outputs: int
    size: tuple[int, int]
    out_size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    dtype: DType

    @property
    def params(self) -> tuple[int, ...]:
        (top, _), (left, _) = self.padding
        counts = (self.images, self.groups, self.channels, self.outputs)
        return (*counts, *self.size, *self.out_size, *self.kernel, *self.stride, top, left, *self.dilation)

    @property
    def items(self) -> int:
        return self.images * self.groups

    @property
    def window(self) -> int:
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        return math.prod(self.out_size)

    @property
    def work(self) -> int:
        """Operations of one item."""
        return 2 * self.positions * self.window * self.channels * self.outputs

    @property
    def real(self) -> int:
        """Bytes of the type that is computed in."""
        return max(self.dtype.itemsize, 4)

    @property
    def panel(self) -> int:
        """Elements of the widest packed panel, with room to overrun."""
        return PANEL_BYTES // self.real + SLACK

    @property
    def panel_width(self) -> int:
        return PANEL_BYTES // DEPTH // self.real

    def padded(self, rows: int) -> int:
        """Elements of a padded plane that serves `rows` output rows."""
        sizes = zip((rows, self.out_size[1]), self.stride, self.kernel, self.dilation, strict=True)
        extents = ((count - 1) * step + (taps - 1) * spread + 1 for count, step, taps, spread in sizes)
        return math.prod(max(extent, 0) for extent in extents)

    def wide(self, x: int, w: int, out: int) -> int:
        """Elements of the float32 copies that a 16-bit convolution makes of so many elements."""
        return x + w + out if self.dtype.is_low_precision else 0

    def call(self, name: str, cut: tuple[int, int, int, int], tiles: int, elements: int) -> LibraryCall:
        params = (*self.params, *(max(extent, 1) for extent in cut))
        work = self.work * self.items
        return LibraryCall(f"{name}_{type_tag(self.dtype)}", params, tiles, elements * self.real, work)

    def items_of_tile(self, part_work: int) -> int:
        """Whole items that a tile takes, when one costs `part_work`."""
        least, most = SMALL_WORK // max(part_work, 1), LARGE_WORK // max(part_work, 1)
        return max(1, min(self.items, most, max(least, ceil_div(self.items, LEAST_TILES))))


def _convolution(
    x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...], dtype: DType, attrs: Mapping[str, Any]
) -> _Convolution:
    groups = attrs["groups"]
    return _Convolution(
        x[0], groups, w[1], w[0] // groups, (x[2], x[3]), (out[2], out[3]), (w[2], w[3]),
        attrs["stride"], attrs["padding"], attrs["dilation"], dtype,
    )  # fmt: skip


def conv2d(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x[N, C, H, W], w[O, C/groups, KH, KW] -> out."""
    x, w = operands
    c = _convolution(x.shape, w.shape, result.shape, result.dtype, attrs)
    rows, items = c.out_size[0], c.items_of_tile(c.work)
    if not c.dtype.is_low_precision:
        while items == 1 and rows > 1 and _row_tiles_pay(c, rows):
            rows = ceil_div(rows, 2)
    rows, items = max(rows, 1), max(items, 1)
    tiles = ceil_div(c.items, items) * ceil_div(c.out_size[0], rows)
    elements = c.panel + c.channels * c.padded(rows) + SLACK
    elements += c.wide(c.channels * math.prod(c.size), c.outputs * c.channels * c.window, c.outputs * c.positions)
    return c.call("conv2d", (items, rows, c.channels, c.outputs), tiles, elements)


def _row_tiles_pay(c: _Convolution, rows: int) -> bool:
    """Whether tiles of `rows` output rows should be halved: their planes are too large, or tiles too few."""
    if rows * c.out_size[1] < 4 * c.panel_width:
        return False
    too_large = c.channels * c.padded(rows) * c.real > PLANE_BYTES
    too_few = c.items * ceil_div(c.out_size[0], rows) < LEAST_TILES and c.work * rows // c.out_size[0] > SMALL_WORK
    return too_large or too_few


def conv2d_input_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """grad[N, O, OH, OW], w -> the gradient with respect to x."""
    grad, w = operands
    c = _convolution(result.shape, w.shape, grad.shape, result.dtype, attrs)
    channels = max(1, min(c.channels, MOST_TAPS // c.window))
    while channels > 8 and channels * c.padded(c.out_size[0]) * c.real > PLANE_BYTES:
        channels = ceil_div(channels, 2)
    if c.dtype.is_low_precision:
        channels = max(c.channels, 1)
    parts = ceil_div(c.channels, channels)
    items = c.items_of_tile(c.work // max(parts, 1))
    taps = channels * c.window
    elements = c.panel + taps * (min(c.outputs, DEPTH) + c.panel_width) + channels * c.padded(c.out_size[0]) + SLACK
    elements += c.wide(c.channels * math.prod(c.size), c.outputs * c.channels * c.window, c.outputs * c.positions)
    return c.call("conv2d_input_grad", (items, 1, channels, c.outputs), ceil_div(c.items, items) * parts, elements)


def conv2d_weight_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x, grad[N, O, OH, OW] -> the gradient with respect to w."""
    x, grad = operands
    c = _convolution(x.shape, result.shape, grad.shape, result.dtype, attrs)
    channels, outputs = _weight_block(c)
    tiles = c.groups * ceil_div(c.channels, channels) * ceil_div(c.outputs, outputs)
    taps, depth = channels * c.window, min(c.positions, DEPTH)
    width = ceil_div(outputs, c.panel_width) * c.panel_width
    elements = c.panel + channels * c.padded(c.out_size[0]) + taps * (depth + c.panel_width + width) + 2 * SLACK
    elements += c.wide(channels * math.prod(c.size), 0, outputs * c.positions)
    return c.call("conv2d_weight_grad", (1, 1, channels, outputs), tiles, elements)


def _weight_block(c: _Convolution) -> tuple[int, int]:
    """Channels and outputs of a tile: few enough for the cache, then halved while there is much work for few tiles."""
    channels, outputs = max(1, min(c.channels, 288 // c.window)), max(1, min(c.outputs, 128))

    def tiles() -> int:
        return c.groups * ceil_div(c.channels, channels) * ceil_div(c.outputs, outputs)

    while tiles() < 4 and c.work * c.images // max(tiles(), 1) > LARGE_WORK:
        if channels * c.window >= outputs and channels * c.window > 64 and channels > 1:
            channels = ceil_div(channels, 2)
        elif outputs > 16:
            outputs = ceil_div(outputs, 2)
        else:
            break
    return channels, outputs
