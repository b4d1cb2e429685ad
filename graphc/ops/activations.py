"""Activations of neural networks, with PyTorch's names, arguments and conventions at kinks.

`relu`, `sigmoid` and `softplus` are primitives, all else compositions that fuse into one pass. A branch that is not
taken never overflows, so no derivative is nan where the function has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ops.build import apply, as_float, as_tensor, invoke, operands
from graphc.ops.elementwise import elementwise_rule, floats, over, samples, unary
from graphc.ops.extremes import larger
from graphc.ops.record import FLOAT, Arg, Jvp, Kind, Sample, function, primitive
from graphc.ops.special import special
from graphc.ops.tensor import Tensor

__all__ = [
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_sigmoid", "mish",
    "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanhshrink",
    "threshold",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def _activation(
    formula: Callable[..., Any],
    template: Arg | None = None,
    convention: str = "",
    more: Sequence[Sample] = (),
    refused: Sequence[tuple[Any, ...]] = (),
) -> Callable[[F], F]:
    """Declare an elementwise composition of one array; samples try the usual shapes and a wide range of values.

    `refused` are settings, what follows the array, that are a GraphError.
    """
    kinks = (template or over()).away_from
    wide = Sample((Arg((24,), -12, 12, away_from=kinks),))
    return function(
        formula=floats(formula),
        samples=[*samples(template or over(-4, 4)), wide, *more],
        dtypes=(*FLOAT, "int32"),
        convention=convention,
        errors=[(DTypeError, ("text",), {}), *((GraphError, (Arg((2,)), *settings), {}) for settings in refused)],
    )


def _check(allowed: bool, message: str) -> None:
    if not allowed:
        raise with_location(GraphError(message), capture())


def _where(condition: Tensor, x1: Any, x2: Any) -> Tensor:
    return invoke("where", condition, x1, x2)


# Primitives ---------------------------------------------------------------------------------------
def _sigmoid_reference(x: Any) -> Any:
    """SciPy's, in float64: in float32 it is 0 below -88, where there are still numbers."""
    return special.expit(x.astype(np.float64)).astype(x.dtype)


sigmoid = unary(
    "sigmoid", "The logistic function 1 / (1 + exp(-x)), without overflow.",
    derivative="y (1 - y)", vjp=lambda g, y, x: g * y * (1 - y), reference=_sigmoid_reference,
    formula=floats(special.expit), template=over(-4, 4), cost=20,
    example="sigmoid([0.0, 1.0])  # array([0.5       , 0.73105854], dtype=float32)",
)  # fmt: skip

primitive(
    "softplus", kind=Kind.ELEMENTWISE, infer=elementwise_rule("softplus", FLOAT), cost=32, jvp=Jvp.POINTWISE,
    vjp=(lambda g, y, x: g * invoke("sigmoid", x),), reference=lambda x: np.logaddexp(x, x.dtype.type(0)),
)  # fmt: skip
primitive(
    "relu", kind=Kind.ELEMENTWISE, infer=elementwise_rule("relu", FLOAT), jvp=Jvp.POINTWISE,
    vjp=(lambda g, y, x: _where(y > 0, g, 0),), reference=lambda x: larger(x, x.dtype.type(0)),
)  # fmt: skip


