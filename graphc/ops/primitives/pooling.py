"""Pooling primitives over the planes of x[N, C, H, W].

`max_pool2d` has the position of each maximum from `max_pool2d_argmax`, `max_pool2d_both` gives maxima and positions in
one pass (backends/cpu/pool_once.py); `max_pool2d_gather` reads a plane at such positions and `max_pool2d_scatter` adds
into one, each the transpose of the other. `avg_pool2d` is linear, and `avg_pool2d_grad` its transpose. Padding is
outside the plane: minus infinity for the maximum, zeros for the mean. A window of padding alone is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, TensorType, TupleType
from graphc.ops.build import apply
from graphc.ops.primitives.convolution import Pads, window_count
from graphc.ops.primitives.views import Ints
from graphc.ops.record import NO_GRADIENT, Array, Joint, Jvp, Kind, primitive
from graphc.ops.tensor import Tensor

_ONE = (1, 1)


# Shapes ----------------------------------------------------------------------------------------------------------
def _infer_pool(x: TensorType, *, window: Ints, stride: Ints, padding: Pads, dilation: Ints = _ONE) -> TensorType:
    _check_planes(x)
    if min(*window, *stride, *dilation) < 1 or min(*padding[0], *padding[1]) < 0:
        raise ShapeError(
            "pooling takes a window, strides and dilations >= 1 and padding >= 0; "
            f"got window {window}, stride {stride}, dilation {dilation}, padding {padding}"
        )
    counts = []
    for axis, size in enumerate(x.shape[2:]):
        count = window_count(size, window[axis], stride[axis], padding[axis], dilation[axis])
        taps = np.arange(count)[:, None] * stride[axis] + np.arange(window[axis]) * dilation[axis] - padding[axis][0]
        if not ((taps >= 0) & (taps < size)).any(axis=1).all():
            raise ShapeError(f"pooling of {x}: padding {padding} leaves a window without an element of the plane")
        counts.append(count)
    return x.with_shape((*x.shape[:2], *counts))


def _check_planes(x: TensorType) -> None:
    if x.ndim != 4:
        raise ShapeError(f"2-d pooling takes x[N, C, H, W], not {x}")
    if not x.dtype.is_float:
        raise DTypeError(f"pooling takes floating tensors, not {x}")


def _infer_argmax(x: TensorType, **attrs: Any) -> TensorType:
    result = _infer_pool(x, **attrs)
    if x.shape[2] * x.shape[3] > np.iinfo(np.int32).max:
        raise ShapeError(f"max_pool2d takes planes of fewer than 2**31 elements, not {x}")
    return result.with_dtype(DTYPES["int32"])


def _infer_scatter(g: TensorType, positions: TensorType, *, size: Ints) -> TensorType:
    _check_positions(g, positions)
    if g.shape != positions.shape:
        raise ShapeError(f"max_pool2d_scatter takes a position for each value, not {g} and {positions}")
    return g.with_shape((*g.shape[:2], *size))


def _infer_gather(x: TensorType, positions: TensorType) -> TensorType:
    _check_positions(x, positions)
    if x.shape[:2] != positions.shape[:2]:
        raise ShapeError(f"max_pool2d_gather takes positions for each plane, not {x} and {positions}")
    return x.with_shape(positions.shape)


def _check_positions(x: TensorType, positions: TensorType) -> None:
    _check_planes(x)
    if positions.ndim != 4 or positions.dtype.name != "int32":
        raise DTypeError(f"positions are int32[N, C, H, W], not {positions}")


def _infer_avg_pool(x: TensorType, *, window: Ints, stride: Ints, padding: Pads, count_include_pad: bool) -> TensorType:
    return _infer_pool(x, window=window, stride=stride, padding=padding)


def _infer_avg_grad(g: TensorType, *, size: Ints, **attrs: Any) -> TensorType:
    x = g.with_shape((*g.shape[:2], *size))
    y = _infer_avg_pool(x, **attrs)
    if y.shape != g.shape:
        raise ShapeError(f"the gradient of avg_pool2d has the shape of its result, {y.shape}, not {g.shape}")
    return x


# References: a loop over the taps of the window --------------------------------------------------------------------
def _taps(size: Ints, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Iterator[tuple[Any, Array]]:
    """For each tap, the part of the padded plane that the windows meet with it, and flat positions in the plane."""
    counts = [window_count(size[a], window[a], stride[a], padding[a], dilation[a]) for a in (0, 1)]
    for tap in np.ndindex(*window):
        first = [tap[a] * dilation[a] for a in (0, 1)]
        where = tuple(slice(first[a], first[a] + stride[a] * (counts[a] - 1) + 1, stride[a]) for a in (0, 1))
        row, column = (first[a] - padding[a][0] + stride[a] * np.arange(counts[a]) for a in (0, 1))
        yield where, row[:, None] * size[1] + column


def _padded(x: Array, padding: Pads, value: float) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def _max_pool(x: Array, *, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> tuple[Array, Array]:
    """The maxima and their positions: the first of ties, and of NaNs, which win."""
    padded, inside = _padded(x, padding, -np.inf), _padded(np.ones(x.shape, bool), padding, False)
    taps = list(_taps(x.shape[2:], window, stride, padding, dilation))
    values = np.stack([padded[:, :, *where] for where, _ in taps])
    real = np.stack([inside[:, :, *where] for where, _ in taps])
    choice = values.argmax(axis=0, keepdims=True)
    first_real = real.argmax(axis=0, keepdims=True)  # where the plane holds nothing but minus infinity
    choice = np.where(np.take_along_axis(real, choice, 0), choice, first_real)
    positions = np.stack([np.broadcast_to(place, values.shape[1:]) for _, place in taps])
    best = (np.take_along_axis(stacked, choice, 0)[0] for stacked in (values, positions))
    return next(best), next(best).astype(np.int32)


def _flat(planes: Array) -> Array:
    """Each plane as a row."""
    n, c, h, w = planes.shape
    return planes.reshape(n * c, h * w)


def _scatter(g: Array, positions: Array, *, size: Ints) -> Array:
    n, c = g.shape[:2]
    planes = np.zeros((n * c, size[0] * size[1]), g.dtype)
    np.add.at(planes, (np.arange(n * c)[:, None], _flat(positions)), _flat(g))
    return planes.reshape(n, c, *size)


def _gather(x: Array, positions: Array) -> Array:
    return np.take_along_axis(_flat(x), _flat(positions), axis=1).reshape(positions.shape)


def _divisors(size: Ints, window: Ints, stride: Ints, padding: Pads, count_include_pad: bool) -> Any:
    """The number of elements of each window that count."""
    if count_include_pad:
        return math.prod(window)
    real = _padded(np.ones((1, 1, *size)), padding, 0)
    return sum(real[:, :, *where] for where, _ in _taps(size, window, stride, padding, _ONE))


def _avg_pool(x: Array, *, window: Ints, stride: Ints, padding: Pads, count_include_pad: bool) -> Array:
    padded, size = _padded(x, padding, 0), x.shape[2:]
    sums = sum(padded[:, :, *where] for where, _ in _taps(size, window, stride, padding, _ONE))
    return np.asarray(sums / _divisors(size, window, stride, padding, count_include_pad))


def _avg_pool_grad(
    g: Array, *, size: Ints, window: Ints, stride: Ints, padding: Pads, count_include_pad: bool
) -> Array:
    share = g / _divisors(size, window, stride, padding, count_include_pad)
    padded = _padded(np.zeros((*g.shape[:2], *size), g.dtype), padding, 0)
    for where, _ in _taps(size, window, stride, padding, _ONE):
        padded[:, :, *where] += share
    (top, _), (left, _) = padding
    return padded[:, :, top : top + size[0], left : left + size[1]]


def _both_rule(
    cotangents: Sequence[Tensor | None], results: Sequence[Tensor], x: Tensor, **attrs: Any
) -> list[Tensor | None]:
    g = cotangents[0]
    return [None if g is None else apply("max_pool2d_scatter", g, results[1], size=x.shape[2:])]


# The primitives --------------------------------------------------------------------------------------------------
primitive(
    "max_pool2d",
    kind=Kind.LIBRARY,
    infer=_infer_pool,
    vjp=(
        lambda g, y, x, **attrs: apply(
            "max_pool2d_scatter", g, apply("max_pool2d_argmax", x, **attrs), size=x.shape[2:]
        ),
    ),
    jvp=lambda tangents, y, x, **attrs: apply("max_pool2d_gather", tangents[0], apply("max_pool2d_argmax", x, **attrs)),
    reference=lambda x, **attrs: _max_pool(x, **attrs)[0],
    cost=9,
    epilogue_inner=2,
)
primitive(
    "max_pool2d_argmax",
    kind=Kind.LIBRARY,
    infer=_infer_argmax,
    vjp=NO_GRADIENT,
    jvp=NO_GRADIENT,
    reference=lambda x, **attrs: _max_pool(x, **attrs)[1],
    cost=9,
)
primitive(
    "max_pool2d_both",
    kind=Kind.LIBRARY,
    infer=lambda x, **attrs: TupleType((_infer_pool(x, **attrs), _infer_argmax(x, **attrs))),
    vjp=Joint(_both_rule),
    jvp=lambda tangents, y, x, **attrs: (apply("max_pool2d_gather", tangents[0], y[1]), None),
    reference=lambda x, **attrs: _max_pool(x, **attrs),
    cost=9,
)
primitive(
    "max_pool2d_scatter",
    kind=Kind.LIBRARY,
    infer=_infer_scatter,
    vjp=(lambda h, y, g, positions, *, size: apply("max_pool2d_gather", h, positions), NO_GRADIENT),
    jvp=Jvp.LINEAR,
    reference=_scatter,
    cost=4,
)
primitive(
    "max_pool2d_gather",
    kind=Kind.LIBRARY,
    infer=_infer_gather,
    vjp=(lambda h, y, x, positions: apply("max_pool2d_scatter", h, positions, size=x.shape[2:]), NO_GRADIENT),
    jvp=Jvp.LINEAR,
    reference=_gather,
    cost=4,
)
primitive(
    "avg_pool2d",
    kind=Kind.LIBRARY,
    infer=_infer_avg_pool,
    vjp=(lambda g, y, x, **attrs: apply("avg_pool2d_grad", g, size=x.shape[2:], **attrs),),
    jvp=Jvp.LINEAR,
    reference=_avg_pool,
    cost=9,
    epilogue_inner=2,
)
primitive(
    "avg_pool2d_grad",
    kind=Kind.LIBRARY,
    infer=_infer_avg_grad,
    vjp=(lambda h, y, g, *, size, **attrs: apply("avg_pool2d", h, **attrs),),
    jvp=Jvp.LINEAR,
    reference=_avg_pool_grad,
    cost=9,
)
