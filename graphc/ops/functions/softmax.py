"""Softmax and its kin, and the gated linear unit: compositions along an axis that fuse into one pass over a row.

The largest element is taken out first, as a constant: the result does not depend on it, so all derivatives are
exact. 16-bit floats are computed in float32 and rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ops.build import apply, as_float, cast, invoke, normalize_axes, normalize_axis
from graphc.ops.elementwise import floats
from graphc.ops.functions.reductions import BAD_AXES, Axes
from graphc.ops.primitives.reductions import restore, widened
from graphc.ops.primitives.views import Ints, shape_error, slice_view
from graphc.ops.record import FLOAT, Arg, Sample, function
from graphc.ops.special import special
from graphc.ops.tensor import Tensor

__all__ = ["glu", "log_softmax", "softmax", "softmin"]

_ROWS = [
    Sample((Arg((4,)),)),
    Sample((Arg(()),)),
    Sample((Arg((2, 3)),)),
    Sample((Arg((2, 3)), 0)),
    Sample((Arg((2, 3, 2)), 1)),
    Sample((Arg((2, 3)), None)),
    Sample((Arg((2, 3, 2)), (0, 2))),
    Sample((Arg((1,)),)),
    Sample((Arg((0,)),)),
    Sample((Arg((0, 3)),)),
    Sample((Arg((3, 0)),)),
    Sample((Arg((2, 1, 2, 1, 2, 3)),)),
    Sample((Arg((3,), values=(1000.0, 0.0, -1000.0)),)),
    Sample((Arg((3,), values=(0.0, 1.0, -float("inf"))),), grad=False, why="infinite"),
]
_DTYPES = (*FLOAT, "int32")


def _off_empty(formula: Any) -> Any:
    """SciPy's softmax refuses empty arrays, of which there is nothing to compute."""
    return floats(lambda x, axis=-1: formula(x, axis=axis) if x.size else x)


def _centred(x: Tensor, axes: Ints) -> Tensor:
    """x with the largest element over `axes` taken out."""
    if not axes or x.size == 0:
        return x
    return x - restore(apply("stop_gradient", apply("max", x, axes=axes)), x.shape, axes)


def _total(x: Tensor, axes: Ints) -> Tensor:
    """The sum over `axes`, repeated."""
    return restore(apply("sum", x, axes=axes), x.shape, axes) if axes else x


@function(formula=_off_empty(special.softmax), samples=_ROWS, dtypes=_DTYPES, errors=BAD_AXES)
def softmax(x: Any, axis: Axes = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over `axis` (one, several, or None for all), without overflow.

    x: any shape; integers and bools become float64. Derivative: y (g - sum(g y)). Raises DTypeError, ShapeError.

    >>> evaluate(softmax([0.0, 0.0, -1000.0]))
    array([0.5, 0.5, 0. ], dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    powers = invoke("exp", _centred(widened(tensor), axes))
    return cast(powers / _total(powers, axes), tensor.dtype)


@function(formula=_off_empty(special.log_softmax), samples=_ROWS, dtypes=_DTYPES, errors=BAD_AXES)
def log_softmax(x: Any, axis: Axes = -1) -> Tensor:
    """log(softmax(x)) over `axis` (one, several, or None for all), without overflow or a logarithm of 0.

    x: any shape; integers and bools become float64. Derivative: g - softmax(x) sum(g). Raises DTypeError, ShapeError.

    >>> evaluate(log_softmax([0.0, 0.0, -1000.0]))
    array([-6.9314718e-01, -6.9314718e-01, -1.0006931e+03], dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    centred = _centred(widened(tensor), axes)
    return cast(centred - invoke("log", _total(invoke("exp", centred), axes)), tensor.dtype)


@function(
    formula=_off_empty(lambda x, axis: special.softmax(-x, axis=axis)),
    samples=_ROWS[:-1],
    dtypes=_DTYPES,
    errors=BAD_AXES,
)
def softmin(x: Any, axis: Axes = -1) -> Tensor:
    """softmax(-x) over `axis` (one, several, or None for all).

    x: any shape; integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(softmin([0.0, 0.0, 1000.0]))
    array([0.5, 0.5, 0. ], dtype=float32)
    """
    return softmax(-as_float(x), axis)


def _glu_formula(x: Any, axis: int = -1) -> Any:
    a, b = np.split(x, 2, axis)
    return a * special.expit(b)


@function(
    formula=floats(_glu_formula),
    samples=[
        Sample((Arg((4,)),)), Sample((Arg((2, 6)),)), Sample((Arg((4, 3)), 0)), Sample((Arg((2, 4, 3)), 1)),
        Sample((Arg((0, 2)),)), Sample((Arg((2, 1, 2, 1, 2, 4)),)), Sample((Arg((3, 0)),)),
    ],
    dtypes=_DTYPES,
    errors=[(ShapeError, (Arg((2, 3)),), {}), (ShapeError, (Arg((2, 4)), 2), {})],
)  # fmt: skip
def glu(x: Any, axis: int = -1) -> Tensor:
    """The gated linear unit: the first half of x along `axis` times the sigmoid of the second (Dauphin et al. 2016).

    x: any shape with an even extent at `axis`; integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(glu([2.0, 3.0, 0.0, 0.0]))
    array([1. , 1.5], dtype=float32)
    """
    tensor = as_float(x)
    place = normalize_axis(axis, tensor.ndim)
    if tensor.shape[place] % 2:
        raise shape_error(
            f"glu splits axis {axis} of {tensor!r} into halves, but its extent {tensor.shape[place]} is odd"
        )
    half = tuple(size // 2 if a == place else size for a, size in enumerate(tensor.shape))
    second = tuple(size // 2 if a == place else 0 for a, size in enumerate(tensor.shape))
    value, gate = (slice_view(tensor, start, half) for start in ((0,) * tensor.ndim, second))
    return value * invoke("sigmoid", gate)
