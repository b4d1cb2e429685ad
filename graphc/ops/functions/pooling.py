"""Pooling as users call it, with PyTorch's names, arguments and semantics.

`x` is a batch or a single example. 1-d pooling is 2-d pooling over planes of height 1. With `ceil_mode` a last window
may stick out after the end, as long as it starts inside the plane or the padding before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ops.build import apply, as_tensor
from graphc.ops.functions.convolution import as_2d, extents, pads_of, planes_of, repeated, restored
from graphc.ops.primitives.views import Ints, dtype_error, pad_view, shape_error
from graphc.ops.record import FLOAT, Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]


# Arguments -------------------------------------------------------------------------------------------------------
def _checked(x: Any, dims: int, what: str) -> tuple[Tensor, Tensor]:
    """`x` as a tensor, and as [N, C, H, W]."""
    x = as_tensor(x)
    if not x.dtype.is_float:
        raise dtype_error(f"{what} takes a floating tensor, not {x.type}")
    if x.ndim not in (dims + 1, dims + 2):
        axes = "L" if dims == 1 else "H, W"
        raise shape_error(f"{what} takes x[N, C, {axes}] or [C, {axes}], not {x.type}")
    return x, planes_of(x, dims)


def _padding_after(
    size: Ints, window: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool, what: str
) -> Ints:
    """For each axis, `padding`, or as much more as the last window sticks out."""
    after = []
    for axis, extent in enumerate(size):
        reach, step, pad = dilation[axis] * (window[axis] - 1) + 1, stride[axis], padding[axis]
        if pad > window[axis] // 2:
            raise shape_error(f"{what} padding is at most half the window of {window[axis]}, not {pad}")
        room = extent + 2 * pad - reach
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= extent + pad:
            count -= 1
        if extent < 1 or count < 1:
            raise shape_error(
                f"{what}: the window reaches over {reach} elements of spatial axis {axis}, "
                f"which has {extent + 2 * pad}, padding included"
            )
        after.append(max((count - 1) * step + reach - extent - pad, pad))
    return tuple(after)


def _max_pool(x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, dims: int) -> Tensor:
    what = f"max_pool{dims}d"
    x, planes = _checked(x, dims, what)
    window = extents(kernel_size, dims, f"{what} kernel_size", 1)
    steps = window if stride is None else extents(stride, dims, f"{what} stride", 1)
    before, spread = extents(padding, dims, f"{what} padding", 0), extents(dilation, dims, f"{what} dilation", 1)
    after = _padding_after(x.shape[-dims:], window, steps, before, spread, ceil_mode, what)
    y = apply(
        "max_pool2d", planes, window=as_2d(window, 1), stride=as_2d(steps, 1), padding=pads_of(before, after),
        dilation=as_2d(spread, 1),
    )  # fmt: skip
    return restored(y, x, dims)


def _avg_pool(
    x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool, dims: int
) -> Tensor:
    what = f"avg_pool{dims}d"
    x, planes = _checked(x, dims, what)
    window = extents(kernel_size, dims, f"{what} kernel_size", 1)
    steps = window if stride is None else extents(stride, dims, f"{what} stride", 1)
    before, ones = extents(padding, dims, f"{what} padding", 0), (1,) * dims
    after = _padding_after(x.shape[-dims:], window, steps, before, ones, ceil_mode, what)
    if count_include_pad and after != before:
        # What sticks out after the padding never counts, but the padding does: it becomes part of the plane.
        border = (0, 0, *as_2d(before, 0))
        planes = pad_view(planes, border, border)
        after = tuple(wide - pad for wide, pad in zip(after, before, strict=True))
        before, count_include_pad = (0,) * dims, False
    y = apply(
        "avg_pool2d", planes, window=as_2d(window, 1), stride=as_2d(steps, 1), padding=pads_of(before, after),
        count_include_pad=bool(count_include_pad),
    )  # fmt: skip
    return restored(y, x, dims)


def _adaptive(x: Any, output_size: Any, dims: int) -> Tensor:
    what = f"adaptive_avg_pool{dims}d"
    x, planes = _checked(x, dims, what)
    wanted = extents(output_size, dims, f"{what} output_size", 1)
    size = x.shape[-dims:]
    if any(extent % out or not extent for extent, out in zip(size, wanted, strict=True)):
        raise shape_error(f"{what} of spatial extents {size} to {wanted}: they must be multiples of the output's")
    window = as_2d(tuple(extent // out for extent, out in zip(size, wanted, strict=True)), 1)
    y = apply("avg_pool2d", planes, window=window, stride=window, padding=((0, 0), (0, 0)), count_include_pad=True)
    return restored(y, x, dims)


# NumPy formulas: each window cut out of the plane ----------------------------------------------------------------
def _pool_formula(dims: int, combine: Callable[[Array, int], Any]) -> Callable[..., Array]:
    """`combine` gets the elements of the plane in a window, and how many it covers, padding included."""

    def formula(x: Array, window: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Array:
        window, padding, dilation = (repeated(v, dims) for v in (window, padding, dilation))
        stride = window if stride is None else repeated(stride, dims)
        size, round_up = x.shape[-dims:], math.ceil if ceil_mode else math.floor
        starts = []
        for n, k, s, p, d in zip(size, window, stride, padding, dilation, strict=True):
            count = round_up((n + 2 * p - d * (k - 1) - 1) / s) + 1
            starts.append([-p + s * i for i in range(count) if not ceil_mode or s * i < n + p])
        y = np.empty((*x.shape[:-dims], *map(len, starts)), x.dtype)
        for position in np.ndindex(*y.shape[-dims:]):
            taps = [[starts[a][i] + dilation[a] * j for j in range(window[a])] for a, i in enumerate(position)]
            real = [[t for t in line if 0 <= t < n] for line, n in zip(taps, size, strict=True)]
            covered = math.prod(sum(t < n + p for t in line) for line, n, p in zip(taps, size, padding, strict=True))
            y[(..., *position)] = combine(x[(..., *np.ix_(*real))], covered)
        return y

    return formula


def _max_formula(dims: int) -> Callable[..., Array]:
    pool = _pool_formula(dims, lambda part, covered: part.max(axis=tuple(range(-dims, 0))))
    return lambda x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False: pool(
        x, kernel_size, stride, padding, dilation, ceil_mode
    )


def _avg_formula(dims: int) -> Callable[..., Array]:
    axes = tuple(range(-dims, 0))
    with_pad = _pool_formula(dims, lambda part, covered: part.sum(axis=axes) / covered)
    without = _pool_formula(dims, lambda part, covered: part.mean(axis=axes))
    return lambda x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True: (
        with_pad if count_include_pad else without
    )(x, kernel_size, stride, padding, 1, ceil_mode)


def _adaptive_formula(dims: int) -> Callable[..., Array]:
    def formula(x: Array, output_size: Any) -> Array:
        for axis, parts in zip(range(-dims, 0), repeated(output_size, dims), strict=True):
            x = np.stack([part.mean(axis=axis) for part in np.split(x, parts, axis)], axis=axis)
        return x

    return formula


# Functions -------------------------------------------------------------------------------------------------------
def _sample(shape: Ints, *args: Any, **options: Any) -> Sample:
    return Sample((Arg(shape, distinct=True), *args), tuple(options.items()))


_MAX_CONVENTION = "The gradient goes to the first of tied maxima, in row-major order of the window."


@function(
    formula=_max_formula(2),
    samples=(
        _sample((2, 1, 4, 4), 2),
        _sample((1, 2, 5, 4), (2, 3), 1),
        _sample((1, 1, 5, 5), 3, 2, padding=1),
        _sample((1, 1, 6, 5), 2, (2, 1), padding=(0, 1), dilation=(2, 1)),
        _sample((1, 1, 5, 6), 2, ceil_mode=True),
        _sample((1, 1, 5, 5), 3, 3, padding=1, ceil_mode=True),
        _sample((2, 4, 4), 2),
        _sample((0, 2, 4, 4), 2),
        _sample((1, 1, 1, 1), 3, 1, padding=1),
    ),
    dtypes=FLOAT,
    convention=_MAX_CONVENTION,
    errors=(
        (ShapeError, (Arg((4, 4)), 2), {}),
        (ShapeError, (Arg((1, 1, 2, 2)), 3), {}),
        (ShapeError, (Arg((1, 1, 4, 4)), 2), {"padding": 2}),
        (ShapeError, (Arg((1, 1, 4, 4)), 0), {}),
        (ShapeError, (Arg((1, 1, 4, 4)), (2, 2, 2)), {}),
        (ShapeError, (Arg((1, 1, 0, 4)), 1), {}),
        (DTypeError, (Arg((1, 1, 4, 4), dtype="int32"), 2), {}),
    ),
)
def max_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """PyTorch's max_pool2d: the maximum of each window of `x[N, C, H, W]` or `[C, H, W]`. NaN wins.

    `stride` is the window's size unless given. `padding` is at most half the window's size, and never the maximum; a
    dilated window that meets nothing but padding is a ShapeError (PyTorch answers minus infinity there).

    >>> max_pool2d(np.zeros((1, 3, 8, 8), "float32"), 2).shape
    (1, 3, 4, 4)
    """
    return _max_pool(x, kernel_size, stride, padding, dilation, ceil_mode, 2)


@function(
    formula=_max_formula(1),
    samples=(
        _sample((2, 2, 6), 2),
        _sample((1, 2, 7), 2, 2, padding=1, dilation=2),
        _sample((2, 5), 2, ceil_mode=True),
    ),
    dtypes=FLOAT,
    convention=_MAX_CONVENTION,
    errors=((ShapeError, (Arg((4,)), 2), {}), (ShapeError, (Arg((1, 1, 2)), 3), {})),
)
def max_pool1d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """PyTorch's max_pool1d: as `max_pool2d`, for `x[N, C, L]` or `[C, L]`."""
    return _max_pool(x, kernel_size, stride, padding, dilation, ceil_mode, 1)


