"""What the large models share: a training step on images, and initial values for planning.

A plan follows from shapes alone. `ZEROS` stands for a generator of random numbers, all of which are 0: a model that is
built with it takes no time to fill, and no memory beside its parameters'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

__all__ = ["ZEROS", "Step", "training_step"]

Step = tuple[list[gx.Tensor], dict[str, gx.Tensor], Mapping[gx.Tensor, gx.Tensor]]


class _Zeros(np.random.Generator):
    """A generator whose numbers are all 0: one float32 that stands for all elements."""

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.broadcast_to(np.float32(0), size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return np.broadcast_to(np.float32(0), size)


ZEROS = _Zeros(np.random.PCG64(0))


def training_step(model: nn.Module, batch: int, side: int, classes: int) -> Step:
    """Inputs, outputs and updates of a step on (batch, 3, side, side) images: cross-entropy, SGD with momentum."""
    x, y = gx.input("x", (batch, 3, side, side)), gx.input("y", (batch,), "int32")
    logits = model(x)
    if logits.shape != (batch, classes):
        raise ValueError(f"the model gives {logits.type}, not a number for each of {classes} classes")
    loss = nn.cross_entropy(logits, y)
    return [x, y], {"loss": loss}, optim.SGD(lr=0.1, momentum=0.9).minimize(loss, model.parameters())
