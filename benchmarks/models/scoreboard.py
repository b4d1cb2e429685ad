"""The models of the workloads, written in graphc. `torch_twins` and `jax_twins` hold the same for the peers.

Parameters are called as PyTorch's are, so that all start from the same values.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import graphc as gx
from benchmarks.workload import Sizes
from graphc import nn

__all__ = ["GPT", "BasicBlock", "Encoder", "Recurrent", "cnn", "gelumlp", "mlp", "tanh_mlp", "tiny"]


def tiny(n: Sizes) -> nn.Module:
    return nn.Sequential(nn.Linear(n["inputs"], n["hidden"]), nn.ReLU(), nn.Linear(n["hidden"], 1))


def mlp(n: Sizes) -> nn.Module:
    size, hidden, classes = n["inputs"], n["hidden"], n["classes"]
    return nn.Sequential(
        nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )


def gelumlp(n: Sizes) -> nn.Module:
    size, hidden, classes = n["inputs"], n["hidden"], n["classes"]
    return nn.Sequential(
        nn.LayerNorm(size), nn.Linear(size, hidden), nn.GELU(),
        nn.Linear(hidden, size), nn.LayerNorm(size), nn.Linear(size, classes),
    )  # fmt: skip


def cnn(n: Sizes) -> nn.Module:
    first, second, side = n["first"], n["second"], n["side"] // 4
    return nn.Sequential(
        nn.Conv2d(n["channels"], first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(second * side * side, n["classes"]),
    )  # fmt: skip


def tanh_mlp(n: Sizes) -> nn.Module:
    """Layers of one width with tanh between them, and one output."""
    widths = [n["inputs"], *[n["hidden"]] * (n["layers"] - 1), 1]
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


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

    def forward(self, x: gx.Tensor) -> Any:
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
        h, c = (gx.zeros((batch, self.hidden), projected.dtype) for _ in range(2))
        outputs = []
        for step in range(steps):
            i, f, g, o = gx.split(projected[step] + h @ weight_hh.T, 4, axis=1)
            c = gx.sigmoid(f) * c + gx.sigmoid(i) * gx.tanh(g)
            h = gx.sigmoid(o) * gx.tanh(c)
            outputs.append(h)
        return outputs


def attention(qkv: gx.Tensor, heads: int, causal: bool) -> Any:
    """Attention with several heads over (batch, steps, 3 · size); a step sees none that come after it if `causal`."""
    batch, steps, size = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = (
        part.reshape(batch, steps, heads, size // heads).transpose(0, 2, 1, 3) for part in gx.split(qkv, 3, axis=2)
    )
    y = gx.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return y.transpose(0, 2, 1, 3).reshape(batch, steps, size)


class CausalAttention(nn.Module):
    """Causal self-attention over (batch, steps, size)."""

    def __init__(self, size: int, heads: int) -> None:
        self.heads = heads
        self.qkv, self.projection = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: gx.Tensor) -> Any:
        return self.projection(attention(self.qkv(x), self.heads, causal=True))


class GPT(nn.Module):
    """A transformer over characters: (batch, steps) codes → (batch · steps, characters) logits.

    `dropout` zeroes that part of what each half of a block adds, and of the embeddings.
    """

    def __init__(self, layers: int, size: int, heads: int, steps: int, characters: int, dropout: float = 0.0) -> None:
        self.characters = characters
        self.drop = nn.Sequential(*[nn.Dropout(dropout)] * (dropout > 0))
        self.token, self.position = nn.Embedding(characters, size), nn.Embedding(steps, size)
        self.blocks = nn.Sequential(*(self._block(size, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, characters, bias=False)

    def _block(self, size: int, heads: int) -> nn.Module:
        wide = nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size)
        hidden = nn.Sequential(nn.LayerNorm(size), *wide, *self.drop)
        attending = nn.Sequential(nn.LayerNorm(size), CausalAttention(size, heads), *self.drop)
        return nn.Sequential(nn.Residual(attending), nn.Residual(hidden))

    def forward(self, codes: gx.Tensor) -> Any:
        x = self.drop(self.token(codes) + self.position(np.arange(codes.shape[1])))
        return self.head(self.norm(self.blocks(x))).reshape(-1, self.characters)


class Recurrent(nn.Module):
    """An LSTM and a linear layer on what it gives last."""

    def __init__(self, size: int, hidden: int, layers: int, classes: int) -> None:
        self.lstm, self.head = LSTM(size, hidden, layers), nn.Linear(hidden, classes)

    def forward(self, x: gx.Tensor) -> Any:
        return self.head(self.lstm(x))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation, and a way around them (He et al. 2015)."""

    def __init__(self, channels: int) -> None:
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: gx.Tensor) -> Any:
        y = gx.relu(self.bn1(self.conv1(x)))
        return gx.relu(self.bn2(self.conv2(y)) + x)


class SelfAttention(nn.Module):
    """Self-attention over (batch, steps, size); the names of PyTorch's nn.MultiheadAttention."""

    def __init__(self, size: int, heads: int) -> None:
        self.heads = heads
        bound = math.sqrt(6.0 / (4 * size))
        self.in_proj_weight = gx.parameter("in_proj_weight", nn.init.uniform((3 * size, size), None, -bound, bound))
        self.in_proj_bias = gx.parameter("in_proj_bias", np.zeros(3 * size, np.float32))
        self.out_proj = nn.Linear(size, size)

    def forward(self, x: gx.Tensor) -> Any:
        qkv = gx.linear(x, self.in_proj_weight, self.in_proj_bias)
        return self.out_proj(attention(qkv, self.heads, causal=False))


class EncoderLayer(nn.Module):
    """A transformer's encoder layer, normalised after each part; the names of PyTorch's nn.TransformerEncoderLayer."""

    def __init__(self, size: int, heads: int, hidden: int) -> None:
        self.self_attn = SelfAttention(size, heads)
        self.linear1, self.linear2 = nn.Linear(size, hidden), nn.Linear(hidden, size)
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)

    def forward(self, x: gx.Tensor) -> Any:
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(gx.relu(self.linear1(x))))


class Encoder(nn.Module):
    """Encoder layers one after another."""

    def __init__(self, layers: int, size: int, heads: int, hidden: int) -> None:
        self.layers = nn.Sequential(*(EncoderLayer(size, heads, hidden) for _ in range(layers)))

    def forward(self, x: gx.Tensor) -> Any:
        return self.layers(x)
