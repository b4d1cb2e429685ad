"""Index tables and filled arrays; and what only passes a tensor through.

All is made of `iota` (the index along an axis) and broadcast constants, so it takes no memory until something reads it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES, DType, dtype_of, tensor_type
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, broadcast_to, cast, constant, invoke, normalize_axis
from graphc.ops.elementwise import Errors, over, samples
from graphc.ops.primitives.views import dtype_error, shape_error
from graphc.ops.record import ALL, FLOAT, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = [
    "arange", "eye", "formula_dtype", "full", "full_like", "iota", "linspace", "located_dtype", "ones", "ones_like",
    "stop_gradient", "with_update", "zeros", "zeros_like",
]  # fmt: skip


def located_dtype(dtype: Any) -> DType:
    """`dtype` as a dtype. Raises DTypeError, which names the user's line."""
    try:
        return dtype_of(dtype)
    except DTypeError as error:
        raise with_location(error, capture()) from None


def _located_shape(shape: Any) -> tuple[int, ...]:
    try:
        return tensor_type(shape).shape
    except ShapeError as error:
        raise with_location(error, capture()) from None


@function(
    formula=lambda shape, axis=0, dtype="int64": np.indices(shape)[axis].astype(formula_dtype(dtype)),
    samples=[
        Sample(((4,),)), Sample(((2, 3), 1)), Sample(((2, 3), -2), (("dtype", "float32"),)), Sample(((0, 3), 1)),
        Sample(((2, 1, 2, 1, 2, 3), 4), (("dtype", "uint8"),)), Sample(((3, 2), 0, "bfloat16")),
    ],
    dtypes=("float32",),
    differentiable=False,
    errors=[(ShapeError, ((2, 3), 2), {}), (ShapeError, ((-1,),), {}), (DTypeError, ((2,), 0, "bool"), {})],
)  # fmt: skip
def iota(shape: Any, axis: int = 0, dtype: Any = "int64") -> Tensor:
    """The index along `axis`, in every element of an array of this shape.

    Raises ShapeError, DTypeError.

    >>> evaluate(iota((2, 3), 1))
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    extents = _located_shape(shape)
    return apply("iota", shape=extents, axis=normalize_axis(axis, len(extents)), dtype=located_dtype(dtype))


def formula_dtype(dtype: Any) -> Any:
    """16-bit floats stand as float32 in formulas."""
    return "float32" if dtype in ("bfloat16", "float16") else dtype


@function(
    formula=lambda *args, dtype=None: np.arange(
        *args, dtype=dtype or ("float32" if any(isinstance(a, float) for a in args) else "int64")
    ),
    samples=[
        Sample((5,)), Sample((0,)), Sample((2, 7)), Sample((7, 2, -2)), Sample((3, 1)), Sample((1, 2, 0.25)),
        Sample((5,), (("dtype", "float64"),)), Sample((2, 6, 2), (("dtype", "int8"),)), Sample((0.5, 3)),
    ],
    dtypes=("float32",),
    differentiable=False,
    errors=[(ShapeError, (1, 2, 0), {}), (DTypeError, (3,), {"dtype": "bool"}), (DTypeError, ("three",), {})],
)  # fmt: skip
def arange(start: float, stop: float | None = None, step: float = 1, *, dtype: Any = None) -> Tensor:
    """The numbers start, start + step, ... before stop; `arange(stop)` counts from 0.

    dtype: int64, or float32 where an argument is a float. Raises ShapeError (step 0), DTypeError.

    >>> evaluate(arange(2, 8, 2))
    array([2, 4, 6])
    """
    low, high = (0, start) if stop is None else (start, stop)
    for value in (low, high, step):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise dtype_error(f"arange counts between numbers, not {shown(value)}")
        if not isinstance(value, int) and not math.isfinite(value):
            raise shape_error(f"arange counts between finite numbers, not {value}")
    if step == 0:
        raise shape_error("arange cannot get from start to stop in steps of 0")
    whole = all(isinstance(value, (int, np.integer)) for value in (low, high, step))
    target = located_dtype(dtype or ("int64" if whole else "float32"))
    count = max(0, math.ceil((high - low) / step))
    wide = DTYPES["float64"] if target.is_float else DTYPES["int64"]
    index = apply("iota", shape=(count,), axis=0, dtype=target if (low, step) == (0, 1) else wide)
    return cast(index if (low, step) == (0, 1) else index * constant(step, wide) + constant(low, wide), target)


@function(
    formula=lambda start, stop, num=50, endpoint=True, dtype="float32": np.linspace(
        start, stop, num, endpoint, dtype=formula_dtype(dtype)
    ),
    samples=[
        Sample((0, 1, 5)), Sample((-1.5, 2, 4, False)), Sample((0, 1, 1)), Sample((0, 1, 0)), Sample((3, 3, 2)),
        Sample((0, 10, 11), (("dtype", "float64"),)), Sample((0, 1)), Sample((5, -5, 7, True, "float16")),
    ],
    dtypes=("float32",),
    differentiable=False,
    errors=[(ShapeError, (0, 1, -1), {}), (DTypeError, (0, 1, 3), {"dtype": "int32"})],
)  # fmt: skip
def linspace(start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: Any = "float32") -> Tensor:
    """`num` evenly spaced numbers from start to stop, which is the last one unless `endpoint` is False.

    dtype: a floating one. Raises ShapeError (num < 0), DTypeError.

    >>> evaluate(linspace(0, 1, 5))
    array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    target = located_dtype(dtype)
    if not target.is_float:
        raise dtype_error(f"linspace answers in a floating dtype, not in {target}")
    (count,) = _located_shape((num,))
    wide = DTYPES["float64"]
    index = apply("iota", shape=(count,), axis=0, dtype=wide)
    parts = max(count - 1 if endpoint else count, 1)
    line = index * constant((stop - start) / parts, wide) + constant(start, wide)
    if endpoint and count > 1:
        line = invoke("where", index == count - 1, constant(stop, wide), line)
    return cast(line, target)


