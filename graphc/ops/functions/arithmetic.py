"""Arithmetic made of primitives: absolute values, powers, reciprocals, fractions, mixing."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ops.build import apply, as_float, as_tensor, full_like, invoke, ones_like, operands
from graphc.ops.elementwise import TEXT, Errors, float_operands, floats, over, samples
from graphc.ops.primitives.arithmetic import constant_scalar, divide, multiply, power_reference
from graphc.ops.primitives.views import dtype_error
from graphc.ops.record import ALL, FLOAT, NUMERIC, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["abs", "addcdiv", "addcmul", "frac", "lerp", "positive", "power", "reciprocal", "square"]

_UNBROADCAST_THREE: Errors = [(ShapeError, (Arg((2, 3)), Arg((4,)), Arg((3,))), {})]


@function(
    formula=np.abs,
    samples=samples(over(-2, 2, 0.0)),
    dtypes=ALL,
    convention="the derivative at 0 is 0",
    errors=TEXT,
)
def abs(x: Any) -> Tensor:
    """The absolute value |x|, in the dtype of x; unsigned integers and bools are their own.

    x: a tensor, array or scalar of any shape. Derivative: sign(x), which is 0 at 0. Raises DTypeError.

    >>> evaluate(abs([1.5, -2.0]))
    array([1.5, 2. ], dtype=float32)
    """
    tensor = as_tensor(x)
    return tensor if tensor.dtype.kind in ("uint", "bool") else apply("abs", tensor)


def _power_formula(a: Any, b: Any) -> Any:
    dtype = np.result_type(a, b)
    return power_reference(np.asarray(a, dtype), np.asarray(b, dtype))


@function(
    formula=_power_formula,
    samples=[
        *samples(over(0.3, 2.5), over(-2.0, 2.5)),
        *(Sample((Arg((2, 3)), exponent)) for exponent in (0, 1, 2, 3, 4)),
        *(Sample((Arg((2, 3), 0.5, 2), exponent)) for exponent in (-1.0, -2.0)),
        *(Sample((Arg((3,), values=(-1.0, 0.0, 2.0)), exponent)) for exponent in (0, 1, 2, 3)),
        Sample((2, Arg((3,)))),
        Sample((Arg((3,), values=(0.0, 2.0, 0.5), grad=False), Arg((3,), 2.5, 4))),
        Sample((Arg((4,), values=(0.0, 1.0, 2.0, 3.0), grad=False), Arg((4,), values=(2.5, 0.0, 3.0, 2.0)))),
    ],
    dtypes=(*FLOAT, "int64", "int32", "uint8"),
    convention="x1**0 is 1 with derivative 0; the derivative by the exponent is 0 at base 0, nan at negative bases",
    errors=[
        (DTypeError, (Arg((2,), dtype="bool"), Arg((2,), dtype="bool")), {}),
        (DTypeError, (Arg((2,), dtype="int32"), -1), {}),
    ],
)
def power(x1: Any, x2: Any) -> Tensor:
    """x1 to the power x2, in the promoted dtype.

    x1, x2: tensors, arrays or scalars, not both bool; shapes broadcast. Derivatives: x2 * x1**(x2-1) and
    x1**x2 * log(x1). Constant exponents 1, 2 and -1 need no power at all, and whole exponents are differentiable at
    every base. An integer to a negative power is an error where the exponent is a constant; otherwise the
    fraction is dropped. Raises DTypeError, ShapeError.

    >>> evaluate(power([1.0, -2.0], 3))
    array([ 1., -8.], dtype=float32)
    """
    a, b = operands(x1, x2)
    exponent = constant_scalar(b)
    if exponent is not None and a.dtype.name in NUMERIC:
        if exponent == 0:
            return ones_like(a)
        if exponent == 1:
            return a
        if exponent == 2:
            return multiply(a, a)
        if exponent == -1 and a.dtype.is_float:
            return divide(full_like(a, 1), a)
        if a.dtype.is_integer and exponent < 0:
            raise dtype_error(
                f"{a!r} to the power {exponent}: integers have no negative powers; cast the base with astype first"
            )
    return apply("power", a, b)


@function(formula=lambda x: x, samples=samples(over()), dtypes=ALL, errors=TEXT)
def positive(x: Any) -> Tensor:
    """+x: x itself, as a tensor. Raises DTypeError.

    >>> evaluate(positive([1.0, -2.0]))
    array([ 1., -2.], dtype=float32)
    """
    return as_tensor(x)


@function(formula=np.square, samples=samples(over()), dtypes=NUMERIC, errors=TEXT)
def square(x: Any) -> Tensor:
    """x * x, in the dtype of x. Any shape. Derivative: 2x. Raises DTypeError.

    >>> evaluate(square([1.0, -2.0]))
    array([1., 4.], dtype=float32)
    """
    tensor = as_tensor(x)
    return tensor * tensor


@function(formula=floats(np.reciprocal), samples=samples(over(0.5, 3)), dtypes=(*FLOAT, "int32"), errors=TEXT)
def reciprocal(x: Any) -> Tensor:
    """1 / x; integers and bools become float64. Any shape. Derivative: -1/x**2. Raises DTypeError.

    >>> evaluate(reciprocal([1.0, -4.0]))
    array([ 1.  , -0.25], dtype=float32)
    """
    return 1 / as_float(x)


@function(
    formula=lambda x: x - np.trunc(x), samples=samples(over(-2, 2, -1.0, 0.0, 1.0)), dtypes=FLOAT,
    convention="the derivative is 1 everywhere", errors=TEXT,
)  # fmt: skip
def frac(x: Any) -> Tensor:
    """The part of x after the point, with its sign: x - trunc(x). Any shape. Derivative: 1. Raises DTypeError.

    >>> evaluate(frac([1.5, -1.25]))
    array([ 0.5 , -0.25], dtype=float32)
    """
    tensor = as_float(x)
    return tensor - invoke("trunc", tensor)


@function(
    formula=floats(lambda a, b, weight: a + weight * (b - a)),
    samples=[*samples(over(), over(), over(0, 1)), Sample((Arg((2, 3)), Arg((3,)), 0.25))],
    dtypes=FLOAT,
    errors=_UNBROADCAST_THREE,
)
def lerp(start: Any, end: Any, weight: Any) -> Tensor:
    """start + weight (end - start): linear interpolation. Shapes broadcast; integers and bools become float64.

    Raises DTypeError, ShapeError.

    >>> evaluate(lerp([0.0, 10.0], [4.0, 20.0], 0.25))
    array([ 1. , 12.5], dtype=float32)
    """
    a, b, share = float_operands(start, end, weight)
    return a + share * (b - a)


@function(
    formula=lambda x, a, b, value=1: (x + value * a * b).astype(x.dtype),
    samples=[*samples(over(), over(), over()), Sample((Arg((2, 3)), Arg((3,)), Arg(()), 3))],
    dtypes=(*FLOAT, "int32"),
    errors=_UNBROADCAST_THREE,
)
def addcmul(x: Any, x1: Any, x2: Any, value: Any = 1) -> Tensor:
    """x + value * x1 * x2. Shapes broadcast and dtypes are promoted. Raises DTypeError, ShapeError.

    >>> evaluate(addcmul([1.0], [2.0], [3.0], 0.5))
    array([4.], dtype=float32)
    """
    base, a, b = operands(x, x1, x2)
    return base + (a * b if _is_one(value) else value * a * b)


@function(
    formula=floats(lambda x, a, b, value=1: (x + value * a / b).astype(x.dtype)),
    samples=[*samples(over(), over(), over(0.5, 3)), Sample((Arg((2, 3)), Arg((3,)), Arg((), 0.5, 3), 3))],
    dtypes=FLOAT,
    errors=_UNBROADCAST_THREE,
)
def addcdiv(x: Any, x1: Any, x2: Any, value: Any = 1) -> Tensor:
    """x + value * x1 / x2. Shapes broadcast; integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(addcdiv([1.0], [2.0], [4.0], 0.5))
    array([1.25], dtype=float32)
    """
    base, a, b = float_operands(x, x1, x2)
    return base + (a / b if _is_one(value) else value * a / b)


def _is_one(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 1
