"""Random streams and checkpointed regions get their numbers: what closes a graph (ir/fresh.py).

The order is that of the nodes under the results as they were asked for, before updates of one parameter are chained:
`gx.evaluate`, which walks the same nodes, gives a draw the same number, and so the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir.fresh import Fresh
from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, remade

__all__ = ["number_fresh"]


def number_fresh(graph: Graph, numbers: Mapping[Fresh, int]) -> Graph:
    """`graph` with `numbers` in place of its fresh attributes. All that is left must be among them."""
    return rebuild(graph, lambda node, inputs: _numbered(node, inputs, numbers)) if numbers else graph


def _numbered(node: Node, inputs: tuple[Node, ...], numbers: Mapping[Fresh, int]) -> Node:
    return remade(node, inputs, {name: numbers[value] for name, value in node.attrs.items() if type(value) is Fresh})
