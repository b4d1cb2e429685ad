"""The primitives of attention: `attention`, softmax(scale q kᵀ + mask) v, and its gradient `attention_grad`.

    attention(q, k, v, [mask]; causal, scale) -> output[*batch, Tq, w], top[*batch, Tq], total[*batch, Tq]
    attention_grad(q, k, v, g, top, total, delta, [mask]; causal, scale) -> the gradients of q, of k, of v

With two batch dims or more a result [b0, b1, ..., T, w] is laid out as [b0, T, b1, ..., w], the order in which heads
are put side by side. Results are float64 for float64 and else float32. `top` is the largest score of a query and
`total` the sum of exp(score - top), -inf and 0 where it sees no key: its output and its gradients are 0 then. They save
`attention_grad` a pass and have no derivative: it is a function of the others, as `delta` is sum(g output).
Kernels hold a tile of the weights at a time; derivatives of `attention_grad` and forward mode build all weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, DType, TensorType, TupleType
from graphc.ops.build import apply, apply_several, broadcast_to, cast, full_like, invoke, zeros, zeros_like
from graphc.ops.primitives.views import Ints, matrix_transpose, permute, permute_back, reshape_to
from graphc.ops.record import Array, Joint, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["attention_weights", "unlaid"]

NOTHING = -math.inf  # the score of a key that is not seen


# Types -----------------------------------------------------------------------------------------------------------
def _real(dtype: DType) -> DType:
    """What attention over `dtype` is computed and written in."""
    return DTYPES["float64"] if dtype.name == "float64" else DTYPES["float32"]


def _check(q: TensorType, k: TensorType, v: TensorType, mask: TensorType | None) -> None:
    if not q.dtype.is_float or q.dtype is not k.dtype or q.dtype is not v.dtype:
        raise DTypeError(f"attention takes q, k and v of one floating dtype, not {q}, {k} and {v}")
    batch = q.shape[:-2]
    fits = q.ndim >= 2 and k.shape == (*batch, *k.shape[-2:-1], q.shape[-1]) and v.shape[:-1] == k.shape[:-1]
    if not fits:
        raise ShapeError(f"attention takes q[*batch, Tq, d], k[*batch, Tk, d], v[*batch, Tk, w], not {q}, {k}, {v}")
    if mask is not None and mask.dtype.kind != "bool" and mask.dtype is not q.dtype:
        raise DTypeError(f"attention takes a mask of bools or of the dtype of q, {q.dtype}, not {mask}")
    if mask is not None and mask.shape != (*q.shape[:-1], k.shape[-2]):
        raise ShapeError(f"attention takes a mask {(*q.shape[:-1], k.shape[-2])} for {q} and {k}, not {mask}")


def _infer(
    q: TensorType, k: TensorType, v: TensorType, mask: TensorType | None = None, *, causal: bool, scale: float
) -> TupleType:
    _check(q, k, v, mask)
    real, rows = _real(q.dtype), q.shape[:-1]
    return TupleType((TensorType(real, _laid_shape((*rows, v.shape[-1]))), *2 * (TensorType(real, rows),)))


def _infer_grad(
    q: TensorType, k: TensorType, v: TensorType, g: TensorType, top: TensorType, total: TensorType, delta: TensorType,
    mask: TensorType | None = None, *, causal: bool, scale: float,
) -> TupleType:  # fmt: skip
    _check(q, k, v, mask)
    real, rows = _real(q.dtype), q.shape[:-1]
    came, wanted = (g, top, total, delta), (TensorType(real, (*rows, v.shape[-1])), *3 * (TensorType(real, rows),))
    if came != wanted:
        raise ShapeError(f"attention_grad takes g, top, total and delta {wanted}, not {came}")
    return TupleType(tuple(TensorType(real, _laid_shape(x.shape)) for x in (q, k, v)))


# The order of axes ------------------------------------------------------------------------------------------------
def _order(ndim: int) -> Ints:
    """The axes of an array [*batch, T, w] in the order in which it is laid out."""
    return (0, ndim - 2, *range(1, ndim - 2), ndim - 1) if ndim > 3 else tuple(range(ndim))


def _laid_shape(shape: Ints) -> Ints:
    return tuple(shape[axis] for axis in _order(len(shape)))


def _laid(x: Tensor) -> Tensor:
    """[*batch, T, w] as a result is laid out."""
    return permute(x, _order(x.ndim))


def unlaid(x: Tensor) -> Tensor:
    """A result as [*batch, T, w]."""
    return permute_back(x, _order(x.ndim))


# References ------------------------------------------------------------------------------------------------------
def _scores(q: Array, k: Array, mask: Array | None, causal: bool, scale: float) -> Array:
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(scale)
    if mask is not None:
        scores = np.where(mask, scores, NOTHING) if mask.dtype == bool else scores + mask
    seen = np.tri(*scores.shape[-2:]) > 0 if causal else True
    return np.where(seen, scores, NOTHING).astype(q.dtype)


def _attention(
    q: Array, k: Array, v: Array, mask: Array | None = None, *, causal: bool, scale: float
) -> tuple[Array, ...]:
    scores = _scores(q, k, mask, causal, scale)
    top = scores.max(axis=-1, keepdims=True, initial=NOTHING)
    weights = np.exp(scores - np.where(top == NOTHING, 0, top))
    total = weights.sum(axis=-1, keepdims=True)
    output = np.matmul(weights, v) / np.where(total == 0, 1, total)
    return output.transpose(_order(output.ndim)).astype(q.dtype), top[..., 0], total[..., 0]


def _attention_grad(
    q: Array, k: Array, v: Array, g: Array, top: Array, total: Array, delta: Array, mask: Array | None = None, *,
    causal: bool, scale: float,
) -> tuple[Array, ...]:  # fmt: skip
    base, divisor = np.where(top == NOTHING, 0, top), np.where(total == 0, 1, total)
    weights = np.exp(_scores(q, k, mask, causal, scale) - base[..., None]) / divisor[..., None]
    slopes = weights * (np.matmul(g, np.swapaxes(v, -1, -2)) - delta[..., None]) * q.dtype.type(scale)
    weights, turned = np.swapaxes(weights, -1, -2), np.swapaxes(slopes, -1, -2)
    found = np.matmul(slopes, k), np.matmul(turned, q), np.matmul(weights, g)
    return tuple(part.transpose(_order(part.ndim)).astype(q.dtype) for part in found)


# Compositions: all weights, for derivatives of derivatives and for forward mode -----------------------------------
def hidden(scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """`scores` [..., Tq, Tk] with the mask added, or -inf where it is False, and -inf above the diagonal if causal."""
    nothing = full_like(scores, NOTHING)
    if mask is not None:
        bools = mask.dtype.kind == "bool"
        scores = apply("where", mask, scores, nothing) if bools else scores + cast(mask, scores.dtype)
    if causal:
        row, column = (
            apply("iota", shape=scores.shape, axis=axis, dtype=DTYPES["int32"])
            for axis in (scores.ndim - 2, scores.ndim - 1)
        )
        scores = apply("where", apply("less_equal", column, row), scores, nothing)
    return scores


def _product(a: Tensor, b: Tensor) -> Tensor:
    return apply("matmul", a, b)


def _across(x: Tensor) -> Tensor:
    """The sum over the last axis."""
    return apply("sum", x, axes=(x.ndim - 1,))


def _along(x: Tensor, like: Tensor) -> Tensor:
    """[*batch, T], repeated along the last axis of `like`."""
    return broadcast_to(reshape_to(x, (*x.shape, 1)), like.shape)


def _filled(tangents: Sequence[Tensor | None], inputs: Sequence[Tensor], dtype: DType) -> list[Tensor]:
    """Tangents or cotangents of `inputs` in `dtype`, zeros for those that are missing."""
    zero = (zeros(TensorType(dtype, source.shape)) for source in inputs)
    return [z if t is None else cast(t, dtype) for t, z in zip(tangents, zero, strict=True)]


class _Whole(NamedTuple):
    """The inputs of `attention_grad`, widened, with all weights (`p`) and what they are multiplied by (`slope`).

    The gradient of the scores is p slope, with slope = g vᵀ - delta.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    g: Tensor
    p: Tensor
    slope: Tensor
    scale: float

    def moved_scores(self, dq: Tensor, dk: Tensor) -> Tensor:
        """How the scores move with q and k."""
        return (_product(dq, matrix_transpose(self.k)) + _product(self.q, matrix_transpose(dk))) * self.scale

    def moved_slope(self, dg: Tensor, dv: Tensor) -> Tensor:
        """How the slope moves with g and v."""
        return _product(dg, matrix_transpose(self.v)) + _product(self.g, matrix_transpose(dv))


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """All weights [*batch, Tq, Tk]. Maxima are taken anew: large scores differ from a kernel's by rounding."""
    scores = hidden(_product(q, matrix_transpose(k)) * scale, mask, causal)
    top = apply("stop_gradient", apply("max", scores, axes=(scores.ndim - 1,)))
    base = apply("where", apply("equal", top, full_like(top, NOTHING)), zeros_like(top), top)
    powers = invoke("exp", scores - _along(base, scores))
    total = _across(powers)
    return powers / _along(invoke("where", apply("equal", total, zeros_like(total)), 1.0, total), scores)


