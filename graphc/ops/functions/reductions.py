"""Reductions over any axes: sums, products, means, extremes, any and all, as NumPy has them.

All but `sum`, `max` and `min` are compositions that fuse into one pass over a row. 16-bit floats are reduced in float32
and rounded once. Reducing over no elements gives the neutral element where there is one, nan for a mean, and ShapeError
for an extreme.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, DType
from graphc.ops.build import apply, as_float, as_tensor, cast, constant, full, normalize_axes
from graphc.ops.elementwise import Errors
from graphc.ops.functions.sources import located_dtype
from graphc.ops.primitives.reductions import reduced, widened, with_ones
from graphc.ops.primitives.views import Ints, dtype_error, narrow, permute, reshape_to
from graphc.ops.record import ALL, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = [
    "BAD_AXES", "EMPTY_ERRORS", "FAR_APART", "all", "any", "count_nonzero", "finish", "max", "mean", "mean_over",
    "min", "named_axes", "prod", "reduction_samples", "sum",
]  # fmt: skip

Axes = int | tuple[int, ...] | None

_AXES: tuple[tuple[Ints, tuple[tuple[str, Any], ...]], ...] = (
    ((), ()),
    ((), (("axis", 0),)),
    ((), (("axis", -1), ("keepdims", True))),
    ((4,), ()),
    ((4,), (("axis", 0),)),
    ((2, 3), ()),
    ((2, 3), (("axis", 1),)),
    ((2, 3), (("axis", -2), ("keepdims", True))),
    ((2, 3, 2), (("axis", (0, 2)),)),
    ((2, 3), (("axis", ()),)),
    ((1, 3), (("axis", 0),)),
    ((2, 1, 2, 1, 2, 3), (("axis", (0, 3, 5)), ("keepdims", True))),
    ((3, 0), (("axis", 0),)),
)
_EMPTY: tuple[tuple[Ints, tuple[tuple[str, Any], ...]], ...] = (((0,), ()), ((2, 0), (("axis", 1),)))
BAD_AXES: Errors = [
    (ShapeError, (Arg(()), 1), {}),
    (ShapeError, (Arg((2, 3)), 2), {}),
    (ShapeError, (Arg((2, 3)), (0, -2)), {}),
    (ShapeError, (Arg((2, 3)), 0.5), {}),
]
EMPTY_ERRORS: Errors = [(ShapeError, (Arg((0,)),), {}), (ShapeError, (Arg((2, 0)), 1), {})]


def reduction_samples(
    low: float = -2, high: float = 2, *, empty: bool = True, empty_grad: bool = True, distinct: bool = False
) -> list[Sample]:
    """A sample for each way to choose axes; `empty` ones reduce over no elements."""
    samples = [Sample((Arg(shape, low, high, distinct=distinct),), kwargs) for shape, kwargs in _AXES]
    if empty:
        samples += [Sample((Arg(shape),), kwargs, grad=empty_grad, why="no elements") for shape, kwargs in _EMPTY]
    return samples


def finish(x: Tensor, shape: Ints, axes: Ints, keepdims: bool) -> Tensor:
    """A reduced tensor as the user wants it: with extents of 1 at `axes`, or without them."""
    return reshape_to(x, with_ones(shape, axes)) if keepdims else x


# Sums ---------------------------------------------------------------------------------------------
def sum_dtype(dtype: DType) -> DType:
    """The dtype in which a sum or product is taken: integers and bools go to int64, as in NumPy."""
    return dtype if dtype.is_float else DTYPES["int64"]


def _sum_formula(x: Any, axis: Axes = None, keepdims: bool = False, dtype: Any = None) -> Any:
    target = dtype or (np.int64 if x.dtype.kind in "uib" else x.dtype)
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=target)


@function(
    formula=_sum_formula,
    samples=[*reduction_samples(), Sample((Arg((2, 3)),), (("axis", 0), ("dtype", "float64")))],
    dtypes=ALL,
    errors=[*BAD_AXES, (DTypeError, (Arg((2,)),), {"dtype": "bool"})],
)
def sum(x: Any, axis: Axes = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """The sum over `axis` (all axes by default); 0 over no elements.

    x: any shape. Floats keep their dtype, integers and bools become int64, unless `dtype` says otherwise; 16-bit floats
    are summed in float32. `keepdims` leaves reduced axes with extent 1. Derivative: 1 for each element.
    Raises ShapeError, DTypeError.

    >>> evaluate(sum([[1.0, 2.0], [3.0, 4.0]], axis=0))
    array([4., 6.], dtype=float32)
    """
    tensor = as_tensor(x)
    target = _checked_dtype(dtype) if dtype is not None else sum_dtype(tensor.dtype)
    axes = normalize_axes(axis, tensor.ndim)
    tensor = cast(tensor, target)
    return finish(apply("sum", tensor, axes=axes) if axes else tensor, tensor.shape, axes, keepdims)


def _checked_dtype(dtype: Any) -> DType:
    target = located_dtype(dtype)
    if target.kind == "bool":
        raise dtype_error("sums are taken in numbers, not in bool; use any")
    return target


def _mean_formula(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    return np.mean(x, axis=named_axes(x, axis), keepdims=keepdims)


def named_axes(x: Any, axis: Axes) -> Axes:
    """`axis` as those of NumPy's functions take it that know no axis of a 0-d array, unlike its ufuncs."""
    return axis if x.ndim else None


