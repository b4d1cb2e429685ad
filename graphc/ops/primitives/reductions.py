"""Reductions over any axes: `sum`, `max` and `min`, and the shapes around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import apply, broadcast_to, cast, invoke
from graphc.ops.primitives.extremes import largest, smallest
from graphc.ops.primitives.views import Ints, reshape_to
from graphc.ops.record import Jvp, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["reduced", "restore", "widened"]


# Shapes -------------------------------------------------------------------------------------------
def reduced(shape: Ints, axes: Ints) -> Ints:
    """`shape` without `axes`."""
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def with_ones(shape: Ints, axes: Ints) -> Ints:
    """`shape` with extent 1 at `axes`."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def restore(x: Tensor, shape: Ints, axes: Ints) -> Tensor:
    """A reduced tensor repeated along `axes` to `shape`."""
    return broadcast_to(reshape_to(x, with_ones(shape, axes)), shape)


def widened(x: Tensor) -> Tensor:
    """16-bit floats as float32, everything else as it is."""
    return cast(x, DTYPES["float32"]) if x.dtype.is_low_precision else x


# Primitives ---------------------------------------------------------------------------------------
def _infer_sum(x: TensorType, *, axes: Ints) -> TensorType:
    if x.dtype.kind == "bool":
        raise DTypeError(f"sum does not take {x}; cast it to a number first")
    return x.with_shape(reduced(x.shape, axes))


primitive(
    "sum",
    kind=Kind.REDUCTION,
    infer=_infer_sum,
    vjp=(lambda g, y, x, *, axes: restore(g, x.shape, axes),),
    jvp=Jvp.LINEAR,
    reference=lambda x, *, axes: np.sum(x, axis=axes, dtype=x.dtype),
)


def _declare_extreme(name: str, reference: Callable[..., Any]) -> None:
    """`max` or `min`: the cotangent is split evenly among the elements that attain it."""

    def infer(x: TensorType, *, axes: Ints) -> TensorType:
        if any(x.shape[axis] == 0 for axis in axes) and 0 not in reduced(x.shape, axes):
            raise ShapeError(f"{name} of {x} over axes {axes}: no elements, and no neutral element to answer with")
        return x.with_shape(reduced(x.shape, axes))

    def attained(y: Tensor, x: Tensor, axes: Ints) -> tuple[Tensor, Tensor]:
        """Where, and how often, counted in float32 at least: no 16-bit float can count to 65,536."""
        mask = x == restore(y, x.shape, axes)
        return mask, apply("sum", cast(mask, widened(x).dtype), axes=axes)

    def vjp(g: Tensor, y: Tensor, x: Tensor, *, axes: Ints) -> Tensor:
        mask, count = attained(y, x, axes)
        share = cast(widened(g) / count, x.dtype)
        return invoke("where", mask, restore(share, x.shape, axes), 0)

    def jvp(tangents: tuple[Tensor | None, ...], y: Tensor, x: Tensor, *, axes: Ints) -> Tensor | None:
        mask, count = attained(y, x, axes)
        (tangent,) = tangents
        if tangent is None:
            return None
        return cast(apply("sum", widened(invoke("where", mask, tangent, 0)), axes=axes) / count, x.dtype)

    primitive(
        name,
        kind=Kind.REDUCTION,
        infer=infer,
        vjp=(vjp,),
        jvp=jvp,
        reference=lambda x, *, axes: reference(x, axis=axes) if x.size else np.empty(reduced(x.shape, axes), x.dtype),
    )


_declare_extreme("max", largest)
_declare_extreme("min", smallest)
