"""Panels: a matrix by which many products of few rows are multiplied is brought into the kernels' layout once.

As in the steps of a recurrent net, which wait for one another and so cannot become one product. Few rows cannot hide
what it costs to read a large matrix across its rows; in panels it is read from the first to the last element. Values
do not change.
"""

from __future__ import annotations

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply
from graphc.ops.primitives.contraction import PANEL_COLUMNS, panels_of
from graphc.ops.primitives.views import narrow
from graphc.ops.record import WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt, rewrite
from graphc.passes.simplify import SIMPLIFICATION

__all__ = ["REWRITES", "share_panels"]


def _steps(w: Tensor) -> Tensor:
    state = narrow(w, 0, 0, 2)
    for _ in range(4):
        state = apply("tanh", apply("matmul", state, w))
    return state


REWRITES = (
    Rewrite(
        "x1 @ w, x2 @ w, ...", "x1 @ panels(w), x2 @ panels(w), ...", Keeps.BITS, _steps,
        "many that wait for one another, by a large w; the sums are the same", dtypes=WIDE_FLOAT,
    ),
)  # fmt: skip

_MANY = 4  # products that make up for the copy
_ROWS = 128  # a product of more rows reads its matrix often enough to pack it by itself
_LARGE = 1 << 14  # elements of a matrix that does not stay in the first cache


def share_panels(graph: Graph) -> Graph:
    """`graph` with matrices in panels where many products of few rows share them."""
    families: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "matmul" and _suits(node):
            families.setdefault(node.inputs[1], []).append(node)
    chosen = {node for family in families.values() if len(family) >= _MANY for node in family}
    if not chosen:
        return graph

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node not in chosen:
            return rebuilt(node, inputs)
        a, b = inputs
        assert isinstance(a, Tensor)
        assert isinstance(b, Tensor)
        since = next_serial()
        new = apply("matmul_panels", a, panels_of(b))
        inherit_location([new], since, node.location)
        return new

    return rewrite(rebuild(graph, build), SIMPLIFICATION)


def _suits(product: Node) -> bool:
    matrix = product.inputs[1]
    if len(product.shape) != 2 or product.shape[0] > _ROWS or product.dtype.name not in WIDE_FLOAT:
        return False
    return matrix.size >= _LARGE and matrix.shape[1] > PANEL_COLUMNS and matrix.shape[1] % PANEL_COLUMNS == 0
