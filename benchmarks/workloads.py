"""The workloads, as records: six networks, kernels that should fuse, products, and some science.

FLOPs count what must be computed: a product of (m, k) and (k, n) is 2·m·k·n; a layer's backward pass is two such, one
where nobody asks for the gradient of its input; an elementwise operation is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gx
from benchmarks import models
from benchmarks.workload import Array, Goal, Sizes, Workload
from graphc import nn

__all__ = ["GROUPS", "GROUP_GOALS", "WORKLOADS"]

Generator = np.random.Generator
TORCH = ("torch", "torch-compile")


# Inputs ----------------------------------------------------------------------------------------------------------
def _normal(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)


def _labels(rng: Generator, classes: int, *shape: int) -> Array:
    return rng.integers(0, classes, shape).astype(np.int32)


def _features(n: Sizes, rng: Generator) -> dict[str, Array]:
    """Rows of features with a class each, or with a number where there are no classes."""
    x = _normal(rng, n["batch"], n["inputs"])
    return {"x": x, "y": _labels(rng, n["classes"], n["batch"]) if "classes" in n else _normal(rng, n["batch"], 1)}


def _images(n: Sizes, rng: Generator) -> dict[str, Array]:
    x = _normal(rng, n["batch"], n["channels"], n["side"], n["side"])
    return {"x": x, "y": _labels(rng, n["classes"], n["batch"]) if "classes" in n else _normal(rng, *x.shape)}


def _sequences(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {"x": _normal(rng, n["steps"], n["batch"], n["inputs"]), "y": _labels(rng, n["classes"], n["batch"])}


def _text(n: Sizes, rng: Generator) -> dict[str, Array]:
    shape = n["batch"], n["steps"]
    return {"x": _labels(rng, n["characters"], *shape), "y": _labels(rng, n["characters"], math.prod(shape))}


def _tokens(n: Sizes, rng: Generator) -> dict[str, Array]:
    shape = n["batch"], n["steps"], n["size"]
    return {"x": _normal(rng, *shape), "y": _normal(rng, *shape)}


def _vector(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {"x": _normal(rng, n["elements"]), "g": _normal(rng, n["elements"])}


def _matrix(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {"x": _normal(rng, n["rows"], n["columns"]), "g": _normal(rng, n["rows"], n["columns"])}


def _layer_norm_inputs(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {**_matrix(n, rng), "w": _normal(rng, n["columns"]), "b": _normal(rng, n["columns"])}


def _logits(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {"x": _normal(rng, n["rows"], n["columns"]), "y": _labels(rng, n["columns"], n["rows"])}


def _bodies(n: Sizes, rng: Generator) -> dict[str, Array]:
    return {"positions": _normal(rng, 3, n["bodies"]), "masses": rng.random(n["bodies"], np.float32) / n["bodies"]}


def _factors(transposed: bool) -> Callable[[Sizes, Generator], dict[str, Array]]:
    def inputs(n: Sizes, rng: Generator) -> dict[str, Array]:
        left = (n["k"], n["m"]) if transposed else (n["m"], n["k"])
        return {"a": _normal(rng, *left), "b": _normal(rng, n["k"], n["n"])}

    return inputs


# Forward computations --------------------------------------------------------------------------------------------
def _classified(model: nn.Module, x: Any, y: Any) -> Any:
    return nn.cross_entropy(model(x), y)


def _regressed(model: nn.Module, x: Any, y: Any) -> Any:
    return nn.mse_loss(model(x), y)


def _chain(_: None, x: Any) -> Any:
    """Twenty elementwise operations, four of them transcendental, that stay within reasonable numbers."""
    y = gx.tanh(x * 0.9 + 0.1)  # 3
    y = gx.relu(y - 0.2) * x  # 6
    y = gx.exp(y * -0.5) + y  # 9
    y = gx.sigmoid(y) * 1.5 - x  # 12
    y = gx.maximum(y * y, 0.25) + 1.0  # 15
    return gx.sqrt(y) * 0.7 + x / y - 0.3  # 20


def _softmax(_: None, x: Any) -> Any:
    return gx.softmax(x, axis=1)


def _layer_norm(_: None, x: Any, w: Any, b: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred / gx.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5) * w + b


def _cross_entropy(_: None, x: Any, y: Any) -> Any:
    return nn.cross_entropy(x, y)


def _potential(_: None, positions: Any, masses: Any) -> Any:
    """The potential of bodies that attract each other, softened: -½ Σ m·m' / √(distance² + 0.01)."""
    square: Any = 0.01
    for axis in range(3):
        difference = gx.expand_dims(positions[axis], 1) - positions[axis]
        square = square + difference * difference
    return -0.5 * gx.sum(gx.expand_dims(masses, 1) * masses / gx.sqrt(square))


def _product(_: None, a: Any, b: Any) -> Any:
    return a @ b


def _transposed_product(_: None, a: Any, b: Any) -> Any:
    return a.T @ b


# Work ------------------------------------------------------------------------------------------------------------
def _layers(n: Sizes, *widths: int) -> list[float]:
    return [2.0 * n["batch"] * wide * narrow for wide, narrow in itertools.pairwise(widths)]


