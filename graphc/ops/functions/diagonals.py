"""Triangles, diagonals and one-hot rows: functions that compare an element's position with another.

Masks are made of `iota`, so they take no memory and fuse into their reader; diagonals are views.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ir.types import DTYPES, dtype_of
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, cast, invoke, normalize_axis
from graphc.ops.functions.shapes import moveaxis
from graphc.ops.index_ranges import bounded
from graphc.ops.primitives.views import dtype_error, permute, reshape_to, shape_error, slice_view
from graphc.ops.record import ALL, INTEGER, SIGNED, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["diagonal", "one_hot", "trace", "tril", "triu"]


def _triangle(x: Tensor, k: int, what: str, keep: str) -> Tensor:
    """`x` where `column - row` compares with `k` as `keep` asks, and zeros elsewhere."""
    if x.ndim < 2:
        raise shape_error(f"{what} needs at least two axes; {x.type} has {x.ndim}")
    shape, int32 = x.shape[-2:], DTYPES["int32"]
    within = min(max(_integer(k, what), -shape[0] - 1), shape[1] + 1)
    row, column = (apply("iota", shape=shape, axis=axis, dtype=int32) for axis in (0, 1))
    mask = apply(keep, column, apply("add", row, build.full(shape, within, int32)))
    return apply("where", build.broadcast_to(mask, x.shape), x, build.zeros_like(x))


def _integer(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise shape_error(f"{what} takes an integer diagonal, not {shown(value)}")
    return int(value)


@function(
    formula=np.tril,
    samples=(
        Sample((Arg((3, 4)),)),
        Sample((Arg((2, 3, 3)), 1)),
        Sample((Arg((4, 3)), -2)),
        Sample((Arg((3, 3)), -9)),
        Sample((Arg((0, 3)),)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)),), {}), (ShapeError, (Arg((3, 3)), 0.5), {})),
)
def tril(x: Any, k: int = 0) -> Tensor:
    """`x` with zeros above its `k`-th diagonal, for matrices in the last two axes."""
    return _triangle(as_tensor(x), k, "tril", "less_equal")


@function(
    formula=np.triu,
    samples=(
        Sample((Arg((3, 4)),)),
        Sample((Arg((2, 3, 3)), 1)),
        Sample((Arg((4, 3)), -2)),
        Sample((Arg((3, 3)), 9)),
        Sample((Arg((0, 3)),)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)),), {}), (ShapeError, (Arg((3, 3)), 0.5), {})),
)
def triu(x: Any, k: int = 0) -> Tensor:
    """`x` with zeros below its `k`-th diagonal, for matrices in the last two axes."""
    return _triangle(as_tensor(x), k, "triu", "greater_equal")


@function(
    formula=np.diagonal,
    samples=(
        Sample((Arg((3, 3)),)),
        Sample((Arg((3, 5)), 2)),
        Sample((Arg((4, 2)), -1)),
        Sample((Arg((2, 3, 4)), 0, 1, 2)),
        Sample((Arg((2, 3, 4)), 1, -1, 0)),
        Sample((Arg((3, 3)), 5)),
        Sample((Arg((0, 3)),)),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)),), {}), (ShapeError, (Arg((3, 3)), 0, 1, 1), {})),
)
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements at `(i, i + offset)` of the axes `axis1` and `axis2`, in a new last axis."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise shape_error(f"diagonal needs at least two axes; {x.type} has {x.ndim}")
    first, second = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    if first == second:
        raise shape_error(f"diagonal needs two different axes, got {axis1} and {axis2}")
    offset, between = _integer(offset, "diagonal"), abs(second - first) > 1
    if first > second:
        first, second, offset = second, first, -offset
    if between:  # what lies between the two goes in front of them
        order = [axis for axis in range(x.ndim) if axis not in (first, second)]
        x = permute(x, (*order[:first], *order[first : second - 1], first, second, *order[second - 1 :]))
        first = second - 1
    return moveaxis(_joint_diagonal(x, first, offset), first, -1)


def _joint_diagonal(x: Tensor, axis: int, offset: int) -> Tensor:
    """The diagonal of `axis` and the next one as one axis: every (columns + 1)-th element of the two taken as one."""
    lead, (rows, columns), rest = x.shape[:axis], x.shape[axis : axis + 2], x.shape[axis + 2 :]
    row, column = max(-offset, 0), max(offset, 0)
    count = max(min(rows - row, columns - column), 0)
    flat = reshape_to(x, (*lead, rows * columns, *rest))
    starts = (*(0 for _ in lead), row * columns + column if count else 0, *(0 for _ in rest))
    steps = (*(1 for _ in lead), columns + 1 if count else 1, *(1 for _ in rest))
    return slice_view(flat, starts, (*lead, count, *rest), steps)


@function(
    formula=np.trace,
    samples=(Sample((Arg((3, 3)),)), Sample((Arg((3, 4)), 1)), Sample((Arg((2, 3, 4)), -1, 1, 2))),
    dtypes=SIGNED,
    errors=((ShapeError, (Arg((3,)),), {}),),
)
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of the diagonal."""
    return invoke("sum", diagonal(x, offset, axis1, axis2), -1)


def _one_hot_formula(indices: Any, num_classes: int, dtype: str = "float32") -> Any:
    valid = (indices >= 0) & (indices < num_classes)
    rows = np.eye(num_classes)[np.where(valid, indices, 0)] * valid[..., None]
    return rows.astype(dtype_of(dtype).numpy)


@function(
    formula=_one_hot_formula,
    samples=(
        Sample((Arg((4,), 0, 3), 3)),
        Sample((Arg((2, 3), 0, 4), 4, "float64")),
        Sample((Arg((3,), values=(0, 1, 1)), 2, "int64")),
        Sample((Arg((0,)), 3)),
        Sample((Arg((), 0, 2), 2, "bool")),
    ),
    dtypes=INTEGER,
    differentiable=False,
    errors=((DTypeError, (Arg((2,), dtype="float32"), 3), {}), (ShapeError, (Arg((2,), dtype="int32"), -1), {})),
)
def one_hot(indices: Any, num_classes: int, dtype: Any = "float32") -> Tensor:
    """1 at the position that the index names along a new last axis of `num_classes`, 0 elsewhere.

    An index outside `[0, num_classes)` is an error where it is known while building or given by an input; one that is
    computed gives zeros only. Raises DTypeError for indices that are no integers, ShapeError.
    """
    indices = as_tensor(indices)
    if not indices.dtype.is_integer:
        raise dtype_error(f"one_hot takes integer indices, not {indices.type}")
    classes = _integer(num_classes, "one_hot")
    if classes < 0:
        raise shape_error(f"one_hot takes num_classes >= 0, not {classes}")
    indices = bounded(indices, 0, classes, f"one_hot of {classes} classes") if classes else indices
    int64, shape = DTYPES["int64"], (*indices.shape, classes)
    named = build.broadcast_to(cast(reshape_to(indices, (*indices.shape, 1)), int64), shape)
    position = apply("iota", shape=shape, axis=indices.ndim, dtype=int64)
    return cast(apply("equal", named, position), dtype_of(dtype))
