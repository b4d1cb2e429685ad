"""Values, first and second gradients against PyTorch, for every function that it has too. Skipped without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from graphc.transforms.reverse import vjp
from tests.ops.helpers import Built, Case, build, report, weights_like

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def _axes(name: str) -> Callable[..., Any]:
    """A reduction of PyTorch with NumPy's arguments."""

    def reduce(x: Any, axis: Any = None, keepdims: bool = False, **kwargs: Any) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else axis
        if axes == ():  # which means all axes to PyTorch
            x, axes, keepdims = x[..., None], -1, False
        kwargs = {key: getattr(torch, value) if key == "dtype" else value for key, value in kwargs.items()}
        return getattr(torch, name)(x, dim=axes, keepdim=keepdims, **kwargs)

    return reduce


def _flat(name: str) -> Callable[..., Any]:
    """A scan of PyTorch with NumPy's arguments, and one element in one axis as NumPy's answer to a 0-d array."""

    def scan(x: Any, axis: Any = None, reverse: bool = False) -> Any:
        x, place = (x.reshape(-1), 0) if axis is None or not x.ndim else (x, axis)
        turn = (lambda t: t.flip(place)) if reverse else (lambda t: t)
        return turn(getattr(torch, name)(turn(x), dim=place))

    return scan


def _prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    for place in sorted((a % max(x.ndim, 1) for a in axes), reverse=True):
        x = x.prod(dim=place, keepdim=keepdims)
    return x


def _clip(x: Any, *bounds: Any) -> Any:
    low, high = (*bounds, None, None)[:2]
    if any(isinstance(bound, torch.Tensor) for bound in (low, high)):
        low, high = (torch.as_tensor(bound, dtype=x.dtype) for bound in (low, high))
    return x if low is None and high is None else torch.clamp(x, low, high)


def _tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that wants tensors, with Python numbers turned into them."""
    return lambda *args: function(
        *(a if isinstance(a, torch.Tensor) else torch.tensor(a, dtype=torch.float64) for a in args)
    )


def _aligned(shift: Any, axis: Any) -> tuple[Any, Any]:
    """A shift for each axis."""
    return ((shift,) * len(axis) if isinstance(axis, tuple) and isinstance(shift, int) else shift), axis


def _softmax(function: Callable[..., Any]) -> Callable[..., Any]:
    def over(x: Any, axis: Any = -1) -> Any:
        if isinstance(axis, int):
            return function(x, dim=axis)
        axes = tuple(range(x.ndim)) if axis is None else axis
        kept = [a for a in range(x.ndim) if a not in axes]
        moved = x.permute(*kept, *axes)
        flat = function(moved.reshape(*moved.shape[: len(kept)], -1), dim=-1).reshape(moved.shape)
        return flat.permute(*np.argsort([*kept, *axes]).tolist())

    return over


def _attention(q: Any, k: Any, v: Any, mask: Any = None, is_causal: bool = False, **kwargs: Any) -> Any:
    """By matrix products, as PyTorch's fused kernel has no second derivative; they take a mask or `is_causal`."""
    if mask is not None and is_causal:
        future = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).triu(1)
        mask, is_causal = mask.masked_fill(future, -torch.inf), False
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return functional.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, **kwargs)


