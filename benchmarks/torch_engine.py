"""A workload run by PyTorch: eager, or with the forward computation and the loss through torch.compile.

AdamW is PyTorch's fused one, outside of what is compiled, as its users do. A product writes into its result.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch

from benchmarks import torch_twins
from benchmarks.engines import Built
from benchmarks.workload import LEARNING_RATE, Array, Data, Workload

__all__ = ["prepare", "setup"]


def setup(threads: int) -> None:
    """Set the number of threads, and import what torch.compile would import in its first call."""
    torch.set_num_threads(threads)
    for name in ("torch._dynamo", "torch._inductor.compile_fx", "torch._inductor.codegen.cpp"):
        import_module(name)


def prepare(mode: str, workload: Workload, data: Data, threads: int) -> Callable[[], Built]:
    """What makes the step, eager or compiled."""
    forward = torch_twins.build(workload, data)
    if any(array.ndim == 4 for array in data.inputs.values()):
        forward = forward.to(memory_format=torch.channels_last)
    inputs = {name: _tensor(array) for name, array in data.inputs.items() if name != "g"}
    make = {"train": _training, "gradient": _gradient, "hessian": _hessian, "value": _value}[workload.kind]

    def build() -> Built:
        step = make(workload, data, forward, inputs, torch.compile if mode == "compile" else _unchanged)
        return Built(step, _read, mode)

    return build


def _tensor(array: Array) -> Any:
    """PyTorch wants labels as long integers, and is faster on images with the channels last."""
    tensor = torch.from_numpy(array.copy())
    if array.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.long() if array.dtype.kind == "i" else tensor


def _unchanged(function: Any) -> Any:
    return function


def _read(result: Any) -> list[Array]:
    return [np.asarray(result)] if isinstance(result, float) else [part.detach().numpy() for part in result]


def _training(workload: Workload, data: Data, model: Any, inputs: dict[str, Any], compiled: Any) -> Callable[[], Any]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    forward = compiled(model)

    def step() -> float:
        optimizer.zero_grad()
        loss = forward(**inputs)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def _gradient(workload: Workload, data: Data, value: Any, inputs: dict[str, Any], compiled: Any) -> Callable[[], Any]:
    variables = [inputs[name].requires_grad_() for name in workload.wrt]
    cotangent = torch.from_numpy(data.inputs["g"]) if "g" in data.inputs else None
    forward = compiled(value)

    def step() -> list[Any]:
        y = forward(**inputs)
        return [y.detach(), *torch.autograd.grad(y, variables, cotangent)]

    return step


def _hessian(workload: Workload, data: Data, model: Any, inputs: dict[str, Any], compiled: Any) -> Callable[[], Any]:
    """The gradient of (gradient · vector): by autograd, or by torch.func where compiled.

    torch.compile refuses a double backward through a compiled model, and crashes on forward over reverse.
    """
    weights = dict(model.named_parameters())
    vectors = {name: torch.from_numpy(data.vectors[name.removeprefix("model.")]) for name in weights}

    def double_backward() -> list[Any]:
        wrt = list(weights.values())
        gradients = torch.autograd.grad(model(**inputs), wrt, create_graph=True)
        return list(torch.autograd.grad(gradients, wrt, list(vectors.values())))

    def loss(weights: dict[str, Any]) -> Any:
        return torch.func.functional_call(model, weights, kwargs=inputs)

    def slope(weights: dict[str, Any]) -> Any:
        return sum((part * vectors[name]).sum() for name, part in torch.func.grad(loss)(weights).items())

    if compiled is _unchanged:
        return double_backward
    function, values = compiled(torch.func.grad(slope)), {name: part.detach() for name, part in weights.items()}
    return lambda: list(function(values).values())


def _value(workload: Workload, data: Data, value: Any, inputs: dict[str, Any], compiled: Any) -> Callable[[], Any]:
    forward, result = compiled(value), torch.empty_like(value(**inputs))

    def step() -> list[Any]:
        return [forward(**inputs, out=result)]

    return step
