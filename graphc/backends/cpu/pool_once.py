"""Maxima of windows and where they stand in one pass: what a gradient asks for is kept from the forward pass.

The larger array that is pooled is read once, and need not be kept for the gradient.
"""

from __future__ import annotations

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply, apply_several
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt

__all__ = ["REWRITES", "pool_once"]

_PARTS = {"max_pool2d": 0, "max_pool2d_argmax": 1}
_WINDOW = {"window": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


def _pooled_twice(p: Tensor) -> Tensor:
    places = apply("max_pool2d_argmax", p, **_WINDOW)
    return apply("max_pool2d", p, **_WINDOW) + apply("cast", places, dtype=p.dtype)


REWRITES = (
    Rewrite(
        "max_pool2d(x), max_pool2d_argmax(x)", "the results of max_pool2d_both(x)", Keeps.BITS, _pooled_twice,
    ),
)  # fmt: skip


def pool_once(graph: Graph) -> Graph:
    """`graph` with what is pooled for its maxima and their positions pooled once."""
    found: dict[tuple[Node, tuple[object, ...]], set[str]] = {}
    for node in graph.nodes:
        if node.op in _PARTS:
            found.setdefault(_key(node), set()).add(node.op)
    both = {key for key, ops in found.items() if len(ops) == len(_PARTS)}
    if not both:
        return graph

    def rewrite(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op not in _PARTS or _key(node) not in both:
            return rebuilt(node, inputs)
        since = next_serial()
        new = apply_several("max_pool2d_both", *inputs, **node.attrs)[_PARTS[node.op]]
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, rewrite)


def _key(node: Node) -> tuple[Node, tuple[object, ...]]:
    return node.inputs[0], tuple(node.attrs.values())
