"""A residual MLP of as many layers as asked for: x + relu(linear(x)) each, all of one width; mean squared error."""

from __future__ import annotations

from typing import Any

import graphc as gx
from benchmarks.models.training import Step
from graphc import nn, optim

__all__ = ["ResidualMLP", "build"]


class ResidualMLP(nn.Module):
    """(batch, width) to (batch, width)."""

    def __init__(self, layers: int, width: int, *, rng: nn.init.Random = None) -> None:
        self.layers = nn.ModuleList(nn.Linear(width, width, rng=rng) for _ in range(layers))

    def forward(self, x: gx.Tensor) -> Any:
        for layer in self.layers:
            x = x + gx.relu(layer(x))
        return x


def build(layers: int = 1000, width: int = 128, batch: int = 256, *, rng: nn.init.Random = None) -> Step:
    """A training step with SGD and momentum on inputs `x` and targets `y`, both (batch, width)."""
    model = ResidualMLP(layers, width, rng=rng)
    x, y = gx.input("x", (batch, width)), gx.input("y", (batch, width))
    loss = nn.mse_loss(model(x), y)
    return [x, y], {"loss": loss}, optim.SGD(lr=0.01, momentum=0.9).minimize(loss, model.parameters())
