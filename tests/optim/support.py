"""Runs the updates of an optimiser step by step with the reference interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc as gx
from graphc import optim
from graphc.ops.reference import evaluate

Array = np.ndarray[Any, Any]


def run_updates(updates: dict[Any, Any], values: dict[Any, Any]) -> None:
    """One step: all next values are computed from the present ones, then written."""
    following = evaluate(updates.values(), values)
    for parameter, value in zip(updates, following, strict=True):
        parameter.value = value


def run_optimizer(optimizer: optim.Optimizer, start: list[Array], gradients: list[list[Array]]) -> list[Array]:
    """The parameters after one step for each list of gradients."""
    parameters = [gx.parameter(f"p{i}", value) for i, value in enumerate(start)]
    inputs = [gx.input(f"g{i}", value.shape, value.dtype) for i, value in enumerate(start)]
    updates = optimizer.apply(dict(zip(parameters, inputs, strict=True)))
    for step in gradients:
        run_updates(updates, dict(zip(inputs, step, strict=True)))
    return [parameter.value for parameter in parameters]


def problem(seed: int = 0, steps: int = 20, dtype: str = "float32") -> tuple[list[Array], list[list[Array]]]:
    """Two parameters and random gradients for each step."""
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (5,))]
    return start, [[rng.normal(size=value.shape).astype(dtype) for value in start] for _ in range(steps)]
