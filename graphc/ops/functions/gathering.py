"""Reading and adding at integer indices along an axis: `take`, `take_along_axis`, `scatter_add`.

A negative index counts from the end. An index that is out of range even so is a ShapeError where it is known while
building, and an InputError of the call where an input gives it; one that is computed is clamped by the primitives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ir.data import read_array
from graphc.ir.types import DTYPES
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, cast, constant, normalize_axis, promoted
from graphc.ops.index_ranges import bounded
from graphc.ops.primitives.reductions import reduced
from graphc.ops.primitives.views import Ints, dtype_error, reshape_to, shape_error
from graphc.ops.record import ALL, NUMERIC, Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["as_index", "checked_index", "clamped", "known_index", "scatter_add", "take", "take_along_axis"]


# Indices ---------------------------------------------------------------------------------------------------------
def known_index(index: Any) -> Array | None:
    """The integers of an index that is known while building, or None for those of a tensor that is not constant.

    Raises DTypeError for what is no integer array.
    """
    if isinstance(index, Tensor) and index.op != "constant":
        if not index.dtype.is_integer:
            raise dtype_error(f"indices are integers, not {index.type}")
        return None
    array: Array = index.attrs["value"].array if isinstance(index, Tensor) else read_array(index)
    if array.size == 0 and isinstance(index, (list, tuple)):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise dtype_error(f"indices are integers, not {array.dtype}: {shown(index)}")
    return array.astype(np.int64)


def checked_index(array: Array, extent: int, what: str) -> Array:
    """`array` counted from the front. Raises ShapeError for an index out of range."""
    wrong = array[(array < -extent) | (array >= extent)]
    if wrong.size:
        raise shape_error(f"{what}: index {wrong.flat[0]} is out of range for {extent} elements")
    return np.where(array < 0, array + extent, array)


def as_index(index: Any, extent: int, what: str) -> Tensor:
    """An index along an axis as an int32 or int64 tensor; checked, and counted from the front, where it is known."""
    known = known_index(index)
    if known is not None:
        return constant(checked_index(known, extent, what))
    index = bounded(index, -extent, extent, what) if extent else index
    return index if index.dtype.name in ("int32", "int64") else cast(index, DTYPES["int64"])


def clamped(index: Tensor, extent: int) -> Tensor:
    """An index as int64 in `[0, extent)`, by the rule of the primitives; a constant is already there."""
    index = cast(index, DTYPES["int64"])
    if index.op == "constant":
        return index
    zero, count = (build.full_like(index, value) for value in (0, extent))
    index = apply("where", apply("less", index, zero), apply("add", index, count), index)
    last = build.full_like(index, max(extent - 1, 0))
    return apply("minimum", apply("maximum", index, zero), last)


# Functions -------------------------------------------------------------------------------------------------------
def _indices(values: Any, dtype: str = "int64") -> Arg:
    array = np.asarray(values)
    return Arg(array.shape, dtype=dtype, values=tuple(array.reshape(-1).tolist()))


@function(
    formula=lambda x, indices, axis=None: np.take(x, indices, axis),
    samples=(
        Sample((Arg((4, 3)), _indices([0, 3, 0, -1]), 0)),
        Sample((Arg((4, 3)), _indices([[0, 2], [1, 1]], "int32"), 1)),
        Sample((Arg((2, 3, 2)), _indices([2, 0]), -2)),
        Sample((Arg((2, 3)), _indices([5, 0, 3]))),
        Sample((Arg((2, 3)), _indices(1), 1)),
        Sample((Arg(()), _indices([0, -1]), 0)),
        Sample((Arg((2, 3)), _indices([]), 1)),
        Sample((Arg((2, 3)), _indices([1, 0], "uint8"), 0)),
        Sample((Arg((2, 3)), [1, 1], 0)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), [0, 2], 0), {}),
        (ShapeError, (Arg((2, 3)), [-4], 1), {}),
        (ShapeError, (Arg((2, 3)), [0], 2), {}),
        (ShapeError, (Arg((0, 3)), [0], 0), {}),
        (DTypeError, (Arg((2, 3)), [0.5], 0), {}),
        (DTypeError, (Arg((2, 3)), [True, False], 0), {}),
    ),
)
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The slices of `x` at `indices` along `axis`, of the flattened `x` without an axis.

    The shape of the indices stands in place of the axis. The gradient of an element taken twice is the sum of both.
    An index that is out of range is an error where it is known while building or given by an input, else clamped.

    >>> take(np.zeros((10, 4)), [[1, 2, 3]], 0).shape
    (1, 3, 4)
    """
    x = build.with_an_axis(as_tensor(x))
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    place = normalize_axis(axis, x.ndim)
    index = as_index(indices, x.shape[place], f"take along axis {place} of {x.type}")
    return apply("take", x, index, axis=place)


