"""Trigonometric and hyperbolic functions and their inverses, in radians.

Derivatives are those of Abramowitz & Stegun, 4.3 to 4.6; 1 - x**2 is written (1 - x)(1 + x), which loses nothing near
the ends of the domain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ops.elementwise import binary, over, unary
from graphc.ops.record import Arg, Sample, call
from graphc.ops.tensor import Tensor

__all__ = ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "sin", "sinh", "tan", "tanh"]

sin = unary(
    "sin", "The sine of x.",
    derivative="cos(x)", vjp=lambda g, y, x: g * call("cos", x), reference=np.sin,
    example="sin([0.0, 1.0])  # array([0.       , 0.8414709], dtype=float32)",
)  # fmt: skip

cos = unary(
    "cos", "The cosine of x.",
    derivative="-sin(x)", vjp=lambda g, y, x: -g * call("sin", x), reference=np.cos,
    example="cos([0.0, 1.0])  # array([1.       , 0.5403023], dtype=float32)",
)  # fmt: skip

tan = unary(
    "tan", "The tangent of x.",
    derivative="1 + tan(x)**2", vjp=lambda g, y, x: g * (1 + y * y), reference=np.tan,
    template=over(-1.2, 1.2),
    example="tan([0.0, 1.0])  # array([0.       , 1.5574077], dtype=float32)",
)  # fmt: skip

asin = unary(
    "asin", "The angle in [-pi/2, pi/2] whose sine is x; nan outside [-1, 1].",
    derivative="1 / sqrt((1 - x)(1 + x))", vjp=lambda g, y, x: g / call("sqrt", (1 - x) * (1 + x)),
    reference=np.arcsin, template=over(-0.9, 0.9), convention="the derivative at -1 and 1 is inf",
    example="asin([0.0, 1.0])  # array([0.       , 1.5707964], dtype=float32)",
)  # fmt: skip

acos = unary(
    "acos", "The angle in [0, pi] whose cosine is x; nan outside [-1, 1].",
    derivative="-1 / sqrt((1 - x)(1 + x))", vjp=lambda g, y, x: -g / call("sqrt", (1 - x) * (1 + x)),
    reference=np.arccos, template=over(-0.9, 0.9), convention="the derivative at -1 and 1 is -inf",
    example="acos([0.0, 1.0])  # array([1.5707964, 0.       ], dtype=float32)",
)  # fmt: skip

atan = unary(
    "atan", "The angle in (-pi/2, pi/2) whose tangent is x.",
    derivative="1 / (1 + x**2)", vjp=lambda g, y, x: g / (1 + x * x), reference=np.arctan,
    example="atan([0.0, 1.0])  # array([0.       , 0.7853982], dtype=float32)",
)  # fmt: skip


def _over_square(x1: Tensor, x2: Tensor) -> Any:
    """x1**2 + x2**2, and 1 at the origin."""
    square = x1 * x1 + x2 * x2
    return call("where", square == 0, 1, square)


atan2 = binary(
    "atan2", "The angle in [-pi, pi] of the point with ordinate x1 and abscissa x2.",
    derivative="x2 / (x1**2 + x2**2) and -x1 / (x1**2 + x2**2)",
    vjp=(lambda g, y, a, b: g * b / _over_square(a, b), lambda g, y, a, b: -g * a / _over_square(a, b)),
    reference=np.arctan2, templates=(over(0.2, 2), over(-2, 2)),
    convention="both derivatives at the origin are 0",
    more=[
        Sample((Arg((3,), -2, -0.2), Arg((3,)))),
        Sample((Arg((4,), values=(0, 0, 1, -1)), Arg((4,), values=(1, -1, 0, 0))), grad=False),
    ],
    example="atan2([1.0, 0.0], [1.0, -1.0])  # array([0.7853982, 3.1415927], dtype=float32)",
)  # fmt: skip

sinh = unary(
    "sinh", "The hyperbolic sine of x.",
    derivative="cosh(x)", vjp=lambda g, y, x: g * call("cosh", x), reference=np.sinh,
    example="sinh([0.0, 1.0])  # array([0.       , 1.1752012], dtype=float32)",
)  # fmt: skip

cosh = unary(
    "cosh", "The hyperbolic cosine of x.",
    derivative="sinh(x)", vjp=lambda g, y, x: g * call("sinh", x), reference=np.cosh,
    example="cosh([0.0, 1.0])  # array([1.       , 1.5430806], dtype=float32)",
)  # fmt: skip

tanh = unary(
    "tanh", "The hyperbolic tangent of x.",
    derivative="1 - tanh(x)**2", vjp=lambda g, y, x: g * (1 - y * y), reference=np.tanh,
    example="tanh([0.0, 1.0])  # array([0.       , 0.7615942], dtype=float32)",
)  # fmt: skip

asinh = unary(
    "asinh", "The inverse of sinh.",
    derivative="1 / sqrt(x**2 + 1)", vjp=lambda g, y, x: g / call("sqrt", x * x + 1), reference=np.arcsinh,
    example="asinh([0.0, 1.0])  # array([0.       , 0.8813736], dtype=float32)",
)  # fmt: skip

acosh = unary(
    "acosh", "The inverse of cosh; nan below 1.",
    derivative="1 / sqrt((x - 1)(x + 1))", vjp=lambda g, y, x: g / call("sqrt", (x - 1) * (x + 1)),
    reference=np.arccosh, template=over(1.2, 4), convention="the derivative at 1 is inf",
    example="acosh([1.0, 2.0])  # array([0.       , 1.3169578], dtype=float32)",
)  # fmt: skip

atanh = unary(
    "atanh", "The inverse of tanh; infinite at -1 and 1, nan outside.",
    derivative="1 / ((1 - x)(1 + x))", vjp=lambda g, y, x: g / ((1 - x) * (1 + x)), reference=np.arctanh,
    template=over(-0.9, 0.9), example="atanh([0.0, 0.5])  # array([0.       , 0.5493061], dtype=float32)",
)  # fmt: skip
