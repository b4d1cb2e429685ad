"""View primitives: their output elements are input elements, or a fill value, at affine indices.

`broadcast_to`, `reshape`, `transpose`, `slice`, `pad` and `concatenate` are closed under differentiation together
with `sum`: the transpose of a repetition is a sum, of a slice a pad, of a strided slice a reshape between two pads.
The builders below (`reshape_to`, `permute`, `slice_view`, `pad_view`, `join`) take exact arguments and leave out
views that change nothing; the functions users call, with NumPy's arguments, are in functions/shapes.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, with_location
from graphc.ir.location import capture
from graphc.ir.types import DType, TensorType
from graphc.ops.build import apply
from graphc.ops.record import Array, Joint, Jvp, Kind, View, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "Ints", "dtype_error", "flip_view", "join", "matrix_transpose", "narrow", "pad_view", "permute", "permute_back",
    "reshape_to", "scalar_of", "shape_error", "slice_view", "sum_to", "unslice_view",
]  # fmt: skip

Ints = tuple[int, ...]


def shape_error(message: str) -> ShapeError:
    """A ShapeError that names the user's line."""
    return with_location(ShapeError(message), capture())


def dtype_error(message: str) -> DTypeError:
    """A DTypeError that names the user's line."""
    return with_location(DTypeError(message), capture())


def reshape_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` with its elements, in row-major order, in `shape`."""
    return x if x.shape == tuple(shape) else apply("reshape", x, shape=tuple(shape))


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` with its axes in the order `axes`."""
    return x if tuple(axes) == tuple(range(x.ndim)) else apply("transpose", x, axes=tuple(axes))


def permute_back(x: Tensor, axes: Sequence[int]) -> Tensor:
    """What `permute` by `axes` made `x` of."""
    return permute(x, tuple(axes.index(axis) for axis in range(x.ndim)))


def matrix_transpose(x: Tensor) -> Tensor:
    """`x` with its last two axes swapped."""
    return permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def slice_view(x: Tensor, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int] | None = None) -> Tensor:
    """`x[starts + steps * i]` for `i` below `sizes`. An axis of at most one element is written with step 1."""
    if tuple(sizes) == x.shape and (steps is None or all(step == 1 for step in steps)):
        return x
    canonical = tuple(
        (start if size else 0, size, step if size > 1 else 1)
        for start, size, step in zip(starts, sizes, steps or (1,) * x.ndim, strict=True)
    )
    starts, sizes, steps = (tuple(column) for column in zip(*canonical, strict=True))
    if sizes == x.shape and all(step == 1 for step in steps):
        return x
    return apply("slice", x, starts=starts, sizes=sizes, steps=steps)


def pad_view(x: Tensor, low: Sequence[int], high: Sequence[int], value: float | int | bool = 0) -> Tensor:
    """`x` with `low` and `high` elements of `value` put before and after it along each axis."""
    if not any(low) and not any(high):
        return x
    return apply("pad", x, low=tuple(low), high=tuple(high), value=scalar_of(x.dtype, value))


def narrow(x: Tensor, axis: int, start: int, size: int) -> Tensor:
    """`size` elements of `x` from `start` on along `axis`, all along the others."""
    starts = tuple(start if place == axis else 0 for place in range(x.ndim))
    return slice_view(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """The parts one after the other along `axis`."""
    return parts[0] if len(parts) == 1 else apply("concatenate", *parts, axis=axis)


def flip_view(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` with the order of its elements along `axes` reversed."""
    starts = tuple(max(size - 1, 0) if axis in axes else 0 for axis, size in enumerate(x.shape))
    return slice_view(x, starts, x.shape, tuple(-1 if axis in axes else 1 for axis in range(x.ndim)))


def scalar_of(dtype: DType, value: float | int | bool) -> float | int | bool:
    """`value` as the Python scalar that stands for elements of `dtype`, so that equal nodes have equal attributes."""
    if dtype.is_float:
        return float(value)
    return bool(value) if dtype.kind == "bool" else int(value)


