"""A workload run by PyTorch: eager, or with the forward computation and the loss through torch.compile.

AdamW is PyTorch's fused one, outside of what is compiled, as its users do. A product writes into its result. All is
on the CPU and in the dtypes of the data, unless another device and another dtype of floats are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch

from benchmarks import torch_twins
from benchmarks.engines import Built
from benchmarks.workload import LEARNING_RATE, Array, Data, Workload

__all__ = ["prepare", "setup"]

COMPILERS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda function: function,
    "compile": torch.compile,
    "reduce-overhead": partial(torch.compile, mode="reduce-overhead"),  # by CUDA graphs
    "traced": partial(torch.compile, backend="aot_eager"),  # nothing is compiled, which takes no time: for tests
}


def setup(threads: int) -> None:
    """Set the number of threads, and import what torch.compile would import in its first call."""
    torch.set_num_threads(threads)
    for name in ("torch._dynamo", "torch._inductor.compile_fx", "torch._inductor.codegen.cpp"):
        import_module(name)


def prepare(
    mode: str, workload: Workload, data: Data, threads: int, device: str = "cpu", dtype: str = "float32"
) -> Callable[[], Built]:
    """What makes the step, eager or compiled in one of several ways."""
    forward, place = torch_twins.build(workload, data), {"device": device, "dtype": getattr(torch, dtype)}
    if data.weights:
        forward = forward.to(**place)
    if any(array.ndim == 4 for array in data.inputs.values()):
        forward = forward.to(memory_format=torch.channels_last)
    inputs = {name: _tensor(array).to(device) for name, array in data.inputs.items() if name != "g"}
    inputs = {name: part.to(**place) if part.is_floating_point() else part for name, part in inputs.items()}
    make = {"train": _training, "gradient": _gradient, "hessian": _hessian, "value": _value}[workload.kind]

    def build() -> Built:
        step = make(workload, data, forward, inputs, COMPILERS[mode])
        return Built(step, _read, mode)

    return build


def _tensor(array: Array) -> Any:
    """PyTorch wants labels as long integers, and is faster on images with the channels last."""
    tensor = torch.from_numpy(array.copy())
    if array.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.long() if array.dtype.kind == "i" else tensor


def _read(result: Any) -> list[Array]:
    return [np.asarray(result)] if isinstance(result, float) else [part.detach().cpu().numpy() for part in result]


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
    cotangent = torch.from_numpy(data.inputs["g"]).to(variables[0]) if "g" in data.inputs else None
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
    vectors = {
        name: torch.from_numpy(data.vectors[name.removeprefix("model.")]).to(part) for name, part in weights.items()
    }

    def double_backward() -> list[Any]:
        wrt = list(weights.values())
        gradients = torch.autograd.grad(model(**inputs), wrt, create_graph=True)
        return list(torch.autograd.grad(gradients, wrt, list(vectors.values())))

    def loss(weights: dict[str, Any]) -> Any:
        return torch.func.functional_call(model, weights, kwargs=inputs)

    def slope(weights: dict[str, Any]) -> Any:
        return sum((part * vectors[name]).sum() for name, part in torch.func.grad(loss)(weights).items())

    if compiled is COMPILERS["eager"]:
        return double_backward
    function, values = compiled(torch.func.grad(slope)), {name: part.detach() for name, part in weights.items()}
    return lambda: list(function(values).values())


def _value(workload: Workload, data: Data, value: Any, inputs: dict[str, Any], compiled: Any) -> Callable[[], Any]:
    forward, result = compiled(value), torch.empty_like(value(**inputs))

    def step() -> list[Any]:
        return [forward(**inputs, out=result)]

    return step
