"""Reciprocals of standard deviations: one division for each row in place of one for each element.

    x / broadcast(sqrt(v)) = x * broadcast(1 / sqrt(v))        where v has far fewer elements than x

as in layer, batch and instance normalisation, and in their gradients. The root of a number that is neither 0 nor
infinite has a reciprocal of full precision, which other divisors may not have; so results change by one more rounding,
and not at all where v is 0, infinite or NaN.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ops.build import apply, broadcast_to, full_like
from graphc.ops.tensor import Tensor
from graphc.ops.views import reshape_to
from graphc.passes.rewriting import rewrite

__all__ = ["share_reciprocals"]

_FEWER = 8  # times fewer elements of v


def share_reciprocals(graph: Graph) -> Graph:
    """`graph` without divisions by broadcast square roots."""
    return rewrite(graph, {"divide": (_divide,)})


def _divide(node: Tensor) -> Tensor | None:
    x, divisor = node.inputs
    if divisor.op != "broadcast_to" or node.dtype.name not in ("float32", "float64"):
        return None
    (row,) = divisor.inputs
    root = row.inputs[0] if row.op == "reshape" else row
    if root.op != "sqrt" or root.size * _FEWER > x.size:
        return None
    reciprocal = reshape_to(apply("divide", full_like(root, 1), root), row.shape)
    return apply("multiply", x, broadcast_to(reciprocal, x.shape))
