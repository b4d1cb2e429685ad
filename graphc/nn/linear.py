"""Linear, Embedding, Dropout and Flatten. Names, shapes of weights, initial values and defaults are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from graphc.dsl.variables import parameter
from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.nn import init
from graphc.nn.module import Module, check_input
from graphc.ops.build import as_tensor, normalize_axis
from graphc.ops.functions.contraction import matmul
from graphc.ops.functions.gathering import take
from graphc.ops.functions.random import bernoulli
from graphc.ops.functions.selection import where
from graphc.ops.functions.shapes import reshape
from graphc.ops.tensor import Tensor

__all__ = ["Dropout", "Embedding", "Flatten", "Linear", "bias_values", "weight_values"]


def weight_values(shape: tuple[int, ...], rng: Any) -> Any:
    """PyTorch's initial weights of linear and convolution layers: within ±1/√fan_in."""
    return init.kaiming_uniform(shape, rng, a=math.sqrt(5.0))


def bias_values(count: int, weight_shape: tuple[int, ...], rng: Any) -> Any:
    """PyTorch's initial biases of linear and convolution layers: within ±1/√fan_in."""
    bound = 1.0 / math.sqrt(max(init.fans(weight_shape)[0], 1))
    return init.uniform((count,), rng, -bound, bound)


class Linear(Module):
    """`x @ weight.T + bias` along the last axis; weight (out_features, in_features)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: init.Random = None,
        dtype: Any = "float32",
    ) -> None:
        random, shape = init.generator(rng), (out_features, in_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = parameter("Linear.weight", weight_values(shape, random), dtype=dtype)
        self.bias = parameter("Linear.bias", bias_values(out_features, shape, random), dtype=dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, f"(..., {self.in_features})", None, -1, self.in_features)
        rows = x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), self.in_features))
        y = matmul(rows, self.weight.T)
        if self.bias is not None:
            y = y + self.bias
        return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], self.out_features))

    def describe(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """The rows of `weight` (num_embeddings, embedding_dim) at integer indices of any shape.

    Negative indices count from the end. Indices out of range are an error of the call where an input gives them;
    those that are computed take the nearest row.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, rng: init.Random = None, dtype: Any = "float32"
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = parameter("Embedding.weight", init.normal((num_embeddings, embedding_dim), rng), dtype=dtype)

    def forward(self, indices: Any) -> Tensor:
        chosen = as_tensor(indices)
        if not chosen.dtype.is_integer:
            raise with_location(DTypeError(f"{self!r} takes integer indices, got {chosen.type}"), capture())
        return take(self.weight, chosen, axis=0)

    def describe(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Dropout(Module):
    """In a training graph an element is 0 with probability `p`, else multiplied by 1/(1 - p) (Srivastava et al. 2014).

    The choice is a function of the program's seed, this call's place in the graph and the step number, so runs
    repeat and a recomputed dropout is the same one. In an evaluation graph it is the identity: `model.eval()` before
    that graph is built; a program that is compiled stays what it was (see `Module.train`).
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise with_location(GraphError(f"a dropout probability lies in [0, 1], not {shown(p)}"), capture())
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        scale = 0.0 if self.p == 1.0 else 1.0 / (1.0 - self.p)
        return where(bernoulli(1.0 - self.p, x.shape), x * scale, 0.0)

    def describe(self) -> str:
        return f"p={self.p}"


class Flatten(Module):
    """Axes `start_dim` to `end_dim` merged into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        start, end = normalize_axis(self.start_dim, x.ndim), normalize_axis(self.end_dim, x.ndim)
        if start > end:
            raise with_location(ShapeError(f"{self!r} has no axes to merge in {x.type}"), capture())
        return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def describe(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
