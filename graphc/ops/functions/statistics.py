"""Statistics and norms over any axes: variance, deviation, range, lengths, log-sum-exp, and means that skip nan.

All are compositions of the reductions `sum`, `max` and `min`; 16-bit floats are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ops.build import apply, as_float, cast, constant, invoke, normalize_axes
from graphc.ops.elementwise import floats
from graphc.ops.functions.reductions import (
    BAD_AXES,
    EMPTY_ERRORS,
    Axes,
    finish,
    mean_over,
    named_axes,
    reduction_samples,
)
from graphc.ops.primitives.reductions import restore, widened
from graphc.ops.primitives.views import Ints, dtype_error
from graphc.ops.record import ALL, FLOAT, Arg, Sample, function
from graphc.ops.special import special
from graphc.ops.tensor import Tensor

__all__ = ["logsumexp", "nanmean", "nansum", "norm", "ptp", "root_or_zero", "std", "var"]


def _var_formula(x: Any, axis: Axes = None, keepdims: bool = False, correction: float = 0) -> Any:
    return np.var(x, axis=named_axes(x, axis), keepdims=keepdims, ddof=correction)


_CORRECTED = [
    Sample((Arg((2, 3)),), (("axis", 1), ("correction", 1))),
    Sample((Arg((4,)),), (("correction", 0.5),)),
    Sample((Arg((2, 3)), (0, 1), True, 1)),
]


@function(
    formula=_var_formula, samples=[*reduction_samples(empty_grad=False), *_CORRECTED], dtypes=ALL, errors=BAD_AXES
)
def var(x: Any, axis: Axes = None, keepdims: bool = False, correction: float = 0) -> Tensor:
    """The variance over `axis`: the squared distances to the mean, summed and divided by n - correction.

    x: any shape; integers and bools become float64. `correction=1` estimates the variance of a population (PyTorch's
    default; NumPy's is 0). In two passes, so that nothing cancels. nan over no elements. Raises ShapeError, DTypeError.

    >>> evaluate(var([1.0, 2.0, 3.0, 4.0]))
    array(1.25, dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    result = cast(_var(widened(tensor), axes, correction), tensor.dtype)
    return finish(result, tensor.shape, axes, keepdims)


def _var(x: Tensor, axes: Ints, correction: float) -> Tensor:
    count = math.prod(x.shape[axis] for axis in axes)
    centred = x - restore(mean_over(x, axes), x.shape, axes)
    total = apply("sum", centred * centred, axes=axes) if axes else centred * centred
    return total / constant(max(count - correction, 0), x.dtype)


def _reduces(sample: Sample) -> int:
    """How many elements go into each result."""
    shape = sample.args[0].shape
    return math.prod(shape[axis] for axis in normalize_axes(sample.keywords.get("axis"), len(shape)))


def root_or_zero(x: Tensor) -> Tensor:
    """The square root, with derivative 0 at 0: what lengths and deviations take."""
    positive = x != 0
    return invoke("where", positive, invoke("sqrt", invoke("where", positive, x, 1)), 0)


@function(
    formula=lambda x, axis=None, keepdims=False, correction=0: np.sqrt(_var_formula(x, axis, keepdims, correction)),
    samples=[
        *(sample for sample in reduction_samples() if _reduces(sample) > 1),
        *_CORRECTED,
        Sample((Arg((3,), values=(1, 1, 1)),), grad=False, why="no derivative where all elements are equal"),
        Sample((Arg((0, 3)), 0), grad=False, why="nan"),
    ],
    dtypes=ALL,
    convention="the derivative is 0 where the deviation is 0, as in PyTorch",
    errors=BAD_AXES,
)
def std(x: Any, axis: Axes = None, keepdims: bool = False, correction: float = 0) -> Tensor:
    """The standard deviation over `axis`: the square root of `var` with the same arguments.

    Derivative: (x - mean) / ((n - correction) std), and 0 where std is 0. Raises ShapeError, DTypeError.

    >>> evaluate(std([1.0, 1.0, 3.0, 3.0]))
    array(1., dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    result = cast(root_or_zero(_var(widened(tensor), axes, correction)), tensor.dtype)
    return finish(result, tensor.shape, axes, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.ptp(x, axis=axis, keepdims=keepdims),
    samples=reduction_samples(empty=False, distinct=True),
    dtypes=(*FLOAT, "int32", "uint8"),
    convention="as for max and min",
    errors=[*BAD_AXES, *EMPTY_ERRORS],
)
def ptp(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Peak to peak: the largest element less the smallest, over `axis`. Raises ShapeError, DTypeError (bool).

    >>> evaluate(ptp([[1.0, 4.0], [3.0, 2.0]], axis=1))
    array([3., 1.], dtype=float32)
    """
    return invoke("max", x, axis, keepdims) - invoke("min", x, axis, keepdims)


def _logsumexp_formula(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    result = special.logsumexp(x, axis=axis, keepdims=keepdims)
    return result if x.ndim else np.reshape(result, ())


@function(
    formula=floats(_logsumexp_formula),
    samples=[
        *reduction_samples(empty=False),
        Sample((Arg((3,), values=(1000.0, 999.0, -1000.0)),), grad=False, why="too steep for differences"),
        Sample((Arg((2, 2), values=(-math.inf, -math.inf, -math.inf, 1.0)), 1), grad=False, why="infinite"),
        Sample((Arg((2,), values=(math.inf, 1.0)),), grad=False, why="infinite"),
    ],
    dtypes=(*FLOAT, "int32"),
    convention="over elements that are all -inf the result is -inf and the derivative 0",
    errors=[*BAD_AXES, *EMPTY_ERRORS],
)
def logsumexp(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis` (all axes by default), without overflow: the largest element is taken out first.

    x: any shape; integers and bools become float64. Derivative: softmax(x). Raises ShapeError, for no elements too.

    >>> evaluate(logsumexp([1000.0, 1000.0]))
    array(1000.6931, dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    wide = widened(tensor)
    largest = apply("stop_gradient", apply("max", wide, axes=axes) if axes else wide)
    shift = invoke("where", invoke("isfinite", largest), largest, 0)
    total = invoke("exp", wide - restore(shift, wide.shape, axes))
    total = apply("sum", total, axes=axes) if axes else total
    empty = total == 0
    result = invoke("where", empty, -math.inf, invoke("log", invoke("where", empty, 1, total))) + shift
    return finish(cast(result, tensor.dtype), tensor.shape, axes, keepdims)


_ORDERS: tuple[Any, ...] = (1, 2, 3, 0.5, 1.5, -1, math.inf, -math.inf, 0)


def _norm_formula(x: Any, ord: float = 2, axis: Axes = None, keepdims: bool = False) -> Any:
    return np.linalg.vector_norm(x, ord=ord, axis=named_axes(x, axis), keepdims=keepdims)  # type: ignore[arg-type]


@function(
    formula=floats(_norm_formula),
    samples=[
        *(Sample((Arg((2, 3), 0.3, 2, distinct=True), order)) for order in _ORDERS),
        *(Sample((Arg((2, 3), -2, -0.3, distinct=True), order, 1, True)) for order in _ORDERS),
        Sample((Arg((2, 3, 2)), 2, (0, 2))),
        Sample((Arg((), 0.5, 2), 3, 0)),
        Sample((Arg((0,)),), grad=False, why="constant"),
        *(Sample((Arg((3,), values=(0, 0, 0)), order), grad=False, why="no derivative at 0") for order in _ORDERS),
        *(Sample((Arg((3,), values=(2, 0, -1)), order), grad=False, why="a corner at 0") for order in _ORDERS),
    ],
    dtypes=(*FLOAT, "int32"),
    convention="the derivative by an element that is 0 is 0, for every order, as in PyTorch",
    errors=[(ShapeError, (Arg((2, 3)), 2, 2), {}), (DTypeError, (Arg((2, 3)), "fro"), {})],
)
def norm(x: Any, ord: float = 2, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The vector norm over `axis` (all axes by default): the sum of |x|**ord, to the power 1/ord.

    x: any shape; integers and bools become float64. ord: any number; inf is the largest magnitude, -inf the smallest,
    0 the number of elements that are not 0. Derivative for 2: x / norm(x). Raises ShapeError, DTypeError.

    >>> evaluate(norm([3.0, 4.0]))
    array(5., dtype=float32)
    """
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise dtype_error(f"the order of a vector norm is a number, not {shown(ord)}")
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    result = cast(_norm(widened(tensor), ord, axes), tensor.dtype)
    return finish(result, tensor.shape, axes, keepdims)


def _norm(x: Tensor, order: float, axes: Ints) -> Tensor:
    if order == 2:
        return root_or_zero(invoke("sum", x * x, axes))
    if order == 0:
        return invoke("sum", cast(x != 0, x.dtype), axes)
    size = invoke("abs", x)
    if math.isinf(order):
        return invoke("max" if order > 0 else "min", size, axes)
    if order == 1:
        return invoke("sum", size, axes)
    return _power_or_limit(invoke("sum", _power_or_limit(size, order), axes), 1 / order)


def _power_or_limit(x: Tensor, exponent: float) -> Tensor:
    """x**exponent for x >= 0, with derivative 0 at 0, where that of a power may be infinite."""
    zero = x == 0
    power = invoke("power", invoke("where", zero, 1, x), exponent)
    return invoke("where", zero, 0.0 if exponent > 0 else math.inf, power)


_WITH_NAN = [
    Sample((Arg((2, 3), values=(1.0, math.nan, 2.0, 4.0, math.nan, 6.0)), axis), grad=False, why="nan")
    for axis in (None, 0, 1)
]


@function(
    formula=lambda x, axis=None, keepdims=False: np.nansum(x, axis=axis, keepdims=keepdims),
    samples=[*reduction_samples(), *_WITH_NAN],
    dtypes=FLOAT,
    convention="the derivative at nan is 0",
    errors=BAD_AXES,
)
def nansum(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` of the elements that are not nan. Derivative: 1 for those. Raises ShapeError, DTypeError.

    >>> evaluate(nansum([1.0, float("nan"), 2.0]))
    array(3., dtype=float32)
    """
    tensor = as_float(x)
    return invoke("sum", invoke("where", invoke("isnan", tensor), 0, tensor), axis, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.nanmean(x, axis=axis, keepdims=keepdims),
    samples=[*reduction_samples(empty_grad=False), *_WITH_NAN],
    dtypes=FLOAT,
    convention="the derivative at nan is 0",
    errors=BAD_AXES,
)
def nanmean(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` of the elements that are not nan; nan where all are. Raises ShapeError, DTypeError.

    >>> evaluate(nanmean([1.0, float("nan"), 2.0]))
    array(1.5, dtype=float32)
    """
    tensor = as_float(x)
    wide = widened(tensor)
    missing = invoke("isnan", wide)
    total = invoke("sum", invoke("where", missing, 0, wide), axis, keepdims)
    count = invoke("sum", cast(invoke("logical_not", missing), wide.dtype), axis, keepdims)
    return cast(total / count, tensor.dtype)
