"""The workloads in JAX: pure functions of the weights, by PyTorch's names, and the inputs. Imported where JAX is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.workload import Sizes, Workload

__all__ = ["FORWARD", "build"]

Weights = dict[str, Any]


# Layers ----------------------------------------------------------------------------------------------------------
def _linear(w: Weights, name: str, x: Any) -> Any:
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def _normalised(x: Any, scale: Any, shift: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * scale + shift


def _norm(w: Weights, name: str, x: Any) -> Any:
    return _normalised(x, w[f"{name}.weight"], w[f"{name}.bias"])


def _conv(w: Weights, name: str, x: Any) -> Any:
    """A 3×3 convolution over (batch, height, width, channels), the layout that XLA runs fastest on a CPU."""
    kernel = w[f"{name}.weight"].transpose(2, 3, 1, 0)
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def _pool(x: Any) -> Any:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _batch_norm(w: Weights, name: str, x: Any) -> Any:
    mean = x.mean((0, 1, 2))
    centred = x - mean
    scale = jax.lax.rsqrt((centred * centred).mean((0, 1, 2)) + 1e-5) * w[f"{name}.weight"]
    return centred * scale + w[f"{name}.bias"]


def _attention(qkv: Any, heads: int, causal: bool) -> Any:
    batch, steps, wide = qkv.shape
    q, k, v = (part.reshape(batch, steps, heads, wide // (3 * heads)) for part in jnp.split(qkv, 3, axis=2))
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal).reshape(batch, steps, wide // 3)


# Losses ----------------------------------------------------------------------------------------------------------
def _cross_entropy(logits: Any, labels: Any) -> Any:
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)


def _squared_error(prediction: Any, target: Any) -> Any:
    return jnp.mean((prediction - target) ** 2)


# Networks --------------------------------------------------------------------------------------------------------
def _tiny(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    return _squared_error(_linear(w, "2", jax.nn.relu(_linear(w, "0", x))), y)


def _mlp(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    x = jax.nn.relu(_linear(w, "2", jax.nn.relu(_linear(w, "0", x))))
    return _cross_entropy(_linear(w, "4", x), y)


def _gelumlp(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    x = jax.nn.gelu(_linear(w, "1", _norm(w, "0", x)), approximate=False)
    return _cross_entropy(_linear(w, "5", _norm(w, "4", _linear(w, "3", x))), y)


def _cnn(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    x = _pool(jax.nn.relu(_conv(w, "0", x.transpose(0, 2, 3, 1))))
    x = _pool(jax.nn.relu(_conv(w, "3", x))).transpose(0, 3, 1, 2)
    return _cross_entropy(_linear(w, "7", x.reshape(x.shape[0], -1)), y)


def _recurrent(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    for layer in range(n["layers"]):
        inner, outer, *biases = (
            w[f"lstm.{name}_l{layer}"] for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
        )
        x = _lstm_layer(x @ outer.T + sum(biases), inner)
    return _cross_entropy(_linear(w, "head", x[-1]), y)


def _lstm_layer(projected: Any, weight: Any) -> Any:
    """By scan, which XLA runs faster than a loop that is unrolled, wholly or in part."""

    def cell(state: Any, row: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(row + h @ weight.T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((projected.shape[1], weight.shape[1]), projected.dtype)
    return jax.lax.scan(cell, (start, start), projected)[1]


def _gpt(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    x = w["token.weight"][x] + w["position.weight"]
    for layer in range(n["layers"]):
        part = f"blocks.{layer}.0.inner"
        attended = _attention(_linear(w, f"{part}.1.qkv", _norm(w, f"{part}.0", x)), n["heads"], True)
        x = x + _linear(w, f"{part}.1.projection", attended)
        part = f"blocks.{layer}.1.inner"
        hidden = jax.nn.gelu(_linear(w, f"{part}.1", _norm(w, f"{part}.0", x)), approximate=False)
        x = x + _linear(w, f"{part}.3", hidden)
    return _cross_entropy(_linear(w, "head", _norm(w, "norm", x)).reshape(-1, n["characters"]), y)


def _encoder(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    for layer in range(n["layers"]):
        part = f"layers.{layer}"
        qkv = x @ w[f"{part}.self_attn.in_proj_weight"].T + w[f"{part}.self_attn.in_proj_bias"]
        attended = _linear(w, f"{part}.self_attn.out_proj", _attention(qkv, n["heads"], False))
        x = _norm(w, f"{part}.norm1", x + attended)
        hidden = _linear(w, f"{part}.linear2", jax.nn.relu(_linear(w, f"{part}.linear1", x)))
        x = _norm(w, f"{part}.norm2", x + hidden)
    return _squared_error(x, y)


def _resnet(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    """Without the running statistics, which only PyTorch and graphc keep."""
    x = x.transpose(0, 2, 3, 1)
    hidden = jax.nn.relu(_batch_norm(w, "bn1", _conv(w, "conv1", x)))
    x = jax.nn.relu(_batch_norm(w, "bn2", _conv(w, "conv2", hidden)) + x)
    return _squared_error(x.transpose(0, 3, 1, 2), y)


def _tanh_mlp(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    for layer in range(n["layers"] - 1):
        x = jnp.tanh(_linear(w, str(2 * layer), x))
    return _squared_error(_linear(w, str(2 * n["layers"] - 2), x), y)


# Functions -------------------------------------------------------------------------------------------------------
def _chain(n: Sizes, w: Weights, x: Any) -> Any:
    y = jnp.tanh(x * 0.9 + 0.1)
    y = jax.nn.relu(y - 0.2) * x
    y = jnp.exp(y * -0.5) + y
    y = jax.nn.sigmoid(y) * 1.5 - x
    y = jnp.maximum(y * y, 0.25) + 1.0
    return jnp.sqrt(y) * 0.7 + x / y - 0.3


def _softmax(n: Sizes, w: Weights, x: Any) -> Any:
    return jax.nn.softmax(x, axis=1)


def _layer_norm(n: Sizes, weights: Weights, x: Any, w: Any, b: Any) -> Any:
    return _normalised(x, w, b)


def _logits(n: Sizes, w: Weights, x: Any, y: Any) -> Any:
    return _cross_entropy(x, y)


def _potential(n: Sizes, w: Weights, positions: Any, masses: Any) -> Any:
    differences = (positions[axis][:, None] - positions[axis] for axis in range(3))
    square = sum((difference * difference for difference in differences), 0.01)
    return -0.5 * jnp.sum(masses[:, None] * masses * jax.lax.rsqrt(square))


def _product(n: Sizes, w: Weights, a: Any, b: Any) -> Any:
    return a @ b


def _transposed_product(n: Sizes, w: Weights, a: Any, b: Any) -> Any:
    return a.T @ b


FORWARD: dict[str, Callable[..., Any]] = {
    "tiny": _tiny, "mlp": _mlp, "gelumlp": _gelumlp, "cnn": _cnn, "lstm": _recurrent, "gpt": _gpt,
    "encoder": _encoder, "resnet": _resnet, "hvp": _tanh_mlp,
    "chain": _chain, "chain-64k": _chain, "softmax": _softmax, "layer-norm": _layer_norm,
    "cross-entropy": _logits, "nbody": _potential,
}  # fmt: skip


def build(workload: Workload) -> Callable[..., Any]:
    """The twin of a workload: (weights, **inputs) → value."""
    if workload.kind == "value":
        forward = _transposed_product if workload.name.endswith("-ta") else _product
    else:
        forward = FORWARD[workload.name]
    return partial(forward, workload.sizes)
