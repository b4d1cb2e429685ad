"""Convolution primitives: `conv2d` and its two gradients, which are closed under differentiation.

With x[N, C, H, W] and w[O, C/groups, KH, KW], y[n, o, i, j] is the sum over the group's channels c and taps (p, q) of
x[n, c, i*sh - top + p*dh, j*sw - left + q*dw] * w[o, c, p, q], with zeros outside x. This is bilinear, so `conv2d`,
`conv2d_input_grad` (its transpose in x) and `conv2d_weight_grad` (its transpose in w) are each other's gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import TensorType
from graphc.ops.build import apply
from graphc.ops.primitives.views import Ints
from graphc.ops.record import Array, Jvp, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["Pads", "window_count"]

Pads = tuple[tuple[int, int], tuple[int, int]]


def window_count(size: int, window: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """How many windows fit along an axis. Raises ShapeError where not even one does."""
    reach = dilation * (window - 1) + 1
    room = size + sum(padding) - reach
    if room < 0:
        raise ShapeError(f"a window that reaches over {reach} elements does not fit into {size} with padding {padding}")
    return room // stride + 1


# Shapes ----------------------------------------------------------------------------------------------------------
def _check(x: TensorType, w: TensorType, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> None:
    if x.dtype is not w.dtype or not x.dtype.is_float:
        raise DTypeError(f"a convolution takes two tensors of one floating dtype, not {x} and {w}")
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"a 2-d convolution takes x[N, C, H, W] and w[O, C/groups, KH, KW], not {x} and {w}")
    if groups < 1 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ShapeError(
            f"a convolution of {x} with {w} in {groups} groups: x must have {w.shape[1]} * {groups} channels, "
            f"and the number of filters, {w.shape[0]}, must be a multiple of {groups}"
        )
    if min(w.shape[2:]) < 1 or min(*stride, *dilation) < 1 or min(*padding[0], *padding[1]) < 0:
        raise ShapeError(
            "a convolution takes a kernel, strides and dilations >= 1 and padding >= 0; "
            f"got kernel {w.shape[2:]}, stride {stride}, dilation {dilation}, padding {padding}"
        )


def _infer_conv2d(
    x: TensorType, w: TensorType, *, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> TensorType:
    _check(x, w, stride, padding, dilation, groups)
    counts = (
        window_count(x.shape[axis], w.shape[axis], stride[axis - 2], padding[axis - 2], dilation[axis - 2])
        for axis in (2, 3)
    )
    return x.with_shape((x.shape[0], w.shape[0], *counts))


def _infer_input_grad(
    g: TensorType, w: TensorType, *, input_size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> TensorType:
    channels = w.shape[1] * groups if w.ndim == 4 else 0
    x = g.with_shape((*g.shape[:1], channels, *input_size))
    _check_output(g, _infer_conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups))
    return x


def _infer_weight_grad(
    x: TensorType, g: TensorType, *, kernel_size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> TensorType:
    filters = g.shape[1] if g.ndim == 4 else 0
    channels = x.shape[1] // max(groups, 1) if x.ndim == 4 else 0
    w = g.with_shape((filters, channels, *kernel_size))
    _check_output(g, _infer_conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups))
    return w


def _check_output(g: TensorType, y: TensorType) -> None:
    if g.shape != y.shape:
        raise ShapeError(f"the gradient of a convolution has the shape of its result, {y.shape}, not {g.shape}")


# References: a loop over the taps, each a product over the channels of a group -------------------------------------
def _taps(kernel: Ints, out: Ints, stride: Ints, dilation: Ints) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """For each tap, which elements of the padded planes it meets."""
    for p in range(kernel[0]):
        for q in range(kernel[1]):
            first = p * dilation[0], q * dilation[1]
            where = tuple(
                slice(start, start + step * (count - 1) + 1, step)
                for start, step, count in zip(first, stride, out, strict=True)
            )
            yield p, q, where


def _grouped(planes: Array, groups: int) -> Array:
    """[N, C, H, W] as [N, groups, C/groups, H*W]."""
    n, c, h, w = planes.shape
    return planes.reshape(n, groups, c // groups, h * w)


def _padded(x: Array, padding: Pads) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *padding))


def _conv2d(x: Array, w: Array, *, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Array:
    padded = _padded(x, padding)
    reach = [dilation[a] * (w.shape[a + 2] - 1) + 1 for a in (0, 1)]
    out = tuple((padded.shape[a + 2] - reach[a]) // stride[a] + 1 for a in (0, 1))
    filters = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    y = np.zeros((x.shape[0], groups, filters.shape[1], out[0] * out[1]), x.dtype)
    for p, q, where in _taps(w.shape[2:], out, stride, dilation):
        y += filters[..., p, q] @ _grouped(padded[:, :, *where], groups)
    return y.reshape(x.shape[0], w.shape[0], *out)


def _input_grad(
    g: Array, w: Array, *, input_size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Array:
    channels = w.shape[1] * groups
    padded = _padded(np.zeros((g.shape[0], channels, *input_size), g.dtype), padding)
    filters = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    out = g.shape[2:]
    for p, q, where in _taps(w.shape[2:], out, stride, dilation):
        part = np.swapaxes(filters[..., p, q], 1, 2) @ _grouped(g, groups)
        padded[:, :, *where] += part.reshape(g.shape[0], channels, *out)
    (top, _), (left, _) = padding
    return padded[:, :, top : top + input_size[0], left : left + input_size[1]]


def _weight_grad(
    x: Array, g: Array, *, kernel_size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Array:
    padded = _padded(x, padding)
    filters, channels = g.shape[1], x.shape[1] // groups
    w = np.zeros((filters, channels, *kernel_size), g.dtype)
    for p, q, where in _taps(kernel_size, g.shape[2:], stride, dilation):
        met = np.swapaxes(_grouped(padded[:, :, *where], groups), 2, 3)
        w[:, :, p, q] = (_grouped(g, groups) @ met).sum(axis=0).reshape(filters, channels)
    return w


# The primitives and how they are each other's gradients ------------------------------------------------------------
def _to_input(g: Tensor, w: Tensor, x: Tensor, **attrs: Any) -> Tensor:
    return apply("conv2d_input_grad", g, w, input_size=x.shape[2:], **attrs)


def _to_weight(x: Tensor, g: Tensor, w: Tensor, **attrs: Any) -> Tensor:
    return apply("conv2d_weight_grad", x, g, kernel_size=w.shape[2:], **attrs)


primitive(
    "conv2d",
    kind=Kind.CONTRACTION,
    infer=_infer_conv2d,
    vjp=(
        lambda g, y, x, w, **attrs: _to_input(g, w, x, **attrs),
        lambda g, y, x, w, **attrs: _to_weight(x, g, w, **attrs),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=_conv2d,
    cost=256,
    epilogue_inner=2,
)
primitive(
    "conv2d_input_grad",
    kind=Kind.CONTRACTION,
    infer=_infer_input_grad,
    vjp=(
        lambda h, y, g, w, *, input_size, **attrs: apply("conv2d", h, w, **attrs),
        lambda h, y, g, w, *, input_size, **attrs: _to_weight(h, g, w, **attrs),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=_input_grad,
    cost=256,
)
primitive(
    "conv2d_weight_grad",
    kind=Kind.CONTRACTION,
    infer=_infer_weight_grad,
    vjp=(
        lambda h, y, x, g, *, kernel_size, **attrs: _to_input(g, h, x, **attrs),
        lambda h, y, x, g, *, kernel_size, **attrs: apply("conv2d", x, h, **attrs),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=_weight_grad,
    cost=256,
)