# broadcast_to ----------------------------------------------------------------------------------------------------
def _infer_broadcast_to(x: TensorType, *, shape: Ints) -> TensorType:
    lead = len(shape) - x.ndim
    if lead < 0 or any(have not in (1, want) for have, want in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(
            f"{x} does not broadcast to shape {shape}: aligned at the right, each extent must be equal or 1"
        )
    return x.with_shape(shape)


def sum_to(g: Tensor, shape: Ints) -> Tensor:
    """The transpose of broadcasting from `shape` to the shape of `g`: sums over the repeated axes."""
    lead = g.ndim - len(shape)
    repeated = (axis for axis, size in enumerate(shape, lead) if size != g.shape[axis])
    axes = (*range(lead), *repeated)
    return reshape_to(apply("sum", g, axes=axes) if axes else g, shape)


primitive(
    "broadcast_to",
    kind=Kind.VIEW,
    view=View.BROADCAST,
    infer=_infer_broadcast_to,
    vjp=(lambda g, y, x, *, shape: sum_to(g, x.shape),),
    jvp=Jvp.LINEAR,
    reference=lambda x, *, shape: np.broadcast_to(x, shape),
    cost=0,
)


# reshape ---------------------------------------------------------------------------------------------------------
def _infer_reshape(x: TensorType, *, shape: Ints) -> TensorType:
    if math.prod(shape) != x.size or any(size < 0 for size in shape):
        raise ShapeError(f"{x} has {x.size} elements and cannot take shape {shape}, which has {math.prod(shape)}")
    return x.with_shape(shape)


primitive(
    "reshape",
    kind=Kind.VIEW,
    view=View.RESHAPED,
    infer=_infer_reshape,
    vjp=(lambda g, y, x, *, shape: reshape_to(g, x.shape),),
    jvp=Jvp.LINEAR,
    reference=lambda x, *, shape: np.reshape(x, shape),
    cost=0,
)


# transpose -------------------------------------------------------------------------------------------------------
def _infer_transpose(x: TensorType, *, axes: Ints) -> TensorType:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"axes {axes} are no permutation of the {x.ndim} axes of {x}")
    return x.with_shape(tuple(x.shape[axis] for axis in axes))


primitive(
    "transpose",
    kind=Kind.VIEW,
    view=View.PERMUTED,
    infer=_infer_transpose,
    vjp=(lambda g, y, x, *, axes: permute_back(g, axes),),
    jvp=Jvp.LINEAR,
    reference=lambda x, *, axes: np.transpose(x, axes),
    cost=0,
)


# slice -----------------------------------------------------------------------------------------------------------
def _infer_slice(x: TensorType, *, starts: Ints, sizes: Ints, steps: Ints) -> TensorType:
    if not len(starts) == len(sizes) == len(steps) == x.ndim:
        raise ShapeError(f"slice of {x} needs {x.ndim} starts, sizes and steps; got {starts}, {sizes}, {steps}")
    for axis, (start, size, step, extent) in enumerate(zip(starts, sizes, steps, x.shape, strict=True)):
        last = start + step * (size - 1)
        if step == 0 or size < 0 or (size and not (0 <= start < extent and 0 <= last < extent)):
            raise ShapeError(
                f"slice of {x} along axis {axis} leaves its extent {extent}: "
                f"{size} elements from {start} in steps of {step}"
            )
    return x.with_shape(sizes)


def _slice_reference(x: Array, *, starts: Ints, sizes: Ints, steps: Ints) -> Array:
    key = []
    for start, size, step in zip(starts, sizes, steps, strict=True):
        stop = start + step * size
        key.append(slice(start, None if stop < 0 else stop, step) if size else slice(0, 0))
    return x[tuple(key)]


def unslice_view(g: Tensor, shape: Ints, starts: Sequence[int], steps: Sequence[int]) -> Tensor:
    """The transpose of `slice_view` from `shape`: the elements of `g` where they came from, zeros elsewhere."""
    backward = tuple(axis for axis, step in enumerate(steps) if step < 0)
    if backward:
        g = flip_view(g, backward)
    firsts = tuple(
        start + min(0, step) * (size - 1) if size else 0
        for start, size, step in zip(starts, g.shape, steps, strict=True)
    )
    room = tuple(extent - first for extent, first in zip(shape, firsts, strict=True))
    g = _dilate(g, tuple(map(abs, steps)), room)
    high = tuple(left - size for left, size in zip(room, g.shape, strict=True))
    return pad_view(g, firsts, high)


