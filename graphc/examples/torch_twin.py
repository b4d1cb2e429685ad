"""The same model in PyTorch, for comparing speed: layers by name, values by `state_dict`.

PyTorch is optional; `available()` says whether it can be imported here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from graphc import nn

__all__ = ["available", "training_step"]


def available() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def twin(model: nn.Sequential) -> Any:
    """A `torch.nn.Sequential` of the same layers with the same values."""
    import torch

    copy = torch.nn.Sequential(*(_layer(torch.nn, layer) for layer in model))
    copy.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    return copy


def _layer(peers: Any, layer: nn.Module) -> Any:
    kind = getattr(peers, type(layer).__name__)
    if isinstance(layer, nn.Linear):
        return kind(layer.in_features, layer.out_features, layer.bias is not None)
    if isinstance(layer, nn.Conv2d):
        sizes, bias = (layer.in_channels, layer.out_channels, layer.kernel_size), layer.bias is not None
        return kind(*sizes, layer.stride, layer.padding, layer.dilation, layer.groups, bias)
    if isinstance(layer, nn.BatchNorm2d):
        return kind(layer.num_features, layer.eps, layer.momentum)
    if isinstance(layer, nn.MaxPool2d):
        return kind(layer.kernel_size, layer.stride, layer.padding)
    return kind(layer.p) if isinstance(layer, nn.Dropout) else kind()


def training_step(model: nn.Sequential, threads: int) -> Callable[[Any, Any], float]:
    """`(images, labels) → loss`: forward, backward and AdamW in eager PyTorch, from NumPy arrays as graphc's step."""
    import torch

    copy = twin(model).train()
    optimizer = torch.optim.AdamW(copy.parameters(), lr=1e-3)

    def step(images: Any, labels: Any) -> float:
        if torch.get_num_threads() != threads:  # setting it makes a new pool each time
            torch.set_num_threads(threads)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(copy(torch.from_numpy(images)), torch.from_numpy(labels).long())
        torch.autograd.backward(loss)
        optimizer.step()
        return float(loss.item())

    return step