@function(formula=_mean_formula, samples=reduction_samples(empty_grad=False), dtypes=ALL, errors=BAD_AXES)
def mean(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis` (all axes by default); nan over no elements.

    x: any shape; integers and bools become float64, 16-bit floats are averaged in float32. Derivative: 1/n.
    Raises ShapeError, DTypeError.

    >>> evaluate(mean([[1.0, 2.0], [3.0, 4.0]], axis=0))
    array([2., 3.], dtype=float32)
    """
    tensor = as_float(x)
    axes = normalize_axes(axis, tensor.ndim)
    return finish(cast(mean_over(widened(tensor), axes), tensor.dtype), tensor.shape, axes, keepdims)


def mean_over(x: Tensor, axes: Ints) -> Tensor:
    """The mean over normalised axes, which leave the shape."""
    if not axes:
        return x
    return apply("sum", x, axes=axes) / constant(math.prod(x.shape[axis] for axis in axes), x.dtype)


# Products -----------------------------------------------------------------------------------------
def _prod_formula(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    if x.dtype.kind in "uib":
        return np.prod(x, axis=axis, keepdims=keepdims, dtype=np.int64)
    return np.asarray(np.prod(x, axis=axis, keepdims=keepdims, dtype=np.float64)).astype(x.dtype)


# The products of these numbers leave the range of float32, and in any order but one after the other that of float64.
FAR_APART = Sample(
    (Arg((40,), values=(*(1e-30, 1e30) * 9, 1e30, 1e-30, *(1e30, 1e-30) * 9, 0.5, 3.0)),),
    grad=False, why="too steep for differences",
)  # fmt: skip


@function(
    formula=_prod_formula,
    samples=[
        *reduction_samples(0.5, 1.5),
        Sample((Arg((7,)),)),
        Sample((Arg((2, 4), values=(0, 2, 3, 1, 0, 2, 0, 1)), 1), why="one and two zeros in a product"),
        FAR_APART,
    ],
    dtypes=ALL,
    errors=BAD_AXES,
)
def prod(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The product over `axis` (all axes by default); 1 over no elements.

    x: any shape. Floats keep their dtype, integers and bools become int64. Factors are multiplied one after the other,
    floats in float64. No derivative of any order divides: all are exact where factors are 0.
    Raises ShapeError, DTypeError.

    >>> evaluate(prod([[1.0, 2.0], [3.0, 4.0]], axis=0))
    array([3., 8.], dtype=float32)
    """
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim)
    factors = cast(tensor, sum_dtype(tensor.dtype))
    return finish(cast(_prod(factors, axes), factors.dtype), tensor.shape, axes, keepdims)


def _prod(x: Tensor, axes: Ints) -> Tensor:
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    count = math.prod(x.shape[axis] for axis in axes)
    if count == 0:
        return full(shape, 1, x.dtype)
    x = reshape_to(permute(x, (*kept, *axes)), (*shape, count))
    runs = apply("cumprod", x, axis=len(shape)) if count > 1 else x
    return reshape_to(narrow(runs, len(shape), count - 1, 1), shape)


# Extremes and truth -------------------------------------------------------------------------------
_TIED = Sample((Arg((2, 3), values=(1, 3, 3, 2, 2, 2)), 1), grad=False, why="a tie has no derivative")


@function(
    formula=lambda x, axis=None, keepdims=False: np.max(x, axis=axis, keepdims=keepdims),
    samples=[*reduction_samples(empty=False, distinct=True), _TIED],
    dtypes=ALL,
    convention="the derivative is split evenly among all elements that attain the maximum",
    errors=[*BAD_AXES, *EMPTY_ERRORS],
)
def max(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis` (all axes by default), nan if there is one.

    x: any shape and dtype, which is kept. Derivative: 1 for the largest, split evenly among equals.
    Raises ShapeError, for no elements too.

    >>> evaluate(max([[1.0, 4.0], [3.0, 2.0]], axis=0))
    array([3., 4.], dtype=float32)
    """
    return _extreme("max", x, axis, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.min(x, axis=axis, keepdims=keepdims),
    samples=[*reduction_samples(empty=False, distinct=True), _TIED],
    dtypes=ALL,
    convention="the derivative is split evenly among all elements that attain the minimum",
    errors=[*BAD_AXES, *EMPTY_ERRORS],
)
def min(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis` (all axes by default), nan if there is one.

    x: any shape and dtype, which is kept. Derivative: 1 for the smallest, split evenly among equals.
    Raises ShapeError, for no elements too.

    >>> evaluate(min([[1.0, 4.0], [3.0, 2.0]], axis=0))
    array([1., 2.], dtype=float32)
    """
    return _extreme("min", x, axis, keepdims)


def _extreme(op: str, x: Any, axis: Axes, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim)
    return finish(apply(op, tensor, axes=axes) if axes else tensor, tensor.shape, axes, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.any(x, axis=axis, keepdims=keepdims),
    samples=reduction_samples(),
    dtypes=ALL,
    differentiable=False,
    errors=BAD_AXES,
)
def any(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is not 0, as bool; False over no elements. Raises ShapeError.

    >>> evaluate(any([[True, False], [False, False]], axis=1))
    array([ True, False])
    """
    return _truth("max", x, axis, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.all(x, axis=axis, keepdims=keepdims),
    samples=reduction_samples(),
    dtypes=ALL,
    differentiable=False,
    errors=BAD_AXES,
)
def all(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are not 0, as bool; True over no elements. Raises ShapeError.

    >>> evaluate(all([[True, False], [True, True]], axis=1))
    array([False,  True])
    """
    return _truth("min", x, axis, keepdims)


def _truth(op: str, x: Any, axis: Axes, keepdims: bool) -> Tensor:
    tensor = cast(as_tensor(x), DTYPES["bool"])
    axes = normalize_axes(axis, tensor.ndim)
    if builtins.any(tensor.shape[a] == 0 for a in axes):
        result = full(reduced(tensor.shape, axes), op == "min", DTYPES["bool"])
    else:
        result = apply(op, tensor, axes=axes) if axes else tensor
    return finish(result, tensor.shape, axes, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.count_nonzero(x, axis=axis, keepdims=keepdims),
    samples=[sample for sample in reduction_samples() if sample.keywords.get("axis") != ()],
    dtypes=ALL,
    differentiable=False,
    errors=BAD_AXES,
)
def count_nonzero(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many elements over `axis` are not 0, as int64. Raises ShapeError.

    >>> evaluate(count_nonzero([[1, 0], [2, 3]], axis=1))
    array([1, 2])
    """
    return sum(cast(as_tensor(x), DTYPES["bool"]), axis, keepdims)
