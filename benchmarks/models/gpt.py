"""The scoreboard's transformer over characters as a training step: AdamW, and dropout where it is asked for."""

from __future__ import annotations

import graphc as gx
from benchmarks.models.scoreboard import GPT
from benchmarks.models.training import Step
from benchmarks.workload import LEARNING_RATE
from graphc import nn, optim

__all__ = ["build"]


def build(
    batch: int = 8,
    *,
    steps: int = 256,
    characters: int = 65,
    layers: int = 6,
    size: int = 384,
    heads: int = 6,
    dropout: float = 0.0,
) -> Step:
    """Inputs `x`, characters (batch, steps), and `y`, those that follow, in one row; the same weights at each call."""
    nn.seed(0)
    model = GPT(layers, size, heads, steps, characters, dropout)
    x, y = gx.input("x", (batch, steps), "int32"), gx.input("y", (batch * steps,), "int32")
    loss = nn.cross_entropy(model(x), y)
    return [x, y], {"loss": loss}, optim.AdamW(lr=LEARNING_RATE).minimize(loss, model.parameters())
