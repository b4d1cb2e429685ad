"""Bodies: graphs inside nodes, which loops run.

A body is a graph of its own: what it computes depends on its inputs and on constants alone, and its inputs are called
"0", "1", ... in their order, so that equal bodies have equal texts. Its `updates` pair inputs that are carried from one
iteration to the next with their next values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphc.ir.node import Attribute, Node

if TYPE_CHECKING:
    from graphc.ir.graph import Graph

__all__ = ["Body", "bodies_of"]


class Body(Attribute):
    """A graph as an attribute: compared by its `text`. Made by `ir.text.body_of`."""

    __slots__ = ("graph", "text")

    def __init__(self, graph: Graph, text: str) -> None:
        self.graph, self.text = graph, text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Body({len(self.graph.nodes)} nodes)"


def bodies_of(node: Node) -> Iterator[tuple[str, Body]]:
    """The attributes of `node` that are bodies, by name."""
    return ((name, value) for name, value in node.attrs.items() if type(value) is Body)
