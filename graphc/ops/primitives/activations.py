"""The activations that are primitives: `sigmoid`, `softplus` and `relu`. None overflows."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ops.build import invoke
from graphc.ops.elementwise import elementwise_rule, floats, over, unary
from graphc.ops.primitives.extremes import larger
from graphc.ops.record import FLOAT, Jvp, Kind, primitive
from graphc.ops.special import special

__all__ = ["sigmoid", "sigmoid_reference"]


def sigmoid_reference(x: Any) -> Any:
    """SciPy's, in float64: in float32 it is 0 below -88, where there are still numbers."""
    return special.expit(x.astype(np.float64)).astype(x.dtype)


sigmoid = unary(
    "sigmoid", "The logistic function 1 / (1 + exp(-x)), without overflow.",
    derivative="y (1 - y)", vjp=lambda g, y, x: g * y * (1 - y), reference=sigmoid_reference,
    formula=floats(special.expit), template=over(-4, 4),
    example="sigmoid([0.0, 1.0])  # array([0.5       , 0.73105854], dtype=float32)",
)  # fmt: skip

primitive(
    "softplus", kind=Kind.ELEMENTWISE, infer=elementwise_rule("softplus", FLOAT), jvp=Jvp.POINTWISE,
    vjp=(lambda g, y, x: g * invoke("sigmoid", x),), reference=lambda x: np.logaddexp(x, x.dtype.type(0)),
)  # fmt: skip
primitive(
    "relu", kind=Kind.ELEMENTWISE, infer=elementwise_rule("relu", FLOAT), jvp=Jvp.POINTWISE,
    vjp=(lambda g, y, x: invoke("where", y > 0, g, 0),), reference=lambda x: larger(x, x.dtype.type(0)),
)  # fmt: skip
