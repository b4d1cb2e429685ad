"""Constant folding: what depends on constants alone is computed now, by the references of the ops.

`broadcast_to(constant)` is left as it is: it takes no memory. Values are those of the reference, bit for bit. Random
bits, inputs and parameters are never folded.
"""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Graph
from graphc.ir.node import Node, Results
from graphc.ops.build import apply, broadcast_to, constant, full_like
from graphc.ops.record import ALL, OPS, Kind
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["FOLDING", "fold_constants"]

_SMALL = 1024  # elements of an answer that is always worth its memory
_LARGE = 1 << 16  # elements of a broadcast constant up to which it is written out to be computed with

_FOLDED_KINDS = (Kind.ELEMENTWISE, Kind.VIEW, Kind.REDUCTION, Kind.CONTRACTION, Kind.LIBRARY)
FOLDING = Rulebook()


def fold_constants(graph: Graph) -> Graph:
    """`graph` with everything computed that depends on constants alone and stays small."""
    return rewrite(graph, FOLDING.rules)


@FOLDING.rule(
    [name for name, op in OPS.items() if op.kind in _FOLDED_KINDS and name != "broadcast_to"],
    Rewrite(
        "f(constants)", "a constant", Keeps.BITS, lambda x: apply("where", x == x, x, full_like(x, 2) / 3),
        "it is small, or no larger than what it is made of",
    ),
)  # fmt: skip
def _fold(node: Node) -> Tensor | None:
    if isinstance(node, Results) or not node.inputs or not all(_is_known(source) for source in node.inputs):
        return None
    stored = sum(source.size for source in node.inputs if source.op == "constant")
    if node.size > max(_SMALL, stored) or any(source.size > max(_LARGE, stored) for source in node.inputs):
        return None
    return constant(evaluate([node], {})[0])


def _is_known(x: Node) -> bool:
    return x.op == "constant" or (x.op == "broadcast_to" and x.inputs[0].op == "constant")


@FOLDING.rule(
    "constant",
    Rewrite(
        "constant of equal bits", "broadcast(scalar)", Keeps.BITS,
        lambda x: apply("maximum", x, constant(np.ones(9), x.dtype)), dtypes=ALL,
    ),
)  # fmt: skip
def _shrink(node: Tensor) -> Tensor | None:
    array = node.attrs["value"].array
    if array.size <= 1:
        return None
    bits = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    if not (bits == bits[0]).all():
        return None
    return broadcast_to(constant(np.array(array.reshape(-1)[0])), node.shape)
