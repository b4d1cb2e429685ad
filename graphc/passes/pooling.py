"""Pooling in a training step: one search for the maxima serves forward and backward.

    max_pool2d(x) = max_pool2d_gather(x, max_pool2d_argmax(x))      where the positions are computed anyway

Values are kept to the bit: the gathered element is the one that was found.
"""

from __future__ import annotations

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import rebuilt

__all__ = ["share_positions"]


def share_positions(graph: Graph) -> Graph:
    """`graph` with maxima gathered where their positions are known."""
    known = {_window(node) for node in graph.nodes if node.op == "max_pool2d_argmax"}
    if not known:
        return graph

    def rewrite(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op != "max_pool2d" or _window(node) not in known:
            return rebuilt(node, inputs)
        since, (x,) = next_serial(), inputs
        assert isinstance(x, Tensor)
        gathered = apply("max_pool2d_gather", x, apply("max_pool2d_argmax", x, **node.attrs))
        inherit_location([gathered], since, node.location)
        return gathered

    return rebuild(graph, rewrite)


def _window(node: Node) -> tuple[object, ...]:
    """What is pooled, and how."""
    return id(node.inputs[0]), *sorted(node.attrs.items())
