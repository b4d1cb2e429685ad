"""Functions that put tensors together, take them apart, or put borders around them.

`concatenate`, `stack`, `split`, `unstack`, `meshgrid` and `pad` take NumPy's arguments. All are compositions of view
primitives. Tensors that are joined are promoted to one dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ir.types import promote
from graphc.ops import build
from graphc.ops.build import as_tensor, cast, normalize_axis
from graphc.ops.functions.shapes import expand_dims, integers
from graphc.ops.primitives.views import Ints, dtype_error, flip_view, join, narrow, pad_view, reshape_to, shape_error
from graphc.ops.record import ALL, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["concat", "concatenate", "meshgrid", "pad", "split", "stack", "unstack"]


def _promoted(xs: Any, what: str) -> list[Tensor]:
    """A sequence of arrays as tensors of one dtype."""
    if isinstance(xs, Tensor) or not isinstance(xs, (list, tuple, np.ndarray)) or len(xs) == 0:
        raise shape_error(f"{what} takes a list or tuple of at least one tensor, not {shown(xs)}")
    strong = [as_tensor(x) for x in xs if type(x) not in (bool, int, float)]
    like = reduce(promote, (x.dtype for x in strong)) if strong else None
    tensors = [as_tensor(x, like) for x in xs]
    dtype = reduce(promote, (x.dtype for x in tensors))
    return [cast(x, dtype) for x in tensors]


@function(
    formula=lambda xs, axis=0: np.concatenate(xs, axis),
    samples=(
        Sample(([Arg((2, 3)), Arg((1, 3))],)),
        Sample(([Arg((2, 3)), Arg((2, 2)), Arg((2, 1))], 1)),
        Sample(([Arg((2, 0)), Arg((2, 2))], -1)),
        Sample(([Arg((2, 2))], 0)),
        Sample(([Arg((2, 2)), Arg((3,))], None)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, ([Arg((2, 3)), Arg((2, 2))],), {}),
        (ShapeError, ([Arg((2, 3)), Arg((2,))],), {}),
        (ShapeError, ([Arg((2, 3))], 2), {}),
        (ShapeError, ([Arg(()), Arg(())],), {}),
        (ShapeError, ([],), {}),
    ),
)
def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along `axis`; without an axis, all of them flattened.

    >>> concatenate([build.constant([1, 2]), build.constant([3])]).shape
    (3,)
    """
    tensors = _promoted(xs, "concatenate")
    if axis is None:
        return join([reshape_to(x, (x.size,)) for x in tensors], 0)
    for position, x in enumerate(tensors):
        if x.ndim == 0:
            raise shape_error(f"concatenate: the tensor at position {position} is 0-d; use stack to join scalars")
    return join(tensors, normalize_axis(axis, tensors[0].ndim))


concat = concatenate  # the array API's name


