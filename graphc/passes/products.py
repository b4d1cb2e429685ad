"""Products of many small matrices by one large one become a single product.

As in the input projections of an unrolled recurrent net, whose x1, x2, ... are slices of one tensor: then the stack is
that tensor and nothing is copied. Products that wait for one another stay apart. Each element is the sum of the same
products, in an order that may depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, replace
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply
from graphc.ops.primitives.views import join, narrow, reshape_to
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt, rewrite
from graphc.passes.simplify import SIMPLIFICATION
from graphc.passes.stacks import copied_elements, stacked

__all__ = ["REWRITES", "merge_products"]

REWRITES = (
    Rewrite(
        "x1 @ w, x2 @ w, ...", "slices of concatenate(x1, x2, ...) @ w", Keeps.ROUNDING,
        lambda a, d: join([apply("matmul", narrow(a, 0, row, 1), d) for row in (4, 0, 2, 6, 1)], 0),
        "many small ones, where stacking copies less than it saves",
    ),
)  # fmt: skip

_FEW = 4  # as many products stay as they are: each may lose elementwise work that it could finish
_ROWS = 128  # a product of more rows makes good use of what it reads of the large matrix
_MOST = 64  # families that are looked at, and merges; each takes time linear in the graph


def merge_products(graph: Graph) -> Graph:
    """`graph` with products by the same right-hand matrix merged, where they are many, small and independent."""
    original, settled = graph, set[Node]()
    for _ in range(_MOST):
        products = _next(graph, settled)
        if not products:
            break
        graph = graph.with_results(replace(graph.results, _merged(products), rebuilt))
    return graph if graph is original else rewrite(graph, SIMPLIFICATION)


def _next(graph: Graph, settled: set[Node]) -> list[Tensor]:
    """Products to merge; none where there are none. Matrices by which none are left join `settled`."""
    families = _families(graph)
    rank = {node: number for number, node in enumerate(graph.nodes)} if families else {}
    for family in families:
        matrix = family[0].inputs[1]
        if matrix not in settled and len(settled) < _MOST:
            for products in _independent(family, graph.nodes[rank[family[0]] : rank[family[-1]] + 1]):
                if _pays(products):
                    return products
            settled.add(matrix)
    return []


def _families(graph: Graph) -> list[list[Tensor]]:
    """The products of matrices of few rows by one and the same right operand, where there are many."""
    found: dict[tuple[Node, int], list[Tensor]] = {}
    for node in graph.nodes:
        if node.op == "matmul" and node.ndim == 2 and node.shape[0] <= _ROWS and isinstance(node, Tensor):
            found.setdefault((node.inputs[1], node.shape[0]), []).append(node)
    return [family for family in found.values() if len(family) > _FEW]


def _independent(family: Sequence[Tensor], nodes: Sequence[Node]) -> list[list[Tensor]]:
    """The family cut by how many others of it each product waits for, one after the other.

    `nodes` are those from its first to its last. Two products that wait for equally many do not wait for each other.
    """
    waits: dict[Node, int] = {}
    levels: dict[int, list[Tensor]] = {}
    members = set(family)
    for node in nodes:
        level = max((waits.get(source, 0) for source in node.inputs), default=0)
        if node in members:
            assert isinstance(node, Tensor)
            levels.setdefault(level, []).append(node)
            level += 1
        if level:
            waits[node] = level
    return list(levels.values())


def _pays(products: Sequence[Tensor]) -> bool:
    """Whether stacking the left operands copies less than reading the right one again and again."""
    if len(products) <= _FEW:
        return False
    return (
        copied_elements([product.inputs[0] for product in products]) < (len(products) - 1) * products[0].inputs[1].size
    )


def _merged(products: Sequence[Tensor]) -> dict[Node, Node]:
    """Each product as a part of one."""
    since, count, shape = next_serial(), len(products), products[0].shape
    whole = apply("matmul", stacked([product.inputs[0] for product in products]), products[0].inputs[1])
    steps = reshape_to(whole, (count, *shape))
    parts: dict[Node, Node] = {
        product: reshape_to(narrow(steps, 0, number, 1), shape) for number, product in enumerate(products)
    }
    inherit_location(list(parts.values()), since, products[0].location)
    return parts
