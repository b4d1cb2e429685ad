"""The workloads' models in PyTorch, with the same names for their parameters. Imported where PyTorch is installed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["build"]


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(64, 256, 2), nn.Linear(256, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][-1])


class _Attention(nn.Module):
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
    def __init__(self, layers: int, size: int, heads: int, steps: int, characters: int) -> None:
        super().__init__()
        self.characters = characters
        self.token, self.position = nn.Embedding(characters, size), nn.Embedding(steps, size)
        self.blocks = nn.Sequential(*(self._block(size, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, characters, bias=False)

    def _block(self, size: int, heads: int) -> Any:
        hidden = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        attention = nn.Sequential(nn.LayerNorm(size), _Attention(size, heads))
        return nn.Sequential(_Residual(attention), _Residual(hidden))

    def forward(self, codes: Any) -> Any:
        x = self.token(codes) + self.position(torch.arange(codes.shape[1]))
        return self.head(self.norm(self.blocks(x))).view(-1, self.characters)


def build(name: str, state: dict[str, Any]) -> Any:
    """The twin of a workload's model, with the values of `state`."""
    match name:
        case "tiny":
            model: Any = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
        case "mlp":
            model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        case "gelumlp":
            model = nn.Sequential(
                nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(),
                nn.Linear(1024, 256), nn.LayerNorm(256), nn.Linear(256, 10),
            )  # fmt: skip
        case "cnn":
            model = nn.Sequential(
                nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Linear(64 * 8 * 8, 10),
            )  # fmt: skip
        case "lstm":
            model = _Recurrent()
        case "gpt":
            model = _GPT(6, 384, 6, 256, 65)
        case _:
            raise KeyError(name)
    model.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    return model
