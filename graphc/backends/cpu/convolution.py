"""Convolutions as library calls: sizes, tiles and scratch. `kernels/cpu/include/graphc/conv.h` documents the kernels.

A tile of the forward product or of the input's gradient is some images, rows and planes of the result; one of the
weights' gradient is a block of the weights, summed over all images in order. How tiles are cut follows from shapes
alone, by a model of what copying and packing cost beside the products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphc.ir.types import DType, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, type_tag

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]

Pair = tuple[int, int]

VECTOR_BYTES = 64  # of the widest vectors
BLOCK_VECTORS, BLOCK_PLANES = 3, 8  # GC_CONV_VECTORS, GC_CONV_ROWS at most
MOST_TAPS = 9  # GC_CONV_TAPS, at most
PLACES = 128  # GC_CONV_PLACES
SLACK = 64  # elements that a vector may run over
LINES, PATCHES, SQUARES, POSITIONS = range(4)  # GC_CONV_LINES and so on
LEAST_PLANES = 16  # planes on both sides for which Winograd's method pays
SQUARE_CHANNELS = 64  # channels of its slices
SQUARE_BYTES = 1 << 19  # what a band of squares may take of the second cache
LINE_TAPS, PATCH_TAPS = 320, 144  # taps of a slice: what is read again and again should stay in the first cache
PLANE_BYTES = 1 << 18  # spaced planes should stay in the second cache
POSITION_SUMS = 1 << 12  # most weights whose gradient is summed in vectors of positions
STRIDED_BYTES = 1 << 20  # results of a strided input gradient that wait in scratch
# What a tile costs beside its products, in cycles of a core that does 32 products in each: at all, for each element of
# the spaced planes, for each of the turned gradient, for each packed weight, and for each vector of squares.
TILE_COST, SPACE_COST, TURN_COST, PACK_COST, SQUARE_COST = 2000.0, 0.5, 1.5, 2.0, 60.0
# How many times as long as in a large matrix product an operation takes, as profiled, with vectors and blocks full.
SWEEP_SLOWNESS, BACKWARD_SLOWNESS, WEIGHT_SLOWNESS, POSITION_SLOWNESS, SQUARE_SLOWNESS = 2.0, 2.5, 2.5, 4.0, 1.25


@dataclass(frozen=True)
class _Geometry:
    """The sizes in gc_conv's order; `channels` and `outputs` are those of one group."""

    images: int
    groups: int
    channels: int
    outputs: int
    size: Pair
    out_size: Pair
    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair
    dtype: DType

    @property
    def window(self) -> int:
        return math.prod(self.kernel)

    @property
    def work(self) -> int:
        """Operations in all."""
        return 2 * self.images * self.groups * math.prod(self.out_size) * self.window * self.channels * self.outputs

    @property
    def real(self) -> int:
        """Bytes of the type that is computed in."""
        return max(self.dtype.itemsize, 4)

    @property
    def lanes(self) -> int:
        return VECTOR_BYTES // self.real

    @property
    def is_product(self) -> bool:
        """Whether each output position reads the input at the same position alone."""
        plain = self.kernel == (1, 1) and self.stride == (1, 1)
        return plain and self.padding[0][0] == self.padding[1][0] == 0 and self.size == self.out_size

    @property
    def reach(self) -> Pair:
        """Steps of the stride between the first tap and the last, down and across."""
        down, across = ((self.kernel[a] - 1) * self.dilation[a] // self.stride[a] for a in (0, 1))
        return down, across

    @property
    def residues(self) -> Pair:
        """Rows and columns of the input, in steps of the stride."""
        (top, _), (left, _) = self.padding
        firsts, lasts = (top, left), (top + self.size[0] - 1, left + self.size[1] - 1)
        rows, columns = (lasts[a] // self.stride[a] - firsts[a] // self.stride[a] + 1 for a in (0, 1))
        return rows, columns

    def read_pitch(self, rows: int) -> int:
        """Elements of a channel spaced out for `rows` output rows: gc_conv_rows."""
        steps = (min(self.stride[a], (self.kernel[a] - 1) * self.dilation[a] + 1) for a in (0, 1))
        return _pitch(math.prod(steps) * (rows + self.reach[0]) * (self.out_size[1] + self.reach[1]))

    def residue_pitch(self, rows: int) -> int:
        """Elements of an output's gradient for `rows` rows of each residue: gc_conv_residue."""
        return _pitch((rows + self.reach[0]) * (self.residues[1] + self.reach[1]))

    def call(self, name: str, tiling: tuple[int, ...], tiles: int, scratch: int, slowness: float) -> LibraryCall:
        (top, _), (left, _) = self.padding
        counts = (self.images, self.groups, self.channels, self.outputs)
        sizes = (*self.size, *self.out_size, *self.kernel, *self.stride, top, left, *self.dilation)
        name, params = f"{name}_{type_tag(self.dtype)}", (*counts, *sizes, *tiling)
        return LibraryCall(name, params, tiles, scratch, self.work, slowness=slowness)


def _pitch(size: int) -> int:
    return (ceil_div(size, 16) | 1) * 16


def _convolution(
    x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...], dtype: DType, attrs: Mapping[str, Any]
) -> _Geometry:
    groups = attrs["groups"]
    return _Geometry(
        x[0], groups, w[1], w[0] // groups, (x[2], x[3]), (out[2], out[3]), (w[2], w[3]),
        attrs["stride"], attrs["padding"], attrs["dilation"], dtype,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sweep:
    """The routine behind the forward product and the input's gradient, gc_sweep: `planes` of the result, each of
    `rows` by `columns`, are summed over `channels` of the source and `taps` of each."""

    convolution: _Geometry
    planes: int
    channels: int
    rows: int
    columns: int
    taps: int
    backward: bool

    @cached_property
    def method(self) -> int:
        """How vectors of positions are made: gathered where those along a row would leave too many lanes empty."""
        c = self.convolution
        plain = c.kernel == (3, 3) and c.stride == c.dilation == (1, 1) and min(self.rows, self.columns) >= 4
        if plain and min(self.planes, self.channels) >= LEAST_PLANES and c.real == 4:
            return SQUARES
        waste = ceil_div(self.columns, c.lanes) * c.lanes / max(self.columns, 1) - 1
        return PATCHES if c.is_product or waste > 4 / max(self.planes, 1) + 0.02 else LINES

    @cached_property
    def slice(self) -> int:
        """Channels that are summed at a time."""
        if self.method == SQUARES:
            return min(self.channels, SQUARE_CHANNELS)
        return max(1, min(self.channels, (PATCH_TAPS if self.method == PATCHES else LINE_TAPS) // max(self.taps, 1)))

    def band(self, rows: int, planes: int) -> int:
        """Rows of squares that are worked on at a time: few enough for the cache, and vectors full."""
        across, best, chosen = _square_columns(self.columns), math.inf, 1
        for band in range(1, ceil_div(rows, 2) + 1):
            if band > 1 and 64 * (self.slice + planes) * _square_row(band * across) > SQUARE_BYTES:
                break
            vectors = ceil_div(ceil_div(rows, 2), band) * (ceil_div(band * across, self.convolution.lanes) + 0.2)
            if vectors <= best:
                best, chosen = vectors, band
        return chosen

    def pitch(self, rows: int) -> int:
        """Elements of a spaced channel of the source."""
        return self.convolution.residue_pitch(rows) if self.backward else self.convolution.read_pitch(rows)

    def cost(self, images: int, groups: int, rows: int, planes: int) -> float:
        """Cycles of a tile."""
        depth, lanes = self.channels * self.taps, self.convolution.lanes
        packing = PACK_COST * depth * planes
        spacing = (
            0.0
            if self.convolution.is_product or self.method == SQUARES
            else SPACE_COST * self.channels * self.pitch(rows)
        )
        if self.method == SQUARES:
            band, across = self.band(rows, planes), _square_columns(self.columns)
            bands = rows / 2 / band
            products = 16 * self.channels * bands * ceil_div(band * across, lanes) * planes / 2 * 1.15
            turns = SQUARE_COST * _square_vectors(rows, self.columns, lanes)
            return TILE_COST + groups * (images * (products + turns * (self.channels + planes)) + 2 * packing)
        if self.method == PATCHES:
            vectors = ceil_div(rows * self.columns, lanes)
            spacing += depth * vectors * 1.5 * (1 + lanes / self.columns)
        else:
            vectors = rows * ceil_div(self.columns, lanes)
        return TILE_COST + groups * (images * (depth * vectors * planes / 2 + spacing) + packing)

    def tiling(self) -> tuple[int, int, int, int]:
        """Images, groups, rows and planes of a tile: little work in all, and no long wait for the last tile."""
        c = self.convolution
        best, chosen = math.inf, (1, 1, max(self.rows, 1), max(self.planes, 1))
        rows_of = [self.rows] if c.dtype.is_low_precision else [*_halves(self.rows, 1, 2)]
        for planes in _halves(self.planes, 16, 8):
            for rows in rows_of:
                if rows < self.rows and rows * self.columns < 2 * BLOCK_VECTORS * c.lanes:
                    continue
                for images in _halves(c.images):
                    for groups in _halves(c.groups) if planes == self.planes and rows == self.rows else (1,):
                        tiles = self.tiles((images, groups, rows, planes))
                        cost = self.cost(images, groups, rows, planes)
                        if self.method != SQUARES and self.slice * self.pitch(rows) * c.real > PLANE_BYTES:
                            cost *= 1.25
                        score = cost * (tiles + 1)
                        if score < best and self._fits(images, rows, planes):
                            best, chosen = score, (images, groups, rows, planes)
        return chosen

    def _fits(self, images: int, rows: int, planes: int) -> bool:
        return images == 1 or self._waiting(images, rows, planes) <= STRIDED_BYTES

    def _waiting(self, images: int, rows: int, planes: int) -> int:
        """Bytes of results that wait in scratch to be spread over the input."""
        if not self.backward or self.convolution.stride == (1, 1):
            return 0
        return _round(images * planes * rows * self.columns * self.convolution.real)

    def tiles(self, tiling: tuple[int, int, int, int]) -> int:
        c = self.convolution
        whole = (c.images, c.groups, self.rows, self.planes)
        return math.prod(ceil_div(a, max(b, 1)) for a, b in zip(whole, tiling, strict=True))

    def call(self, name: str) -> LibraryCall:
        c, tiling = self.convolution, self.tiling()
        images, groups, rows, planes = (max(1, extent) for extent in tiling)
        scratch = _round(8 * c.window) + self._working(rows, planes) + self._waiting(images, rows, planes)
        scratch += _wide(c, c.channels, c.outputs, c.outputs * c.channels * c.window)
        band = self.band(rows, planes) if self.method == SQUARES else 1
        cut = (images, groups, rows, *((planes, 1) if self.backward else (1, planes)), self.slice, self.method, band)
        return c.call(name, cut, self.tiles(tiling), scratch, self._slowness())

    def _slowness(self) -> float:
        if self.method == SQUARES:
            return SQUARE_SLOWNESS
        return (BACKWARD_SLOWNESS if self.backward else SWEEP_SLOWNESS) * max(1.0, BLOCK_PLANES / max(self.planes, 1))

    def _working(self, rows: int, planes: int) -> int:
        """Bytes of offsets, packed weights, spaced planes, and patches or squares with their sums."""
        c = self.convolution
        spaced = 0 if c.is_product else self.slice * self.pitch(rows) + SLACK
        if self.method == SQUARES:
            row = _square_row(self.band(rows, planes) * _square_columns(self.columns))
            elements = 16 * (self.slice * planes + self.slice * row + 16) + planes * (16 * row + 16)
            return _round(4 * self.slice) + elements * c.real
        most = self.slice * self.taps
        elements = planes * most + SLACK + spaced
        elements += (most * BLOCK_VECTORS + 1) * c.lanes if self.method == PATCHES else 0
        return _round(8 * most) + elements * c.real


def _square_row(squares: int) -> int:
    return ceil_div(squares, 16) * 16 + 16  # gc_winograd_row


def _square_columns(columns: int) -> int:
    """Squares from one row of them to the next, at most: gc_winograd_wide, for vectors of any length."""
    across = ceil_div(columns, 2)
    return next((half for half in (2, 4, 8) if half // 2 < across <= half), across)


def _square_vectors(rows: int, columns: int, lanes: int) -> int:
    """Vectors of squares that a plane is turned in."""
    down, across = ceil_div(rows, 2), ceil_div(columns, 2)
    return ceil_div(down, 2) if lanes < 4 * across <= 2 * lanes else down * ceil_div(across, lanes)


def _halves(extent: int, least: int = 1, step: int = 1) -> Iterator[int]:
    """`extent`, its half, and so on, in multiples of `step` where that is less than the whole."""
    yield extent
    while extent > max(least, step):
        extent = ceil_div(ceil_div(extent, 2), step) * step
        yield extent


def _round(size: int) -> int:
    return ceil_div(size, 64) * 64


def _wide(c: _Geometry, channels: int, outputs: int, weights: int) -> int:
    """Bytes of the float32 copies that a 16-bit convolution makes of an image's planes and of the weights."""
    sizes = (channels * math.prod(c.size), outputs * math.prod(c.out_size), weights)
    return sum(_round(4 * size) for size in sizes) if c.dtype.is_low_precision else 0


def conv2d(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x[N, C, H, W], w[O, C/groups, KH, KW] -> out."""
    x, w = operands
    c = _convolution(x.shape, w.shape, result.shape, result.dtype, attrs)
    return _Sweep(c, c.outputs, c.channels, *c.out_size, c.window, False).call("conv2d")


def conv2d_input_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """grad[N, O, OH, OW], w -> the gradient with respect to x."""
    grad, w = operands
    c = _convolution(result.shape, w.shape, grad.shape, result.dtype, attrs)
    rows, columns = c.residues if result.size else c.size
    taps = math.prod(ceil_div(c.kernel[a], c.stride[a] // math.gcd(c.stride[a], c.dilation[a])) for a in (0, 1))
    return _Sweep(c, c.channels, c.outputs, rows, columns, taps, True).call("conv2d_input_grad")


def conv2d_weight_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """x, grad[N, O, OH, OW] -> the gradient with respect to w."""
    x, grad = operands
    c = _convolution(x.shape, result.shape, grad.shape, result.dtype, attrs)
    method = _weight_method(c)
    cost = {LINES: _weight_cost, SQUARES: _square_cost, POSITIONS: _position_cost}[method]
    channels, outputs = _weight_tile(c, cost)
    tiles = c.groups * ceil_div(c.channels, channels) * ceil_div(c.outputs, outputs)
    scratch, rows, band = _round(8 * c.window), max(c.out_size[0], 1), 1
    if method == SQUARES:
        band = _weight_band(c, channels)
        squares, pair = band * _square_columns(c.out_size[1]), 2 * c.lanes
        slots, row = ceil_div(channels, 8) * 8, ceil_div(outputs, pair) * pair
        elements = 16 * (slots * row + channels * _square_row(squares) + squares * pair + 48) + 4 * squares * pair
        scratch += elements * c.real
    else:
        while rows > 1 and rows * c.out_size[1] > 2 * PLACES and channels * c.read_pitch(rows) * c.real > PLANE_BYTES:
            rows = ceil_div(rows, 2)
        slots = ceil_div(channels * c.window, MOST_TAPS) * MOST_TAPS + MOST_TAPS
        row = outputs * c.lanes if method == POSITIONS else ceil_div(outputs, c.lanes) * c.lanes
        elements = slots * row + PLACES * 2 * c.lanes + channels * c.read_pitch(rows) + SLACK
        scratch += _round(4 * (slots + PLACES)) + elements * c.real + _wide(c, channels, outputs, 0)
    cut = (c.images, 1, rows, channels, outputs, 1, method, band)
    return c.call("conv2d_weight_grad", cut, tiles, scratch, _weight_slowness(c, method))


def _weight_slowness(c: _Geometry, method: int) -> float:
    if method != LINES:
        return {SQUARES: SQUARE_SLOWNESS, POSITIONS: POSITION_SLOWNESS}[method]
    return WEIGHT_SLOWNESS * ceil_div(c.outputs, c.lanes) * c.lanes / max(c.outputs, 1)


def _weight_method(c: _Geometry) -> int:
    """What the vectors of the weights' gradient hold: outputs, squares, or positions if there are few weights."""
    plain = c.kernel == (3, 3) and c.stride == c.dilation == (1, 1) and min(c.out_size) >= 4
    if plain and c.channels >= LEAST_PLANES and c.outputs >= 2 * LEAST_PLANES and c.dtype.itemsize == 4:
        return SQUARES
    few = c.channels * c.window * c.outputs <= POSITION_SUMS
    return POSITIONS if few and c.out_size[1] and c.out_size[1] % c.lanes == 0 else LINES


def _weight_tile(c: _Geometry, cost: Callable[[_Geometry, int, int], float]) -> tuple[int, int]:
    """Channels and outputs of a tile."""
    best, chosen = math.inf, (max(c.channels, 1), max(c.outputs, 1))
    for channels in _halves(c.channels, 1, 8):
        for outputs in _halves(c.outputs, 16, 16):
            tiles = ceil_div(c.channels, max(channels, 1)) * ceil_div(c.outputs, max(outputs, 1))
            score = cost(c, channels, outputs) * (c.groups * tiles + 1)
            if score < best:
                best, chosen = score, (max(channels, 1), max(outputs, 1))
    return chosen


def _weight_band(c: _Geometry, channels: int) -> int:
    """Rows of squares that are worked on at a time."""
    across, all_rows = ceil_div(c.out_size[1], 2), ceil_div(c.out_size[0], 2)
    most = max(1, SQUARE_BYTES // (64 * (channels + 2 * c.lanes) * across))
    return ceil_div(all_rows, ceil_div(all_rows, most))


def _square_cost(c: _Geometry, channels: int, outputs: int) -> float:
    """Cycles of a tile by squares: products, squares of both sides, turning the gradient, and sums."""
    rows, across = (ceil_div(extent, 2) for extent in c.out_size)
    slots, vectors = ceil_div(channels, 8) * 8, ceil_div(outputs, 2 * c.lanes) * 2
    bands = ceil_div(rows, _weight_band(c, channels))
    image = (
        16 * slots * vectors * (rows * across / 2 + 3 * bands)
        + SQUARE_COST * _square_vectors(*c.out_size, c.lanes) * channels
    )
    image += vectors * (SQUARE_COST * rows * across + TURN_COST * c.lanes * math.prod(c.out_size))
    return TILE_COST + c.images * image + 20 * channels * outputs


def _weight_cost(c: _Geometry, channels: int, outputs: int) -> float:
    """Cycles of a tile: products, turning the gradient, spacing the planes, and sums."""
    positions, taps = math.prod(c.out_size), channels * c.window
    strips, vectors = ceil_div(taps, MOST_TAPS), ceil_div(outputs, c.lanes)
    blocks = ceil_div(positions, PLACES)
    image = strips * MOST_TAPS * vectors * (positions * (0.65 if vectors % 2 else 0.5) + 2 * blocks)
    image += TURN_COST * vectors * c.lanes * positions + SPACE_COST * channels * c.read_pitch(c.out_size[0])
    return TILE_COST + c.images * image + 2 * taps * outputs


def _position_cost(c: _Geometry, channels: int, outputs: int) -> float:
    """Cycles of a tile by positions: products, sums, and spacing the planes."""
    vectors, weights = math.prod(c.out_size) / c.lanes, channels * c.window * outputs
    image = weights * (vectors * 0.6 + 4) + SPACE_COST * channels * c.read_pitch(c.out_size[0])
    return TILE_COST + c.images * image + c.lanes * weights