def _scatter_add_formula(x: Any, indices: Any, updates: Any, axis: int = 0) -> Any:
    rows = np.moveaxis(np.array(x), axis, 0)
    span = np.moveaxis(updates, range(axis, axis + indices.ndim), range(indices.ndim))
    for position in np.ndindex(*indices.shape):
        rows[indices[position]] += span[position]
    return np.moveaxis(rows, 0, axis)


@function(
    formula=_scatter_add_formula,
    samples=(
        Sample((Arg((4, 3)), _indices([0, 3, 0]), Arg((3, 3)))),
        Sample((Arg((2, 4)), _indices([[0, 2], [2, -1]], "int32"), Arg((2, 2, 2)), 1)),
        Sample((Arg((4,)), _indices(1), Arg(()))),
        Sample((Arg((4,)), _indices([]), Arg((0,)))),
    ),
    dtypes=NUMERIC,
    errors=(
        (ShapeError, (Arg((4, 3)), _indices([0, 1]), Arg((3, 3))), {}),
        (ShapeError, (Arg((4, 3)), [4], Arg((1, 3))), {}),
        (DTypeError, (Arg((4,)), Arg((2,), dtype="float32"), Arg((2,))), {}),
    ),
)
def scatter_add(x: Any, indices: Any, updates: Any, axis: int = 0) -> Tensor:
    """`x` with `updates` added to its slices at `indices` along `axis`; an index that repeats adds each time.

    `updates` has the shape of `take(x, indices, axis)`, or broadcasts to it. Out of range, the rule is that of `take`.
    """
    x, updates = promoted(x, updates)
    place = normalize_axis(axis, x.ndim)
    index = as_index(indices, x.shape[place], f"scatter_add into axis {place} of {x.type}")
    shape = x.shape[:place] + index.shape + x.shape[place + 1 :]
    return apply("scatter_add", x, index, build.broadcast_to(updates, shape), axis=place)


@function(
    formula=lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
    samples=(
        Sample((Arg((2, 3)), _indices([[2, 0, 0, 1], [1, 1, 2, 0]]), 1)),
        Sample((Arg((3, 2)), _indices([[2, -1]], "int32"), 0)),
        Sample((Arg((2, 3, 2)), _indices(np.ones((2, 1, 2), int)), 1)),
        Sample((Arg((1, 3)), _indices([[0], [2]]))),
        Sample((Arg((2, 3)), _indices(np.zeros((2, 0), int)))),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), _indices([0, 1]), 1), {}),
        (ShapeError, (Arg((2, 3)), _indices([[0], [0], [0]]), 1), {}),
        (ShapeError, (Arg((2, 3)), np.array([[0], [3]]), 1), {}),
        (DTypeError, (Arg((2, 3)), Arg((2, 1), dtype="float32"), 1), {}),
    ),
)
def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """`y[i, j, k] = x[i, indices[i, j, k], k]` for axis 1: for each line along `axis`, its elements at its own indices.

    `x` and `indices` have as many axes, and broadcast but for `axis`. Out of range, the rule is that of `take`.
    """
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim)
    index = as_index(indices, x.shape[place], f"take_along_axis {place} of {x.type}")
    if index.ndim != x.ndim:
        raise shape_error(f"take_along_axis needs indices with the {x.ndim} axes of {x.type}, not {index.type}")
    lines = build.broadcast_shapes(reduced(x.shape, (place,)), reduced(index.shape, (place,)))
    x = build.broadcast_to(x, (*lines[:place], x.shape[place], *lines[place:]))
    index = build.broadcast_to(clamped(index, x.shape[place]), (*lines[:place], index.shape[place], *lines[place:]))
    if x.size == 0 and index.size:
        raise shape_error(f"there is nothing to index along axis {place} of {x.type}, which is empty")
    return apply("take", reshape_to(x, (x.size,)), _linear(index, x.shape, place), axis=0)


def _linear(index: Tensor, shape: Ints, axis: int) -> Tensor:
    """The position in a flat array of `shape` of each element that `index` picks along `axis`."""
    position = index * math.prod(shape[axis + 1 :])
    for other in range(len(shape)):
        if other != axis and shape[other] > 1:
            line = apply("iota", shape=index.shape, axis=other, dtype=DTYPES["int64"])
            position = position + line * math.prod(shape[other + 1 :])
    return position
