"""PyTorch's own operator samples through our functions: `python -m tests.torch_samples [NAME ...]`, a local command.

It needs torch and expecttest. Every sample in float64 of an operator that a function of ours is named after (or that
the table names) is built, evaluated by the reference and compared: the value, and where PyTorch has one, the
derivative. A sample whose arguments our function does not take is counted as refused.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphc.errors import GraphcError
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from tests.ops.helpers import Array, input_tensor

OURS = {
    "clamp": "clip", "cat": "concatenate", "movedim": "moveaxis", "mul": "multiply", "sub": "subtract",
    "neg": "negative", "ge": "greater_equal", "gt": "greater", "le": "less_equal", "lt": "less", "ne": "not_equal",
    "eq": "equal", "amax": "max", "amin": "min", "logsigmoid": "log_sigmoid", "pow": "power", "permute": "transpose",
    "true_divide": "divide", "vector_norm": "norm", "unsqueeze": "expand_dims",
}  # fmt: skip
LEFT_OUT = {  # other arguments, or another meaning, under the same name
    "arange", "uniform", "normal", "randint", "bernoulli", "take", "repeat", "transpose", "split", "index_add",
    "scatter_add", "where", "eye", "full", "zeros", "ones", "linspace", "meshgrid", "one_hot", "einsum", "pad",
    "reshape", "diagonal", "norm", "div", "round", "stack", "tensordot", "max_pool1d", "max_pool2d", "avg_pool1d",
    "avg_pool2d", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "scaled_dot_product_attention",
    "broadcast_to", "std", "var", "tile", "max", "min", "threshold", "zeros_like", "ones_like", "full_like",
    "squeeze", "roll", "equal",
}  # fmt: skip
AS_NUMPY = {"cumsum", "cumprod"}  # one element in one axis of a 0-d tensor
KEYWORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "unbiased": None, "dtype": "dtype"}


def chosen(torch: Any, wanted: list[str]) -> Iterator[tuple[str, Any]]:
    """Our names with PyTorch's records."""
    from torch.testing._internal.common_methods_invocations import op_db

    for record in op_db:
        last = record.name.split(".")[-1]
        name = OURS.get(last, last)
        masked = record.name.startswith(("masked.", "_refs"))
        real = torch.float64 in record.dtypes and record.variant_test_name not in ("complex", "in_place")
        if real and name in FUNCTIONS and last not in LEFT_OUT and not masked and (not wanted or name in wanted):
            yield name, record


def converted(value: Any, torch: Any, inputs: list[tuple[Tensor, Array, Any]]) -> Any:
    """PyTorch's argument as ours; tensors become inputs."""
    if isinstance(value, torch.Tensor):
        array = value.detach().numpy()
        node = input_tensor(f"x{len(inputs)}", array)
        inputs.append((node, array, value))
        return node
    if isinstance(value, (list, tuple)):
        return type(value)(converted(item, torch, inputs) for item in value)
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def compared(name: str, record: Any, sample: Any, torch: Any) -> str:
    """What is wrong with our function on a sample, "refused", or empty."""
    inputs: list[tuple[Tensor, Array, Any]] = []
    try:
        args = [converted(arg, torch, inputs) for arg in (sample.input, *sample.args)]
        kwargs = {KEYWORDS.get(key, key): converted(value, torch, inputs) for key, value in sample.kwargs.items()}
        ours = FUNCTIONS[name].build(*args, **kwargs)
    except (GraphcError, TypeError, ValueError, AttributeError):
        return "refused"
    theirs = record(sample.input, *sample.args, **sample.kwargs)
    if not isinstance(ours, Tensor) or not isinstance(theirs, torch.Tensor):
        return "refused"
    results, expected = [ours], [theirs.detach().numpy()]
    variables = [(node, tensor) for node, _, tensor in inputs if tensor.requires_grad]
    if variables and theirs.requires_grad and ours.dtype.is_float:
        slopes = torch.autograd.grad(theirs.sum(), [tensor for _, tensor in variables], allow_unused=True)
        results += vjp([ours], [node for node, _ in variables], [np.ones(ours.shape)])
        expected += [np.zeros(t.shape) if s is None else s.numpy() for s, (_, t) in zip(slopes, variables, strict=True)]
    got = evaluate(results, {node: array for node, array, _ in inputs})
    faults = (difference(a, b, inputs) for a, b in zip(got, expected, strict=True))
    return next((f"{'derivative' if place else 'value'} {fault}" for place, fault in enumerate(faults) if fault), "")


def difference(got: Array, expected: Array, inputs: list[tuple[Tensor, Array, Any]]) -> str:
    """Where two arrays differ, with the arguments there, or empty."""
    if got.shape != expected.shape:
        return f"has shape {got.shape}, PyTorch's {expected.shape}"
    a, b = got.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    wrong = np.flatnonzero(~np.isclose(a, b, 1e-7, 1e-9, equal_nan=True))
    if not wrong.size:
        return ""
    at = ", ".join(str(array.ravel()[wrong[0]]) for _, array, _ in inputs if array.shape == got.shape)
    return f"at {at}: {a[wrong[0]]}, PyTorch's {b[wrong[0]]}"


def main(wanted: list[str]) -> int:
    import torch

    warnings.simplefilter("ignore")
    seen = 0
    refused: list[str] = []
    faults: dict[str, list[str]] = {}
    for name, record in chosen(torch, wanted):
        for sample in record.sample_inputs("cpu", torch.float64, requires_grad=record.supports_autograd):
            if name in AS_NUMPY and sample.input.ndim == 0:
                continue
            seen, answer = seen + 1, compared(name, record, sample, torch)
            if answer == "refused":
                refused.append(name)
            elif answer:
                faults.setdefault(name, []).append(f"{answer}  ({sample.args}, {sample.kwargs})"[:150])
    for name, found in faults.items():
        print(f"{name}: {len(found)}\n    " + "\n    ".join(found[:3]))
    wrong = sum(map(len, faults.values()))
    counts = ", ".join(f"{name} {count}" for name, count in sorted(Counter(refused).items()))
    print(f"{seen} samples, {wrong} other than in PyTorch, {len(refused)} refused ({counts})")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
