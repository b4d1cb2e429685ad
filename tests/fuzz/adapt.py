"""Tensors made to fit: any shape, any type, any range, by graphs that are awkward to compile on purpose.

Views are drawn of views; a slice may lie wholly in a padding, an extent may be 0. A value is brought into a range by
a sine, an index by a remainder, so that what was drawn still depends on all that it was made of.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import graphc as gx
from graphc.ir.types import DType
from graphc.ops.build import cast
from graphc.ops.primitives.views import flip_view, join, pad_view, permute, reshape_to, slice_view

__all__ = ["VIEWS", "meet", "ranged", "resized", "typed", "viewed"]

Shape = tuple[int, ...]


def meet(a: Shape, b: Shape) -> bool:
    """Whether two shapes broadcast."""
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def typed(x: gx.Tensor, dtype: DType) -> gx.Tensor:
    """`x` as `dtype`; a float becomes a small whole number first where an integer is asked for."""
    if x.dtype.is_float and not dtype.is_float:
        x = gx.where(gx.isfinite(x), gx.clip(x, -100, 100), 0) * 4
        if dtype.kind == "uint":
            x = gx.abs(x)
    return cast(x, dtype)


def ranged(x: gx.Tensor, low: float, high: float) -> gx.Tensor:
    """`x` within [low, high), or as it is where there is no room."""
    if x.dtype.kind == "bool" or not high > low:
        return x
    if x.dtype.is_float:
        return gx.sin(x) * ((high - low) / 2) + (high + low) / 2
    least, count = max(math.ceil(low), 0 if x.dtype.kind == "uint" else -128), math.ceil(high) - math.ceil(low)
    return gx.remainder(x, max(min(count, 100), 1)) + least


def resized(x: gx.Tensor, shape: Shape) -> gx.Tensor:
    """`x` as an array of `shape`: broadcast where that will do, else its first elements, and zeros."""
    if x.shape == shape:
        return x
    if meet(x.shape, shape) and len(x.shape) <= len(shape) and all(
        m in (1, n) for m, n in zip(x.shape[::-1], shape[::-1], strict=False)
    ):  # fmt: skip
        return gx.broadcast_to(x, shape)
    flat, size = reshape_to(x, (x.size,)), math.prod(shape)
    flat = slice_view(flat, (0,), (min(size, x.size),))
    return reshape_to(pad_view(flat, (0,), (size - flat.size,)), shape)


# Views ---------------------------------------------------------------------------------------------------------------
def _reshaped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """Another factorisation of the number of elements, with ones between."""
    left, shape = x.size, []
    while left > 1 and len(shape) < 3:
        factor = chance.choice([f for f in range(1, left + 1) if left % f == 0])
        shape.append(factor)
        left //= factor
    return reshape_to(x, (*shape, left) if x.size else (0,))


def _permuted(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return permute(x, chance.sample(range(x.ndim), x.ndim))


def _sliced(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """A part along each axis, with steps of any sign; now and then an empty one."""
    starts, sizes, steps = [], [], []
    for extent in x.shape:
        step = chance.choice((1, 1, 1, 2, 3, -1, -1, -2))
        size = chance.randint(0 if chance.random() < 0.02 else min(extent, 1), -(-extent // abs(step)))
        reach = abs(step) * (size - 1) if size else 0
        low = chance.randint(0, max(extent - 1 - reach, 0))
        starts.append(low + reach if step < 0 and size else low)
        sizes.append(size)
        steps.append(step)
    return slice_view(x, starts, sizes, steps)


def _padded(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    widths = [[chance.choice((0, 0, 1, 3)) for _ in x.shape] for _ in range(2)]
    value = chance.choice((0, 0, 1))
    return pad_view(x, *widths, x.dtype.numpy.type(value).item() if x.dtype.kind != "bool" else bool(value))


def _shifted(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """A part of a padded tensor, which may lie in the padding alone."""
    padded = _padded(chance, _padded(chance, x))
    return _sliced(chance, padded)


def _joined(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    if not x.ndim:
        return x
    axis = chance.randrange(x.ndim)
    parts = [x, _flipped(chance, x), x if x.dtype.kind in ("uint", "bool") else -x, _head(x, axis)]
    return join(chance.choices(parts, k=chance.randint(1, 3)), axis)


def _head(x: gx.Tensor, axis: int) -> gx.Tensor:
    return slice_view(x, [0] * x.ndim, [min(n, 1) if a == axis else n for a, n in enumerate(x.shape)])


def _flipped(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return flip_view(x, [axis for axis in range(x.ndim) if chance.random() < 0.5])


def _spread(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.broadcast_to(x, (chance.randint(1, 3), *x.shape))


def _rolled(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    return gx.roll(x, chance.randint(-3, 3), chance.randrange(x.ndim)) if x.ndim and x.size else x


VIEWS: Sequence[Callable[[random.Random, gx.Tensor], gx.Tensor]] = (
    _reshaped, _permuted, _sliced, _padded, _shifted, _joined, _flipped, _spread, _rolled,
)  # fmt: skip


def viewed(chance: random.Random, x: gx.Tensor) -> gx.Tensor:
    """`x` through one to three views."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        x = chance.choice(VIEWS)(chance, x)
    return x
