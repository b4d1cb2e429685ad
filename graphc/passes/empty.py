"""Arrays without elements: after this pass no loop nest and no library kernel runs over nothing.

f(...) of size 0                    = broadcast_to(0)
pad of nothing                      = broadcast_to(the padding)
concatenate                         = concatenate of the parts that have elements
scatter_add of nothing to x         = x
sum, any, all over nothing          = broadcast_to(0), broadcast_to(False), broadcast_to(True)
contraction of empty operands       = broadcast_to(0)
"""

from __future__ import annotations

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import full
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.ops.views import join
from graphc.passes.rewriting import rebuilt

__all__ = ["fill_empty"]

_OF_NOTHING = {"sum": 0, "max": False, "min": True}  # max and min over nothing exist for bool alone


def fill_empty(graph: Graph) -> Graph:
    """`graph` with what has no elements, or is made of none, replaced by constants."""

    if all(node.size for node in graph.nodes):
        return graph

    def rewrite(node: Node, inputs: tuple[Node, ...]) -> Node:
        kind, since = op_of(node).kind, next_serial()
        empty = any(source.size == 0 for source in inputs)
        if kind is Kind.SOURCE or not (node.size == 0 or empty):
            return rebuilt(node, inputs)
        if node.size == 0 or kind is Kind.CONTRACTION:
            new: Node = full(node.shape, 0, node.dtype)
        elif kind is Kind.REDUCTION:
            new = full(node.shape, _OF_NOTHING[node.op], node.dtype)
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
