"""ResNet-50 (He et al. 2015), with the stride in the 3×3 convolutions; parameters are called as torchvision's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphc as gx
from benchmarks.models.training import ZEROS, Step, training_step
from graphc import nn

__all__ = ["ResNet", "build"]

EXPANSION = 4


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions from `channels` to 4 · `width` channels, and a way around them."""

    def __init__(self, channels: int, width: int, stride: int, rng: nn.init.Random) -> None:
        wide = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False, rng=rng), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False, rng=rng)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, wide, 1, bias=False, rng=rng), nn.BatchNorm2d(wide)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != wide:
            projection = nn.Conv2d(channels, wide, 1, stride, bias=False, rng=rng)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(wide))

    def forward(self, x: gx.Tensor) -> Any:
        straight = x if self.downsample is None else self.downsample(x)
        y = gx.relu(self.bn1(self.conv1(x)))
        y = gx.relu(self.bn2(self.conv2(y)))
        return gx.relu(self.bn3(self.conv3(y)) + straight)


class ResNet(nn.Module):
    """Images (batch, 3, side, side) to (batch, classes): stages of so many `blocks`, the first `width` channels wide.

    The defaults are ResNet-50.
    """

    def __init__(
        self, blocks: Sequence[int] = (3, 4, 6, 3), width: int = 64, classes: int = 1000, *, rng: nn.init.Random = None
    ) -> None:
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False, rng=rng)
        self.bn1, self.maxpool = nn.BatchNorm2d(width), nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for stage, count in enumerate(blocks):
            layer = nn.Sequential()
            for block in range(count):
                stride = 2 if stage and not block else 1
                layer.append(Bottleneck(channels, width << stage, stride, rng))
                channels = EXPANSION * (width << stage)
            setattr(self, f"layer{stage + 1}", layer)
        self.stages = len(blocks)
        self.fc = nn.Linear(channels, classes, rng=rng)

    def forward(self, x: gx.Tensor) -> Any:
        x = self.maxpool(gx.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


def build(batch: int = 184, *, side: int = 224, classes: int = 1000, rng: nn.init.Random = ZEROS) -> Step:
    """A training step of ResNet-50. Its weights are 0 unless `rng` is given."""
    return training_step(ResNet(classes=classes, rng=rng), batch, side, classes)