@function(
    formula=lambda xs, axis=0: np.stack(xs, axis),
    samples=(
        Sample(([Arg((2, 3)), Arg((2, 3))],)),
        Sample(([Arg((2, 3)), Arg((2, 3)), Arg((2, 3))], -1)),
        Sample(([Arg(()), Arg(())],)),
        Sample(([Arg((2, 0)), Arg((2, 0))], 1)),
    ),
    dtypes=ALL,
    errors=((ShapeError, ([Arg((2, 3)), Arg((2, 2))],), {}), (ShapeError, ([Arg((2,))], 2), {})),
)
def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape, joined along a new axis at the position `axis` of the result."""
    tensors = _promoted(xs, "stack")
    for position, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise shape_error(
                f"stack takes tensors of one shape; position 0 has {tensors[0].shape}, position {position} {x.shape}"
            )
    place = normalize_axis(axis, tensors[0].ndim + 1)
    return join([expand_dims(x, place) for x in tensors], place)


@function(
    formula=lambda x, indices_or_sections, axis=0: np.split(x, indices_or_sections, axis),
    samples=(
        Sample((Arg((6, 2)), 3)),
        Sample((Arg((2, 5)), (1, 3), 1)),
        Sample((Arg((4,)), [1, 1, 7])),
        Sample((Arg((5, 2)), (-2,))),
        Sample((Arg((0, 2)), 2)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((5, 2)), 2), {}),
        (ShapeError, (Arg((4,)), 0), {}),
        (ShapeError, (Arg((4,)), 2, 1), {}),
    ),
)
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """`x` cut along `axis` into that many equal parts, or before each of the given indices, as in NumPy."""
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim)
    extent = x.shape[place]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1 or extent % sections:
            raise shape_error(f"split of {x.type} along axis {place}: {extent} is no multiple of {sections} sections")
        cuts = tuple(part * (extent // sections) for part in range(1, sections))
    else:
        cuts = integers(indices_or_sections, "split")
    edges = [slice(first, last).indices(extent)[:2] for first, last in zip((0, *cuts), (*cuts, extent), strict=True)]
    return tuple(narrow(x, place, first, max(last - first, 0)) for first, last in edges)


@function(
    formula=lambda x, axis=0: [np.take(x, i, axis) for i in range(x.shape[axis])],
    samples=(Sample((Arg((3, 2)),)), Sample((Arg((2, 3, 2)), -2))),
    dtypes=ALL,
    errors=((ShapeError, (Arg(()),), {}), (ShapeError, (Arg((2,)), 1), {})),
)
def unstack(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of `x` along `axis`, which leaves their shape: the inverse of `stack`."""
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim)
    shape = x.shape[:place] + x.shape[place + 1 :]
    return tuple(reshape_to(narrow(x, place, i, 1), shape) for i in range(x.shape[place]))


