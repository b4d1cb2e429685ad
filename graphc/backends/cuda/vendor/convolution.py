"""A call of `conv2d` or of one of its gradients as a convolution that libraries know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.cuda.calls.convolutions import Conv
from graphc.backends.cuda.vendor.library import FLOATS, MOST

__all__ = ["Convolution", "Extents", "convolution_of"]

Extents = tuple[int, int, int, int]


@dataclass(frozen=True)
class Convolution:
    """The call of this name: y = x * w, or the gradient of x or w. All three lie contiguously, in rows of an image.

    `operands` are the extents of what it reads and of what it writes.
    """

    call: str
    dtype: str
    operands: tuple[Extents, Extents, Extents]
    before: tuple[int, int]  # padding above and to the left
    after: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __str__(self) -> str:
        first, second, _ = (" x ".join(map(str, extents)) for extents in self.operands)
        return f"{self.call} of {self.dtype}, {first} and {second}"


def convolution_of(call: str, params: Sequence[int]) -> Convolution | None:
    """The convolution that a call computes, None for what no library takes.

    That are other dtypes, nothing at all, and tensors of more than 2³¹ elements.
    """
    conv = Conv.of(params)
    x = (conv.images, conv.channels, *conv.size)
    w = (conv.filters, conv.own[0], *conv.window)
    y = (conv.images, conv.filters, *conv.out)
    sizes = [math.prod(extents) for extents in (x, w, y)]
    if conv.dtype.name not in FLOATS or not 0 < min(sizes) <= max(sizes) <= MOST:
        return None
    operands = {"conv2d": (x, w, y), "conv2d_input_grad": (y, w, x), "conv2d_weight_grad": (x, y, w)}[call]
    return Convolution(call, conv.dtype.name, operands, conv.before, _after(conv), conv.stride, conv.dilation)


def _after(conv: Conv) -> tuple[int, int]:
    """The padding below and to the right: as much as before where the output has its extents so, else what it takes."""
    first, second = (
        before if (size + 2 * before - reach) // stride + 1 == out else (out - 1) * stride + reach - size - before
        for size, reach, out, stride, before in zip(
            conv.size, _reaches(conv), conv.out, conv.stride, conv.before, strict=True
        )
    )
    return max(first, 0), max(second, 0)


def _reaches(conv: Conv) -> list[int]:
    """How many places a window spans along each axis."""
    return [dilation * (window - 1) + 1 for dilation, window in zip(conv.dilation, conv.window, strict=True)]
