"""The workloads in PyTorch, with the same names for their parameters. Imported where PyTorch is installed.

A twin takes the workload's inputs by name and answers with its value: a module where there are weights, else a
function.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.workload import Data, Sizes, Workload

__all__ = ["FUNCTIONS", "MODELS", "build"]


class _Recurrent(nn.Module):
    def __init__(self, n: Sizes) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n["inputs"], n["hidden"], n["layers"])
        self.head = nn.Linear(n["hidden"], n["classes"])

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][-1])


class _CausalAttention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.projection = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: Any) -> Any:
        batch, steps, size = x.shape
        q, k, v = (
            part.view(batch, steps, self.heads, size // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(size, dim=2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.projection(y.transpose(1, 2).reshape(batch, steps, size))


class _Residual(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class _GPT(nn.Module):
    def __init__(self, n: Sizes) -> None:
        super().__init__()
        size, self.characters = n["size"], n["characters"]
        self.token, self.position = nn.Embedding(self.characters, size), nn.Embedding(n["steps"], size)
        self.blocks = nn.Sequential(*(self._block(size, n["heads"]) for _ in range(n["layers"])))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, self.characters, bias=False)

    def _block(self, size: int, heads: int) -> Any:
        hidden = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        attention = nn.Sequential(nn.LayerNorm(size), _CausalAttention(size, heads))
        return nn.Sequential(_Residual(attention), _Residual(hidden))

    def forward(self, codes: Any) -> Any:
        x = self.token(codes) + self.position(torch.arange(codes.shape[1], device=codes.device))
        return self.head(self.norm(self.blocks(x))).view(-1, self.characters)


class _Encoder(nn.Module):
    def __init__(self, n: Sizes) -> None:
        super().__init__()
        sizes = n["size"], n["heads"], n["hidden"]
        layers = (nn.TransformerEncoderLayer(*sizes, dropout=0.0, batch_first=True) for _ in range(n["layers"]))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class _BasicBlock(nn.Module):
    def __init__(self, n: Sizes) -> None:
        super().__init__()
        channels = n["channels"]
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + x)


def _tiny(n: Sizes) -> Any:
    return nn.Sequential(nn.Linear(n["inputs"], n["hidden"]), nn.ReLU(), nn.Linear(n["hidden"], 1))


def _mlp(n: Sizes) -> Any:
    size, hidden, classes = n["inputs"], n["hidden"], n["classes"]
    return nn.Sequential(
        nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )


def _gelumlp(n: Sizes) -> Any:
    size, hidden, classes = n["inputs"], n["hidden"], n["classes"]
    return nn.Sequential(
        nn.LayerNorm(size), nn.Linear(size, hidden), nn.GELU(),
        nn.Linear(hidden, size), nn.LayerNorm(size), nn.Linear(size, classes),
    )  # fmt: skip


def _cnn(n: Sizes) -> Any:
    first, second, side = n["first"], n["second"], n["side"] // 4
    return nn.Sequential(
        nn.Conv2d(n["channels"], first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(second * side * side, n["classes"]),
    )  # fmt: skip


def _tanh_mlp(n: Sizes) -> Any:
    widths = [n["inputs"], *[n["hidden"]] * (n["layers"] - 1), 1]
    layers = [layer for wide, narrow in itertools.pairwise(widths) for layer in (nn.Linear(wide, narrow), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def _chain(x: Any) -> Any:
    y = torch.tanh(x * 0.9 + 0.1)
    y = torch.relu(y - 0.2) * x
    y = torch.exp(y * -0.5) + y
    y = torch.sigmoid(y) * 1.5 - x
    y = torch.clamp(y * y, min=0.25) + 1.0
    return torch.sqrt(y) * 0.7 + x / y - 0.3


def _softmax(x: Any) -> Any:
    return functional.softmax(x, dim=1)


def _layer_norm(x: Any, w: Any, b: Any) -> Any:
    return functional.layer_norm(x, (x.shape[1],), w, b, 1e-5)


def _cross_entropy(x: Any, y: Any) -> Any:
    return functional.cross_entropy(x, y)


def _potential(positions: Any, masses: Any) -> Any:
    square = 0.01
    for axis in range(3):
        difference = positions[axis][:, None] - positions[axis]
        square = square + difference * difference
    return -0.5 * torch.sum(masses[:, None] * masses * torch.rsqrt(square))


def _product(a: Any, b: Any, out: Any = None) -> Any:
    return torch.mm(a, b, out=out)


def _transposed_product(a: Any, b: Any, out: Any = None) -> Any:
    return torch.mm(a.T, b, out=out)


Loss = Callable[[Any, Any], Any]
MODELS: dict[str, tuple[Callable[[Sizes], Any], Loss]] = {
    "tiny": (_tiny, functional.mse_loss),
    "mlp": (_mlp, functional.cross_entropy),
    "gelumlp": (_gelumlp, functional.cross_entropy),
    "cnn": (_cnn, functional.cross_entropy),
    "lstm": (_Recurrent, functional.cross_entropy),
    "gpt": (_GPT, functional.cross_entropy),
    "encoder": (_Encoder, functional.mse_loss),
    "resnet": (_BasicBlock, functional.mse_loss),
    "hvp": (_tanh_mlp, functional.mse_loss),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "chain": _chain,
    "chain-64k": _chain,
    "softmax": _softmax,
    "layer-norm": _layer_norm,
    "cross-entropy": _cross_entropy,
    "nbody": _potential,
}


class _WithLoss(nn.Module):
    """A model and its loss: the whole forward computation, so that one compilation holds it."""

    def __init__(self, model: Any, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Any, y: Any) -> Any:
        return self.loss(self.model(x), y)


def build(workload: Workload, data: Data) -> Any:
    """The twin of a workload, with the values of `data`."""
    if workload.kind == "value":
        return _transposed_product if workload.name.endswith("-ta") else _product
    if workload.name in FUNCTIONS:
        return FUNCTIONS[workload.name]
    make, loss = MODELS[workload.name]
    model = make(workload.sizes)
    model.load_state_dict({name: torch.tensor(value) for name, value in (data.weights | data.buffers).items()})
    return _WithLoss(model, loss)
