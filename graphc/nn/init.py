"""Initial values, in NumPy: each initialiser takes a shape and a random generator and answers with a float32 array.

Names, formulas and defaults are PyTorch's. `rng` is a `numpy.random.Generator`, an integer seed, or None for the
default generator: one for the process, seeded with 0 when graphc is imported and with n by `seed(n)`, so a script
that builds its modules in one order always starts from the same values. Pass `rng` where that is too coarse.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError, shown, with_location
from graphc.ir.data import MOST_SEED, whole_number
from graphc.ir.location import capture
from graphc.ir.public import public
from graphc.ir.types import tensor_type

__all__ = [
    "Random", "calculate_gain", "constant", "fans", "generator", "kaiming_normal", "kaiming_uniform", "normal", "ones",
    "orthogonal", "seed", "uniform", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Random = np.random.Generator | int | None
Shape = tuple[int, ...]

_default = np.random.default_rng(0)


@public
def seed(value: int) -> None:
    """Start the default generator anew. The only setting of graphc that outlives a call; see the module's docstring."""
    _default.bit_generator.state = generator(whole_number(value, "a seed", 0, MOST_SEED)).bit_generator.state


@public
def generator(rng: Random = None) -> np.random.Generator:
    """The generator that `rng` stands for."""
    if rng is None:
        return _default
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(whole_number(rng, "rng is a numpy.random.Generator or a seed, which", 0, MOST_SEED))


@public
def fans(shape: Shape) -> tuple[int, int]:
    """`(fan_in, fan_out)` of a weight of shape (out, in, *kernel): how many values one output, one input, meets.

    Raises ShapeError for fewer than two axes.
    """
    shape = tensor_type(shape).shape
    if len(shape) < 2:
        error = f"fan in and fan out need a weight with at least two axes, not shape {shape}"
        raise with_location(ShapeError(error), capture())
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


@public
def calculate_gain(nonlinearity: str, slope: float = 0.01) -> float:
    """The factor by which weights before a nonlinearity grow, so that activations keep their variance.

    `slope` is the negative slope of leaky_relu. Raises GraphError for an unknown name.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1.0 + slope**2)),
        "selu": 0.75,
    }
    if nonlinearity not in gains:
        error = f"no gain is known for {shown(nonlinearity)}; known are {', '.join(gains)}"
        raise with_location(GraphError(error), capture())
    return gains[nonlinearity]


@public
def constant(shape: Shape, value: float) -> Array:
    return np.full(shape, value, np.float32)


@public
def zeros(shape: Shape) -> Array:
    return np.zeros(shape, np.float32)


@public
def ones(shape: Shape) -> Array:
    return np.ones(shape, np.float32)


@public
def uniform(shape: Shape, rng: Random = None, low: float = 0.0, high: float = 1.0) -> Array:
    """Uniform in [low, high)."""
    return generator(rng).uniform(low, high, shape).astype(np.float32, copy=False)


@public
def normal(shape: Shape, rng: Random = None, mean: float = 0.0, std: float = 1.0) -> Array:
    """Normal with the given mean and standard deviation."""
    return generator(rng).normal(mean, std, shape).astype(np.float32, copy=False)


@public
def xavier_uniform(shape: Shape, rng: Random = None, gain: float = 1.0) -> Array:
    """Uniform within ±gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(shape)))
    return uniform(shape, rng, -bound, bound)


@public
def xavier_normal(shape: Shape, rng: Random = None, gain: float = 1.0) -> Array:
    """Normal with standard deviation gain·√(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal(shape, rng, 0.0, gain * math.sqrt(2.0 / sum(fans(shape))))


def _kaiming_std(shape: Shape, slope: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise with_location(GraphError(f"mode is 'fan_in' or 'fan_out', not {shown(mode)}"), capture())
    fan = fans(shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, slope) / math.sqrt(max(fan, 1))


@public
def kaiming_uniform(
    shape: Shape, rng: Random = None, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Array:
    """Uniform within ±gain·√(3 / fan) (He et al. 2015); `a` is the negative slope of leaky_relu."""
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, rng, -bound, bound)


@public
def kaiming_normal(
    shape: Shape, rng: Random = None, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Array:
    """Normal with standard deviation gain / √fan (He et al. 2015); `a` is the negative slope of leaky_relu."""
    return normal(shape, rng, 0.0, _kaiming_std(shape, a, mode, nonlinearity))


@public
def orthogonal(shape: Shape, rng: Random = None, gain: float = 1.0) -> Array:
    """A matrix (trailing axes flattened) with orthonormal rows or columns, whichever are fewer, times `gain`.

    The Q of a QR decomposition of a normal matrix, with signs fixed so that it is uniformly distributed (Saxe et al.
    2014; Mezzadri 2007). Raises ShapeError for fewer than two axes.
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    tall = generator(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)