def _whole(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, top: Tensor, total: Tensor, delta: Tensor, mask: Tensor | None = None,
    *, causal: bool, scale: float,
) -> _Whole:  # fmt: skip
    q, k, v = (cast(x, g.dtype) for x in (q, k, v))
    p = attention_weights(q, k, mask, causal, scale)
    return _Whole(q, k, v, g, p, _product(g, matrix_transpose(v)) - _along(delta, p), scale)


# Rules -----------------------------------------------------------------------------------------------------------
def _attention_rule(
    cotangents: Sequence[Tensor | None], results: Sequence[Tensor], *inputs: Tensor, **attrs: Any
) -> list[Tensor | None]:
    """The cotangents of q, k and v are those of one `attention_grad`; nothing flows through top and total."""
    (q, k, v, *mask), (laid, top, total) = inputs, results
    if cotangents[0] is None:
        return [None] * len(inputs)
    output, g = unlaid(laid), unlaid(cotangents[0])
    delta = _across(g * output)
    found = apply_several("attention_grad", q, k, v, g, top, total, delta, *mask, **attrs)
    answer: list[Tensor | None] = [cast(unlaid(part), q.dtype) for part in found]
    if mask and mask[0].dtype.is_float:
        whole = _whole(q, k, v, g, top, total, delta, *mask, **attrs)
        answer.append(cast(whole.p * whole.slope, q.dtype))
    return answer + [None] * (len(inputs) - len(answer))


