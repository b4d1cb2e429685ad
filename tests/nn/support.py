"""Builds a module on arrays and runs it with the reference interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gx
from graphc import nn
from graphc.ir.graph import topological
from graphc.ops.reference import evaluate

Array = np.ndarray[Any, Any]


def forward(module: nn.Module, *arrays: Array, seed: int = 0, step: int = 0) -> Array:
    """The value of `module` on arrays."""
    inputs = [gx.input(f"x{i}", array.shape, array.dtype) for i, array in enumerate(arrays)]
    return evaluate([module(*inputs)], dict(zip(inputs, arrays, strict=True)), seed=seed, step=step)[0]


def apply_marked_updates(result: gx.Tensor, values: dict[Any, Any]) -> None:
    """Write what the `with_update` marks under `result` ask for, as a compiled program does after each call."""
    marks = [node for node in topological([result]) if node.op == "with_update"]
    following = evaluate([mark.inputs[2] for mark in marks], values)
    for mark, value in zip(marks, following, strict=True):
        mark.inputs[1].value = value


def random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
