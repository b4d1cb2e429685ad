"""The workloads: models, losses and batches, written once in graphc. `torch_twins` holds the same models for PyTorch.

A model's parameters are called as the twin's are, so both start from the same values. A step is forward, backward
and AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn

__all__ = ["LEARNING_RATE", "WORKLOADS", "Workload"]

Array = np.ndarray[Any, Any]
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """`build` makes the model; its input and target have these shapes; targets below `classes` are labels.

    `tokens` is the number of different inputs where inputs are integers, else 0; `classes` is 0 for a regression.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    classes: int = 0
    tokens: int = 0

    def model(self) -> nn.Module:
        """The model with its initial values, the same at each call."""
        nn.seed(0)
        return self.build()

    def batch(self) -> tuple[Array, Array]:
        """Random inputs and targets, the same at each call."""
        rng = np.random.default_rng(0)

        def draw(shape: tuple[int, ...], kinds: int) -> Array:
            if kinds:
                return rng.integers(0, kinds, shape).astype(np.int32)
            return rng.standard_normal(shape).astype(np.float32)

        return draw(self.input_shape, self.tokens), draw(self.target_shape, self.classes)


def _tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def _gelumlp() -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256), nn.LayerNorm(256), nn.Linear(256, 10)
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 8 * 8, 10),
    )  # fmt: skip


class LSTM(nn.Module):
    """Layers of LSTM cells over a sequence (steps, batch, size), unrolled; the names of PyTorch's nn.LSTM."""

    def __init__(self, size: int, hidden: int, layers: int) -> None:
        self.hidden, self.layers = hidden, layers
        bound = 1.0 / math.sqrt(hidden)
        for layer in range(layers):
            wide = size if layer == 0 else hidden
            for name, shape in (("weight_ih", (4 * hidden, wide)), ("weight_hh", (4 * hidden, hidden)),
                                ("bias_ih", (4 * hidden,)), ("bias_hh", (4 * hidden,))):  # fmt: skip
                value = nn.init.uniform(shape, None, -bound, bound)
                setattr(self, f"{name}_l{layer}", gx.parameter(f"{name}_l{layer}", value))

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        """The output of the last layer at the last step: (batch, hidden)."""
        steps, batch, _ = x.shape
        for layer in range(self.layers):
            weight_ih, weight_hh, bias_ih, bias_hh = (
                getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            projected = x.reshape(steps * batch, x.shape[-1]) @ weight_ih.T + (bias_ih + bias_hh)
            projected = projected.reshape(steps, batch, 4 * self.hidden)
            outputs = self._run(projected, weight_hh)
            x = gx.stack(outputs)
        return outputs[-1]

    def _run(self, projected: gx.Tensor, weight_hh: gx.Tensor) -> list[gx.Tensor]:
        steps, batch, _ = projected.shape
        h, c = gx.zeros((batch, self.hidden)), gx.zeros((batch, self.hidden))
        outputs = []
        for step in range(steps):
            i, f, g, o = gx.split(projected[step] + h @ weight_hh.T, 4, axis=1)
            c = gx.sigmoid(f) * c + gx.sigmoid(i) * gx.tanh(g)
            h = gx.sigmoid(o) * gx.tanh(c)
            outputs.append(h)
        return outputs


class Attention(nn.Module):
    """Causal self-attention with several heads over (batch, steps, size)."""

    def __init__(self, size: int, heads: int) -> None:
        self.heads = heads
        self.qkv, self.projection = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        batch, steps, size = x.shape
        q, k, v = (
            part.reshape(batch, steps, self.heads, size // self.heads).transpose(0, 2, 1, 3)
            for part in gx.split(self.qkv(x), 3, axis=2)
        )
        y = gx.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.projection(y.transpose(0, 2, 1, 3).reshape(batch, steps, size))


class GPT(nn.Module):
    """A transformer over characters: (batch, steps) codes → (batch · steps, characters) logits."""

    def __init__(self, layers: int, size: int, heads: int, steps: int, characters: int) -> None:
        self.characters = characters
        self.token, self.position = nn.Embedding(characters, size), nn.Embedding(steps, size)
        self.blocks = nn.Sequential(*(self._block(size, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, characters, bias=False)

    def _block(self, size: int, heads: int) -> nn.Module:
        hidden = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        attention = nn.Sequential(nn.LayerNorm(size), Attention(size, heads))
        return nn.Sequential(nn.Residual(attention), nn.Residual(hidden))

    def forward(self, codes: gx.Tensor) -> gx.Tensor:
        x = self.token(codes) + self.position(np.arange(codes.shape[1]))
        return self.head(self.norm(self.blocks(x))).reshape(-1, self.characters)


class Recurrent(nn.Module):
    """An LSTM and a linear layer on what it gives last."""

    def __init__(self) -> None:
        self.lstm, self.head = LSTM(64, 256, 2), nn.Linear(256, 10)

    def forward(self, x: gx.Tensor) -> gx.Tensor:
        return self.head(self.lstm(x))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", "10-32-1 ReLU, batch 64, MSE", _tiny, (64, 10), (64, 1)),
        Workload("mlp", "784-512-512-10 ReLU, batch 128", _mlp, (128, 784), (128,), 10),
        Workload("gelumlp", "LN-256-1024-GELU-256-LN-10, batch 256", _gelumlp, (256, 256), (256,), 10),
        Workload("cnn", "conv32-pool-conv64-pool-10, batch 64 of 3×32×32", _cnn, (64, 3, 32, 32), (64,), 10),
        Workload("lstm", "2 layers 64→256, 50 steps unrolled, batch 32", Recurrent, (50, 32, 64), (32,), 10),
        Workload("gpt", "6 layers, d 384, 6 heads, T 256, batch 8",
                 lambda: GPT(6, 384, 6, 256, 65), (8, 256), (8 * 256,), 65, 65),
    )
}  # fmt: skip
