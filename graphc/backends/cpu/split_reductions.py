"""Large reductions in two levels, so that their parts run at the same time and each reads memory in its order.

With few results, there would be few tiles. Where the inner axes make long rows, each row is a part: other reductions of
the rows run in the same loops. Wide sums of columns would be cut along the columns, and every tile would read short
stretches far apart; so a part takes some of the rows, whole.

The split depends on the shape alone, never on the number of threads, so results are the same bits everywhere. max, min
and integer sums keep every bit; float sums are those of the same numbers in another order, usually a more exact one.
Run it last: `simplify` would merge the two levels again.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ops.build import apply, broadcast_to
from graphc.ops.record import NUMERIC
from graphc.ops.tensor import Tensor
from graphc.passes.parts import COMBINE, in_parts
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["SPLITTING", "split_reductions"]

SPLITTING = Rulebook()

_FEW = 64  # a reduction with as many results has enough parts already
_LARGE = 1 << 17  # elements of one result from which on it is split
_PART = 1 << 14  # elements that one part combines
_ROW = 1 << 10  # elements of rows that are parts of their own, so that other reductions of rows run in the same loops

_WIDE = 1 << 8  # results from which on columns are reduced by blocks of rows,
_BLOCKS, _BLOCK = 8, 1 << 17  # so many, of at least so many elements


def split_reductions(graph: Graph) -> Graph:
    """`graph` with every large reduction to few results done in two levels."""
    return rewrite(graph, SPLITTING.rules)


@SPLITTING.rule(
    COMBINE,
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
    return in_parts(node, wanted, most)