def _step(forward: list[float]) -> float:
    """A training step of products of which the first needs no gradient of its input."""
    return 3 * sum(forward) - forward[0]


def _convolutions(n: Sizes) -> list[float]:
    pixels, quarter = n["side"] ** 2, n["side"] ** 2 // 4
    first = 2.0 * n["batch"] * pixels * n["first"] * n["channels"] * 9
    second = 2.0 * n["batch"] * quarter * n["second"] * n["first"] * 9
    return [first, second, 2.0 * n["batch"] * n["second"] * quarter // 4 * n["classes"]]


def _recurrent_layers(n: Sizes) -> list[float]:
    row = 2.0 * n["steps"] * n["batch"] * 4 * n["hidden"]
    return [row * n["inputs"], *[row * n["hidden"]] * (2 * n["layers"] - 1), 2.0 * n["batch"] * n["hidden"] * 10]


def _transformer_layer(n: Sizes, hidden: int, seen: float) -> list[float]:
    """The input projection first; `seen` is the share of the steps that a step attends to."""
    rows, size = 2.0 * n["batch"] * n["steps"], n["size"]
    return [rows * size * 3 * size, 2 * rows * n["steps"] * size * seen, rows * size * size, 2 * rows * size * hidden]


def _gpt_work(n: Sizes) -> float:
    block = _transformer_layer(n, 4 * n["size"], 0.5)
    head = 2.0 * n["batch"] * n["steps"] * n["size"] * n["characters"]
    return 3 * (n["layers"] * sum(block) + head)


def _product_work(n: Sizes) -> float:
    return 2.0 * n["m"] * n["k"] * n["n"]


def _each(count: float) -> Callable[[Sizes], float]:
    return lambda n: count * math.prod(n.values())


# The table -------------------------------------------------------------------------------------------------------
NETWORKS = (
    Workload(
        "tiny", "10-32-1 ReLU, batch 64, MSE", "train",
        {"batch": 64, "inputs": 10, "hidden": 32}, {"batch": 8, "inputs": 5, "hidden": 6},
        _features, _regressed, lambda n: _step(_layers(n, n["inputs"], n["hidden"], 1)), models.tiny,
        goals=(Goal(TORCH, {1: 20, 2: 20}), Goal(("jax",), {1: 4})),
    ),
    Workload(
        "mlp", "784-512-512-10 ReLU, batch 128, cross-entropy", "train",
        {"batch": 128, "inputs": 784, "hidden": 512, "classes": 10},
        {"batch": 8, "inputs": 20, "hidden": 12, "classes": 4},
        _features, _classified, lambda n: _step(_layers(n, n["inputs"], n["hidden"], n["hidden"], n["classes"])),
        models.mlp, goals=(Goal(TORCH, {1: 1.15, 2: 1.15}),),
    ),
    Workload(
        "gelumlp", "LN-256-1024-GELU-256-LN-10, batch 256, cross-entropy", "train",
        {"batch": 256, "inputs": 256, "hidden": 1024, "classes": 10},
        {"batch": 8, "inputs": 12, "hidden": 16, "classes": 4},
        _features, _classified, lambda n: 3 * sum(_layers(n, n["inputs"], n["hidden"], n["inputs"], n["classes"])),
        models.gelumlp, goals=(Goal(TORCH, {1: 1.3, 2: 1.3}),),
    ),
    Workload(
        "cnn", "conv32-pool-conv64-pool-10, batch 64 of 3×32×32, cross-entropy", "train",
        {"batch": 64, "channels": 3, "side": 32, "first": 32, "second": 64, "classes": 10},
        {"batch": 4, "channels": 2, "side": 8, "first": 4, "second": 6, "classes": 3},
        _images, _classified, lambda n: _step(_convolutions(n)), models.cnn, goals=(Goal(TORCH, {1: 2.5, 2: 2}),),
    ),
    Workload(
        "lstm", "2 layers 64→256, 50 steps, batch 32, cross-entropy", "train",
        {"steps": 50, "batch": 32, "inputs": 64, "hidden": 256, "layers": 2, "classes": 10},
        {"steps": 4, "batch": 3, "inputs": 5, "hidden": 6, "layers": 2, "classes": 4},
        _sequences, _classified, lambda n: _step(_recurrent_layers(n)),
        lambda n: models.Recurrent(n["inputs"], n["hidden"], n["layers"], n["classes"]),
        goals=(Goal(TORCH, {1: 1.5, 2: 1.5}),),
    ),
    Workload(
        "gpt", "6 layers, d 384, 6 heads, T 256, V 65, batch 8, cross-entropy", "train",
        {"batch": 8, "steps": 256, "characters": 65, "layers": 6, "size": 384, "heads": 6},
        {"batch": 2, "steps": 5, "characters": 7, "layers": 2, "size": 8, "heads": 2},
        _text, _classified, _gpt_work,
        lambda n: models.GPT(n["layers"], n["size"], n["heads"], n["steps"], n["characters"]),
        goals=(Goal(TORCH, {1: 1.15, 2: 1.15}),),
    ),
    Workload(
        "encoder", "2 encoder layers, d 256, 8 heads, T 128, batch 16, MSE", "train",
        {"batch": 16, "steps": 128, "size": 256, "layers": 2, "heads": 8, "hidden": 1024},
        {"batch": 2, "steps": 5, "size": 8, "layers": 2, "heads": 2, "hidden": 12},
        _tokens, _regressed, lambda n: _step(_transformer_layer(n, n["hidden"], 1.0) * n["layers"]),
        lambda n: models.Encoder(n["layers"], n["size"], n["heads"], n["hidden"]),
    ),
    Workload(
        "resnet", "ResNet basic block, 64 channels, 56×56, batch 8, MSE", "train",
        {"batch": 8, "channels": 64, "side": 56}, {"batch": 2, "channels": 4, "side": 6},
        _images, _regressed, lambda n: _step([18.0 * n["batch"] * n["channels"] ** 2 * n["side"] ** 2] * 2),
        lambda n: models.BasicBlock(n["channels"]), goals=(Goal(TORCH, {1: 1.2, 2: 1.2}),),
    ),
)  # fmt: skip

_ROWS, _FEW_ROWS = {"rows": 4096, "columns": 1024}, {"rows": 6, "columns": 20}
_ROW_GOALS = (Goal(("torch",), {1: 2, 2: 2}),)

FUSED = (
    Workload(
        "chain", "20 elementwise operations on 4 M floats, value and gradient", "gradient",
        {"elements": 1 << 22}, {"elements": 100}, _vector, _chain, _each(60), wrt=("x",),
        goals=(Goal(("torch",), {1: 5, 2: 5}),),
    ),
    Workload(
        "chain-64k", "20 elementwise operations on 64 K floats, value and gradient", "gradient",
        {"elements": 1 << 16}, {"elements": 100}, _vector, _chain, _each(60), wrt=("x",),
    ),
    Workload(
        "softmax", "softmax of 4096×1024, value and gradient", "gradient", _ROWS, _FEW_ROWS,
        _matrix, _softmax, _each(9), wrt=("x",), goals=_ROW_GOALS,
    ),
    Workload(
        "layer-norm", "layer normalisation of 4096×1024, value and gradients", "gradient", _ROWS, _FEW_ROWS,
        _layer_norm_inputs, _layer_norm, _each(19), wrt=("x", "w", "b"), goals=_ROW_GOALS,
    ),
    Workload(
        "cross-entropy", "cross-entropy of 4096×1024, value and gradient", "gradient", _ROWS, _FEW_ROWS,
        _logits, _cross_entropy, _each(6), wrt=("x",), goals=_ROW_GOALS,
    ),
)  # fmt: skip

SCIENCE = (
    Workload(
        "nbody", "potential of 4,096 bodies and its gradient", "gradient", {"bodies": 4096}, {"bodies": 12},
        _bodies, _potential, lambda n: 24.0 * n["bodies"] ** 2, wrt=("positions",),
        goals=(Goal(("torch",), {1: 10}),),
    ),
    Workload(
        "hvp", "Hessian-vector product, 5 tanh layers 64-256-256-256-256-1, batch 256", "hessian",
        {"batch": 256, "inputs": 64, "hidden": 256, "layers": 5},
        {"batch": 6, "inputs": 4, "hidden": 5, "layers": 5},
        _features, _regressed,
        lambda n: 2 * _step(_layers(n, n["inputs"], *[n["hidden"]] * (n["layers"] - 1), 1)),
        models.tanh_mlp, goals=(Goal(("torch",), {1: 2}),),
    ),
)  # fmt: skip


def _gemm(m: int, k: int, n: int, transposed: bool = False) -> Workload:
    name = f"gemm-{m}x{k}x{n}" + ("-ta" if transposed else "")
    return Workload(
        name, f"product {m}×{k}×{n}" + (", left side transposed" if transposed else ""), "value",
        {"m": m, "k": k, "n": n}, {"m": 5, "k": 7, "n": 6},
        _factors(transposed), _transposed_product if transposed else _product, _product_work,
        group="gemm", goals=(Goal(("torch",), {1: 0.85}),), left_out={"torch-compile": "torch.mm is one call"},
    )  # fmt: skip


PRODUCTS = tuple(
    _gemm(*shape)
    for shape in (
        (64, 784, 512), (128, 512, 512), (128, 1024, 1024), (2048, 384, 1536), (384, 2048, 1536, True),
        (512, 512, 512), (1024, 1024, 1024), (32, 256, 1024),
    )
)  # fmt: skip

WORKLOADS = {workload.name: workload for workload in (*NETWORKS, *FUSED, *SCIENCE, *PRODUCTS)}
GROUPS = {
    "networks": tuple(workload.name for workload in NETWORKS),
    "fused": tuple(workload.name for workload in FUSED),
    "science": tuple(workload.name for workload in SCIENCE),
    "gemm": tuple(workload.name for workload in PRODUCTS),
}
GROUP_GOALS = {"gemm": Goal(("torch",), {1: 1, 2: 1})}  # what the geometric mean over a group should reach
