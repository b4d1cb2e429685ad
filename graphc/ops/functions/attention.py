"""Attention as users call it, with PyTorch's name, arguments and semantics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES, TensorType
from graphc.ops import build
from graphc.ops.build import apply, apply_several, as_tensor, cast, invoke, promoted, zeros
from graphc.ops.functions.random import bernoulli
from graphc.ops.primitives.attention import attention_weights, unlaid
from graphc.ops.primitives.views import Ints, dtype_error, reshape_to, shape_error
from graphc.ops.record import FLOAT, Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]


def _operands(query: Any, key: Any, value: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The three as tensors of one floating dtype, with extents that fit."""
    q, k, v = (as_tensor(x) for x in (query, key, value))
    if not all(x.dtype.is_float for x in (q, k, v)):
        raise dtype_error(f"scaled_dot_product_attention takes floating tensors, not {q.type}, {k.type} and {v.type}")
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise shape_error(
            "scaled_dot_product_attention takes query[*batch, Tq, d], key[*batch, Tk, d] and value[*batch, Tk, w], "
            f"not {q.type}, {k.type} and {v.type}"
        )
    q, k, v = promoted(q, k, v)
    return q, k, v


def _mask(attn_mask: Any, q: Tensor, k: Tensor) -> Tensor | None:
    """The mask as bools or in the dtype of `q`."""
    if attn_mask is None:
        return None
    mask = as_tensor(attn_mask)
    if mask.dtype.kind != "bool" and not mask.dtype.is_float:
        raise dtype_error(f"scaled_dot_product_attention takes a mask of bools or floats, not {mask.type}")
    rows = (q.shape[-2], k.shape[-2])
    mask = reshape_to(mask, ((1,) * (2 - mask.ndim) + mask.shape))
    if any(n not in (1, row) for n, row in zip(mask.shape[-2:], rows, strict=True)):
        wanted = f"(*batch, {rows[0]}, {rows[1]})"
        raise shape_error(f"scaled_dot_product_attention takes a mask that broadcasts to {wanted}, not {mask.type}")
    return mask if mask.dtype.kind == "bool" else cast(mask, q.dtype)


