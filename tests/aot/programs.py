"""Programs for the tests of exporting, with everything a bundle can hold.

Each graph is built once, so that random streams are the same ones wherever it is compiled; `compiled` starts from the
same values of its parameters each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

__all__ = ["PROGRAMS", "arrays_for", "compiled"]


def inference() -> dict[str, Any]:
    """A constant table, two outputs, one of them an input handed back."""
    x = gx.input('x"*/ int main', (4, 6))
    table = gx.constant(np.linspace(-1, 1, 6, dtype=np.float32))
    return {"inputs": [x], "outputs": {"y": gx.softmax(x * table, axis=1), "again": x}}


def training() -> dict[str, Any]:
    """Dropout, so a random state; AdamW; two parameters of one name; labels."""
    nn.seed(0)
    x, labels = gx.input("x", (32, 20)), gx.input("labels", (32,), "int32")
    model = nn.Sequential(nn.Linear(20, 48), nn.GELU(), nn.Dropout(0.25), nn.LayerNorm(48), nn.Linear(48, 10))
    loss = nn.cross_entropy(model(x), labels)
    updates = optim.AdamW(lr=1e-2).minimize(loss, model.parameters())
    return {"inputs": [x, labels], "outputs": {"loss": loss}, "updates": updates, "seed": 7}


def budgeted() -> dict[str, Any]:
    """Within less memory: launches that rematerialise wholly and in part, dropout among them."""
    nn.seed(0)
    x, y = gx.input("x", (128, 32)), gx.input("y", (128, 32))
    layers = [nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Dropout(0.25), nn.LayerNorm(32)) for _ in range(5)]
    z: gx.Tensor = x
    for layer in layers:
        z = z + layer(z)
    weights = [weight for layer in layers for weight in layer.parameters()]
    updates = optim.SGD(lr=1e-2, momentum=0.9).minimize(nn.mse_loss(z, y), weights)
    return {"inputs": [x, y], "outputs": {"z": z}, "updates": updates, "seed": 7, "memory_budget": 0.8}


def nothing() -> dict[str, Any]:
    """No state, no launch."""
    x = gx.input("x", (3,), "int64")
    return {"inputs": [x], "outputs": x}


PROGRAMS: dict[str, Callable[[], dict[str, Any]]] = {
    "inference": inference, "training": training, "budgeted": budgeted, "nothing": nothing,
}  # fmt: skip


@cache
def _built(name: str) -> tuple[dict[str, Any], Mapping[gx.Parameter, Any]]:
    arguments = PROGRAMS[name]()
    return arguments, {parameter: parameter.value for parameter in arguments.get("updates", ())}


def compiled(name: str, backend: str) -> gx.Program:
    """The program, its parameters at their first values. Programs of one name share them: use one after the other."""
    arguments, start = _built(name)
    for parameter, value in start.items():
        parameter.value = value
    return gx.compile(**arguments, backend=backend)


def arrays_for(program: gx.Program, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Arguments: floats around 0, integers below 10."""
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(i.type.shape).astype(i.type.dtype.numpy)
        if i.type.dtype.is_float
        else rng.integers(0, 10, i.type.shape).astype(i.type.dtype.numpy)
        for i in program.inputs
    ]
