"""Gradient clipping: functions from gradients to gradients, part of the compiled step. Formulas are PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from graphc.errors import GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES
from graphc.ops.build import cast
from graphc.ops.primitives.exponential import sqrt
from graphc.ops.primitives.extremes import maximum, minimum
from graphc.ops.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_value", "global_norm"]

K = TypeVar("K")


def global_norm(gradients: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients taken as one vector: a 0-d tensor, float32 unless all are float64.

    Raises GraphError for no gradients.
    """
    tensors = list(gradients)
    if not tensors:
        raise with_location(GraphError("the norm of no gradients is not defined"), capture())
    wide = all(tensor.dtype.name == "float64" for tensor in tensors)
    dtype = DTYPES["float64" if wide else "float32"]
    squares = [(cast(tensor, dtype) * cast(tensor, dtype)).sum() for tensor in tensors]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return sqrt(total)


def clip_grad_norm(gradients: Mapping[K, Tensor], max_norm: float) -> dict[K, Tensor]:
    """All gradients times `min(1, max_norm / (norm + 1e-6))`, so that their global norm is at most `max_norm`.

    >>> gradients = dict(zip(parameters, gx.grad(loss, parameters)))
    >>> optimizer.apply(clip_grad_norm(gradients, 1.0))
    """
    _check("max_norm", max_norm)
    scale = minimum(max_norm / (global_norm(gradients.values()) + 1e-6), 1.0)
    return {key: gradient * cast(scale, gradient.dtype) for key, gradient in gradients.items()}


def clip_grad_value(gradients: Mapping[K, Tensor], max_value: float) -> dict[K, Tensor]:
    """Every element of every gradient clipped to [-max_value, max_value]."""
    _check("max_value", max_value)
    return {key: maximum(minimum(gradient, max_value), -max_value) for key, gradient in gradients.items()}


def _check(name: str, value: float) -> None:
    if not value > 0:
        raise with_location(GraphError(f"{name} must be positive, not {shown(value)}"), capture())