@function(
    formula=lambda n, m=None, k=0, dtype="float32": np.eye(n, m, k, dtype=formula_dtype(dtype)),
    samples=[
        Sample((3,)), Sample((2, 3)), Sample((3, 2, 1)), Sample((3, 3, -2), (("dtype", "int32"),)), Sample((0,)),
        Sample((2,), (("dtype", "bool"),)), Sample((2,), (("dtype", "float16"),)),
    ],
    dtypes=("float32",),
    differentiable=False,
    errors=[(ShapeError, (-1,), {}), (DTypeError, (2,), {"dtype": "complex64"})],
)  # fmt: skip
def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = "float32") -> Tensor:
    """The n by m matrix (m = n by default) with ones on diagonal k, which counts upwards from the main one.

    Raises ShapeError, DTypeError.

    >>> evaluate(eye(2, 3, 1))
    array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    shape = _located_shape((n, n if m is None else m))
    index = DTYPES["int64"]
    row = apply("iota", shape=shape, axis=0, dtype=index) + k
    return cast(row == apply("iota", shape=shape, axis=1, dtype=index), located_dtype(dtype))


# Filled arrays ------------------------------------------------------------------------------------
_SHAPES = [Sample((shape,)) for shape in ((), (3,), 4, (2, 3), (0, 2), (2, 1, 2, 1, 2, 3))]
_BAD_SHAPE: Errors = [(ShapeError, ((2, -1),), {}), (ShapeError, ("ab",), {}), (DTypeError, ((2,), "int16"), {})]


@function(
    formula=lambda shape, dtype="float32": np.zeros(shape, formula_dtype(dtype)),
    samples=[*_SHAPES, *(Sample(((2,), dtype)) for dtype in ALL)],
    dtypes=("float32",),
    differentiable=False,
    errors=_BAD_SHAPE,
)
def zeros(shape: Any, dtype: Any = "float32") -> Tensor:
    """An array of zeros. Raises ShapeError, DTypeError.

    >>> evaluate(zeros(2))
    array([0., 0.], dtype=float32)
    """
    return build.full(_located_shape(shape), 0, located_dtype(dtype))


@function(
    formula=lambda shape, dtype="float32": np.ones(shape, formula_dtype(dtype)),
    samples=[*_SHAPES, *(Sample(((2,), dtype)) for dtype in ALL)],
    dtypes=("float32",),
    differentiable=False,
    errors=_BAD_SHAPE,
)
def ones(shape: Any, dtype: Any = "float32") -> Tensor:
    """An array of ones. Raises ShapeError, DTypeError.

    >>> evaluate(ones(2))
    array([1., 1.], dtype=float32)
    """
    return build.full(_located_shape(shape), 1, located_dtype(dtype))


@function(
    formula=lambda shape, value, dtype=None: np.full(
        shape, value, formula_dtype(dtype) or ("float32" if isinstance(value, float) else None)
    ),
    samples=[
        Sample(((2, 3), 1.5)), Sample(((3,), 7)), Sample(((2,), True)), Sample(((0,), 2.0)), Sample(((), -0.0)),
        Sample(((2,), float("nan"))), *(Sample(((2,), 1, dtype)) for dtype in ALL),
    ],
    dtypes=("float32",),
    differentiable=False,
    errors=[(ShapeError, ((2, -1), 1), {}), (DTypeError, ((2,), "one"), {})],
)  # fmt: skip
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """An array of one value: a scalar, or a tensor or array that broadcasts to the shape.

    dtype: float32 for a Python float, int64 for an int, bool for a bool, unless given. Differentiable by a tensor
    `fill_value`. Raises ShapeError, DTypeError.

    >>> evaluate(full((2,), 7))
    array([7, 7])
    """
    target = None if dtype is None else located_dtype(dtype)
    value = as_tensor(fill_value) if target is None else cast(as_tensor(fill_value), target)
    return broadcast_to(value, _located_shape(shape))


@function(
    formula=lambda x, dtype=None: np.zeros_like(x, formula_dtype(dtype)),
    samples=[*samples(over()), Sample((Arg((2,)), "int32"))],
    dtypes=ALL,
    differentiable=False,
    errors=[(DTypeError, (Arg((2,)), "int16"), {})],
)
def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros in the shape of x, and in its dtype unless another is given. Raises DTypeError.

    >>> evaluate(zeros_like([1, 2]))
    array([0, 0])
    """
    return _filled_like(x, 0, dtype)


