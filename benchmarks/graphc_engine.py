"""A workload run by graphc: one program holds the whole step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gx
from benchmarks.engines import Built
from benchmarks.workload import LEARNING_RATE, Array, Data, Workload
from graphc import nn, optim
from graphc.ir.types import DTYPES

__all__ = ["prepare", "setup", "step_of"]


def setup(threads: int) -> None:
    """Nothing: a program is told its threads when it is compiled."""


def prepare(backend: str, workload: Workload, data: Data, threads: int) -> Callable[[], Built]:
    """What compiles the step for `backend`. Results are written into arrays that are made once."""
    step = step_of(workload, data)

    def build() -> Built:
        tensors, outputs, updates, arrays = step()
        program = gx.compile(tensors, outputs, updates, backend=backend, threads=threads)
        if workload.kind == "train":
            read: Callable[[Any], list[Array]] = lambda loss: [np.asarray(loss)]  # noqa: E731
            return Built(lambda: float(program(*arrays)), read, program.backend, program.memory)
        results = [np.empty(output.type.shape, output.type.dtype.numpy) for output in program.outputs]
        return Built(lambda: program(*arrays, out=results), list, program.backend, program.memory)

    return build


def step_of(
    workload: Workload, data: Data, dtype: str = "float32"
) -> Callable[[], tuple[list[gx.Tensor], Any, Any, list[Array]]]:
    """What builds the step: its inputs, outputs and updates, and the arrays of a call; floats are of a dtype."""
    model = workload.build_model()
    if model is not None:
        model.load_state_dict(data.weights | data.buffers)
        _convert(model, dtype)
    given = data.inputs | {f"vector of {name}": vector for name, vector in data.vectors.items()}
    given = {name: _converted(array, dtype) for name, array in given.items()}

    def build() -> tuple[list[gx.Tensor], Any, Any, list[Array]]:
        tensors = {name: gx.input(name, array.shape, array.dtype) for name, array in given.items()}
        return [*tensors.values()], *_asked(workload, model, tensors), list(given.values())

    return build


def _convert(model: nn.Module, dtype: str) -> None:
    """Put parameters of the dtype in the places of the model's own."""
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters().items():
        if parameter.dtype.name != dtype:
            path, _, own = name.rpartition(".")
            setattr(modules[path], own, gx.parameter(name, _converted(parameter.value, dtype)))


def _converted(array: Array, dtype: str) -> Array:
    return array.astype(DTYPES[dtype].numpy, copy=False) if array.dtype.kind == "f" else array


def _asked(workload: Workload, model: nn.Module | None, tensors: dict[str, gx.Tensor]) -> tuple[Any, Any]:
    """The outputs and the updates of the step."""
    inputs = {name: tensor for name, tensor in tensors.items() if not name.startswith("vector of ") and name != "g"}
    value = workload.forward(model, **inputs)
    if workload.kind == "train" and model is not None:
        return value, optim.AdamW(lr=LEARNING_RATE).minimize(value, model.parameters())
    if workload.kind == "gradient":
        variables = [tensors[name] for name in workload.wrt]
        return [value, *gx.vjp(value, variables, tensors.get("g", np.float32(1)))], None
    if workload.kind == "hessian" and model is not None:
        named = model.named_parameters()
        return gx.hvp(value, list(named.values()), [tensors[f"vector of {name}"] for name in named]), None
    return [value], None
