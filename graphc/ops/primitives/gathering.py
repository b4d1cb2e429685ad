"""Reading and adding at integer indices along an axis: `take` and `scatter_add`, each the transpose of the other.

A negative index counts from the end. One that is out of range even so is clamped to the nearest end, so that compiled
code stays within its memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import TensorType
from graphc.ops import build
from graphc.ops.build import apply
from graphc.ops.primitives.views import Ints
from graphc.ops.record import NO_GRADIENT, Array, Jvp, Kind, primitive


def _picked(x: TensorType, indices: TensorType, axis: int) -> Ints:
    if indices.dtype.name not in ("int32", "int64"):
        raise DTypeError(f"indices are int32 or int64, not {indices.dtype}")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is out of range for {x}")
    if x.shape[axis] == 0 and indices.size:
        raise ShapeError(f"there is nothing to index along axis {axis} of {x}, which is empty")
    return x.shape[:axis] + indices.shape + x.shape[axis + 1 :]


def _infer_take(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    return x.with_shape(_picked(x, indices, axis))


def _infer_scatter_add(x: TensorType, indices: TensorType, updates: TensorType, *, axis: int) -> TensorType:
    if x.dtype is not updates.dtype or x.dtype.kind == "bool":
        raise DTypeError(f"scatter_add takes two tensors of one numeric dtype, not {x} and {updates}")
    if updates.shape != _picked(x, indices, axis):
        raise ShapeError(
            f"scatter_add into axis {axis} of {x} with indices {indices.shape} takes updates of shape "
            f"{_picked(x, indices, axis)}, not {updates.shape}"
        )
    return x


def _in_range(indices: Array, extent: int) -> Array:
    return np.clip(np.where(indices < 0, indices + extent, indices), 0, max(extent - 1, 0))


def _take_reference(x: Array, indices: Array, *, axis: int) -> Array:
    return np.take(x, _in_range(indices, x.shape[axis]), axis=axis)


def _scatter_add_reference(x: Array, indices: Array, updates: Array, *, axis: int) -> Array:
    result = x.copy()
    where: Any = (slice(None),) * axis + (_in_range(indices, x.shape[axis]),)
    np.add.at(result, where, updates)
    return result


primitive(
    "take",
    kind=Kind.LIBRARY,
    infer=_infer_take,
    vjp=(
        lambda g, y, x, indices, *, axis: apply("scatter_add", build.zeros_like(x), indices, g, axis=axis),
        NO_GRADIENT,
    ),
    jvp=Jvp.LINEAR,
    reference=_take_reference,
    cost=2,
)
primitive(
    "scatter_add",
    kind=Kind.LIBRARY,
    infer=_infer_scatter_add,
    vjp=(
        lambda g, y, x, indices, updates, *, axis: g,
        NO_GRADIENT,
        lambda g, y, x, indices, updates, *, axis: apply("take", g, indices, axis=axis),
    ),
    jvp=Jvp.LINEAR,
    reference=_scatter_add_reference,
    cost=4,
)
