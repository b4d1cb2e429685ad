"""Losses: functions from predictions and targets to a scalar, or to one value an element or row.

Names, arguments, defaults and formulas are PyTorch's. `reduction` is "mean", "sum" or "none". Shapes are never
broadcast silently: a prediction of shape (64, 1) against a target of shape (64,) is an error. 16-bit predictions are
taken in float32, and so is the loss. Every loss is a composition of elementwise work and row reductions, so that loss
and gradient fuse into one pass over the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.data import whole_number
from graphc.ir.location import capture
from graphc.ir.public import public
from graphc.ir.types import DTYPES
from graphc.ops.build import as_tensor, cast, constant
from graphc.ops.functions.activations import softplus
from graphc.ops.functions.selection import where
from graphc.ops.functions.shapes import expand_dims, reshape
from graphc.ops.functions.sources import iota, stop_gradient
from graphc.ops.index_ranges import bounded
from graphc.ops.primitives.exponential import exp, log
from graphc.ops.primitives.extremes import maximum
from graphc.ops.primitives.reductions import widened
from graphc.ops.tensor import Tensor

__all__ = [
    "bce_loss", "bce_with_logits_loss", "cross_entropy", "huber_loss", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]  # fmt: skip


@public
def mse_loss(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The squared error `(prediction - target)²`. Equal shapes, or a Python number as target. Raises ShapeError."""
    difference = _difference("mse_loss", prediction, target)
    return _reduced(difference * difference, reduction)