SAME_NAME = (
    "abs", "negative", "floor", "ceil", "trunc", "round", "sign", "sqrt", "exp", "exp2", "expm1", "log", "log2",
    "log10", "log1p", "erf", "erfc", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "sigmoid", "square", "reciprocal", "rsqrt", "logit", "sinc", "deg2rad", "rad2deg", "frac",
    "isnan", "isinf", "isfinite", "signbit", "positive",
)  # fmt: skip
SAME_BINARY = (
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "maximum", "minimum", "atan2", "fmax",
    "fmin", "hypot", "logaddexp", "logaddexp2", "xlogy", "fmod", "copysign", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal",
)  # fmt: skip
FUNCTIONAL = (
    "linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "max_pool1d", "max_pool2d", "avg_pool1d",
    "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "leaky_relu", "elu", "selu", "celu", "silu", "mish",
    "relu6", "hardtanh", "hardswish", "softsign", "tanhshrink", "softshrink", "hardshrink", "threshold",
)  # fmt: skip
TORCH: dict[str, Callable[..., Any]] = {
    **{name: getattr(torch, name) for name in SAME_NAME},
    **{name: _tensors(getattr(torch, {"equal": "eq", "not_equal": "ne"}.get(name, name))) for name in SAME_BINARY},
    **{name: _axes(name) for name in ("sum", "mean", "logsumexp", "nansum", "nanmean")},
    "max": _axes("amax"),
    "min": _axes("amin"),
    "var": lambda x, axis=None, keepdims=False, correction=0: _axes("var")(x, axis, keepdims, correction=correction),
    "std": lambda x, axis=None, keepdims=False, correction=0: _axes("std")(x, axis, keepdims, correction=correction),
    "norm": lambda x, order=2, axis=None, keepdims=False: torch.linalg.vector_norm(x, order, axis, keepdims),
    "prod": _prod,
    "cumsum": _flat("cumsum"),
    "cumprod": _flat("cumprod"),
    "power": _tensors(torch.pow),
    "where": lambda c, a, b: _tensors(torch.where)(c != 0, a, b),
    "clip": _clip,
    "xlog1py": torch.special.xlog1py,
    "softmax": _softmax(torch.softmax),
    "log_softmax": _softmax(torch.log_softmax),
    "softmin": _softmax(functional.softmin),
    "scaled_dot_product_attention": _attention,
    "glu": lambda x, axis=-1: functional.glu(x, dim=axis),
    "lerp": lambda a, b, w: torch.lerp(*torch.broadcast_tensors(a, b, torch.as_tensor(w, dtype=a.dtype))),
    "addcmul": lambda x, a, b, value=1: torch.addcmul(x, a, b, value=value),
    "addcdiv": lambda x, a, b, value=1: torch.addcdiv(x, a, b, value=value),
    "relu": torch.relu,
    "prelu": lambda x, w: functional.prelu(x, w.reshape(-1)),
    "gelu": lambda x, approximate="none": functional.gelu(x, approximate=approximate),
    "softplus": lambda x, beta=1.0: functional.softplus(x, beta, threshold=100),
    "log_sigmoid": functional.logsigmoid,
    "hardsigmoid": lambda x: functional.relu6(x + 3) / 6,  # its own rounds 1/6 to float32
    "matmul": torch.matmul,
    "einsum": torch.einsum,
    "inner": torch.inner,
    "tensordot": lambda a, b, axes=2: torch.tensordot(a, b, axes),
    "vecdot": lambda a, b, axis=-1: torch.linalg.vecdot(a, b, dim=axis),
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)),
    "broadcast_to": torch.broadcast_to,
    "diagonal": torch.diagonal,
    "trace": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
    "moveaxis": torch.moveaxis,
    "swapaxes": torch.swapaxes,
    "roll": lambda x, shift, axis=None: torch.roll(x, *_aligned(shift, axis)),
    "take_along_axis": lambda x, indices, axis=-1: torch.take_along_dim(x, indices.long(), axis),
    "tril": torch.tril,
    "triu": torch.triu,
    "nan_to_num": torch.nan_to_num,
    "isclose": torch.isclose,
    "argmax": lambda x, axis=None, keepdims=False: torch.argmax(x, axis, keepdims),
    "argmin": lambda x, axis=None, keepdims=False: torch.argmin(x, axis, keepdims),
    **{name: _tensors(getattr(torch, name)) for name in ("logical_and", "logical_or", "logical_xor", "logical_not")},
    **{name: getattr(functional, name) for name in FUNCTIONAL},
}
# Where PyTorch's derivatives are nan although the true ones are not.
NAN_THERE = {
    "logaddexp": "second derivatives of infinitely far operands are 0",
    "logaddexp2": "second derivatives of infinitely far operands are 0",
    "power": "second derivatives at base 0",
    "hypot": "at 0 the derivative is 0, whatever the order",
    "logsumexp": "over elements that are all -inf the derivative is 0",
    "nanmean": "what is left out has the derivative 0",
    "norm": "at 0 the derivative is 0, whatever the order",
    "sinc": "second derivative at 0 is -pi**2 / 3",
}
# Samples at which neither differences nor PyTorch's derivatives say what ours should be.
APART = {
    "fmax": "of two nan neither is chosen; PyTorch takes one",
    "fmin": "of two nan neither is chosen; PyTorch takes one",
    "xlogy": "0 log y is 0 for every y",
    "xlog1py": "0 log1p(y) is 0 for every y",
}


