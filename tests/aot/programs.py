"""Programs for the tests of exporting: built the same way each time, with everything a bundle can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

__all__ = ["PROGRAMS", "arrays_for"]


def inference(backend: str) -> gx.Program:
    """A constant table, two outputs, one of them an input handed back."""
    x = gx.input('x"*/ int main', (4, 6))
    table = gx.constant(np.linspace(-1, 1, 6, dtype=np.float32))
    y = gx.softmax(x * table, axis=1)
    return gx.compile([x], {"y": y, "again": x}, backend=backend)


def training(backend: str) -> gx.Program:
    """Dropout, so a random state; AdamW; two parameters of one name; labels."""
    nn.seed(0)
    x, labels = gx.input("x", (32, 20)), gx.input("labels", (32,), "int32")
    model = nn.Sequential(nn.Linear(20, 48), nn.GELU(), nn.LayerNorm(48), nn.Linear(48, 10))
    loss = nn.cross_entropy(model(x), labels)
    updates = optim.AdamW(lr=1e-2).minimize(loss, model.parameters())
    return gx.compile([x, labels], {"loss": loss}, updates, backend=backend, seed=7)


def nothing(backend: str) -> gx.Program:
    """No state, no launch."""
    x = gx.input("x", (3,), "int64")
    return gx.compile([x], x, backend=backend)


PROGRAMS: dict[str, Callable[[str], gx.Program]] = {"inference": inference, "training": training, "nothing": nothing}


def arrays_for(program: gx.Program, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Arguments: floats around 0, integers below 10."""
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(i.type.shape).astype(i.type.dtype.numpy)
        if i.type.dtype.is_float
        else rng.integers(0, 10, i.type.shape).astype(i.type.dtype.numpy)
        for i in program.inputs
    ]
