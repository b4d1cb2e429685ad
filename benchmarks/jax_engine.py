"""A workload run by JAX: the whole step under one jit, weights and moments donated, so that they are updated in place.

The number of XLA's threads follows from flags and from the cores that the process may use, both set before the import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import jax_twins
from benchmarks.engines import Built
from benchmarks.workload import LEARNING_RATE, Array, Data, Workload

__all__ = ["prepare", "setup"]

FIRST, SECOND, EPSILON, DECAY = 0.9, 0.999, 1e-8, 0.01  # AdamW as PyTorch has it by default


def setup(threads: int) -> None:
    """Start XLA's client; its threads were decided by the environment."""
    jax.devices()


def prepare(mode: str, workload: Workload, data: Data, threads: int, dtype: str = "float32") -> Callable[[], Built]:
    """What makes the jitted step, on the device that JAX chooses, with floats of a dtype."""
    forward = jax_twins.build(workload)
    parts = (data.weights, data.vectors, data.inputs)
    weights, vectors, inputs = ({name: _array(array, dtype) for name, array in part.items()} for part in parts)
    cotangent = inputs.pop("g", None)

    def build() -> Built:
        if workload.kind == "train":
            return Built(_training(forward, weights, inputs), lambda loss: [np.asarray(loss)], mode)
        if workload.kind == "gradient":
            return Built(_gradient(workload, forward, inputs, cotangent), _read, mode)
        if workload.kind == "hessian":
            return Built(_hessian(forward, weights, vectors, inputs), _read, mode)
        function = jax.jit(lambda inputs: [forward({}, **inputs)])
        return Built(lambda: jax.block_until_ready(function(inputs)), _read, mode)

    return build


def _array(array: Array, dtype: str) -> Any:
    return jnp.array(array, dtype if array.dtype.kind == "f" else None)


def _read(results: Any) -> list[Array]:
    return [np.asarray(result) for result in results]


def _training(forward: Any, weights: Any, inputs: Any) -> Callable[[], float]:
    def update(weights: Any, moments: Any, count: Any, inputs: Any) -> Any:
        loss, gradients = jax.value_and_grad(forward)(weights, **inputs)
        count = count + 1.0
        fresh = {name: _adamw(p, gradients[name], *moments[name], count) for name, p in weights.items()}
        pick = [{name: values[part] for name, values in fresh.items()} for part in range(2)]
        return loss, *pick, count

    function = jax.jit(update, donate_argnums=(0, 1, 2))
    state = (weights, {name: (jnp.zeros_like(p), jnp.zeros_like(p)) for name, p in weights.items()}, jnp.zeros(()))

    def step() -> float:
        nonlocal state
        loss, *state = function(*state, inputs)
        return float(loss)

    return step


def _adamw(p: Any, g: Any, mean: Any, square: Any, count: Any) -> tuple[Any, tuple[Any, Any]]:
    mean = mean + (1 - FIRST) * (g - mean)
    square = SECOND * square + (1 - SECOND) * g * g
    deviation = jnp.sqrt(square) / jnp.sqrt(1 - SECOND**count) + EPSILON
    step = LEARNING_RATE / (1 - FIRST**count) * mean / deviation
    return (p * (1 - LEARNING_RATE * DECAY) - step).astype(p.dtype), (mean, square)


def _gradient(workload: Workload, forward: Any, inputs: Any, cotangent: Any) -> Callable[[], Any]:
    def both(inputs: Any, cotangent: Any) -> list[Any]:
        variables = {name: inputs[name] for name in workload.wrt}
        value, pull = jax.vjp(lambda chosen: forward({}, **(inputs | chosen)), variables)
        (gradients,) = pull(jnp.ones_like(value) if cotangent is None else cotangent)
        return [value, *(gradients[name] for name in workload.wrt)]

    function = jax.jit(both)
    return lambda: jax.block_until_ready(function(inputs, cotangent))


def _hessian(forward: Any, weights: Any, vectors: Any, inputs: Any) -> Callable[[], Any]:
    def product(weights: Any, vectors: Any, inputs: Any) -> list[Any]:
        slope = jax.grad(lambda weights: forward(weights, **inputs))
        results = jax.jvp(slope, (weights,), (vectors,))[1]
        return [results[name] for name in names]

    names, function = list(weights), jax.jit(product)
    return lambda: jax.block_until_ready(function(weights, vectors, inputs))
