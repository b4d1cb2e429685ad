"""Large reductions in two levels, so that their parts run at the same time and each reads memory in its order.

An axis of n is cut into B of n / B; with n = B * k + r the last r are reduced apart and combined with the rest.

With few results, there would be few tiles. Where the inner axes make long rows, each row is a part: other reductions of
the rows run in the same loops. Wide sums of columns would be cut along the columns, and every tile would read short
stretches far apart; so a part takes some of the rows, whole.

The split depends on the shape alone, never on the number of threads, so results are the same bits everywhere. max, min
and integer sums keep every bit; float sums are those of the same numbers in another order, usually a more exact one.
16-bit floats are summed in float32 and rounded once. Run it last: `simplify` would merge the two levels again.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, broadcast_to, cast
from graphc.ops.primitives.views import narrow, reshape_to
from graphc.ops.record import NUMERIC
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["SPLITTING", "split_reductions"]

SPLITTING = Rulebook()

_FEW = 64  # a reduction with as many results has enough parts already
_LARGE = 1 << 17  # elements of one result from which on it is split
_PART = 1 << 14  # elements that one part combines
_ROW = 1 << 10  # elements of rows that are parts of their own, so that other reductions of rows run in the same loops

_WIDE = 1 << 8  # results from which on columns are reduced by blocks of rows,
_BLOCKS, _BLOCK = 8, 1 << 17  # so many, of at least so many elements

_COMBINE = {"sum": "add", "max": "maximum", "min": "minimum"}


def split_reductions(graph: Graph) -> Graph:
    """`graph` with every large reduction to few results done in two levels."""
    return rewrite(graph, SPLITTING.rules)


@SPLITTING.rule(
    _COMBINE,
    Rewrite(
        "max(x), min(x)", "max(max(x)), min(min(x))", Keeps.BITS,
        lambda x: apply("max", broadcast_to(x, (1 << 14, 9)), axes=(0, 1)), "large ones, in parts", dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(x)", "sum(sum(x))", Keeps.ROUNDING, lambda x: apply("sum", broadcast_to(x, (1 << 14, 9)), axes=(0, 1)),
        "large ones, in parts; 16-bit floats in float32",
    ),
)  # fmt: skip
def _split(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    is_wide = node.size >= _WIDE and node.attrs["axes"] == tuple(range(len(node.attrs["axes"])))
    if is_wide and x.size >= _BLOCKS * _BLOCK and x.size // node.size >= _BLOCKS * _BLOCKS:
        wanted = most = _BLOCKS
    elif 0 < node.size < _FEW and x.size // node.size >= _LARGE:
        wanted = x.size // node.size // _PART
        most = wanted * (_PART // _ROW)
    else:
        return None
    if node.op == "sum" and node.dtype.is_low_precision:
        return cast(apply("sum", cast(x, DTYPES["float32"]), axes=node.attrs["axes"]), node.dtype)
    return _in_parts(node, wanted, most)


def _in_parts(node: Tensor, wanted: int, most: int) -> Tensor:
    """`node` in about `wanted` parts, or in up to `most` rows: whole outer axes first, then a piece of the next one."""
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
    return apply(_COMBINE[node.op], result, rest)


def _twice(op: str, x: Tensor, inner: tuple[int, ...], outer: tuple[int, ...]) -> Tensor:
    """Reduce `x` over `inner`, and what is left over `outer` (both counted in `x`)."""
    left = [axis for axis in range(x.ndim) if axis not in inner]
    return apply(op, apply(op, x, axes=inner), axes=tuple(left.index(axis) for axis in outer))
