"""Activation functions as modules. Each is one function of `graphc`; names, arguments and defaults are PyTorch's."""

from __future__ import annotations

from graphc.nn.module import Module
from graphc.ops.functions.activations import elu, gelu, relu, silu, softplus
from graphc.ops.functions.piecewise import leaky_relu
from graphc.ops.functions.softmax import log_softmax, softmax
from graphc.ops.primitives.activations import sigmoid
from graphc.ops.primitives.trigonometry import tanh
from graphc.ops.tensor import Tensor

__all__ = ["ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


class ReLU(Module):
    """`max(x, 0)`."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class LeakyReLU(Module):
    """`x` above 0, `negative_slope·x` below."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, self.negative_slope)

    def describe(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """`x` above 0, `alpha·(eˣ - 1)` below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return elu(x, self.alpha)

    def describe(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """`x·Φ(x)` with the normal distribution function Φ; `approximate="tanh"` takes the formula with tanh."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)

    def describe(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """`x·sigmoid(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Sigmoid(Module):
    """`1 / (1 + e⁻ˣ)`."""

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Softplus(Module):
    """`log(1 + e^(beta·x)) / beta`, which needs no threshold against overflow here."""

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return softplus(x, self.beta)

    def describe(self) -> str:
        return f"beta={self.beta}"


class Softmax(Module):
    """`eˣ / Σ eˣ` along `dim`, the last axis unless told otherwise."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, self.dim)

    def describe(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax along `dim`, the last axis unless told otherwise."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return log_softmax(x, self.dim)

    def describe(self) -> str:
        return f"dim={self.dim}"
