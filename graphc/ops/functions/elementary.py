"""Elementary functions made of primitives: roots, logarithms that do not overflow, angles.

Each keeps the untaken branch finite, so that no derivative is nan where the function has one, and its second
derivatives are exact: constants used for scaling never enter the result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.ops.build import apply, as_float, cast, full_like, invoke
from graphc.ops.elementwise import TEXT, UNBROADCAST, float_operands, floats, given, over, samples
from graphc.ops.functions.selection import where
from graphc.ops.functions.statistics import root_or_zero
from graphc.ops.primitives.reductions import widened
from graphc.ops.record import FLOAT, Arg, Sample, function
from graphc.ops.special import special
from graphc.ops.tensor import Tensor

__all__ = [
    "cbrt", "deg2rad", "hypot", "logaddexp", "logaddexp2", "logit", "rad2deg", "rsqrt", "sinc", "xlog1py", "xlogy",
]  # fmt: skip

_WITH_INTEGERS = (*FLOAT, "int32")


# Roots ------------------------------------------------------------------------------------------
@function(
    formula=floats(lambda x: 1 / np.sqrt(x)), samples=samples(over(0.5, 3)), dtypes=_WITH_INTEGERS, errors=TEXT,
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
    errors=TEXT, convention="the derivative at 0 is inf",
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
    root = invoke("power", where(negative, -wide, wide), 1 / 3)
    return cast(where(negative, -root, root), tensor.dtype)


@function(
    formula=floats(np.hypot),
    samples=[
        *samples(over(0.3, 2), over(-2, 2)),
        Sample((Arg((3,), values=(3e30, 0.0, float("inf"))), Arg((3,), values=(4e30, 0.0, float("nan")))), grad=False),
    ],
    dtypes=("float64", "float32", "int32"),
    convention="the derivative at the origin is 0",
    errors=UNBROADCAST,
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
    scale = apply("stop_gradient", where(usable, largest, 1))
    u, v = a / scale, b / scale
    infinite = invoke("logical_or", invoke("isinf", a), invoke("isinf", b))
    return where(infinite, math.inf, scale * root_or_zero(u * u + v * v))


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
    high, low = where(swap, b, a), where(swap, a, b)
    alike = invoke("logical_and", invoke("isinf", high), high == low)
    return where(alike, a * 0.5 + b * 0.5, high), where(alike, 0, low - high)


@function(formula=floats(np.logaddexp), samples=_ADDEXP_SAMPLES, dtypes=_WITH_INTEGERS, errors=UNBROADCAST)
def logaddexp(x1: Any, x2: Any) -> Tensor:
    """log(exp(x1) + exp(x2)), without overflow. Shapes broadcast; integers and bools become float64.

    Derivatives: sigmoid(x1 - x2), sigmoid(x2 - x1). Raises DTypeError, ShapeError.

    >>> evaluate(logaddexp([0.0], [0.0]))
    array([0.6931472], dtype=float32)
    """
    high, gap = _larger_and_gap(x1, x2)
    return high + invoke("softplus", gap)


@function(formula=floats(np.logaddexp2), samples=_ADDEXP_SAMPLES, dtypes=_WITH_INTEGERS, errors=UNBROADCAST)
def logaddexp2(x1: Any, x2: Any) -> Tensor:
    """log2(2**x1 + 2**x2), without overflow. Shapes broadcast; integers and bools become float64.

    Raises DTypeError, ShapeError.

    >>> evaluate(logaddexp2([1.0], [1.0]))
    array([2.], dtype=float32)
    """
    high, gap = _larger_and_gap(x1, x2)
    return high + invoke("softplus", gap * math.log(2)) * (1 / math.log(2))


@function(formula=floats(special.logit), samples=samples(over(0.1, 0.9)), dtypes=FLOAT, errors=TEXT)
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
    errors=UNBROADCAST,
)
def xlogy(x1: Any, x2: Any) -> Tensor:
    """x1 log(x2), and 0 where x1 is 0 unless x2 is nan. Shapes broadcast; integers and bools become float64.

    Derivatives: log(x2), x1/x2. Raises DTypeError, ShapeError.

    >>> evaluate(xlogy([0.0, 1.0], [0.0, 1.0]))
    array([0., 0.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    masked = invoke("logical_and", a == 0, invoke("logical_or", b <= 0, invoke("isinf", b)))
    return a * invoke("log", where(masked, 1, b)) + 0.0  # a zero of x1 times a negative logarithm is 0.0


@function(
    formula=floats(special.xlog1py),
    samples=[*samples(over(), over(-0.7, 3)), _AT_ZERO],
    dtypes=_WITH_INTEGERS,
    convention="where x1 is 0 and the logarithm not finite, both derivatives are 0",
    errors=UNBROADCAST,
)
def xlog1py(x1: Any, x2: Any) -> Tensor:
    """x1 log(1 + x2), and 0 where x1 is 0 unless x2 is nan. Shapes broadcast; integers and bools become float64.

    Derivatives: log(1 + x2), x1 / (1 + x2). Raises DTypeError, ShapeError.

    >>> evaluate(xlog1py([0.0, 1.0], [-1.0, 0.0]))
    array([0., 0.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    masked = invoke("logical_and", a == 0, invoke("logical_or", b <= -1, invoke("isinf", b)))
    return a * invoke("log1p", where(masked, 0, b)) + 0.0


# Angles ------------------------------------------------------------------------------------------
@function(formula=floats(np.deg2rad), samples=samples(over(-180, 180)), dtypes=_WITH_INTEGERS, errors=TEXT)
def deg2rad(x: Any) -> Tensor:
    """Degrees as radians: x pi/180. Any shape; integers and bools become float64. Raises DTypeError.

    >>> evaluate(deg2rad([180.0]))
    array([3.1415927], dtype=float32)
    """
    return as_float(x) * (math.pi / 180)


@function(formula=floats(np.rad2deg), samples=samples(over(-3, 3)), dtypes=_WITH_INTEGERS, errors=TEXT)
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
    errors=TEXT,
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
    inner, outer = where(near, angle, 0), where(near, 1, angle)
    squared, series = inner * inner, full_like(inner, _SINC_TERMS[-1])
    for term in reversed(_SINC_TERMS[:-1]):
        series = series * squared + term
    return cast(where(near, series, invoke("sin", outer) / outer), tensor.dtype)
