"""Random training steps: deep enough that values wait for gradients, with dropout, normalisation, convolutions and
attention, and any part of them checkpointed. The same seed gives the same step, whatever is checkpointed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

__all__ = ["TrainingProgram", "in_turn", "training_program"]

Layer = Callable[[gx.Tensor], gx.Tensor]


@dataclass(frozen=True)
class TrainingProgram:
    """What `gx.compile` takes, and arrays for the inputs."""

    inputs: list[gx.Tensor]
    outputs: dict[str, gx.Tensor]
    updates: Any
    arrays: list[np.ndarray[Any, Any]]


def training_program(seed: int, checkpointed: bool = False) -> TrainingProgram:
    """The training step of a random network."""
    chance = random.Random(seed)
    nn.seed(seed)
    image = chance.random() < 0.3
    batch, width = chance.choice((4, 8, 12)), chance.choice((16, 24, 32))
    shape = (batch, 4, 8, 8) if image else (batch, width)
    x, y = gx.input("x", shape), gx.input("y", (batch,), "int32")
    layers = [_image_layer(chance, 4) if image else _row_layer(chance, width) for _ in range(chance.randint(3, 8))]
    apply = _grouped(random.Random(seed + 1), layers) if checkpointed else in_turn(layers)
    h = apply(x)
    head = nn.Linear(4 if image else width, 5)
    logits = head(gx.mean(h, axis=(2, 3)) if image else h)
    loss = nn.cross_entropy(logits, y)
    parameters = [p for layer in (*layers, head) if isinstance(layer, nn.Module) for p in layer.parameters()]
    optimizer = optim.AdamW(lr=0.01) if chance.random() < 0.5 else optim.SGD(lr=0.1, momentum=0.9)
    outputs = {"loss": loss, "logits": logits} if chance.random() < 0.5 else {"loss": loss}
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(np.float32), rng.integers(0, 5, batch).astype(np.int32)]
    return TrainingProgram([x, y], outputs, optimizer.minimize(loss, parameters), arrays)


def in_turn(layers: list[Layer]) -> Layer:
    """One layer after the other."""

    def run(h: gx.Tensor) -> gx.Tensor:
        for layer in layers:
            h = layer(h)
        return h

    return run


def _grouped(chance: random.Random, layers: list[Layer], depth: int = 0) -> Layer:
    """The layers in groups, some of them checkpointed, some of these with groups inside."""
    groups: list[Layer] = []
    while layers:
        count = chance.randint(1, max(1, len(layers) // 2 + 1))
        some, layers = layers[:count], layers[count:]
        nested = depth < 2 and count > 1 and chance.random() < 0.5
        inner = _grouped(chance, some, depth + 1) if nested else in_turn(some)
        groups.append(gx.checkpoint(inner) if chance.random() < 0.7 else inner)
    return in_turn(groups)


class _Block(nn.Module):
    """A residual block: what `parts` compute, added to its input or not."""

    def __init__(self, parts: list[Any], residual: bool) -> None:
        self.parts = nn.Sequential(*parts)
        self.residual = residual

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        y = self.parts(x)
        return x + y if self.residual else y


def _row_layer(chance: random.Random, width: int) -> Layer:
    hidden = chance.choice((width, 2 * width))
    activation = chance.choice((nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU))()
    parts: list[Any] = [nn.Linear(width, hidden), activation, nn.Linear(hidden, width)]
    if chance.random() < 0.5:
        parts.insert(0, nn.LayerNorm(width))
    if chance.random() < 0.6:
        parts.append(nn.Dropout(0.2))
    return _Block(parts, chance.random() < 0.6)


def _image_layer(chance: random.Random, channels: int) -> Layer:
    parts: list[Any] = [nn.Conv2d(channels, channels, 3, padding=1)]
    if chance.random() < 0.6:
        parts.append(nn.BatchNorm2d(channels))
    parts.append(nn.ReLU())
    if chance.random() < 0.3:
        parts.append(nn.Dropout(0.2))
    return _Block(parts, chance.random() < 0.5)
