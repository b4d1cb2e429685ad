"""Roots, exponentials, logarithms and the error function.

Outside its domain a function is nan, at a pole infinite, as in NumPy; so are its derivatives. The derivative of erf
is the Gaussian 2/sqrt(pi) exp(-x**2) (Abramowitz & Stegun 7.2.9).
"""

from __future__ import annotations

import math

import numpy as np

from graphc.ops.elementwise import floats, over, unary
from graphc.ops.record import call
from graphc.ops.special import special

__all__ = ["erf", "erfc", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt"]

_LN2, _LN10, _TWO_OVER_ROOT_PI = math.log(2.0), math.log(10.0), 2.0 / math.sqrt(math.pi)

sqrt = unary(
    "sqrt", "The square root of x; nan for negative x.",
    derivative="1 / (2 sqrt(x))", vjp=lambda g, y, x: g * 0.5 / y, reference=np.sqrt, template=over(0.2, 4),
    convention="the derivative at 0 is inf, and so nan once multiplied by a cotangent 0, as in PyTorch",
    example="sqrt([4.0, 9.0])  # array([2., 3.], dtype=float32)",
)  # fmt: skip

exp = unary(
    "exp", "e to the power x.",
    derivative="exp(x)", vjp=lambda g, y, x: g * y, reference=np.exp,
    example="exp([0.0, 1.0])  # array([1.       , 2.7182817], dtype=float32)",
)  # fmt: skip

exp2 = unary(
    "exp2", "2 to the power x.",
    derivative="log(2) 2**x", vjp=lambda g, y, x: g * y * _LN2, reference=np.exp2,
    example="exp2([0.0, 3.0])  # array([1., 8.], dtype=float32)",
)  # fmt: skip

expm1 = unary(
    "expm1", "exp(x) - 1, exact for small x.",
    derivative="exp(x)", vjp=lambda g, y, x: g * call("exp", x), reference=np.expm1,
    example="expm1([0.0, 1e-6])  # array([0.000000e+00, 1.000001e-06], dtype=float32)",
)  # fmt: skip

log = unary(
    "log", "The natural logarithm of x; -inf at 0, nan for negative x.",
    derivative="1/x", vjp=lambda g, y, x: g / x, reference=np.log, template=over(0.2, 4),
    example="log([1.0, 2.0])  # array([0.       , 0.6931472], dtype=float32)",
)  # fmt: skip

log2 = unary(
    "log2", "The logarithm of x to base 2.",
    derivative="1 / (x log(2))", vjp=lambda g, y, x: g / (x * _LN2), reference=np.log2, template=over(0.2, 4),
    example="log2([1.0, 8.0])  # array([0., 3.], dtype=float32)",
)  # fmt: skip

log10 = unary(
    "log10", "The logarithm of x to base 10.",
    derivative="1 / (x log(10))", vjp=lambda g, y, x: g / (x * _LN10), reference=np.log10,
    template=over(0.2, 4),
    example="log10([1.0, 100.0])  # array([0., 2.], dtype=float32)",
)  # fmt: skip

log1p = unary(
    "log1p", "log(1 + x), exact for small x.",
    derivative="1 / (1 + x)", vjp=lambda g, y, x: g / (1 + x), reference=np.log1p, template=over(-0.7, 3),
    example="log1p([0.0, 1.0])  # array([0.       , 0.6931472], dtype=float32)",
)  # fmt: skip

erf = unary(
    "erf", "The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x.",
    derivative="2/sqrt(pi) exp(-x**2)", vjp=lambda g, y, x: g * (call("exp", -(x * x)) * _TWO_OVER_ROOT_PI),
    reference=special.erf, formula=floats(special.erf),
    example="erf([0.0, 1.0])  # array([0.       , 0.8427008], dtype=float32)",
)  # fmt: skip

erfc = unary(
    "erfc", "1 - erf(x), exact for large x.",
    derivative="-2/sqrt(pi) exp(-x**2)", vjp=lambda g, y, x: g * (call("exp", -(x * x)) * -_TWO_OVER_ROOT_PI),
    reference=special.erfc, formula=floats(special.erfc),
    example="erfc([0.0, 1.0])  # array([1.        , 0.15729921], dtype=float32)",
)  # fmt: skip
