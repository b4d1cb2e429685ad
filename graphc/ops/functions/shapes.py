"""Functions that rearrange one tensor: reshape, transpose and its kin, broadcast, repeat, flip, roll.

All are compositions of view primitives with NumPy's names and arguments, linear in their tensor, and cost nothing
where the compiler can fold the index into the reader. Axes may be negative; zero-sized extents behave as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError, shown
from graphc.ops import build
from graphc.ops.build import as_tensor, normalize_axes, normalize_axis
from graphc.ops.primitives.views import Ints, flip_view, join, narrow, permute, reshape_to, shape_error
from graphc.ops.record import ALL, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = [
    "broadcast_arrays", "broadcast_to", "expand_dims", "flip", "integers", "moveaxis", "permute_dims", "repeat",
    "reshape", "roll", "squeeze", "swapaxes", "tile", "transpose",
]  # fmt: skip


def integers(values: Any, what: str) -> Ints:
    """An int or a sequence of ints as a tuple. Raises ShapeError, which calls it `what`."""
    parts = values if isinstance(values, (tuple, list, np.ndarray)) else (values,)
    for part in parts:
        if isinstance(part, (bool, np.bool_)) or not isinstance(part, (int, np.integer)):
            raise shape_error(f"{what} takes integers, not {shown(part)} in {shown(values)}")
    return tuple(int(part) for part in parts)


@function(
    formula=lambda x, shape: np.reshape(x, shape),
    samples=(
        Sample((Arg((2, 6)), (3, 4))),
        Sample((Arg((2, 6)), -1)),
        Sample((Arg((2, 3, 4)), (4, -1, 2))),
        Sample((Arg((0, 3)), (3, -1))),
        Sample((Arg(()), (1, 1))),
        Sample((Arg((1, 2, 1, 2, 1, 3)), (2, 6))),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), (4, 2)), {}),
        (ShapeError, (Arg((2, 3)), (-1, 4)), {}),
        (ShapeError, (Arg((2, 3)), (-1, -1)), {}),
        (ShapeError, (Arg((2, 3)), (2, 1.5)), {}),
        (ShapeError, (Arg((0, 3)), (-1, 0)), {}),
    ),
)
def reshape(x: Any, shape: Any) -> Tensor:
    """`x` with its elements, in row-major order, in `shape`. One extent may be -1: whatever fits.

    Raises ShapeError when the number of elements differs.

    >>> reshape(build.constant([[1, 2], [3, 4]]), -1).shape
    (4,)
    """
    x = as_tensor(x)
    wanted = integers(shape, "reshape")
    free = [axis for axis, size in enumerate(wanted) if size == -1]
    known = math.prod(size for size in wanted if size != -1)
    if len(free) > 1 or any(size < -1 for size in wanted):
        raise shape_error(f"reshape to {wanted}: extents are integers >= 0, and one of them may be -1")
    fits = (known != 0 and x.size % known == 0) if free else known == x.size
    if not fits:
        holds = f"a multiple of {known}" if free and known else f"{known}" + " whatever -1 stands for" * bool(free)
        raise shape_error(f"reshape of {x.type} to {wanted}: {x.size} elements came, the shape holds {holds}")
    return reshape_to(x, tuple(x.size // known if size == -1 else size for size in wanted))


@function(
    formula=lambda x, axes=None: np.transpose(x, axes),
    samples=(
        Sample((Arg((2, 3)),)),
        Sample((Arg((2, 3, 4)), (2, 0, 1))),
        Sample((Arg((2, 1, 3, 1, 2, 2)), (-1, 0, 4, 1, 3, 2))),
        Sample((Arg((0, 3)),)),
        Sample((Arg(()),)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), (0, 0)), {}),
        (ShapeError, (Arg((2, 3)), (0,)), {}),
        (ShapeError, (Arg((2, 3)), (0, 2)), {}),
    ),
)
def transpose(x: Any, axes: Any = None) -> Tensor:
    """`x` with its axes in the order `axes`, or reversed. Raises ShapeError where `axes` is no permutation.

    >>> transpose(build.constant([[1, 2, 3]])).shape
    (3, 1)
    """
    x = as_tensor(x)
    if axes is None:
        return permute(x, tuple(reversed(range(x.ndim))))
    order = tuple(normalize_axis(axis, x.ndim) for axis in integers(axes, "transpose"))
    if sorted(order) != list(range(x.ndim)):
        raise shape_error(f"transpose of {x.type}: axes {axes} are no permutation of its {x.ndim} axes")
    return permute(x, order)


permute_dims = transpose  # the array API's name


@function(
    formula=lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    samples=(Sample((Arg((2, 3, 4)), 0, -1)), Sample((Arg((2, 3)), 1, 1)), Sample((Arg(()), 0, -1))),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), 0, 2), {}), (ShapeError, (Arg(()), 0, 1), {})),
)
def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """`x` with two axes exchanged."""
    x = as_tensor(x)
    a, b = (normalize_axis(axis, x.ndim or 1) for axis in (axis1, axis2))
    exchange = {a: b, b: a}
    return permute(x, tuple(exchange.get(axis, axis) for axis in range(x.ndim)))


@function(
    formula=lambda x, source, destination: np.moveaxis(x, source, destination) if x.ndim else x,
    samples=(
        Sample((Arg(()), 0, -1)),
        Sample((Arg((2, 3, 4)), 0, -1)),
        Sample((Arg((2, 3, 4, 2)), (0, 1), (-1, 0))),
        Sample((Arg((2, 3)), 0, 0)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), 0, (0, 1)), {}), (ShapeError, (Arg((2, 3)), (0, 0), (0, 1)), {})),
)
def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """`x` with the axes `source` moved to the positions `destination`; the others keep their order."""
    x = as_tensor(x)
    pairs = [integers(axes, "moveaxis") for axes in (source, destination)]
    origin, target = ([normalize_axis(axis, x.ndim or 1) for axis in axes] for axes in pairs)
    if len(origin) != len(target) or len({*origin}) != len(origin) or len({*target}) != len(target):
        raise shape_error(f"moveaxis from {source} to {destination}: needs as many distinct axes on both sides")
    order = [axis for axis in range(x.ndim) if axis not in origin]
    for place, axis in sorted(zip(target, origin, strict=True)):
        order.insert(place, axis)
    return permute(x, order[: x.ndim])


@function(
    formula=np.broadcast_to,
    samples=(
        Sample((Arg((3, 1)), (3, 4))),
        Sample((Arg((4,)), (2, 3, 4))),
        Sample((Arg(()), (2, 2))),
        Sample((Arg((1, 3)), (0, 3))),
        Sample((Arg((2, 3)), (2, 3))),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)), (4,)), {}), (ShapeError, (Arg((2, 3)), (3,)), {})),
)
def broadcast_to(x: Any, shape: Any) -> Tensor:
    """`x` repeated to `shape` along missing axes and axes of extent 1. Its gradient is summed over the repeats.

    >>> broadcast_to(build.constant([1.0, 2.0]), (3, 2)).shape
    (3, 2)
    """
    return build.broadcast_to(as_tensor(x), integers(shape, "broadcast_to"))


@function(
    formula=lambda *xs: np.broadcast_arrays(*xs),
    samples=(Sample((Arg((3, 1)), Arg((4,)))), Sample((Arg(()), Arg((0, 2)), Arg((1, 2))))),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)), Arg((4,))), {}),),
)
def broadcast_arrays(*xs: Any) -> tuple[Tensor, ...]:
    """All tensors repeated to their common shape; dtypes stay."""
    tensors = [as_tensor(x) for x in xs]
    shape = build.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(build.broadcast_to(x, shape) for x in tensors)


@function(
    formula=lambda x, axis: np.expand_dims(x, axis),
    samples=(
        Sample((Arg((2, 3)), 0)),
        Sample((Arg((2, 3)), -1)),
        Sample((Arg((2, 3)), (0, -2))),
        Sample((Arg(()), 0)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), 3), {}), (ShapeError, (Arg((2, 3)), (0, 0)), {})),
)
def expand_dims(x: Any, axis: Any) -> Tensor:
    """`x` with axes of extent 1 put in, at the positions `axis` of the result."""
    x = as_tensor(x)
    places = integers(axis, "expand_dims")
    added = normalize_axes(places, x.ndim + len(places))
    rest = iter(x.shape)
    return reshape_to(x, tuple(1 if place in added else next(rest) for place in range(x.ndim + len(places))))


@function(
    formula=lambda x, axis=None: np.squeeze(x, axis),
    samples=(
        Sample((Arg((1, 2, 1, 3)),)),
        Sample((Arg((1, 2, 1, 3)), 2)),
        Sample((Arg((1, 2, 1, 3)), (0, -2))),
        Sample((Arg(()), 0)),
        Sample((Arg((2, 3)),)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((1, 2)), 1), {}), (ShapeError, (Arg((1, 2)), 2), {})),
)
def squeeze(x: Any, axis: Any = None) -> Tensor:
    """`x` without the axes `axis`, or without all axes of extent 1. Raises ShapeError for an axis of another extent."""
    x = as_tensor(x)
    if axis is None:
        return reshape_to(x, tuple(size for size in x.shape if size != 1))
    dropped = normalize_axes(integers(axis, "squeeze"), x.ndim)
    for place in dropped:
        if x.shape[place] != 1:
            raise shape_error(f"squeeze of {x.type} along axis {place}: its extent is {x.shape[place]}, not 1")
    return reshape_to(x, tuple(size for place, size in enumerate(x.shape) if place not in dropped))


@function(
    formula=lambda x, axis=None: np.flip(x, axis) if x.ndim else x,
    samples=(
        Sample((Arg((2, 3)),)),
        Sample((Arg((2, 3)), 1)),
        Sample((Arg((2, 3, 4)), (0, -1))),
        Sample((Arg((2, 0)),)),
        Sample((Arg(()),)),
        Sample((Arg(()), -1)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), 2), {}), (ShapeError, (Arg((2, 3)), (0, 0)), {})),
)
def flip(x: Any, axis: Any = None) -> Tensor:
    """`x` with the order of its elements reversed along `axis`, or along all axes."""
    x = as_tensor(x)
    return flip_view(x, normalize_axes(axis, x.ndim))


@function(
    formula=lambda x, shift, axis=None: np.roll(x, shift, axis),
    samples=(
        Sample((Arg((5,)), 2)),
        Sample((Arg((2, 3)), -1)),
        Sample((Arg((2, 3)), 4, 1)),
        Sample((Arg((3, 4)), (1, -1), (0, 1))),
        Sample((Arg((3, 4)), (1, 1), (0, 0))),
        Sample((Arg((3, 4)), 2, (0, 1))),
        Sample((Arg((0, 4)), 1, 0)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), 1, 2), {}), (ShapeError, (Arg((2, 3)), (1, 2), (0, 1, 1)), {})),
)
def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """`x` with its elements moved on by `shift` along `axis`, those past the end coming in at the front.

    Without an axis the flattened tensor is rolled. A tuple of shifts goes with a tuple of axes.
    """
    x = as_tensor(x)
    if axis is None:
        return reshape_to(roll(reshape_to(x, (x.size,)), shift, 0), x.shape)
    shifts, axes = integers(shift, "roll"), integers(axis, "roll")
    count = max(len(shifts), len(axes))
    if {len(shifts), len(axes)} - {1, count}:
        raise shape_error(f"roll by {shift} along {axis}: needs as many shifts as axes, or one of either")
    shifts, axes = shifts * (count // len(shifts)), axes * (count // len(axes))
    rolled: Tensor = x
    for step, place in zip(shifts, axes, strict=True):
        rolled = _roll_axis(rolled, step, normalize_axis(place, x.ndim))
    return rolled


def _roll_axis(x: Tensor, shift: int, axis: int) -> Tensor:
    extent = x.shape[axis]
    cut = -shift % extent if extent else 0
    if cut == 0:
        return x
    return join((narrow(x, axis, cut, extent - cut), narrow(x, axis, 0, cut)), axis)


@function(
    formula=np.tile,
    samples=(
        Sample((Arg((2, 3)), 2)),
        Sample((Arg((2, 3)), (2, 1, 3))),
        Sample((Arg((2, 1, 3)), (2, 2))),
        Sample((Arg(()), (2, 3))),
        Sample((Arg((2, 3)), (0, 1))),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), -1), {}), (ShapeError, (Arg((2, 3)), 1.5), {})),
)
def tile(x: Any, reps: Any) -> Tensor:
    """`x` laid out `reps[axis]` times along each axis, aligned at the right as in NumPy."""
    x = as_tensor(x)
    counts = integers(reps, "tile")
    if any(count < 0 for count in counts):
        raise shape_error(f"tile by {reps}: counts are >= 0")
    ndim = max(x.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - x.ndim) + x.shape
    return _interleave(x, tuple(zip((1,) * ndim, shape, strict=True)), tuple(zip(counts, shape, strict=True)))


@function(
    formula=lambda x, repeats, axis=None: np.repeat(x, repeats, axis),
    samples=(
        Sample((Arg((2, 3)), 2)),
        Sample((Arg((2, 3)), 3, 1)),
        Sample((Arg((2, 3, 2)), 2, -2)),
        Sample((Arg((2, 3)), 0, 0)),
        Sample((Arg(()), 2)),
        Sample((Arg(()), 2, 0)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), -1, 0), {}), (ShapeError, (Arg((2, 3)), 2, 2), {})),
)
def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Each element of `x` (of the flattened `x` without an axis) `repeats` times along `axis`.

    For a count of its own for each element, use `take` with the indices `np.repeat(np.arange(n), counts)`.
    """
    x = as_tensor(x)
    counts = integers(repeats, "repeat")
    if len(counts) != 1 or counts[0] < 0:
        raise shape_error(f"repeat takes one count >= 0, not {shown(repeats)}; for other counts use take")
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    x = build.with_an_axis(x)
    place = normalize_axis(axis, x.ndim)
    once = tuple((size, 1) for size in x.shape)
    often = tuple((size, counts[0] if a == place else 1) for a, size in enumerate(x.shape))
    return _interleave(x, once, often)


def _interleave(x: Tensor, once: Sequence[tuple[int, int]], often: Sequence[tuple[int, int]]) -> Tensor:
    """`x` as pairs of axes `once`, repeated to the pairs `often`, each pair merged into one axis."""
    pairs = build.broadcast_to(reshape_to(x, tuple(sum(once, ()))), tuple(sum(often, ())))
    return reshape_to(pairs, tuple(math.prod(pair) for pair in often))
