"""Sorting rows, and searching in sorted ones.

`sort` has two results: the first `count` elements of each row, and where they stood. All orders are stable. nan counts
as larger than any number, so it comes last, and first where the largest come first; zeros of either sign are equal. The
derivative follows the elements to where they stood; positions have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.types import DTYPES, TensorType, TupleType
from graphc.ops.build import apply, invoke, zeros
from graphc.ops.primitives.views import reshape_to
from graphc.ops.record import NO_GRADIENT, Array, Joint, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["order_of", "search_reference"]


def _infer_sort(x: TensorType, *, count: int, descending: bool, nan_first: bool) -> TupleType:
    if not x.ndim or not 0 <= count <= x.shape[-1]:
        raise ShapeError(f"sort takes the first 0 to n of rows of n elements, not {count} of {x}")
    shape = (*x.shape[:-1], count)
    return TupleType((TensorType(x.dtype, shape), TensorType(DTYPES["int64"], shape)))


def order_of(x: Array, descending: bool, nan_first: bool) -> Array:
    """The positions of each row's elements in order."""
    if descending:  # stable: of the turned row, read backwards
        order = x.shape[-1] - 1 - np.flip(np.argsort(np.flip(x, -1), axis=-1, kind="stable"), -1)
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    if x.dtype.kind == "f" and descending != nan_first:
        is_nan = np.isnan(np.take_along_axis(x, order, -1))
        moved = np.argsort(~is_nan if nan_first else is_nan, axis=-1, kind="stable")
        order = np.take_along_axis(order, moved, -1)
    return order  # type: ignore[no-any-return]


def _sort_reference(x: Array, *, count: int, descending: bool, nan_first: bool) -> tuple[Array, Array]:
    order = order_of(x, descending, nan_first)[..., :count]
    return np.take_along_axis(x, order, -1), order


def _unsorted(
    cotangents: Sequence[Tensor | None], results: Sequence[Tensor], x: Tensor, **attrs: Any
) -> list[Tensor | None]:
    """Each cotangent at the place that its element came from, zeros where none did."""
    g, _ = cotangents
    if g is None or not x.size:
        return [None]
    places = results[1]
    rows, count = math.prod(x.shape[:-1]), places.shape[-1]
    first = apply("iota", shape=(rows, count), axis=0, dtype=DTYPES["int64"]) * x.shape[-1]
    index = reshape_to(reshape_to(places, (rows, count)) + first, (rows * count,))
    flat = apply("scatter_add", zeros(TensorType(x.dtype, (x.size,))), index, reshape_to(g, (g.size,)), axis=0)
    return [reshape_to(flat, x.shape)]


def _moved(
    tangents: Sequence[Tensor | None], results: Sequence[Tensor], x: Tensor, **attrs: Any
) -> tuple[Tensor | None, None]:
    (moved,) = tangents
    return (None if moved is None else invoke("take_along_axis", moved, results[1], -1)), None


primitive(
    "sort", kind=Kind.LIBRARY, infer=_infer_sort, vjp=Joint(_unsorted), jvp=_moved, reference=_sort_reference, cost=64
)  # fmt: skip


def _infer_search(line: TensorType, values: TensorType, *, right: bool) -> TensorType:
    if line.dtype is not values.dtype or line.ndim != values.ndim or line.shape[:-1] != values.shape[:-1]:
        raise ShapeError(f"searchsorted takes rows and values of one dtype, for as many rows, not {line} and {values}")
    return TensorType(DTYPES["int64"], values.shape)


def search_reference(line: Array, values: Array, *, right: bool) -> Array:
    count = math.prod(line.shape[:-1])
    rows = zip(line.reshape(count, line.shape[-1]), values.reshape(count, values.shape[-1]), strict=True)
    found = [np.searchsorted(row, wanted, "right" if right else "left") for row, wanted in rows]
    return np.array(found, np.int64).reshape(values.shape)


primitive(
    "searchsorted", kind=Kind.LIBRARY, infer=_infer_search, vjp=(NO_GRADIENT, NO_GRADIENT), jvp=NO_GRADIENT,
    reference=search_reference, cost=32,
)  # fmt: skip