@pytest.mark.parametrize("name", sorted(TORCH))
def test_agrees_with_pytorch(name: str) -> None:
    faults = []
    for position, sample in enumerate(FUNCTIONS[name].samples):
        built = build(Case(FUNCTIONS[name], "float64", position))
        faults += [f"sample {position}, {sample}: {fault}" for fault in differences(built, TORCH[name])]
    assert not faults, report(faults)


def differences(built: Built, function: Callable[..., Any]) -> list[str]:
    """Where the values, first or second gradients of a case are not PyTorch's."""
    args, kwargs = built.formula_args
    placed: list[Any] = []
    fresh = iter([torch.tensor(array) for array in built.arrays])
    for arg in args:
        placed.append(next(fresh) if isinstance(arg, np.ndarray) else arg)
    tensors = [arg for arg in placed if isinstance(arg, torch.Tensor)]
    variables = [tensors[i].requires_grad_() for i in built.variables]
    theirs = function(*placed, **kwargs)
    ours = built.outputs[0]
    faults = _compare("value", evaluate([ours], built.values), [theirs])
    name = built.case.function.name
    has_slope = built.case.function.differentiable and (built.case.sample.grad or name not in APART)
    graded = has_slope and variables and ours.dtype.is_float
    if faults or not graded or not theirs.requires_grad:
        return faults
    rng = np.random.default_rng(1)
    symbols = [built.inputs[i] for i in built.variables]
    weights = weights_like([ours], rng)
    first = vjp([ours], symbols, weights)
    their_first = torch.autograd.grad(theirs, variables, torch.tensor(weights[0]), create_graph=True, allow_unused=True)
    their_first = [torch.zeros_like(v) if g is None else g for g, v in zip(their_first, variables, strict=True)]
    faults += _compare("first gradient", evaluate(first, built.values), their_first, name in NAN_THERE)
    second_weights = weights_like(first, rng)
    if not built.case.sample.second or not all(g.requires_grad for g in their_first):
        return faults
    second = vjp(first, symbols, second_weights)
    their_second = torch.autograd.grad(
        their_first, variables, [torch.tensor(w) for w in second_weights], allow_unused=True
    )
    their_second = [torch.zeros_like(v) if g is None else g for g, v in zip(their_second, variables, strict=True)]
    return faults + _compare("second gradient", evaluate(second, built.values), their_second, name in NAN_THERE)


def _compare(what: str, ours: list[Any], theirs: list[Any], excuse_nan: bool = False) -> list[str]:
    faults = []
    for a, tensor in zip(ours, theirs, strict=True):
        b = tensor.detach().numpy(force=True)
        b = np.where(np.isnan(b) & np.isfinite(a), a, b) if excuse_nan and a.shape == b.shape else b
        if a.shape != b.shape:
            faults.append(f"{what}: shape {a.shape}, PyTorch says {b.shape}")
        elif not np.allclose(a, b, 1e-9, 1e-10, equal_nan=True):
            faults.append(f"{what}: {a.ravel()[:6]}, PyTorch says {b.ravel()[:6]}")
    return faults