@function(
    formula=lambda x, dtype=None: np.ones_like(x, formula_dtype(dtype)),
    samples=[*samples(over()), Sample((Arg((2,)), "int32"))],
    dtypes=ALL,
    differentiable=False,
    errors=[(DTypeError, (Arg((2,)), "int16"), {})],
)
def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones in the shape of x, and in its dtype unless another is given. Raises DTypeError.

    >>> evaluate(ones_like([1, 2]))
    array([1, 1])
    """
    return _filled_like(x, 1, dtype)


@function(
    formula=lambda x, value, dtype=None: np.full_like(x, value, formula_dtype(dtype)),
    samples=[*(Sample((*sample.args, 3)) for sample in samples(over())), Sample((Arg((2,)), 5, "int32"))],
    dtypes=(*FLOAT, "int64", "uint8"),
    differentiable=False,
    errors=[(DTypeError, (Arg((2,)), 1, "int16"), {})],
)
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """`fill_value` in the shape of x, and in its dtype unless another is given. Raises DTypeError.

    >>> evaluate(full_like([1, 2], 3))
    array([3, 3])
    """
    return _filled_like(x, fill_value, dtype)


def _filled_like(x: Any, value: Any, dtype: Any) -> Tensor:
    tensor = as_tensor(x)
    target = tensor.dtype if dtype is None else located_dtype(dtype)
    return broadcast_to(cast(as_tensor(value), target), tensor.shape)


@function(
    formula=lambda x: x,
    samples=samples(over()),
    dtypes=ALL,
    differentiable=False,
    convention="the derivative is 0",
)
def stop_gradient(x: Any) -> Tensor:
    """x, taken as a constant by differentiation. Any shape and dtype.

    >>> evaluate(stop_gradient([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    return apply("stop_gradient", as_tensor(x))


def with_update(y: Any, parameter: Tensor, value: Any) -> Tensor:
    """y, with the wish that a program which computes it also sets `parameter` to `value` (running statistics).

    The value has the shape and dtype of the parameter. Gradients pass to y alone. Raises ShapeError.
    """
    return apply("with_update", as_tensor(y), parameter, as_tensor(value))