@_activation(
    lambda x, beta=1.0: np.logaddexp(x * beta, 0).astype(x.dtype) / x.dtype.type(beta),
    more=[Sample((Arg((2, 3)), 2.0)), Sample((Arg((2, 3)), 0.5))],
)
def softplus(x: Any, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, without overflow: a smooth relu. Derivative: sigmoid(beta x).

    x: any shape; integers and bools become float64. Raises DTypeError.

    >>> evaluate(softplus([0.0, 1.0]))
    array([0.6931472, 1.3132616], dtype=float32)
    """
    tensor = as_float(x)
    return apply("softplus", tensor) if beta == 1 else apply("softplus", tensor * beta) / beta


@function(
    formula=lambda x: np.maximum(x, x.dtype.type(0)),
    samples=[*samples(over(-4, 4, 0.0)), Sample((Arg((3,), values=(-1, 0, 1)),), grad=False, why="the kink")],
    dtypes=(*FLOAT, "int32", "uint8"),
    convention="the derivative at 0 is 0",
    errors=[(DTypeError, ("text",), {})],
)
def relu(x: Any) -> Tensor:
    """maximum(x, 0) in the dtype of x: nan stays nan, -0.0 becomes 0.0.

    x: any shape. Derivative: 1 for positive x, else 0 (also at 0). Raises DTypeError.

    >>> evaluate(relu([-1.0, 2.0]))
    array([0., 2.], dtype=float32)
    """
    tensor = as_tensor(x)
    return apply("relu", tensor) if tensor.dtype.is_float else invoke("maximum", tensor, 0)


# Rectifiers ---------------------------------------------------------------------------------------
@_activation(
    lambda x, slope=0.01: np.where(x > 0, x, x * x.dtype.type(slope)),
    over(-4, 4, 0.0),
    "the derivative at 0 is negative_slope",
    [Sample((Arg((2, 3), -4, 4, away_from=(0.0,)), 0.3))],
)
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, negative_slope * x elsewhere. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(leaky_relu([-1.0, 2.0], 0.5))
    array([-0.5,  2. ], dtype=float32)
    """
    tensor = as_float(x)
    return _where(tensor > 0, tensor, tensor * negative_slope)


def _prelu_formula(x: Any, weight: Any) -> Any:
    shape = () if weight.size == 1 else (weight.size,) + (1,) * (x.ndim - 2)
    return np.where(x > 0, x, x * weight.reshape(shape))


@function(
    formula=floats(_prelu_formula),
    samples=[
        Sample((Arg((2, 3), away_from=(0.0,)), Arg((3,)))),
        Sample((Arg((2, 3, 4), away_from=(0.0,)), Arg((3,)))),
        Sample((Arg((2, 3, 4), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((5,), away_from=(0.0,)), Arg(()))),
        Sample((Arg((5,), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((), away_from=(0.0,)), Arg(()))),
        Sample((Arg((), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((0, 3), away_from=(0.0,)), Arg((3,)))),
    ],
    dtypes=FLOAT,
    convention="the derivative at 0 is the weight",
    errors=[
        *((ShapeError, (Arg((2, 3)), Arg(shape)), {}) for shape in ((2,), (1, 3), (0,))),
        *((ShapeError, (Arg(shape), Arg((3,))), {}) for shape in ((), (1,), (3,), (2, 1), (2, 1, 3))),
    ],
)
def prelu(x: Any, weight: Any) -> Tensor:
    """x where it is positive, weight * x elsewhere: one weight for all, or one for each channel (axis 1).

    x: any shape; weight: 0-d, (1,) or (channels,). Raises DTypeError, ShapeError.

    >>> evaluate(prelu([-1.0, 2.0], 0.5))
    array([-0.5,  2. ], dtype=float32)
    """
    tensor, slope = as_float(x), as_tensor(weight, as_float(x).dtype)
    channels = tensor.shape[1] if tensor.ndim > 1 else 1
    if slope.ndim > 1 or slope.size not in (1, channels):
        message = (
            f"prelu of {tensor!r} takes one weight, or one for each of its {channels} channel(s) on axis 1, "
            f"but its weight has shape {slope.shape}"
        )
        raise with_location(ShapeError(message), capture())
    slope = invoke("reshape", slope, () if slope.size == 1 else (slope.size,) + (1,) * (tensor.ndim - 2))
    a, b = operands(tensor, slope)
    return _where(a > 0, a, a * b)


@_activation(
    lambda x: np.where(x <= 0, x.dtype.type(0), np.minimum(x, 6)),
    over(-4, 9, 0.0, 6.0),
    "the derivative at 0 and 6 is 0",
)
def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(relu6([-1.0, 2.0, 9.0]))
    array([0., 2., 6.], dtype=float32)
    """
    return hardtanh(x, 0.0, 6.0)


@_activation(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x))).astype(x.dtype),
    over(-4, 4, 0.0),
    "the derivative at 0 is alpha",
    [Sample((Arg((2, 3), -4, 4, away_from=(0.0,)), 0.5)), Sample((Arg((2,), values=(1000.0, -1000.0)),))],
)
def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (exp(x) - 1) elsewhere (Clevert et al. 2015). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(elu([-1.0, 2.0]))
    array([-0.63212055,  2.        ], dtype=float32)
    """
    tensor = as_float(x)
    positive = tensor > 0
    curve = invoke("expm1", _where(positive, 0, tensor))
    return _where(positive, tensor, curve if alpha == 1 else curve * alpha)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # fixed points for mean 0 and variance 1


@_activation(
    lambda x: (_SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.where(x > 0, 0, x)))).astype(x.dtype),
    over(-4, 4, 0.0),
    "the derivative at 0 is that of the exponential branch",
)
def selu(x: Any) -> Tensor:
    """A scaled elu that keeps mean 0 and variance 1 (Klambauer et al. 2017). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(selu([-1.0, 2.0]))
    array([-1.1113307,  2.101402 ], dtype=float32)
    """
    return elu(x, _SELU_ALPHA) * _SELU_SCALE


@_activation(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / alpha)).astype(x.dtype),
    over(-4, 4, 0.0),
    "the derivative at 0 is 1",
    [Sample((Arg((2, 3), -4, 4), 0.5))],
    refused=[(0.0,), (0,)],
)
def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (exp(x / alpha) - 1) elsewhere: smooth for every alpha (Barron 2017).

    x: any shape; integers and bools become float64. Raises DTypeError, GraphError where alpha is 0.

    >>> evaluate(celu([-1.0, 2.0], 2.0))
    array([-0.7869387,  2.       ], dtype=float32)
    """
    _check(alpha != 0, "celu divides by alpha, which is 0; relu is the limit")
    tensor = as_float(x)
    positive = tensor > 0
    return _where(positive, tensor, invoke("expm1", _where(positive, 0, tensor) / alpha) * alpha)


# Sigmoidal ----------------------------------------------------------------------------------------
def _gelu_formula(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))).astype(x.dtype)
    return (x * special.ndtr(x)).astype(x.dtype)


@_activation(_gelu_formula, more=[Sample((Arg((2, 3), -4, 4), "tanh")), Sample((Arg((24,), -12, 12), "tanh"))])
def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x times the chance that a standard normal variable lies below x (Hendrycks & Gimpel 2016).

    x: any shape; integers and bools become float64. approximate: "none" is x (1 + erf(x / sqrt 2)) / 2, "tanh" the
    curve x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))) / 2. Raises DTypeError, GraphError.

    >>> evaluate(gelu([-1.0, 2.0]))
    array([-0.15865526,  1.9544997 ], dtype=float32)
    """
    tensor = as_float(x)
    if approximate == "none":
        return tensor * 0.5 * (1 + invoke("erf", tensor * math.sqrt(0.5)))
    if approximate == "tanh":
        inner = (tensor + 0.044715 * tensor * tensor * tensor) * math.sqrt(2 / math.pi)
        return tensor * 0.5 * (1 + invoke("tanh", inner))
    raise with_location(GraphError(f'gelu is approximated by "none" or "tanh", not by {shown(approximate)}'), capture())


