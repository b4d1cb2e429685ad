"""Convolutions and their gradients as products of matrices that are read where they lie: calls of `matmul`.

With k = (c, p, q), channel and tap, a group's convolution of one image is y[o, (i, j)] = sum over k of w[o, k] times
x[c, i sh - top + p dh, j sw - left + q dw], 0 outside. The gradient of x goes the other way through the same places, of
which there is one where strides divide; that of w sums over images and places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.calls.products import product_kernel
from graphc.backends.cuda.kernel import CudaKernel, MakeKernel
from graphc.backends.cuda.printer.spelling import from_memory
from graphc.ir.types import DType, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView

__all__ = ["CONVOLUTION_CALLS", "CONVOLUTION_KERNELS", "Conv"]


@dataclass(frozen=True)
class Conv:
    """The parameters of a call: of x[images, channels, *size], w[filters, channels / groups, *window] and
    y[images, filters, *out]."""

    images: int
    channels: int
    filters: int
    groups: int
    size: tuple[int, int]
    window: tuple[int, int]
    out: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]  # padding above and to the left
    dtype: DType

    @property
    def words(self) -> tuple[int, ...]:
        pairs = (self.size, self.window, self.out, self.stride, self.dilation, self.before)
        head = (self.images, self.channels, self.filters, self.groups, number_of(self.dtype))
        return (*head, *(word for pair in pairs for word in pair))

    @classmethod
    def of(cls, words: Sequence[int]) -> Conv:
        """The parameters of a call, as whole numbers one after the other."""
        images, channels, filters, groups, number, *rest = words
        size, window, out, stride, dilation, before = ((rest[i], rest[i + 1]) for i in range(0, len(rest), 2))
        dtype = dtype_of(number)
        return cls(images, channels, filters, groups, size, window, out, stride, dilation, before, dtype)

    @property
    def own(self) -> tuple[int, int]:
        """Channels and filters of a group."""
        return self.channels // self.groups, self.filters // self.groups

    @property
    def taps(self) -> int:
        return math.prod(self.window)


def _call(
    name: str, attrs: Mapping[str, Any], x: Sequence[int], w: Sequence[int], y: Sequence[int], dtype: DType
) -> LibraryCall:
    (top, _), (left, _) = attrs["padding"]
    conv = Conv(
        x[0], x[1], w[0], attrs["groups"], (x[2], x[3]), (w[2], w[3]), (y[2], y[3]), attrs["stride"],
        attrs["dilation"], (top, left), dtype,
    )  # fmt: skip
    work = 2 * math.prod(y) * conv.own[0] * conv.taps
    return LibraryCall(name, conv.words, 1, 0, work, in_registers=True)


def _forward(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    x, w = operands
    return _call("conv2d", attrs, x.shape, w.shape, result.shape, result.dtype)


def _of_input(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    g, w = operands
    return _call("conv2d_input_grad", attrs, result.shape, w.shape, g.shape, result.dtype)


def _of_weight(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    x, g = operands
    return _call("conv2d_weight_grad", attrs, x.shape, result.shape, g.shape, result.dtype)


CONVOLUTION_CALLS: Mapping[str, Callable[..., LibraryCall]] = {
    "conv2d": _forward, "conv2d_input_grad": _of_input, "conv2d_weight_grad": _of_weight,
}  # fmt: skip


# Kernels: o0, o1 are the op's operands, so the product's A and B are either -------------------------------------------
def _pixel(c: Conv, operand: str, image: str, channel: str, place: str, tap: str) -> str:
    """The element of x that a tap of a window meets, or 0; `place` is the window's position in the output."""
    at = []
    pairs = zip(_divided(place, c.out[1]), _divided(tap, c.window[1]), strict=True)
    for axis, (place_part, tap_part) in enumerate(pairs):
        moved = f"i32({place_part}) * i32({c.stride[axis]}) + i32({tap_part}) * i32({c.dilation[axis]})"
        at.append(f"({moved} - i32({c.before[axis]}))")
    inside = " and ".join(f"{p} >= i32(0) and {p} < i32({n})" for p, n in zip(at, c.size, strict=True))
    plane = f"({image} * u32({c.channels}) + {channel})"
    index = f"u32(({plane} * u32({c.size[0]}) + u32({at[0]})) * u32({c.size[1]}) + u32({at[1]}))"
    return f"{from_memory(c.dtype)}({operand}[{index}]) if {inside} else SUM(0)"


