"""Matrix products as NumPy has them, with vectors, broadcasting and any axes: all by the primitive `matmul`.

A stack times one matrix is folded into a single product, so that a layer's weight gradient is one too. Products of
bools are or-and, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ir.types import DTYPES
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, cast, invoke, normalize_axes, normalize_axis, promoted
from graphc.ops.functions.shapes import integers, moveaxis, swapaxes
from graphc.ops.primitives.views import dtype_error, permute, reshape_to, shape_error
from graphc.ops.record import ALL, FLOAT, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["dot", "inner", "linear", "matmul", "outer", "tensordot", "total", "vecdot"]


def total(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The sum over `axes`, in the dtype of `x`; of bools, whether any is True."""
    if not axes:
        return x
    if x.dtype.kind == "bool":
        return _nonzero(total(cast(x, DTYPES["int32"]), axes))
    return apply("sum", x, axes=axes)


def _nonzero(counts: Tensor) -> Tensor:
    return apply("not_equal", counts, build.zeros_like(counts))


@function(
    formula=np.matmul,
    samples=(
        Sample((Arg((2, 3)), Arg((3, 4)))),
        Sample((Arg((3,)), Arg((3,)))),
        Sample((Arg((3,)), Arg((2, 3, 4)))),
        Sample((Arg((2, 4, 3)), Arg((3,)))),
        Sample((Arg((2, 2, 3)), Arg((3, 2)))),
        Sample((Arg((2, 3)), Arg((2, 3, 2)))),
        Sample((Arg((2, 1, 2, 3)), Arg((3, 3, 2)))),
        Sample((Arg((1, 2, 3)), Arg((2, 3, 1)))),
        Sample((Arg((2, 0)), Arg((0, 3)))),
        Sample((Arg((0, 2, 3)), Arg((3, 2)))),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), Arg((4, 5))), {}),
        (ShapeError, (Arg((3,)), Arg((4,))), {}),
        (ShapeError, (Arg((2, 2, 3)), Arg((3, 3, 2))), {}),
        (ShapeError, (Arg(()), Arg((3,))), {}),
    ),
)
def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product of the last two axes; a vector counts as a row on the left, as a column on the right.

    Other axes are batches and broadcast. Raises ShapeError where the inner extents differ or an operand is 0-d.

    >>> matmul(build.constant([[1.0, 2.0]]), build.constant([3.0, 4.0])).shape
    (1,)
    """
    a, b = promoted(a, b)
    _check_product(a, b)
    if a.dtype.kind == "bool":
        return _nonzero(matmul(cast(a, DTYPES["int32"]), cast(b, DTYPES["int32"])))
    left = reshape_to(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshape_to(b, (*b.shape, 1)) if b.ndim == 1 else b
    batch = build.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows = left.shape[-2:-1] if a.ndim > 1 else ()
    columns = right.shape[-1:] if b.ndim > 1 else ()
    return reshape_to(_product(left, right, batch), (*batch, *rows, *columns))


def _check_product(a: Tensor, b: Tensor) -> None:
    if a.ndim == 0 or b.ndim == 0:
        raise shape_error(f"matmul of {a.type} and {b.type}: needs at least one axis each; use multiply for scalars")
    place = max(b.ndim - 2, 0)
    if a.shape[-1] != b.shape[place]:
        raise shape_error(
            f"matmul of {a.type} and {b.type}: the last extent of the first, {a.shape[-1]}, must equal "
            f"extent {place} of the second, {b.shape[place]}"
        )


def _product(a: Tensor, b: Tensor, batch: tuple[int, ...]) -> Tensor:
    """The product of stacks of matrices that broadcast to `batch`, up to a reshape."""
    if b.ndim == 2:
        return apply("matmul", reshape_to(a, (math.prod(a.shape[:-1]), a.shape[-1])), b)
    left = build.broadcast_to(a, batch + a.shape[-2:])
    return apply("matmul", left, build.broadcast_to(b, batch + b.shape[-2:]))


@function(
    formula=np.dot,
    samples=(
        Sample((Arg((3,)), Arg((3,)))),
        Sample((Arg((2, 3)), Arg((3,)))),
        Sample((Arg((2, 3)), Arg((2, 3, 4)))),
        Sample((Arg(()), Arg((3,)))),
        Sample((Arg((0,)), Arg((0,)))),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)), Arg((4,))), {}), (ShapeError, (Arg((2, 3)), Arg((2, 3))), {})),
)
def dot(a: Any, b: Any) -> Tensor:
    """NumPy's dot: the sum over the last axis of `a` and the last but one (or only) axis of `b`."""
    a, b = promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return invoke("multiply", a, b)
    return tensordot(a, b, ((-1,), (max(b.ndim - 2, 0),)))


@function(
    formula=np.inner,
    samples=(Sample((Arg((3,)), Arg((3,)))), Sample((Arg((2, 3)), Arg((4, 3)))), Sample((Arg(()), Arg((2,))))),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), Arg((3, 2))), {}),),
)
def inner(a: Any, b: Any) -> Tensor:
    """NumPy's inner: the sum over the last axes of both."""
    a, b = promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return invoke("multiply", a, b)
    return tensordot(a, b, ((-1,), (-1,)))


@function(
    formula=np.outer,
    samples=(Sample((Arg((2,)), Arg((3,)))), Sample((Arg((2, 2)), Arg((3,)))), Sample((Arg((0,)), Arg((3,))))),
    dtypes=ALL,
)
def outer(a: Any, b: Any) -> Tensor:
    """All products of an element of `a` and one of `b`, both flattened: `[a.size, b.size]`."""
    a, b = promoted(a, b)
    return invoke("multiply", reshape_to(a, (a.size, 1)), reshape_to(b, (1, b.size)))