@_activation(lambda x: x * _sigmoid_reference(x))
def silu(x: Any) -> Tensor:
    """x sigmoid(x), also called swish (Elfwing et al. 2017). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(silu([-1.0, 2.0]))
    array([-0.26894143,  1.7615942 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * sigmoid(tensor)


@_activation(lambda x: x * np.tanh(np.logaddexp(x, x.dtype.type(0))))
def mish(x: Any) -> Tensor:
    """x tanh(softplus(x)) (Misra 2019). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(mish([-1.0, 2.0]))
    array([-0.30340144,  1.9439589 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * invoke("tanh", softplus(tensor))


@_activation(special.log_expit)
def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), without overflow. Derivative: sigmoid(-x). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(log_sigmoid([-1.0, 2.0]))
    array([-1.3132616 , -0.12692805], dtype=float32)
    """
    return -softplus(-as_float(x))


@_activation(
    lambda x: x / (1 + np.abs(x)), over(-4, 4, 0.0), "the derivative at 0 is 1; the second derivative there is 0"
)
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|). Derivative: 1 / (1 + |x|)**2. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(softsign([-1.0, 3.0]))
    array([-0.5 ,  0.75], dtype=float32)
    """
    tensor = as_float(x)
    return tensor / (1 + invoke("abs", tensor))


# Piecewise linear ---------------------------------------------------------------------------------
@_activation(
    lambda x, low=-1.0, high=1.0: np.clip(x, low, high).astype(x.dtype),
    over(-4, 4, -1.0, 1.0),
    "the derivative at both ends is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-2.0, 0.5)), -2.0, 0.5)), Sample((Arg((2, 3)), 1.0, 1.0))],
    refused=[(1.0, -1.0), (math.nan, 1.0)],
)
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val, the nearer of these outside. Raises DTypeError, GraphError if min_val > max_val.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardtanh([-3.0, 0.5]))
    array([-1. ,  0.5], dtype=float32)
    """
    _check(
        min_val <= max_val,
        f"hardtanh from {shown(min_val)} to {shown(max_val)}: the lower end is not below the upper one",
    )
    tensor = as_float(x)
    return _where(tensor <= min_val, min_val, _where(tensor >= max_val, max_val, tensor))


@_activation(
    lambda x: np.clip(x / 6 + x.dtype.type(0.5), 0, 1), over(-5, 5, -3.0, 3.0), "the derivative at -3 and 3 is 0"
)
def hardsigmoid(x: Any) -> Tensor:
    """x / 6 + 1/2 between -3 and 3, 0 below and 1 above. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardsigmoid([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75], dtype=float32)
    """
    tensor = as_float(x)
    return _where(tensor <= -3, 0.0, _where(tensor >= 3, 1.0, tensor / 6 + 0.5))


@_activation(
    lambda x: x * np.clip(x / 6 + x.dtype.type(0.5), 0, 1),
    over(-5, 5, -3.0, 3.0),
    "the derivative at -3 is 0, at 3 it is 1",
)
def hardswish(x: Any) -> Tensor:
    """x hardsigmoid(x) (Howard et al. 2019). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardswish([-4.0, 1.5]))
    array([-0.   ,  1.125], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * hardsigmoid(tensor)


@_activation(lambda x: x - np.tanh(x))
def tanhshrink(x: Any) -> Tensor:
    """x - tanh(x). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(tanhshrink([-1.0, 2.0]))
    array([-0.23840582,  1.0359724 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor - invoke("tanh", tensor)


@_activation(
    lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, x.dtype.type(0), x - np.copysign(x.dtype.type(lambd), x)),
    over(-4, 4, -0.5, 0.5),
    "the derivative at -lambd and lambd is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-1.0, 1.0)), 1.0)), Sample((Arg((2, 3), away_from=(0.0,)), 0.0))],
    refused=[(-1.0,), (math.nan,)],
)
def softshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x moved by lambd >= 0 towards 0, and 0 where it is that near. Raises DTypeError, GraphError.

    x: any shape; integers and bools become float64.

    >>> evaluate(softshrink([-1.0, 0.2, 2.0]))
    array([-0.5,  0. ,  1.5], dtype=float32)
    """
    _check(lambd >= 0, f"softshrink moves by a lambd of at least 0, not {shown(lambd)}")
    tensor = as_float(x)
    return _where(tensor > lambd, tensor - lambd, _where(tensor < -lambd, tensor + lambd, invoke("abs", tensor) * 0))


@_activation(
    lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, x.dtype.type(0), x),
    over(-4, 4, -0.5, 0.5),
    "the derivative at the jumps is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-1.0, 1.0)), 1.0))],
)
def hardshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x, and 0 where it lies within lambd of 0. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardshrink([-1.0, 0.2]))
    array([-1.,  0.], dtype=float32)
    """
    tensor = as_float(x)
    return _where(invoke("logical_and", tensor >= -lambd, tensor <= lambd), 0, tensor)


@function(
    formula=floats(lambda x, threshold, value: np.where(x <= threshold, x.dtype.type(value), x)),
    samples=[Sample((*sample.args, 0.5, -1.0)) for sample in samples(over(-4, 4, 0.5))],
    dtypes=(*FLOAT, "int32"),
    convention="the derivative at the threshold is 0",
    errors=[(DTypeError, ("text", 0.0, 0.0), {})],
)
def threshold(x: Any, threshold: float, value: float) -> Tensor:
    """x where it exceeds the threshold, `value` elsewhere; nan stays nan. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(threshold([-1.0, 2.0], 0.5, 7.0))
    array([7., 2.], dtype=float32)
    """
    tensor = as_float(x)
    return _where(tensor <= threshold, value, tensor)
