"""One reduction as two: parts are reduced, then what comes of them. Backends say which (`split_reductions`, say).

An axis of n is cut into B of n / B; with n = B * k + r the last r are reduced apart and combined with the rest. 16-bit
floats are summed in float32 and rounded once.
"""

from __future__ import annotations

from graphc.ir.types import DTYPES
from graphc.ops.build import apply, cast
from graphc.ops.primitives.views import narrow, reshape_to
from graphc.ops.tensor import Tensor

__all__ = ["COMBINE", "in_parts"]

COMBINE = {"sum": "add", "max": "maximum", "min": "minimum"}


def in_parts(node: Tensor, wanted: int, most: int) -> Tensor:
    """`node` in about `wanted` parts, or in up to `most` rows: whole outer axes first, then a piece of the next one."""
    if node.op == "sum" and node.dtype.is_low_precision:
        wide = apply("sum", cast(node.inputs[0], DTYPES["float32"]), axes=node.attrs["axes"])
        return cast(in_parts(wide, wanted, most), node.dtype)
    axes, parts, kept = list(node.attrs["axes"]), 1, list[int]()
    while parts * node.inputs[0].shape[axes[0]] <= most:
        kept.append(axes.pop(0))
        parts *= node.inputs[0].shape[kept[-1]]
    if wanted // parts >= 2:
        return _in_pieces(node, axes[0], kept, wanted // parts)
    return _twice(node.op, node.inputs[0], tuple(axes), tuple(kept))


def _in_pieces(node: Tensor, axis: int, kept: list[int], pieces: int) -> Tensor:
    """Split `axis` into `pieces`, or a few less where that comes out even."""
    (x,) = node.inputs
    size = x.shape[axis]
    pieces = next((count for count in range(pieces, pieces // 2, -1) if size % count == 0), pieces)
    even = size - size % pieces
    main = narrow(x, axis, 0, even)
    shape = (*x.shape[:axis], pieces, even // pieces, *x.shape[axis + 1 :])
    inner = tuple(a + (a >= axis) for a in node.attrs["axes"] if a not in kept)
    result = _twice(node.op, reshape_to(main, shape), inner, (*kept, axis))
    if even == size:
        return result
    rest = apply(node.op, narrow(x, axis, even, size - even), axes=node.attrs["axes"])
    return apply(COMBINE[node.op], result, rest)


def _twice(op: str, x: Tensor, inner: tuple[int, ...], outer: tuple[int, ...]) -> Tensor:
    """Reduce `x` over `inner`, and what is left over `outer` (both counted in `x`)."""
    left = [axis for axis in range(x.ndim) if axis not in inner]
    return apply(op, apply(op, x, axes=inner), axes=tuple(left.index(axis) for axis in outer))