def _vecdot_formula(a: Any, b: Any, axis: int = -1) -> Any:
    return (np.moveaxis(a, axis, -1)[..., None, :] @ np.moveaxis(b, axis, -1)[..., :, None])[..., 0, 0]


@function(
    formula=_vecdot_formula,
    samples=(
        Sample((Arg((3,)), Arg((3,)))),
        Sample((Arg((2, 1, 3)), Arg((4, 3)))),
        Sample((Arg((3, 2)), Arg((3, 2)), 0)),
        Sample((Arg((2, 0)), Arg((2, 0)))),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((2, 3)), Arg((2, 1))), {}), (ShapeError, (Arg(()), Arg((1,))), {})),
)
def vecdot(a: Any, b: Any, axis: int = -1) -> Tensor:
    """The dot product of the vectors along `axis` of both; the other axes broadcast. The dtype is kept."""
    a, b = promoted(a, b)
    a, b = (moveaxis(x, normalize_axis(axis, x.ndim), -1) for x in (a, b))
    if a.shape[-1] != b.shape[-1]:
        raise shape_error(f"vecdot of {a.type} and {b.type}: vectors of {a.shape[-1]} and {b.shape[-1]} elements")
    product = invoke("multiply", a, b)
    return total(product, (product.ndim - 1,))


@function(
    formula=lambda a, b, axes=2: np.tensordot(a, b, axes),
    samples=(
        Sample((Arg((2, 3, 4)), Arg((3, 4, 2)))),
        Sample((Arg((2, 3)), Arg((2,)), 0)),
        Sample((Arg((2, 3, 4)), Arg((4, 2, 3)), ((0, -1), (1, 0)))),
        Sample((Arg((2, 3)), Arg((3, 2)), 1)),
        Sample((Arg((2, 3)), Arg((3, 4)), ([1], [0]))),
        Sample((Arg((2, 0)), Arg((0, 3)), 1)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), Arg((2, 3)), 1), {}),
        (ShapeError, (Arg((2, 3)), Arg((2, 3)), 3), {}),
        (ShapeError, (Arg((2, 3)), Arg((2, 3)), ((0, 1), (0,))), {}),
    ),
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """The sum over pairs of axes: the last `axes` of `a` with the first of `b`, or two lists of axes that go together.

    The result has the other axes of `a`, then those of `b`.
    """
    a, b = promoted(a, b)
    summed_a, summed_b = _paired_axes(a, b, axes)
    rest_a = [axis for axis in range(a.ndim) if axis not in summed_a]
    rest_b = [axis for axis in range(b.ndim) if axis not in summed_b]
    inside = math.prod(a.shape[axis] for axis in summed_a)
    shape_a, shape_b = [a.shape[axis] for axis in rest_a], [b.shape[axis] for axis in rest_b]
    left = reshape_to(permute(a, (*rest_a, *summed_a)), (math.prod(shape_a), inside))
    right = reshape_to(permute(b, (*summed_b, *rest_b)), (inside, math.prod(shape_b)))
    return reshape_to(matmul(left, right), (*shape_a, *shape_b))


def _paired_axes(a: Tensor, b: Tensor, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise shape_error(f"tensordot of {a.type} and {b.type} over {axes} axes: they have {a.ndim} and {b.ndim}")
        pairs = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        try:
            left, right = axes
        except (TypeError, ValueError):
            raise shape_error(f"tensordot takes a number of axes or two lists of axes, not {shown(axes)}") from None
        pairs = tuple(
            tuple(normalize_axis(axis, x.ndim) for axis in integers(side, "tensordot"))
            for x, side in ((a, left), (b, right))
        )  # type: ignore[assignment]
        for x, side in ((a, pairs[0]), (b, pairs[1])):
            normalize_axes(side, x.ndim)
    extents = [tuple(x.shape[axis] for axis in side) for x, side in ((a, pairs[0]), (b, pairs[1]))]
    if extents[0] != extents[1]:
        raise shape_error(
            f"tensordot of {a.type} and {b.type} over axes {pairs[0]} and {pairs[1]}: "
            f"their extents {extents[0]} and {extents[1]} must be equal"
        )
    return pairs


@function(
    formula=lambda x, weight, bias=None: x @ weight.T + (0 if bias is None else bias),
    samples=(
        Sample((Arg((2, 3)), Arg((4, 3)), Arg((4,)))),
        Sample((Arg((2, 2, 3)), Arg((4, 3)))),
        Sample((Arg((3,)), Arg((2, 3)), Arg((2,)))),
        Sample((Arg((0, 3)), Arg((2, 3)), Arg((2,)))),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((2, 3)), Arg((3, 4))), {}),
        (ShapeError, (Arg((2, 3)), Arg((4, 3)), Arg((3,))), {}),
        (ShapeError, (Arg((2, 3)), Arg((3,))), {}),
        (DTypeError, (Arg((2, 3), dtype="int32"), Arg((4, 3), dtype="int32")), {}),
    ),
)
def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """`x @ weight.T + bias`: PyTorch's linear. `x[..., in]`, `weight[out, in]`, `bias[out]` → `[..., out]`."""
    x, weight = promoted(x, weight)
    if not x.dtype.is_float:
        raise dtype_error(f"linear takes floating tensors, not {x.type} and {weight.type}")
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise shape_error(f"linear takes x[..., in] and weight[out, in]; got x {x.type} and weight {weight.type}")
    y = matmul(x, swapaxes(weight, 0, 1))
    if bias is None:
        return y
    bias = as_tensor(bias)
    if bias.shape != weight.shape[:1]:
        raise shape_error(f"linear with weight {weight.type} takes a bias of shape {weight.shape[:1]}, not {bias.type}")
    return invoke("add", y, bias)