def _split_heads(x: Tensor, groups: int) -> Tensor:
    """[*batch, heads, T, w] as [*batch, groups, heads / groups, T, w]."""
    return reshape_to(x, (*x.shape[:-3], groups, x.shape[-3] // groups, *x.shape[-2:]))


def _grouped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Operands in which the heads of `k` and `v` broadcast over the groups of heads of `q` that they serve."""
    heads = [x.shape[-3] if x.ndim > 2 else 0 for x in (q, k, v)]
    if not all(heads) or heads[1] != heads[2] or heads[0] % heads[1]:
        raise shape_error(
            "enable_gqa takes [*batch, heads, T, d] where key and value have equally many heads and query a multiple "
            f"of that, not {q.type}, {k.type} and {v.type}"
        )
    if mask is not None and mask.ndim > 2:
        if mask.shape[-3] not in (1, heads[0]):
            raise shape_error(f"a mask has one head or as many as query, {heads[0]}; it is {mask.type}")
        mask = _split_heads(mask, heads[1] if mask.shape[-3] > 1 else 1)
    return _split_heads(q, heads[1]), _split_heads(k, heads[1]), _split_heads(v, heads[1]), mask


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, causal: bool, scale: float) -> Tensor:
    """Attention with batch dims broadcast against each other."""
    batches = [x.shape[:-2] for x in (q, k, v, mask) if x is not None]
    batch = build.broadcast_shapes(*batches)
    q, k, v = (build.broadcast_to(x, batch + x.shape[-2:]) for x in (q, k, v))
    rows: Ints = (*batch, q.shape[-2], k.shape[-2])
    masks = () if mask is None else (build.broadcast_to(mask, rows),)
    shape = (*rows[:-1], v.shape[-1])
    if not math.prod(shape) or not rows[-1]:
        return zeros(TensorType(q.dtype, shape))
    if dropout:
        return _with_dropout(q, k, v, masks[0] if masks else None, dropout, causal, scale)
    laid, _, _ = apply_several("attention", q, k, v, *masks, causal=causal, scale=scale)
    return cast(unlaid(laid), q.dtype)


def _with_dropout(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, causal: bool, scale: float
) -> Tensor:
    """The same from primitives, with all weights in memory, of which some are dropped."""
    wide = DTYPES["float64"] if q.dtype.name == "float64" else DTYPES["float32"]
    weights = attention_weights(cast(q, wide), cast(k, wide), mask, causal, scale)
    kept = invoke("where", bernoulli(1.0 - dropout, weights.shape), weights * (1.0 / (1.0 - dropout)), 0.0)
    return apply("matmul", cast(kept, q.dtype), v)


# NumPy's formula -------------------------------------------------------------------------------------------------
def _formula(
    query: Array, key: Array, value: Array, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Array:  # fmt: skip
    if enable_gqa:
        key, value = (np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3) for x in (key, value))
    depth, keys = query.shape[-1], key.shape[-2]
    scores = np.einsum("...id,...jd->...ij", query, key) * (depth**-0.5 if scale is None and depth else scale or 1.0)
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    for row in range(scores.shape[-2] if is_causal else 0):
        scores[..., row, row + 1 :] = -np.inf
    if not keys:
        return np.zeros((*scores.shape[:-1], value.shape[-1]), query.dtype)
    weights = np.exp(scores - np.nan_to_num(scores.max(axis=-1, keepdims=True), neginf=0.0))
    weights = np.nan_to_num(weights / weights.sum(axis=-1, keepdims=True))
    return np.asarray(np.einsum("...ij,...jw->...iw", weights, value)).astype(query.dtype)


def _sample(*shapes: Ints, mask: Any = None, **options: Any) -> Sample:
    masks = () if mask is None else (mask,)
    return Sample((*map(Arg, shapes), *masks), tuple(options.items()))


_HIDES = Arg((3, 4), dtype="bool", values=(1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0))
_LARGE = Arg((2, 3), values=(0.5, -math.inf, 1.0, -math.inf, -math.inf, -math.inf), grad=False)
_HEIGHT = -3.3895313892515355e38  # the least of bfloat16, -inf in float16: what models hide keys with
_STEEP = Sample(
    (*(Arg((2 + (i > 0), 2), values=(0, 1, 2, 2, 1, 0)[: 4 + 2 * (i > 0)]) for i in range(3)),
     Arg((2, 3), values=(_HEIGHT, 0.5, _HEIGHT, _HEIGHT, _HEIGHT, _HEIGHT))),
    grad=False, why="too steep for differences",
)  # fmt: skip


@function(
    formula=_formula,
    samples=(
        _sample((3, 2), (4, 2), (4, 5)),
        _sample((2, 3, 2), (2, 4, 2), (2, 4, 3)),
        _sample((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4), is_causal=True),
        _sample((2, 1, 2, 3, 2), (2, 2, 4, 2), (1, 4, 1), scale=0.3),
        _sample((1, 1), (1, 1), (1, 1)),
        _sample((4, 3), (2, 3), (2, 3), is_causal=True),
        _sample((2, 3), (5, 3), (5, 3), is_causal=True),
        _sample((2, 3, 2), (2, 4, 2), (2, 4, 2), mask=_HIDES),
        _sample((2, 3, 2), (2, 4, 2), (2, 4, 2), mask=Arg((2, 1, 4), dtype="bool", values=(1, 0, 1, 1, 0, 1, 1, 0))),
        _sample((2, 3, 2), (4, 2), (4, 2), mask=Arg((2, 3, 4))),
        _sample((2, 2, 3, 2), (2, 2, 4, 2), (2, 2, 4, 2), mask=Arg((2, 1, 1, 4)), is_causal=True),
        _sample((2, 2), (3, 2), (3, 2), mask=_LARGE),
        _STEEP,
        _sample((2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 2), enable_gqa=True, is_causal=True),
        _sample((2, 4, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2), mask=Arg((4, 3, 3)), enable_gqa=True),
        _sample((2, 0, 2), (2, 4, 2), (2, 4, 2)),
        _sample((2, 3, 2), (2, 0, 2), (2, 0, 2)),
        _sample((2, 3, 0), (2, 4, 0), (2, 4, 2), scale=1.0),
        _sample((2, 3, 2), (2, 4, 2), (2, 4, 0)),
    ),
    dtypes=FLOAT,
    convention="A query that sees no key has the output 0, and gradients of 0.",
    errors=(
        (ShapeError, (Arg((3,)), Arg((4, 3)), Arg((4, 3))), {}),
        (ShapeError, (Arg((2, 3)), Arg((4, 2)), Arg((4, 3))), {}),
        (ShapeError, (Arg((2, 3)), Arg((4, 3)), Arg((5, 3))), {}),
        (ShapeError, (Arg((2, 2, 3)), Arg((3, 4, 3)), Arg((3, 4, 3))), {}),
        (ShapeError, (Arg((2, 3)), Arg((4, 3)), Arg((4, 3))), {"attn_mask": Arg((4, 2))}),
        (ShapeError, (Arg((3, 2, 3)), Arg((2, 4, 3)), Arg((2, 4, 3))), {"enable_gqa": True}),
        (ShapeError, (Arg((4, 2, 3)), Arg((2, 4, 3)), Arg((2, 4, 3)), Arg((2, 2, 4))), {"enable_gqa": True}),
        (DTypeError, (Arg((2, 3), dtype="int32"), Arg((4, 3)), Arg((4, 3))), {}),
        (DTypeError, (Arg((2, 3)), Arg((4, 3)), Arg((4, 3))), {"attn_mask": Arg((2, 4), dtype="int32")}),
        (GraphError, (Arg((2, 3)), Arg((4, 3)), Arg((4, 3))), {"dropout_p": 1.5}),
    ),
)
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """PyTorch's scaled_dot_product_attention: softmax(scale query keyᵀ + attn_mask) value (Vaswani et al. 2017).

    query[*batch, Tq, d], key[*batch, Tk, d], value[*batch, Tk, w] → [*batch, Tq, w]; batch dims broadcast. `attn_mask`
    broadcasts to [*batch, Tq, Tk]: bools, False hides a key, or floats that are added. With `is_causal` query i sees
    the keys 0 to i alone. `scale` is 1/√d unless given. With `enable_gqa` a head of key and value serves several
    consecutive heads of query. A query that sees no key has the output 0, as in PyTorch (where softmax would have NaN).

    No Tq × Tk matrix is held in memory, forward or backward, unless `dropout_p`, the probability with which a weight is
    dropped, is above 0 (always, as in PyTorch: pass 0 for evaluation), or a second derivative is asked for.
    Raises DTypeError, ShapeError; GraphError for a probability outside [0, 1).

    >>> x = np.zeros((2, 6, 16, 8), "float32")
    >>> scaled_dot_product_attention(x, x, x, is_causal=True).shape
    (2, 6, 16, 8)
    """
    q, k, v = _operands(query, key, value)
    mask = _mask(attn_mask, q, k)
    if not 0.0 <= dropout_p < 1.0:
        raise with_location(GraphError(f"dropout_p lies in [0, 1), not {shown(dropout_p)}"), capture())
    factor = float(scale) if scale is not None else 1.0 / math.sqrt(q.shape[-1] or 1)
    if enable_gqa:
        q, k, v, mask = _grouped(q, k, v, mask)
    y = _attend(q, k, v, mask, dropout_p, bool(is_causal), factor)
    return reshape_to(y, (*y.shape[:-4], y.shape[-4] * y.shape[-3], *y.shape[-2:])) if enable_gqa else y
