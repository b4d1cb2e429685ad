"""Reductions that would keep a part of a device busy alone, in two levels.

A row of what lies side by side is reduced by up to 256 threads, other columns by 8: with few results that is little. So
parts are reduced first, as many as give work to a whole device. How depends on the shape alone, and so do bits. Rows
that are many, or short, stay whole, as what is fused with them reads them once. Run it last, as `split_reductions`.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ops.build import apply, broadcast_to
from graphc.ops.record import NUMERIC
from graphc.ops.tensor import Tensor
from graphc.passes.parts import COMBINE, in_parts
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["SPREADING", "spread_reductions"]

SPREADING = Rulebook()

_THREADS = 1 << 15  # which give a device something to do
_ALONG, _ACROSS = 256, 8  # threads of a result: where elements lie side by side, and where results do
_EACH = 16  # elements that a thread takes at least


def spread_reductions(graph: Graph) -> Graph:
    """`graph` with long reductions to few results done in two levels."""
    return rewrite(graph, SPREADING.rules)


@SPREADING.rule(
    COMBINE,
    Rewrite(
        "max(x), min(x)", "max(max(x)), min(min(x))", Keeps.BITS,
        lambda x: apply("max", broadcast_to(x, (1 << 14, 9)), axes=(0, 1)), "on a device: long ones, in parts",
        dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(x)", "sum(sum(x))", Keeps.ROUNDING, lambda x: apply("sum", broadcast_to(x, (1 << 14, 9)), axes=(0, 1)),
        "on a device: long ones, in parts; 16-bit floats in float32",
    ),
)  # fmt: skip
def _spread(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    results = max(node.size, 1)
    each = _ALONG if x.ndim - 1 in node.attrs["axes"] else _ACROSS
    parts = min(x.size // results // (each * _EACH), _THREADS // (results * each))
    return in_parts(node, parts, 4 * parts) if parts > 1 else None
