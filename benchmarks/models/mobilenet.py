"""MobileNet-V2 (Sandler et al. 2018); parameters are called as torchvision's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphc as gx
from benchmarks.models.training import ZEROS, Step, training_step
from graphc import nn

__all__ = ["MobileNetV2", "build"]

STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
FIRST, LAST = 32, 1280


class ReLU6(nn.Module):
    """`min(max(x, 0), 6)`."""

    def forward(self, x: gx.Tensor) -> Any:
        return gx.relu6(x)


def convolution(
    wide: int, narrow: int, kernel: int, stride: int, groups: int, rng: nn.init.Random
) -> tuple[nn.Module, ...]:
    """A convolution that keeps the size, but for its stride; batch normalisation; ReLU6."""
    layer = nn.Conv2d(wide, narrow, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False, rng=rng)
    return layer, nn.BatchNorm2d(narrow), ReLU6()


class InvertedResidual(nn.Module):
    """1×1 to `expansion` times the channels, 3×3 on each channel, 1×1 back; around them where shapes stay."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int, rng: nn.init.Random) -> None:
        wide = channels * expansion
        parts: list[nn.Module] = []
        if expansion != 1:
            parts.append(nn.Sequential(*convolution(channels, wide, 1, 1, 1, rng)))
        parts.append(nn.Sequential(*convolution(wide, wide, 3, stride, wide, rng)))
        parts += [nn.Conv2d(wide, out, 1, bias=False, rng=rng), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*parts)
        self.around = stride == 1 and channels == out

    def forward(self, x: gx.Tensor) -> Any:
        return x + self.conv(x) if self.around else self.conv(x)


class MobileNetV2(nn.Module):
    """Images (batch, 3, side, side) to (batch, classes)."""

    def __init__(
        self,
        stages: Sequence[tuple[int, int, int, int]] = STAGES,
        classes: int = 1000,
        dropout: float = 0.2,
        *,
        rng: nn.init.Random = None,
    ) -> None:
        self.features = nn.Sequential(nn.Sequential(*convolution(3, FIRST, 3, 2, 1, rng)))
        channels = FIRST
        for expansion, out, count, stride in stages:
            for block in range(count):
                self.features.append(InvertedResidual(channels, out, 1 if block else stride, expansion, rng))
                channels = out
        self.features.append(nn.Sequential(*convolution(channels, LAST, 1, 1, 1, rng)))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(LAST, classes, rng=rng))

    def forward(self, x: gx.Tensor) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


def build(batch: int = 272, *, side: int = 224, classes: int = 1000, rng: nn.init.Random = ZEROS) -> Step:
    """A training step of MobileNet-V2. Its weights are 0 unless `rng` is given."""
    return training_step(MobileNetV2(classes=classes, rng=rng), batch, side, classes)
