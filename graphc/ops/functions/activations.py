"""Activations of neural networks, with PyTorch's names, arguments and conventions at kinks: relu and the curves.

`relu`, `sigmoid` and `softplus` are primitives, all else compositions that fuse into one pass. A branch that is not
taken never overflows, so no derivative is nan where the function has one. Straight pieces: piecewise.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from graphc.errors import GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.ops.build import apply, as_float, as_tensor, invoke
from graphc.ops.elementwise import TEXT, floats, over, samples
from graphc.ops.functions.selection import where
from graphc.ops.primitives.activations import sigmoid, sigmoid_reference
from graphc.ops.record import FLOAT, Arg, Sample, function
from graphc.ops.special import special
from graphc.ops.tensor import Tensor

__all__ = [
    "activation", "celu", "elu", "gelu", "log_sigmoid", "mish", "relu", "require", "selu", "silu", "softplus",
    "softsign", "tanhshrink",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def activation(
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
        errors=[*TEXT, *((GraphError, (Arg((2,)), *settings), {}) for settings in refused)],
    )


def require(allowed: bool, message: str) -> None:
    if not allowed:
        raise with_location(GraphError(message), capture())


@activation(
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
    errors=TEXT,
)
def relu(x: Any) -> Tensor:
    """maximum(x, 0) in the dtype of x: nan stays nan, -0.0 becomes 0.0.

    x: any shape. Derivative: 1 for positive x, else 0 (also at 0). Raises DTypeError.

    >>> evaluate(relu([-1.0, 2.0]))
    array([0., 2.], dtype=float32)
    """
    tensor = as_tensor(x)
    return apply("relu", tensor) if tensor.dtype.is_float else invoke("maximum", tensor, 0)


# Exponential below zero ---------------------------------------------------------------------------
@activation(
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
    curve = invoke("expm1", where(positive, 0, tensor))
    return where(positive, tensor, curve if alpha == 1 else curve * alpha)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # fixed points for mean 0 and variance 1


@activation(
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


@activation(
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
    require(alpha != 0, "celu divides by alpha, which is 0; relu is the limit")
    tensor = as_float(x)
    positive = tensor > 0
    return where(positive, tensor, invoke("expm1", where(positive, 0, tensor) / alpha) * alpha)


# Sigmoidal ----------------------------------------------------------------------------------------
def _gelu_formula(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))).astype(x.dtype)
    return (x * special.ndtr(x)).astype(x.dtype)


@activation(_gelu_formula, more=[Sample((Arg((2, 3), -4, 4), "tanh")), Sample((Arg((24,), -12, 12), "tanh"))])
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


@activation(lambda x: x * sigmoid_reference(x))
def silu(x: Any) -> Tensor:
    """x sigmoid(x), also called swish (Elfwing et al. 2017). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(silu([-1.0, 2.0]))
    array([-0.26894143,  1.7615942 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * sigmoid(tensor)


@activation(lambda x: x * np.tanh(np.logaddexp(x, x.dtype.type(0))))
def mish(x: Any) -> Tensor:
    """x tanh(softplus(x)) (Misra 2019). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(mish([-1.0, 2.0]))
    array([-0.30340144,  1.9439589 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * invoke("tanh", softplus(tensor))


@activation(special.log_expit)
def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), without overflow. Derivative: sigmoid(-x). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(log_sigmoid([-1.0, 2.0]))
    array([-1.3132616 , -0.12692805], dtype=float32)
    """
    return -softplus(-as_float(x))


@activation(
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


@activation(lambda x: x - np.tanh(x))
def tanhshrink(x: Any) -> Tensor:
    """x - tanh(x). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(tanhshrink([-1.0, 2.0]))
    array([-0.23840582,  1.0359724 ], dtype=float32)
    """
    tensor = as_float(x)
    return tensor - invoke("tanh", tensor)
