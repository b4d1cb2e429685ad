"""Along one axis, or through the flattened array: positions of extremes, running sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ops.build import apply, as_tensor, cast, normalize_axis, with_an_axis
from graphc.ops.elementwise import Errors
from graphc.ops.functions.reductions import FAR_APART, sum_dtype
from graphc.ops.primitives.reductions import with_ones
from graphc.ops.primitives.views import reshape_to
from graphc.ops.record import ALL, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["argmax", "argmin", "cumprod", "cumsum"]

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


def _wide_run(run: Any, x: Any, axis: int | None = None) -> Any:
    """NumPy's running sums or products, of floats in float64."""
    with np.errstate(all="ignore"):
        return run(x, axis=axis, dtype=_sum_dtype(x) if x.dtype.kind != "f" else np.float64).astype(_sum_dtype(x))


def _cumsum_formula(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    run = _wide_run(np.cumsum, np.flip(x, axis) if reverse else x, axis)
    return np.flip(run, axis) if reverse else run


@function(
    formula=_cumsum_formula,
    samples=[*_RUNS, Sample((Arg((2, 3)), 1, True)), Sample((Arg((4,)), 0), (("reverse", True),))],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Tensor:
    """The running sum along `axis` (of the flattened array by default), from the end with `reverse`.

    Floats keep their dtype, integers and bools become int64; floats are summed in float64. Derivative: the running sum
    of the cotangent in the other direction. Raises ShapeError.

    >>> evaluate(cumsum([1.0, 2.0, 3.0]))
    array([1., 3., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    return apply("cumsum", tensor, axis=place, reverse=bool(reverse))


@function(
    formula=lambda x, axis=None: _wide_run(np.cumprod, x, axis),
    samples=[
        *_RUNS,
        Sample((Arg((11, 3)), -1)),
        Sample((Arg((2, 4), values=(0, 2, 3, 1, 1, 0, 2, 0)), 1), why="zeros among the factors"),
        FAR_APART,
    ],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumprod(x: Any, axis: int | None = None) -> Tensor:
    """The running product along `axis` (of the flattened array by default).

    Floats keep their dtype, integers and bools become int64; floats are multiplied in float64, one after the other.
    Derivatives are exact at factors 0. Raises ShapeError.

    >>> evaluate(cumprod([1.0, 2.0, 3.0]))
    array([1., 2., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    return cast(apply("cumprod", tensor, axis=place), tensor.dtype)


def _along(x: Any, axis: int | None) -> tuple[Tensor, int]:
    """x as numbers, flattened where there is no axis, and the axis counted from the front."""
    tensor = as_tensor(x)
    tensor = cast(tensor, sum_dtype(tensor.dtype))
    if axis is None:
        return reshape_to(tensor, (tensor.size,)), 0
    tensor = with_an_axis(tensor)
    return tensor, normalize_axis(axis, tensor.ndim)