@public
def l1_loss(prediction: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute error; its gradient where the two are equal is 0. Raises ShapeError."""
    return _reduced(abs(_difference("l1_loss", prediction, target)), reduction)


@public
def huber_loss(prediction: Tensor, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """`½d²` for errors up to `delta`, `delta·(|d| - ½delta)` beyond (Huber 1964). Raises ShapeError, GraphError."""
    if not delta > 0:
        raise with_location(GraphError(f"huber_loss needs a positive delta, not {shown(delta)}"), capture())
    difference = _difference("huber_loss", prediction, target)
    size = abs(difference)
    near = size <= delta
    return _reduced(where(near, 0.5 * _square_where(near, difference), delta * (size - 0.5 * delta)), reduction)


@public
def smooth_l1_loss(prediction: Tensor, target: Any, beta: float = 1.0, reduction: str = "mean") -> Tensor:
    """`½d²/beta` for errors below `beta`, `|d| - ½beta` beyond; with `beta` 0 the absolute error."""
    if not beta >= 0:
        raise with_location(GraphError(f"smooth_l1_loss needs a beta of at least 0, not {shown(beta)}"), capture())
    if beta == 0:
        return l1_loss(prediction, target, reduction)
    difference = _difference("smooth_l1_loss", prediction, target)
    size = abs(difference)
    near = size < beta
    return _reduced(where(near, (0.5 / beta) * _square_where(near, difference), size - 0.5 * beta), reduction)


def _square_where(near: Tensor, difference: Tensor) -> Tensor:
    """The square of differences that are near, else 0: of an infinite one the derivative would be 0 times infinity."""
    inner = where(near, difference, 0.0)
    return inner * inner


@public
def bce_loss(probability: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy `-(t·log p + (1 - t)·log(1 - p))`, each logarithm held at -100 or above.

    Where a logarithm is held its gradient is 0. A probability that is the sigmoid of a tensor is not taken the
    logarithm of: the loss is built from the logit, which is exact however far the sigmoid saturates, and whose
    gradient is `p - t`. Raises ShapeError.
    """
    if isinstance(probability, Tensor) and probability.op == "sigmoid":
        return bce_with_logits_loss(probability.inputs[0], target, reduction)
    p, t = _pair("bce_loss", probability, target)
    return _reduced(-(t * _held_log(p) + (1.0 - t) * _held_log(1.0 - p)), reduction)


def _held_log(p: Tensor) -> Tensor:
    zero = p == 0.0
    return where(zero, -100.0, maximum(log(where(zero, 1.0, p)), -100.0))


@public
def bce_with_logits_loss(logit: Tensor, target: Any, reduction: str = "mean", pos_weight: Any = None) -> Tensor:
    """Binary cross-entropy of `sigmoid(logit)`, as `softplus(x) - t·x`; the gradient is `sigmoid(x) - t`.

    `pos_weight` multiplies the loss of positives: `(1 - t)·x + (1 + (pos_weight - 1)·t)·softplus(-x)`. It broadcasts
    against the target. Raises ShapeError.
    """
    x, t = _pair("bce_with_logits_loss", logit, target)
    if pos_weight is None:
        return _reduced(softplus(x) - t * x, reduction)
    return _reduced((1.0 - t) * x + (1.0 + (as_tensor(pos_weight, x.dtype) - 1.0) * t) * softplus(-x), reduction)


@public
def cross_entropy(
    logits: Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int | None = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of `softmax(logits)` over the classes: axis 1, or axis 0 of a 1-d tensor.

    `target` holds integer class indices (the shape of `logits` without the class axis) or float probabilities (the
    shape of `logits`). Rows whose index is `ignore_index` count for nothing; "mean" divides by the (weighted) number
    of the others. `weight` has one factor for each class. `label_smoothing` mixes the target with the uniform
    distribution. An index out of range is an error where it is known while building or given by an input; one that is
    computed names no class.

    Raises ShapeError, DTypeError, GraphError.

    >>> cross_entropy(input("logits", (64, 10)), input("labels", (64,), "int32"))
    <divide: float32[]>
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise with_location(GraphError(f"label_smoothing must lie in [0, 1], not {shown(label_smoothing)}"), capture())
    x, t, axis = _classes("cross_entropy", logits, target, ignore_index, probabilities=True)
    x = x - stop_gradient(x.max(axis, keepdims=True))  # so that no exponential overflows and no large terms cancel
    total = log(exp(x).sum(axis))
    weights = _class_weights("cross_entropy", weight, x, axis)
    if t.dtype.is_float:
        return _soft_cross_entropy(x, t, total, axis, weights, label_smoothing, reduction)
    loss, scale = total - _one_of(x, t, axis), None
    if weights is not None:
        scale = _one_of(weights, t, axis)
        loss = scale * loss
    if label_smoothing:
        weighted = total - x.mean(axis) if weights is None else (weights * (expand_dims(total, axis) - x)).mean(axis)
        loss = (1.0 - label_smoothing) * loss + label_smoothing * weighted
    return _reduced_rows(loss, t, scale, ignore_index, reduction)


def _soft_cross_entropy(
    x: Tensor, t: Tensor, total: Tensor, axis: int, weights: Tensor | None, smoothing: float, reduction: str
) -> Tensor:
    """Cross-entropy against probabilities `t`: `-Σ w·t·(x - total)` along the class axis; "mean" is over rows."""
    if smoothing:
        t = (1.0 - smoothing) * t + smoothing / x.shape[axis]
    if weights is not None:
        t = t * weights
    return _reduced(total * t.sum(axis) - (t * x).sum(axis), reduction)


@public
def nll_loss(
    log_probabilities: Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int | None = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the target class; arguments as in `cross_entropy`, class indices alone."""
    x, t, axis = _classes("nll_loss", log_probabilities, target, ignore_index, probabilities=False)
    weights = _class_weights("nll_loss", weight, x, axis)
    scale = None if weights is None else _one_of(weights, t, axis)
    chosen = -_one_of(x, t, axis)
    return _reduced_rows(chosen if scale is None else scale * chosen, t, scale, ignore_index, reduction)


# Operands --------------------------------------------------------------------------------------------------------
def _pair(name: str, prediction: Any, target: Any) -> tuple[Tensor, Tensor]:
    x = as_tensor(prediction)
    if not x.dtype.is_float:
        raise with_location(DTypeError(f"{name} takes float predictions, got {x.type}"), capture())
    x = widened(x)
    t = as_tensor(target, x.dtype)
    if t.shape != x.shape and not isinstance(target, (int, float)):
        error = f"{name} takes a target of the prediction's shape {x.shape}, got {t.type}"
        raise with_location(ShapeError(error), capture())
    return x, cast(t, x.dtype)


def _difference(name: str, prediction: Any, target: Any) -> Tensor:
    x, t = _pair(name, prediction, target)
    return x - t


def _classes(
    name: str, logits: Any, target: Any, ignore_index: int | None, *, probabilities: bool
) -> tuple[Tensor, Tensor, int]:
    """Logits, target and the class axis, checked against each other."""
    x, t = as_tensor(logits), as_tensor(target)
    if not x.dtype.is_float or x.ndim == 0:
        raise with_location(DTypeError(f"{name} takes float rows of classes, got {x.type}"), capture())
    axis = min(1, x.ndim - 1)
    rows = x.shape[:axis] + x.shape[axis + 1 :]
    if t.dtype.is_integer and t.shape == rows:
        ignored = () if ignore_index is None else (whole_number(ignore_index, "ignore_index", -(1 << 62), 1 << 62),)
        return widened(x), bounded(t, 0, x.shape[axis], f"{name} of {x.shape[axis]} classes", ignored), axis
    if probabilities and t.dtype.is_float and t.shape == x.shape:
        wide = widened(x)
        return wide, cast(t, wide.dtype), axis
    wanted = f"integer class indices of shape {rows}" + (f" or float probabilities of shape {x.shape}" * probabilities)
    kind = ShapeError if t.dtype.is_integer or (probabilities and t.dtype.is_float) else DTypeError
    raise with_location(kind(f"{name} of logits {x.type} takes {wanted}, got {t.type}"), capture())


def _class_weights(name: str, weight: Any, x: Tensor, axis: int) -> Tensor | None:
    """One weight for each class, shaped to broadcast against `x`."""
    if weight is None:
        return None
    w = cast(as_tensor(weight), x.dtype)
    if w.shape != (x.shape[axis],):
        raise with_location(ShapeError(f"{name} takes {x.shape[axis]} class weights, got {w.type}"), capture())
    return reshape(w, tuple(w.size if index == axis else 1 for index in range(x.ndim)))


def _one_of(x: Tensor, t: Tensor, axis: int) -> Tensor:
    """`x[..., t, ...]` along the class axis, as a masked sum: elementwise work that fuses, unlike a gather."""
    shape = (*t.shape[:axis], x.shape[axis], *t.shape[axis:])
    index = DTYPES["int32"]
    classes = iota(shape, axis, index)
    return where(classes == expand_dims(cast(t, index), axis), x, 0.0).sum(axis)


# Reductions ------------------------------------------------------------------------------------------------------
def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise with_location(GraphError(f"reduction is 'mean', 'sum' or 'none', not {shown(reduction)}"), capture())


def _reduced_rows(loss: Tensor, t: Tensor, scale: Tensor | None, ignore_index: int | None, reduction: str) -> Tensor:
    """The reduction over rows that are not ignored; "mean" divides by their number, or by their weights' sum."""
    counted = None
    if ignore_index is not None and _holds(t, ignore_index):
        counted = t != ignore_index
        loss = where(counted, loss, 0.0)
    if reduction != "mean" or (counted is None and scale is None):
        return _reduced(loss, reduction)
    weights = constant(1.0, loss.dtype) if scale is None else scale
    return loss.sum() / (weights if counted is None else where(counted, weights, 0.0)).sum()


def _holds(t: Tensor, value: int) -> bool:
    info = np.iinfo(t.dtype.numpy)
    return bool(info.min <= value <= info.max)
