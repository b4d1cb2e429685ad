"""Along one axis: positions of extremes, running sums and products.

`cumsum` is its own transpose with the direction reversed. `cumprod` multiplies by itself shifted by 1, 2, 4, ...
places, so none of its derivatives divides and all are exact where factors are 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import apply, as_tensor, cast, normalize_axis, with_an_axis
from graphc.ops.elementwise import Errors
from graphc.ops.record import ALL, NO_GRADIENT, Arg, Jvp, Kind, Sample, function, primitive
from graphc.ops.reductions import sum_dtype, widened, with_ones
from graphc.ops.tensor import Tensor
from graphc.ops.views import pad_view, reshape_to, slice_view

__all__ = ["argmax", "argmin", "cumprod", "cumsum"]


# Positions of extremes ----------------------------------------------------------------------------
def _declare_position(name: str, reference: Any) -> None:
    def infer(x: TensorType, *, axis: int) -> TensorType:
        if x.shape[axis] == 0:
            raise ShapeError(f"{name} of {x} over axis {axis}: there are no elements to choose from")
        return TensorType(DTYPES["int64"], x.shape[:axis] + x.shape[axis + 1 :])

    primitive(
        name, kind=Kind.LIBRARY, infer=infer, vjp=NO_GRADIENT, jvp=NO_GRADIENT,
        reference=lambda x, *, axis: reference(x, axis=axis),
    )  # fmt: skip


_declare_position("argmax", np.argmax)
_declare_position("argmin", np.argmin)

_POSITIONS = [
    Sample((Arg((4,)),)),
    Sample((Arg(()),)),
    Sample((Arg(()), 0)),
    Sample((Arg(()), -1, True)),
    Sample((Arg((2, 3)),)),
    Sample((Arg((2, 3)), 1)),
    Sample((Arg((2, 3)), -2, True)),
    Sample((Arg((2, 3)), None, True)),
    Sample((Arg((0, 3)), 1)),
    Sample((Arg((2, 1, 2, 1, 2, 3)), 4)),
    Sample((Arg((2, 3), values=(1, 3, 3, 2, 2, 2)), 1), why="ties"),
]
_BAD_POSITIONS: Errors = [
    (ShapeError, (Arg(()), 1), {}),
    (ShapeError, (Arg((2, 3)), 2), {}),
    (ShapeError, (Arg((0,)),), {}),
    (ShapeError, (Arg((2, 3)), (0, 1)), {}),
]


@function(
    formula=lambda x, axis=None, keepdims=False: np.argmax(x, axis=axis, keepdims=keepdims),
    samples=_POSITIONS,
    dtypes=ALL,
    differentiable=False,
    errors=_BAD_POSITIONS,
)
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the largest element along `axis` (in the flattened array by default), as int64.

    The first of equals; nan counts as largest. No gradient. Raises ShapeError, for no elements too.

    >>> evaluate(argmax([[1.0, 4.0], [3.0, 2.0]], axis=1))
    array([1, 0])
    """
    return _position("argmax", x, axis, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.argmin(x, axis=axis, keepdims=keepdims),
    samples=_POSITIONS,
    dtypes=ALL,
    differentiable=False,
    errors=_BAD_POSITIONS,
)
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the smallest element along `axis` (in the flattened array by default), as int64.

    The first of equals; nan counts as smallest. No gradient. Raises ShapeError, for no elements too.

    >>> evaluate(argmin([[1.0, 4.0], [3.0, 2.0]], axis=1))
    array([0, 1])
    """
    return _position("argmin", x, axis, keepdims)


def _position(op: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    if axis is None:
        result = apply(op, reshape_to(tensor, (tensor.size,)), axis=0)
        return reshape_to(result, (1,) * tensor.ndim) if keepdims else result
    line = with_an_axis(tensor)
    place = normalize_axis(axis, line.ndim)
    result = apply(op, line, axis=place)
    return reshape_to(result, with_ones(tensor.shape, (place,))) if keepdims else result


# Running sums and products ------------------------------------------------------------------------
def _infer_cumsum(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
    if x.dtype.kind == "bool":
        raise DTypeError(f"cumsum does not take {x}; cast it to a number first")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"cumsum of {x} runs along one of its axes, not {axis}")
    return x


def _cumsum_reference(x: Any, *, axis: int, reverse: bool) -> Any:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis=axis, dtype=x.dtype)


primitive(
    "cumsum",
    kind=Kind.LIBRARY,
    infer=_infer_cumsum,
    vjp=(lambda g, y, x, *, axis, reverse: apply("cumsum", g, axis=axis, reverse=not reverse),),
    jvp=Jvp.LINEAR,
    reference=_cumsum_reference,
)

_RUNS = [
    Sample((Arg((4,)),)),
    Sample((Arg((2, 3)),)),
    Sample((Arg((2, 3)), 0)),
    Sample((Arg((2, 3)), -1)),
    Sample((Arg((1,)), 0)),
    Sample((Arg((0, 3)), 0)),
    Sample((Arg((2, 1, 2, 1, 2, 3)), 4)),
    Sample((Arg(()),)),
    Sample((Arg(()), 0)),
    Sample((Arg(()), -1)),
]
_BAD_RUNS: Errors = [
    (ShapeError, (Arg(()), 1), {}),
    (ShapeError, (Arg((2, 3)), 2), {}),
    (ShapeError, (Arg((2, 3)), (0, 1)), {}),
]


def _sum_dtype(x: Any) -> Any:
    return np.int64 if x.dtype.kind in "uib" else x.dtype


def _cumsum_formula(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    turned = np.flip(x, axis) if reverse else x
    run = np.cumsum(turned, axis=axis, dtype=_sum_dtype(x))
    return np.flip(run, axis) if reverse else run


@function(
    formula=_cumsum_formula,
    samples=[*_RUNS, Sample((Arg((2, 3)), 1, True)), Sample((Arg((4,)), 0), (("reverse", True),))],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Tensor:
    """The running sum along `axis` (of the flattened array by default), from the end with `reverse`.

    Floats keep their dtype, integers and bools become int64. Derivative: the running sum of the cotangent in the other
    direction. Raises ShapeError.

    >>> evaluate(cumsum([1.0, 2.0, 3.0]))
    array([1., 3., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    return apply("cumsum", tensor, axis=place, reverse=bool(reverse))


@function(
    formula=lambda x, axis=None: np.cumprod(x, axis=axis, dtype=_sum_dtype(x)),
    samples=[*_RUNS, Sample((Arg((2, 4), values=(0, 2, 3, 1, 1, 0, 2, 0)), 1), why="zeros among the factors")],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumprod(x: Any, axis: int | None = None) -> Tensor:
    """The running product along `axis` (of the flattened array by default).

    Floats keep their dtype, integers and bools become int64. Derivatives are exact at factors 0. Raises ShapeError.

    >>> evaluate(cumprod([1.0, 2.0, 3.0]))
    array([1., 2., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    result, extent = widened(tensor), tensor.shape[place]
    zeros = (0,) * tensor.ndim
    distance = 1
    while distance < extent:
        sizes = tuple(extent - distance if a == place else size for a, size in enumerate(tensor.shape))
        low = tuple(distance if a == place else 0 for a in range(tensor.ndim))
        result = result * pad_view(slice_view(result, zeros, sizes), low, zeros, 1)
        distance *= 2
    return cast(result, tensor.dtype)


def _along(x: Any, axis: int | None) -> tuple[Tensor, int]:
    """x as numbers, flattened where there is no axis, and the axis counted from the front."""
    tensor = as_tensor(x)
    tensor = cast(tensor, sum_dtype(tensor.dtype))
    if axis is None:
        return reshape_to(tensor, (tensor.size,)), 0
    tensor = with_an_axis(tensor)
    return tensor, normalize_axis(axis, tensor.ndim)
