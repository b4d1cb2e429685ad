"""Attention as library calls: sizes, tiles and scratch. `kernels/cpu/include/graphc/attention.h` documents the kernels.

A tile of the forward pass is some queries of one batch. A tile of the gradient is one batch; where batches are few it
is the keys or the queries of a part of one, which costs two more products but can be shared between threads.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.types import DType, TupleType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView, ceil_div, type_tag

__all__ = ["attention", "attention_grad"]

KEYS = 64  # GC_ATTENTION_KEYS
CHUNK = 256  # GC_ATTENTION_CHUNK
WIDEST_VECTOR = 64  # bytes
MOST_QUERIES, LEAST_QUERIES = 256, 64  # queries of a tile
LEAST_TILES = 16  # tiles wanted of the forward pass
FEW_BATCHES = 4  # below it, batches are cut for the gradient
SMALL_WORK = 1 << 22  # operations that are not worth cutting
SLOWNESS = 1.9  # of its operations, beside those of a large product
_CAUSAL, _MASKED, _MASK_BOOL = 1, 2, 4


def _round_up(n: int, to: int) -> int:
    return ceil_div(n, to) * to


def _lanes(real: DType) -> int:
    return WIDEST_VECTOR // real.itemsize


def _params(
    attrs: Mapping[str, Any], operands: Sequence[OperandView], count: int, tile: tuple[int, int]
) -> tuple[int, ...]:
    """The kernel's parameters; `count` operands are always there, a mask may follow them."""
    q, k, v = operands[:3]
    batch = q.shape[:-2]
    mask = operands[count] if len(operands) > count else None
    flags = _CAUSAL * attrs["causal"]
    if mask is not None:
        flags |= _MASKED | _MASK_BOOL * (mask.dtype.kind == "bool")
    (scale,) = struct.unpack("<q", struct.pack("<d", attrs["scale"]))
    sizes = (*q.shape[-2:-1], *k.shape[-2:], v.shape[-1], math.prod(batch), math.prod(batch[1:]))
    matrix = [(*o.strides[len(batch) :], 0)[:2] for o in operands]  # top, total and delta have rows alone
    dims = [(extent, *(o.strides[axis] for o in operands)) for axis, extent in enumerate(batch)]
    numbers = [number for line in (*matrix, *dims) for number in line]
    return (flags, *sizes, scale, *tile, len(operands), len(batch), *numbers)


def attention(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """q[*batch, Tq, d], k[*batch, Tk, d], v[*batch, Tk, w], a mask or none → output, top and total."""
    q, k, v = operands[:3]
    (rows, depth), keys, width, batches = q.shape[-2:], k.shape[-2], v.shape[-1], math.prod(q.shape[:-2])
    queries = min(rows, MOST_QUERIES)
    while queries > LEAST_QUERIES and batches * ceil_div(rows, queries) < LEAST_TILES:
        queries = ceil_div(queries, 2)
    lanes = _lanes(result.parts[0].dtype)
    panel, wide, across = 2 * lanes, _round_up(depth, lanes), _round_up(width, lanes)
    reals = KEYS * (wide + across + panel) + panel * (wide + 1) + _round_up(queries, panel) * (wide + across + 2)
    return LibraryCall(
        f"attention_{type_tag(q.dtype)}", _params(attrs, operands, 3, (queries, 0)), batches * ceil_div(rows, queries),
        reals * result.parts[0].dtype.itemsize, 2 * batches * rows * keys * (depth + width) // (1 + attrs["causal"]),
        slowness=SLOWNESS,
    )  # fmt: skip


def attention_grad(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """q, k, v, the gradient of the output, top, total, delta, a mask or none → those of q, k and v."""
    q, k, v = operands[:3]
    (rows, depth), keys, width, batches = q.shape[-2:], k.shape[-2], v.shape[-1], math.prod(q.shape[:-2])
    work = 2 * rows * keys * (3 * depth + 2 * width) // (1 + attrs["causal"])
    tile, tiles = (rows, 0), batches
    if batches < FEW_BATCHES and work > SMALL_WORK:
        tile = (MOST_QUERIES, CHUNK)
        tiles = batches * (ceil_div(rows, MOST_QUERIES) + ceil_div(keys, CHUNK))
    lanes = _lanes(result.parts[0].dtype)
    panel, wide, across = 2 * lanes, _round_up(depth, lanes), _round_up(width, lanes)
    reals = 2 * KEYS * panel + panel * (3 * wide + 2 * across + 3) + 2 * CHUNK * (wide + across)
    return LibraryCall(
        f"attention_grad_{type_tag(q.dtype)}", _params(attrs, operands, 7, tile), tiles,
        reals * result.parts[0].dtype.itemsize, batches * work, slowness=SLOWNESS,
    )  # fmt: skip
