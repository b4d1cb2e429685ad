"""Elementwise functions made of primitives: roots, reciprocals, stable logarithms of sums, fractions, mixing.

Each keeps the untaken branch finite, so that no derivative is nan where the function has one, and its second
derivatives are exact: constants used for scaling never enter the result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ops.build import apply, as_float, as_tensor, cast, full_like, invoke, operands
from graphc.ops.elementwise import Errors, float_operands, floats, given, over, samples
from graphc.ops.record import ALL, FLOAT, NUMERIC, Arg, Sample, function
from graphc.ops.reductions import widened
from graphc.ops.special import special
from graphc.ops.statistics import root_or_zero
from graphc.ops.tensor import Tensor

__all__ = [
    "addcdiv", "addcmul", "cbrt", "deg2rad", "frac", "hypot", "lerp", "logaddexp", "logaddexp2", "logit",
    "positive", "rad2deg", "reciprocal", "rsqrt", "sinc", "square", "xlog1py", "xlogy",
]  # fmt: skip

_TEXT: Errors = [(DTypeError, ("text",), {})]
_UNBROADCAST: Errors = [(ShapeError, (Arg((2, 3)), Arg((4,))), {})]
_UNBROADCAST_THREE: Errors = [(ShapeError, (Arg((2, 3)), Arg((4,)), Arg((3,))), {})]
_WITH_INTEGERS = (*FLOAT, "int32")


def _where(condition: Tensor, x1: Any, x2: Any) -> Tensor:
    return invoke("where", condition, x1, x2)


# Powers and roots ---------------------------------------------------------------------------------
@function(formula=lambda x: x, samples=samples(over()), dtypes=ALL, errors=_TEXT)
def positive(x: Any) -> Tensor:
    """+x: x itself, as a tensor. Raises DTypeError.

    >>> evaluate(positive([1.0, -2.0]))
    array([ 1., -2.], dtype=float32)
    """
    return as_tensor(x)


@function(formula=np.square, samples=samples(over()), dtypes=NUMERIC, errors=_TEXT)
def square(x: Any) -> Tensor:
    """x * x, in the dtype of x. Any shape. Derivative: 2x. Raises DTypeError.

    >>> evaluate(square([1.0, -2.0]))
    array([1., 4.], dtype=float32)
    """
    tensor = as_tensor(x)
    return tensor * tensor


@function(formula=floats(np.reciprocal), samples=samples(over(0.5, 3)), dtypes=_WITH_INTEGERS, errors=_TEXT)
def reciprocal(x: Any) -> Tensor:
    """1 / x; integers and bools become float64. Any shape. Derivative: -1/x**2. Raises DTypeError.

    >>> evaluate(reciprocal([1.0, -4.0]))
    array([ 1.  , -0.25], dtype=float32)
    """
    return 1 / as_float(x)


@function(
    formula=floats(lambda x: 1 / np.sqrt(x)), samples=samples(over(0.5, 3)), dtypes=_WITH_INTEGERS, errors=_TEXT,
    convention="infinite at 0",
)  # fmt: skip
def rsqrt(x: Any) -> Tensor:
    """1 / sqrt(x); integers and bools become float64. Any shape. Derivative: -1/2 x**(-3/2). Raises DTypeError.

    >>> evaluate(rsqrt([1.0, 4.0]))
    array([1. , 0.5], dtype=float32)
    """
    return 1 / invoke("sqrt", as_float(x))


@function(
    formula=floats(np.cbrt), samples=[*samples(over(0.5, 3)), *samples(over(-3, -0.5))], dtypes=_WITH_INTEGERS,
    errors=_TEXT, convention="the derivative at 0 is inf",
)  # fmt: skip
def cbrt(x: Any) -> Tensor:
    """The real cube root of x, negative for negative x; integers and bools become float64. Any shape.

    Derivative: 1/3 x**(-2/3). Raises DTypeError.

    >>> evaluate(cbrt([1.0, -8.0]))
    array([ 1., -2.], dtype=float32)
    """
    tensor = as_float(x)
    wide = widened(tensor)
    negative = invoke("signbit", wide)
    root = invoke("power", _where(negative, -wide, wide), 1 / 3)
    return cast(_where(negative, -root, root), tensor.dtype)


@function(
    formula=floats(np.hypot),
    samples=[
        *samples(over(0.3, 2), over(-2, 2)),
        Sample((Arg((3,), values=(3e30, 0.0, float("inf"))), Arg((3,), values=(4e30, 0.0, float("nan")))), grad=False),
    ],
    dtypes=("float64", "float32", "int32"),
    convention="the derivative at the origin is 0",
    errors=_UNBROADCAST,
)
def hypot(x1: Any, x2: Any) -> Tensor:
    """sqrt(x1**2 + x2**2) without overflow; infinite where either is, even beside nan.

    Shapes broadcast; integers and bools become float64. Derivatives: x1/y, x2/y. Raises DTypeError, ShapeError.

    >>> evaluate(hypot([3.0], [4.0]))
    array([5.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    largest = invoke("maximum", invoke("abs", a), invoke("abs", b))
    usable = invoke("logical_and", largest > 0, invoke("isfinite", largest))
    scale = apply("stop_gradient", _where(usable, largest, 1))
    u, v = a / scale, b / scale
    infinite = invoke("logical_or", invoke("isinf", a), invoke("isinf", b))
    return _where(infinite, math.inf, scale * root_or_zero(u * u + v * v))


# Logarithms ---------------------------------------------------------------------------------------
_ADDEXP_SAMPLES = [
    *samples(over(), over()),
    Sample((Arg((3,), values=(1.0, 0.0, -2.0)), Arg((3,), values=(1.0, 0.0, -2.0))), why="ties are smooth"),
    Sample((Arg((3,), values=(900.0, -900.0, 5.0)), Arg((3,), values=(-900.0, -901.0, 900.0)))),
    Sample((Arg((3,), values=(-math.inf, math.inf, 1.0)), Arg((3,), values=(-math.inf, 1.0, -math.inf))), grad=False),
]


def _larger_and_gap(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """The larger of two, and the smaller less it, 0 for equal infinities. What is smooth stays smooth at ties."""
    a, b = float_operands(x1, x2)
    swap = b > a
    high, low = _where(swap, b, a), _where(swap, a, b)
    alike = invoke("logical_and", invoke("isinf", high), high == low)
    return _where(alike, a * 0.5 + b * 0.5, high), _where(alike, 0, low - high)


@function(formula=floats(np.logaddexp), samples=_ADDEXP_SAMPLES, dtypes=_WITH_INTEGERS, errors=_UNBROADCAST)
def logaddexp(x1: Any, x2: Any) -> Tensor:
    """log(exp(x1) + exp(x2)), without overflow. Shapes broadcast; integers and bools become float64.

    Derivatives: sigmoid(x1 - x2), sigmoid(x2 - x1). Raises DTypeError, ShapeError.

    >>> evaluate(logaddexp([0.0], [0.0]))
    array([0.6931472], dtype=float32)
    """
    high, gap = _larger_and_gap(x1, x2)
    return high + invoke("softplus", gap)


@function(formula=floats(np.logaddexp2), samples=_ADDEXP_SAMPLES, dtypes=_WITH_INTEGERS, errors=_UNBROADCAST)
def logaddexp2(x1: Any, x2: Any) -> Tensor:
    """log2(2**x1 + 2**x2), without overflow. Shapes broadcast; integers and bools become float64.

    Raises DTypeError, ShapeError.

    >>> evaluate(logaddexp2([1.0], [1.0]))
    array([2.], dtype=float32)
    """
    high, gap = _larger_and_gap(x1, x2)
    return high + invoke("softplus", gap * math.log(2)) * (1 / math.log(2))


@function(formula=floats(special.logit), samples=samples(over(0.1, 0.9)), dtypes=FLOAT, errors=_TEXT)
def logit(x: Any) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; infinite at 0 and 1, nan outside. Any shape.

    Derivative: 1 / (x (1 - x)). Raises DTypeError.

    >>> evaluate(logit([0.5, 1.0]))
    array([ 0., inf], dtype=float32)
    """
    tensor = as_float(x)
    return invoke("log", tensor) - invoke("log1p", -tensor)


_AT_ZERO = Sample((Arg((4,), values=(0.0, 0.0, 2.0, 0.0)), Arg((4,), values=(0.0, -3.0, 1.0, math.inf))), grad=False)


@function(
    formula=floats(special.xlogy),
    samples=[*samples(over(), over(0.3, 3)), _AT_ZERO],
    dtypes=_WITH_INTEGERS,
    convention="where x1 is 0 and the logarithm not finite, both derivatives are 0",
    errors=_UNBROADCAST,
)
def xlogy(x1: Any, x2: Any) -> Tensor:
    """x1 log(x2), and 0 where x1 is 0 unless x2 is nan. Shapes broadcast; integers and bools become float64.

    Derivatives: log(x2), x1/x2. Raises DTypeError, ShapeError.

    >>> evaluate(xlogy([0.0, 1.0], [0.0, 1.0]))
    array([0., 0.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    masked = invoke("logical_and", a == 0, invoke("logical_or", b <= 0, invoke("isinf", b)))
    return a * invoke("log", _where(masked, 1, b)) + 0.0  # a zero of x1 times a negative logarithm is 0.0


@function(
    formula=floats(special.xlog1py),
    samples=[*samples(over(), over(-0.7, 3)), _AT_ZERO],
    dtypes=_WITH_INTEGERS,
    convention="where x1 is 0 and the logarithm not finite, both derivatives are 0",
    errors=_UNBROADCAST,
)
def xlog1py(x1: Any, x2: Any) -> Tensor:
    """x1 log(1 + x2), and 0 where x1 is 0 unless x2 is nan. Shapes broadcast; integers and bools become float64.

    Derivatives: log(1 + x2), x1 / (1 + x2). Raises DTypeError, ShapeError.

    >>> evaluate(xlog1py([0.0, 1.0], [-1.0, 0.0]))
    array([0., 0.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    masked = invoke("logical_and", a == 0, invoke("logical_or", b <= -1, invoke("isinf", b)))
    return a * invoke("log1p", _where(masked, 0, b)) + 0.0


# Fractions and angles -----------------------------------------------------------------------------
@function(
    formula=lambda x: x - np.trunc(x), samples=samples(over(-2, 2, -1.0, 0.0, 1.0)), dtypes=FLOAT,
    convention="the derivative is 1 everywhere", errors=_TEXT,
)  # fmt: skip
def frac(x: Any) -> Tensor:
    """The part of x after the point, with its sign: x - trunc(x). Any shape. Derivative: 1. Raises DTypeError.

    >>> evaluate(frac([1.5, -1.25]))
    array([ 0.5 , -0.25], dtype=float32)
    """
    tensor = as_float(x)
    return tensor - invoke("trunc", tensor)


@function(formula=floats(np.deg2rad), samples=samples(over(-180, 180)), dtypes=_WITH_INTEGERS, errors=_TEXT)
def deg2rad(x: Any) -> Tensor:
    """Degrees as radians: x pi/180. Any shape; integers and bools become float64. Raises DTypeError.

    >>> evaluate(deg2rad([180.0]))
    array([3.1415927], dtype=float32)
    """
    return as_float(x) * (math.pi / 180)


@function(formula=floats(np.rad2deg), samples=samples(over(-3, 3)), dtypes=_WITH_INTEGERS, errors=_TEXT)
def rad2deg(x: Any) -> Tensor:
    """Radians as degrees: x 180/pi. Any shape; integers and bools become float64. Raises DTypeError.

    >>> evaluate(rad2deg([1.0]))
    array([57.29578], dtype=float32)
    """
    return as_float(x) * (180 / math.pi)


_SINC_TERMS = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(9))


@function(
    formula=floats(np.sinc),
    samples=[*samples(over(0.3, 2)), Sample((given(0.0, 0.1, -0.05, 0.159, -3.25),), why="the series around 0")],
    dtypes=FLOAT,
    errors=_TEXT,
)
def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0; near 0 by its Taylor series, so that all derivatives are exact there too.

    x: any shape; integers and bools become float64. Raises DTypeError.

    >>> evaluate(sinc([0.0, 0.5]))
    array([1.       , 0.6366198], dtype=float32)
    """
    tensor = as_float(x)
    angle = widened(tensor) * math.pi
    near = invoke("abs", angle) < 0.5
    inner, outer = _where(near, angle, 0), _where(near, 1, angle)
    squared, series = inner * inner, full_like(inner, _SINC_TERMS[-1])
    for term in reversed(_SINC_TERMS[:-1]):
        series = series * squared + term
    return cast(_where(near, series, invoke("sin", outer) / outer), tensor.dtype)


# Mixing -------------------------------------------------------------------------------------------
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
