"""Normalisation layers. Each subtracts a mean and divides by a deviation, over different axes, then scales and shifts.

Statistics of 16-bit inputs are taken in float32. Formulas, defaults and names are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphc.dsl.variables import parameter, state
from graphc.errors import GraphError, ShapeError, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES
from graphc.nn import init
from graphc.nn.module import Module, check_input
from graphc.ops.build import cast
from graphc.ops.functions.shapes import reshape
from graphc.ops.functions.sources import stop_gradient, with_update
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.exponential import sqrt
from graphc.ops.primitives.reductions import widened
from graphc.ops.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`(x - mean) / √(variance + eps)` over `axes`, with the mean and the biased variance (axes kept as 1)."""
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    variance = (centred * centred).mean(axes, keepdims=True)
    return centred * (1.0 / sqrt(variance + eps)), mean, variance


def _affine(x: Tensor, weight: Parameter | None, bias: Parameter | None, shape: tuple[int, ...]) -> Tensor:
    if weight is not None:
        x = x * reshape(weight, shape)
    return x if bias is None else x + reshape(bias, shape)


class _BatchNorm(Module):
    """What BatchNorm1d and BatchNorm2d share: channels are axis 1, statistics go over all other axes.

    A training graph normalises with the batch's own statistics and asks the compiled step to move the running ones:
    `r ← (1 - momentum)·r + momentum·s`, with the unbiased variance; `momentum=None` keeps the plain average of all
    batches. An evaluation graph, and one without running statistics, normalises with what there is.

    `model.eval()` chooses for graphs that are built from then on; a program that is compiled stays what it was (see
    `Module.train`). A layer used several times in a training program moves its statistics each time, in the order in
    which the uses were built, each from where the one before left them. Used on one tensor again it is the same node,
    and one use.
    """

    layouts: Mapping[int, str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = parameter(f"{name}.weight", init.ones((num_features,))) if affine else None
        self.bias = parameter(f"{name}.bias", init.zeros((num_features,))) if affine else None
        if track_running_stats:
            self.running_mean = state(f"{name}.running_mean", init.zeros((num_features,)))
            self.running_var = state(f"{name}.running_var", init.ones((num_features,)))
            self.num_batches_tracked = state(f"{name}.num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, " or ".join(self.layouts.values()), self.layouts, 1, self.num_features)
        axes = (0, *range(2, x.ndim))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        if self.training or not self.track_running_stats:
            if not self.eps > 0:
                message = f"{self!r} divides by a deviation that may be 0: in a training graph eps is positive"
                raise with_location(GraphError(message), capture())
            y, mean, variance = _standardised(widened(x), axes, self.eps)
            y = cast(_affine(y, self.weight, self.bias, shape), x.dtype)
            return self._tracked(y, mean, variance, x.size // self.num_features) if self._tracks else y
        scale = 1.0 / sqrt(self.running_var + self.eps)
        y = (widened(x) - reshape(self.running_mean, shape)) * reshape(scale, shape)
        return cast(_affine(y, self.weight, self.bias, shape), x.dtype)

    @property
    def _tracks(self) -> bool:
        return self.training and self.track_running_stats

    def _tracked(self, y: Tensor, mean: Tensor, variance: Tensor, count: int) -> Tensor:
        if count < 2:
            raise with_location(
                ShapeError(f"{self!r} needs more than one value per channel in a training graph"), capture()
            )
        batches = self.num_batches_tracked + 1
        rate = 1.0 / cast(batches, DTYPES["float32"]) if self.momentum is None else self.momentum
        unbiased = variance * (count / (count - 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            value = cast(reshape(stop_gradient(batch), running.shape), running.dtype)
            y = with_update(y, running, running + rate * (value - running))
        return with_update(y, self.num_batches_tracked, batches)

    def describe(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L) (Ioffe and Szegedy 2015)."""

    layouts: Mapping[int, str] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W) (Ioffe and Szegedy 2015)."""

    layouts: Mapping[int, str] = {4: "(N, C, H, W)"}


class _TrailingNorm(Module):
    """What LayerNorm and RMSNorm share: statistics go over the trailing axes, of shape `normalized_shape`."""

    def __init__(self, normalized_shape: int | Sequence[int], affine: bool, bias: bool) -> None:
        name = type(self).__name__
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        if not shape:
            raise with_location(GraphError(f"{name} needs at least one axis to normalise over"), capture())
        self.normalized_shape = shape
        self.weight = parameter(f"{name}.weight", init.ones(shape)) if affine else None
        self.bias = parameter(f"{name}.bias", init.zeros(shape)) if affine and bias else None

    def axes(self, x: Tensor) -> tuple[int, ...]:
        """The trailing axes of `x`. Raises ShapeError where they are not `normalized_shape`."""
        shape = self.normalized_shape
        check_input(self, x, f"(..., {', '.join(map(str, shape))})", None, -1, shape[-1])
        if x.shape[-len(shape) :] != shape:
            raise with_location(ShapeError(f"{self!r} normalises trailing axes {shape}, got {x.type}"), capture())
        return tuple(range(x.ndim - len(shape), x.ndim))


class LayerNorm(_TrailingNorm):
    """`(x - mean) / √(variance + eps)` over the trailing axes, scaled and shifted (Ba et al. 2016)."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(normalized_shape, elementwise_affine, bias)
        self.eps, self.elementwise_affine = eps, elementwise_affine

    def forward(self, x: Tensor) -> Tensor:
        y, _, _ = _standardised(widened(x), self.axes(x), self.eps)
        return cast(_affine(y, self.weight, self.bias, self.normalized_shape), x.dtype)

    def describe(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(_TrailingNorm):
    """`x / √(mean(x²) + eps)` over the trailing axes, scaled (Zhang and Sennrich 2019).

    `eps=None` is the distance from 1 to the next number of the dtype in which the statistics are taken.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__(normalized_shape, elementwise_affine, bias=False)
        self.eps, self.elementwise_affine = eps, elementwise_affine

    def forward(self, x: Tensor) -> Tensor:
        axes, wide = self.axes(x), widened(x)
        eps = float(np.finfo(wide.dtype.numpy).eps) if self.eps is None else self.eps
        y = wide * (1.0 / sqrt((wide * wide).mean(axes, keepdims=True) + eps))
        return cast(_affine(y, self.weight, None, self.normalized_shape), x.dtype)

    def describe(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalisation of (N, C, ...) over groups of channels and all positions (Wu and He 2018)."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise with_location(
                GraphError(f"GroupNorm cannot divide {num_channels} channels into {num_groups} equal groups"), capture()
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = parameter("GroupNorm.weight", init.ones((num_channels,))) if affine else None
        self.bias = parameter("GroupNorm.bias", init.zeros((num_channels,))) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, f"(N, {self.num_channels}, ...)", None, 1, self.num_channels)
        members = math.prod(x.shape[1:]) // self.num_groups
        grouped = reshape(widened(x), (x.shape[0], self.num_groups, members))
        y = reshape(_standardised(grouped, (2,), self.eps)[0], x.shape)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return cast(_affine(y, self.weight, self.bias, shape), x.dtype)

    def describe(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