def _dilate(g: Tensor, steps: Ints, room: Ints) -> Tensor:
    """`g` with `step - 1` zeros after each element, cut to `room`: each axis gets an axis of zeros beside it."""
    if all(step == 1 for step in steps):
        return g
    split = tuple(extent for size in g.shape for extent in (size, 1))
    spread = pad_view(reshape_to(g, split), (0,) * len(split), tuple(high for step in steps for high in (0, step - 1)))
    flat = reshape_to(spread, tuple(size * step for size, step in zip(g.shape, steps, strict=True)))
    return slice_view(flat, (0,) * g.ndim, tuple(map(min, flat.shape, room)))


primitive(
    "slice",
    kind=Kind.VIEW,
    view=View.SLICED,
    infer=_infer_slice,
    vjp=(lambda g, y, x, *, starts, sizes, steps: unslice_view(g, x.shape, starts, steps),),
    jvp=Jvp.LINEAR,
    reference=_slice_reference,
    cost=0,
)


# pad -------------------------------------------------------------------------------------------------------------
def _infer_pad(x: TensorType, *, low: Ints, high: Ints, value: float | int | bool) -> TensorType:
    if not len(low) == len(high) == x.ndim or any(width < 0 for width in low + high):
        raise ShapeError(f"pad of {x} needs {x.ndim} widths >= 0 on each side; got {low} and {high}")
    return x.with_shape(tuple(map(sum, zip(low, x.shape, high, strict=True))))


def _pad_vjp(g: Tensor, y: Tensor, x: Tensor, *, low: Ints, high: Ints, value: Any) -> Tensor:
    return slice_view(g, low, x.shape)


def _pad_jvp(tangents: Sequence[Tensor], y: Tensor, x: Tensor, *, low: Ints, high: Ints, value: Any) -> Tensor:
    return pad_view(tangents[0], low, high)


primitive(
    "pad",
    kind=Kind.VIEW,
    view=View.PADDED,
    infer=_infer_pad,
    vjp=(_pad_vjp,),
    jvp=_pad_jvp,
    reference=lambda x, *, low, high, value: np.pad(x, tuple(zip(low, high, strict=True)), constant_values=value),
    cost=0,
)


# concatenate -----------------------------------------------------------------------------------------------------
def _infer_concatenate(*parts: TensorType, axis: int) -> TensorType:
    if not parts:
        raise ShapeError("concatenate needs at least one tensor")
    first = parts[0]
    if not 0 <= axis < first.ndim:
        raise ShapeError(f"concatenate along axis {axis} of tensors with {first.ndim} axes")
    for position, part in enumerate(parts):
        if part.dtype is not first.dtype:
            raise DTypeError(f"concatenate of {first.dtype} and, at position {position}, {part.dtype}; cast one")
        if part.ndim != first.ndim or _without(part.shape, axis) != _without(first.shape, axis):
            raise ShapeError(
                f"concatenate along axis {axis}: {part} at position {position} does not fit {first}; "
                "all other extents must be equal"
            )
    return first.with_shape((*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :]))


def _without(shape: Ints, axis: int) -> Ints:
    return shape[:axis] + shape[axis + 1 :]


def _concatenate_vjp(g: Tensor, y: Tensor, *parts: Tensor, axis: int) -> list[Tensor]:
    before = accumulate((part.shape[axis] for part in parts), initial=0)
    return [narrow(g, axis, start, part.shape[axis]) for start, part in zip(before, parts, strict=False)]


primitive(
    "concatenate",
    kind=Kind.VIEW,
    view=View.JOINED,
    infer=_infer_concatenate,
    vjp=Joint(_concatenate_vjp),
    jvp=Jvp.LINEAR,
    reference=lambda *parts, axis: np.concatenate(parts, axis),
    cost=0,
)