@function(
    formula=_avg_formula(2),
    samples=(
        _sample((2, 1, 4, 4), 2),
        _sample((1, 2, 5, 4), (2, 3), 1),
        _sample((1, 1, 5, 5), 3, 2, padding=1),
        _sample((1, 1, 5, 5), 3, 2, padding=1, count_include_pad=False),
        _sample((1, 1, 5, 6), 2, ceil_mode=True),
        _sample((1, 1, 6, 6), 3, 2, padding=(1, 0), ceil_mode=True),
        _sample((1, 1, 6, 6), 3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        _sample((2, 4, 4), 2),
        _sample((0, 2, 4, 4), 2),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((4, 4)), 2), {}),
        (ShapeError, (Arg((1, 1, 2, 2)), 3), {}),
        (ShapeError, (Arg((1, 1, 4, 4)), 2), {"padding": 2}),
        (DTypeError, (Arg((1, 1, 4, 4), dtype="int32"), 2), {}),
    ),
)
def avg_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """PyTorch's avg_pool2d: the mean of each window of `x[N, C, H, W]` or `[C, H, W]`.

    Padding counts as zeros unless `count_include_pad` is False. `stride` is the window's size unless given.
    """
    return _avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, 2)


@function(
    formula=_avg_formula(1),
    samples=(
        _sample((2, 2, 6), 2),
        _sample((1, 2, 7), 3, 2, padding=1, ceil_mode=True),
        _sample((2, 5), 2, 1, padding=1, count_include_pad=False),
    ),
    dtypes=FLOAT,
    errors=((ShapeError, (Arg((4,)), 2), {}), (ShapeError, (Arg((1, 1, 2)), 3), {})),
)
def avg_pool1d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """PyTorch's avg_pool1d: as `avg_pool2d`, for `x[N, C, L]` or `[C, L]`."""
    return _avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, 1)


@function(
    formula=_adaptive_formula(2),
    samples=(_sample((2, 2, 4, 6), (2, 3)), _sample((1, 2, 4, 4), 1), _sample((2, 3, 3), 3)),
    dtypes=FLOAT,
    errors=((ShapeError, (Arg((1, 1, 5, 4)), 2), {}), (ShapeError, (Arg((1, 1, 4, 4)), 0), {})),
)
def adaptive_avg_pool2d(x: Any, output_size: Any) -> Tensor:
    """PyTorch's adaptive_avg_pool2d where the spatial extents are multiples of `output_size`, an integer or a pair."""
    return _adaptive(x, output_size, 2)


@function(
    formula=_adaptive_formula(1),
    samples=(_sample((2, 2, 6), 3), _sample((2, 4), 1)),
    dtypes=FLOAT,
    errors=((ShapeError, (Arg((1, 1, 5)), 2), {}),),
)
def adaptive_avg_pool1d(x: Any, output_size: Any) -> Tensor:
    """PyTorch's adaptive_avg_pool1d where the extent is a multiple of `output_size`."""
    return _adaptive(x, output_size, 1)
