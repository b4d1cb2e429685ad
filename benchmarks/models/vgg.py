"""VGG-16 without batch normalisation (Simonyan and Zisserman 2014); parameters are called as torchvision's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphc as gx
from benchmarks.models.training import ZEROS, Step, training_step
from graphc import nn

__all__ = ["VGG", "build"]

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Images (batch, 3, side, side) to (batch, classes); each stage of 3×3 convolutions halves the side.

    The defaults are VGG-16. `side` is a multiple of 32 by the defaults; 224 leaves 7×7 for the classifier.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]] = STAGES,
        hidden: int = 4096,
        classes: int = 1000,
        dropout: float = 0.5,
        *,
        side: int = 224,
        rng: nn.init.Random = None,
    ) -> None:
        layers, channels = list[nn.Module](), 3
        for stage in stages:
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1, rng=rng), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        left = side >> len(stages)
        self.classifier = nn.Sequential(
            nn.Linear(channels * left * left, hidden, rng=rng), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden, rng=rng), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, classes, rng=rng),
        )  # fmt: skip

    def forward(self, x: gx.Tensor) -> Any:
        x = self.features(x)
        return self.classifier(x.reshape(x.shape[0], -1))


def build(batch: int = 176, *, side: int = 224, classes: int = 1000, rng: nn.init.Random = ZEROS) -> Step:
    """A training step of VGG-16. Its weights are 0 unless `rng` is given."""
    return training_step(VGG(classes=classes, side=side, rng=rng), batch, side, classes)