def _attention_tangent(
    tangents: Sequence[Tensor | None], results: Sequence[Tensor], *inputs: Tensor, causal: bool, scale: float
) -> tuple[Tensor | None, ...]:
    """With ds the tangent of the scores the output moves by (p ds) v - output Σ p ds + p dv."""
    output = unlaid(results[0])
    dq, dk, dv, *dmask = _filled(tangents, inputs, output.dtype)
    q, k, v = (cast(x, output.dtype) for x in inputs[:3])
    p = attention_weights(q, k, inputs[3] if dmask else None, causal, scale)
    moved = p * sum(dmask, _Whole(q, k, v, v, p, p, scale).moved_scores(dq, dk))
    return _laid(_product(moved, v) - _along(_across(moved), output) * output + _product(p, dv)), None, None


def _grad_rule(
    cotangents: Sequence[Tensor | None], results: Sequence[Tensor], *inputs: Tensor, **attrs: Any
) -> list[Tensor | None]:
    """The cotangents of the inputs of `attention_grad`, given cotangents hq, hk, hv of its results.

    These results are dq = scale d k, dk = scale dᵀ q and dv = pᵀ g with d = p slope. So d has the cotangent
    e = scale (hq kᵀ + q hkᵀ), the slope e p, p has f = e slope + g hvᵀ, and the scores p (f - Σ p f).
    """
    dtype = results[0].dtype
    hq, hk, hv = _filled([None if c is None else unlaid(c) for c in cotangents], inputs[:3], dtype)
    whole = _whole(*inputs, **attrs)
    q, k, v, g, p, slope, scale = whole
    e = whole.moved_scores(hq, hk)
    of_slope, of_weights = e * p, p * (e * slope + _product(g, matrix_transpose(hv)))
    of_scores = of_weights - p * _along(_across(of_weights), p)
    found = [
        (_product(of_scores, k) + _product(p * slope, hk)) * scale,
        (_product(matrix_transpose(of_scores), q) + _product(matrix_transpose(p * slope), hq)) * scale,
        _product(matrix_transpose(of_slope), g),
        _product(of_slope, v) + _product(p, hv),
        None,
        None,
        -_across(of_slope),
        of_scores,
    ]  # of q, k, v, g, top, total, delta, mask
    pairs = zip(found[: len(inputs)], inputs, strict=True)
    return [None if x is None or not source.dtype.is_float else cast(x, source.dtype) for x, source in pairs]


def _grad_tangent(
    tangents: Sequence[Tensor | None], results: Sequence[Tensor], *inputs: Tensor, **attrs: Any
) -> tuple[Tensor, ...]:
    """The product rule over dq = scale d k, dk = scale dᵀ q, dv = pᵀ g with d = p slope."""
    dq, dk, dv, dg, _, _, ddelta, *dmask = _filled(tangents, inputs, results[0].dtype)
    whole = _whole(*inputs, **attrs)
    q, k, _, g, p, slope, scale = whole
    ds = p * sum(dmask, whole.moved_scores(dq, dk))
    dp = ds - p * _along(_across(ds), p)
    d, moved = p * slope, dp * slope + p * (whole.moved_slope(dg, dv) - _along(ddelta, p))
    q_part = (_product(moved, k) + _product(d, dk)) * scale
    k_part = (_product(matrix_transpose(moved), q) + _product(matrix_transpose(d), dq)) * scale
    v_part = _product(matrix_transpose(dp), g) + _product(matrix_transpose(p), dg)
    return _laid(q_part), _laid(k_part), _laid(v_part)


# The primitives --------------------------------------------------------------------------------------------------
primitive(
    "attention",
    kind=Kind.LIBRARY,
    infer=_infer,
    vjp=Joint(_attention_rule),
    jvp=_attention_tangent,
    reference=_attention,
    cost=1024,
    strided_operands=range(8),
)
primitive(
    "attention_grad",
    kind=Kind.LIBRARY,
    infer=_infer_grad,
    vjp=Joint(_grad_rule),
    jvp=_grad_tangent,
    reference=_attention_grad,
    cost=1024,
    strided_operands=range(8),
)