def _divided(number: str, by: int) -> tuple[str, str]:
    return f"({number} // u32({by}))", f"({number} % u32({by}))"


def _output(c: Conv, operand: str, image: str, filter: str, place: str) -> str:
    index = f"u32(({image} * u32({c.filters}) + {filter}) * u32({math.prod(c.out)}) + {place})"
    return f"{from_memory(c.dtype)}({operand}[{index}])"


def _weight(c: Conv, operand: str, filter: str, channel: str, tap: str) -> str:
    """`channel` counts within the group."""
    index = f"u32(({filter} * u32({c.own[0]}) + {channel}) * u32({c.taps}) + {tap})"
    return f"{from_memory(c.dtype)}({operand}[{index}])"


def _conv2d(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    c = Conv.of(params)
    image, group = _divided("batch", c.groups)
    channel, tap = _divided("k", c.taps)
    filter = f"({group} * u32({c.own[1]}) + m)"
    places = math.prod(c.out)
    position = f"u32(({image} * u32({c.filters}) + {filter}) * u32({places}) + n)"
    own = {
        "A_VALUE": _weight(c, "o1", filter, channel, tap), "A_ALONG_K": True, "B_ALONG_N": True,
        "B_VALUE": _pixel(c, "o0", image, f"({group} * u32({c.own[0]}) + {channel})", "n", tap),
        "C_INDEX": position, "POSITION": position,
    }  # fmt: skip
    shape = (c.images * c.groups, c.own[1], places, c.own[0] * c.taps)
    return product_kernel(shape, c.dtype, own, name, routine)


def _conv2d_weight_grad(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    c = Conv.of(params)
    image, place = _divided("k", math.prod(c.out))
    channel, tap = _divided("n", c.taps)
    filter = f"(batch * u32({c.own[1]}) + m)"
    position = f"u32({filter} * u32({c.own[0] * c.taps}) + n)"
    own = {
        "A_VALUE": _output(c, "o1", image, filter, place), "A_ALONG_K": True, "B_ALONG_N": False,
        "B_VALUE": _pixel(c, "o0", image, f"(batch * u32({c.own[0]}) + {channel})", place, tap),
        "C_INDEX": position, "POSITION": position,
    }  # fmt: skip
    shape = (c.groups, c.own[1], c.own[0] * c.taps, c.images * math.prod(c.out))
    return product_kernel(shape, c.dtype, own, name, routine)


def _conv2d_input_grad(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    c = Conv.of(params)
    image, group = _divided("batch", c.groups)
    filter, tap = _divided("k", c.taps)
    filter = f"({group} * u32({c.own[1]}) + {filter})"
    channel = f"({group} * u32({c.own[0]}) + m)"
    at, inside = [], []
    for axis, (place, part) in enumerate(zip(_divided("n", c.size[1]), _divided(tap, c.window[1]), strict=True)):
        moved = f"(i32({place}) + i32({c.before[axis]}) - i32({part}) * i32({c.dilation[axis]}))"
        at.append(f"({moved} // i32({c.stride[axis]}))")
        inside += [f"{moved} >= i32(0)", f"{moved} % i32({c.stride[axis]}) == i32(0)", f"{at[-1]} < i32({c.out[axis]})"]
    value = _output(c, "o0", image, filter, f"u32({at[0]}) * u32({c.out[1]}) + u32({at[1]})")
    position = f"u32(({image} * u32({c.channels}) + {channel}) * u32({math.prod(c.size)}) + n)"
    own = {
        "A_VALUE": _weight(c, "o1", filter, "m", tap), "A_ALONG_K": False, "B_ALONG_N": True,
        "B_VALUE": f"{value} if {' and '.join(inside)} else SUM(0)", "C_INDEX": position, "POSITION": position,
    }  # fmt: skip
    shape = (c.images * c.groups, c.own[0], math.prod(c.size), c.own[1] * c.taps)
    return product_kernel(shape, c.dtype, own, name, routine)


CONVOLUTION_KERNELS: Mapping[str, MakeKernel] = {
    "conv2d": _conv2d, "conv2d_weight_grad": _conv2d_weight_grad, "conv2d_input_grad": _conv2d_input_grad,
}  # fmt: skip
