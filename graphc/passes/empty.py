"""Arrays without elements: after this pass no loop nest and no library kernel runs over nothing."""

from __future__ import annotations

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, Results, inherit_location, next_serial
from graphc.ops.build import apply, constant, full
from graphc.ops.primitives.views import join, narrow, pad_view
from graphc.ops.record import ALL, NUMERIC, Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt

__all__ = ["REWRITES", "fill_empty"]


def _nothing(x: Tensor) -> Tensor:
    return narrow(x, 0, 0, 0)


REWRITES = (
    Rewrite(
        "f(...) of no elements, in a larger one", "nothing", Keeps.BITS,
        lambda x: join([_nothing(apply("maximum", x, x)), x], 0), dtypes=ALL,
    ),
    Rewrite(
        "pad of nothing", "broadcast(the padding)", Keeps.BITS, lambda x: pad_view(_nothing(x), (2,), (1,), 1),
        dtypes=ALL,
    ),
    Rewrite(
        "scatter_add of nothing to x", "x", Keeps.BITS,
        lambda x: apply("scatter_add", x, constant([], "int32"), _nothing(x), axis=0), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum over nothing", "broadcast(0)", Keeps.BITS, lambda x: apply("sum", _nothing(x), axes=(0,)), dtypes=NUMERIC
    ),
    Rewrite(
        "contraction of nothing", "broadcast(0)", Keeps.BITS,
        lambda a, d: apply("matmul", narrow(a, 1, 0, 0), _nothing(d)), dtypes=NUMERIC,
    ),
)  # fmt: skip


def fill_empty(graph: Graph) -> Graph:
    """`graph` with what has no elements, or is made of none, replaced by constants."""

    if all(node.elements for node in graph.nodes):
        return graph

    def rewrite(node: Node, inputs: tuple[Node, ...]) -> Node:
        kind, since = op_of(node).kind, next_serial()
        empty = any(source.elements == 0 for source in inputs)
        if kind in (Kind.SOURCE, Kind.GENERATED) or isinstance(node, Results) or not (node.size == 0 or empty):
            return rebuilt(node, inputs)
        if node.size == 0 or kind is Kind.CONTRACTION or node.op == "sum":
            new: Node = full(node.shape, 0, node.dtype)
        elif node.op == "pad":
            new = full(node.shape, node.attrs["value"], node.dtype)
        elif node.op == "concatenate":
            parts = [source for source in inputs if source.size and isinstance(source, Tensor)]
            new = parts[0] if len(parts) == 1 else join(parts, node.attrs["axis"])
        elif node.op == "scatter_add" and inputs[2].size == 0:
            new = inputs[0]
        else:
            return rebuilt(node, inputs)
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, rewrite)