@function(
    formula=lambda *xs, indexing="xy": np.meshgrid(*xs, indexing=indexing),
    samples=(
        Sample((Arg((2,)), Arg((3,)))),
        Sample((Arg((2,)), Arg((3,)), Arg((1,))), (("indexing", "ij"),)),
        Sample((Arg((2,)), Arg((0,)), Arg((4,)))),
        Sample((Arg((2,)),)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 2)), Arg((3,))), {}), (ShapeError, (Arg((2,)),), {"indexing": "yx"})),
)
def meshgrid(*xs: Any, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates `xs` (1-d) spread over the grid they span; "xy" swaps the first two axes, "ij" does not."""
    tensors = [as_tensor(x) for x in xs]
    if indexing not in ("xy", "ij"):
        raise shape_error(f'meshgrid indexing is "xy" or "ij", not {shown(indexing)}')
    for position, x in enumerate(tensors):
        if x.ndim != 1:
            raise shape_error(f"meshgrid takes 1-d coordinates; position {position} is {x.type}")
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[:2] = 1, 0
    shape = tuple(tensors[axis].size for axis in order)
    places = [order.index(position) for position in range(len(tensors))]
    return tuple(_spread(x, place, shape) for x, place in zip(tensors, places, strict=True))


def _spread(x: Tensor, axis: int, shape: Ints) -> Tensor:
    ones = tuple(size if place == axis else 1 for place, size in enumerate(shape))
    return build.broadcast_to(reshape_to(x, ones), shape)


# pad -------------------------------------------------------------------------------------------------------------
Border = Callable[[Tensor, int, int, bool], Tensor]


def _edge(x: Tensor, axis: int, width: int, after: bool) -> Tensor:
    outermost = narrow(x, axis, x.shape[axis] - 1 if after else 0, 1)
    return build.broadcast_to(outermost, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _reflect(x: Tensor, axis: int, width: int, after: bool) -> Tensor:
    return flip_view(narrow(x, axis, x.shape[axis] - 1 - width if after else 1, width), (axis,))


def _symmetric(x: Tensor, axis: int, width: int, after: bool) -> Tensor:
    return flip_view(narrow(x, axis, x.shape[axis] - width if after else 0, width), (axis,))


def _wrap(x: Tensor, axis: int, width: int, after: bool) -> Tensor:
    return narrow(x, axis, 0 if after else x.shape[axis] - width, width)


def _bordered(x: Tensor, axis: int, low: int, high: int, border: Border) -> Tensor:
    before = [border(x, axis, low, False)] if low else []
    after = [border(x, axis, high, True)] if high else []
    return join([*before, x, *after], axis)


# For each mode: how a border is made, and how many elements of the axis it cannot use.
_BORDERS: dict[str, tuple[Border, int]] = {
    "edge": (_edge, 0),
    "reflect": (_reflect, 1),
    "symmetric": (_symmetric, 0),
    "wrap": (_wrap, 0),
}


@function(
    formula=np.pad,
    samples=(
        Sample((Arg((2, 3)), 1)),
        Sample((Arg((2, 3)), (0, 2))),
        Sample((Arg((2, 3)), ((1, 0), (0, 3))), (("constant_values", 1),)),
        Sample((Arg((0, 3)), ((1, 1), (0, 0)))),
        Sample((Arg((3, 4)), ((2, 1), (0, 3)), "reflect")),
        Sample((Arg((3, 4)), ((3, 1), (0, 2)), "symmetric")),
        Sample((Arg((3, 2)), ((3, 1), (0, 5)), "edge")),
        Sample((Arg((3, 4)), ((2, 0), (1, 4)), "wrap")),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), -1), {}),
        (ShapeError, (Arg((2, 3)), ((1, 1), (1, 1), (1, 1))), {}),
        (ShapeError, (Arg((2, 3)), ((2, 0), (0, 0)), "reflect"), {}),
        (ShapeError, (Arg((2, 3)), 1, "linear"), {}),
        (DTypeError, (Arg((2, 3), dtype="int32"), 1), {"constant_values": 0.5}),
    ),
)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float | int | bool = 0) -> Tensor:
    """`x` with borders put around it, with NumPy's arguments.

    `pad_width` is a width for all sides, one pair (before, after) for all axes, or a pair for each axis. Modes:
    "constant", "edge" (the outermost element repeated), "reflect" (mirrored about it), "symmetric" (mirrored at the
    border), "wrap" (periodic). Mirrored and periodic borders are at most as wide as what they repeat.

    >>> pad(build.constant([1.0, 2.0]), 1).shape
    (4,)
    """
    x = as_tensor(x)
    low, high = _widths(x, pad_width)
    if mode == "constant":
        return pad_view(x, low, high, _fill(x, constant_values))
    if mode not in _BORDERS:
        raise shape_error(f"pad has the modes constant, {', '.join(_BORDERS)}; not {shown(mode)}")
    return _with_borders(x, low, high, mode)


def _with_borders(x: Tensor, low: Ints, high: Ints, mode: str) -> Tensor:
    border, reserved = _BORDERS[mode]
    for axis in range(x.ndim):
        limit = x.shape[axis] - reserved
        most = math.inf if mode == "edge" and limit > 0 else limit
        if max(low[axis], high[axis]) > max(most, 0):
            raise shape_error(
                f"pad of {x.type} in mode {shown(mode)}: at most {most} elements fit before and after axis {axis}, "
                f"{low[axis]} and {high[axis]} were asked"
            )
        x = _bordered(x, axis, low[axis], high[axis], border)
    return x


def _widths(x: Tensor, pad_width: Any) -> tuple[Ints, Ints]:
    try:
        pairs = np.broadcast_to(np.asarray(pad_width, dtype=object), (x.ndim, 2))
    except ValueError:
        raise shape_error(
            f"pad of {x.type}: widths are a number, a pair, or a pair for each of its {x.ndim} axes; got "
            f"{shown(pad_width)}"
        ) from None
    low, high = (integers(tuple(side), "pad") for side in (pairs[:, 0], pairs[:, 1]))
    if any(width < 0 for width in low + high):
        raise shape_error(f"pad takes widths >= 0, got {shown(pad_width)}; slice to take elements away")
    return low, high


def _fill(x: Tensor, value: Any) -> float | int | bool:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise dtype_error(f"pad takes one number as constant_values, not {shown(value)}")
    if not x.dtype.is_float and not float(value).is_integer():
        raise dtype_error(f"pad of {x.type}: the fill {value} is no {x.dtype}; cast first")
    return value
