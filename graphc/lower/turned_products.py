"""Stacks of products whose axes are put in another order are computed in that order, where it costs less.

What writes dense rows or columns costs no more for it; with neither, it is a matter of the stack's cost. A transposed
product has no epilogue, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.lower.kernel import LibraryCall
from graphc.lower.library_matmul import can_write, matmul, matmul_turned
from graphc.lower.operand import OperandView
from graphc.ops.build import apply
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import rebuilt
from graphc.schedule.cost import seconds
from graphc.schedule.group import operand_view

__all__ = ["turn_products"]

_COPIED = 6  # operations of an element that is read and written: twice codegen's MEMORY_COST


def turn_products(graph: Graph) -> Graph:
    """`graph` with transposes of products that nobody else reads as products that write in the order of the transpose."""
    if not any(node.op == "transpose" and node.inputs[0].op == "matmul" for node in graph.nodes):
        return graph
    readers, results = consumers(graph.nodes), set(graph.results)

    def turn(node: Node, inputs: tuple[Node, ...]) -> Node:
        product = node.inputs[0] if node.op == "transpose" else None
        if product is None or product.op != "matmul" or product in results or len(readers[product]) > 1:
            return rebuilt(node, inputs)
        if not _pays(product, node):
            return rebuilt(node, inputs)
        since = next_serial()
        new = apply("matmul_turned", *inputs[0].inputs, axes=node.attrs["axes"])  # type: ignore[arg-type]
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, turn)


def _pays(product: Node, turned: Node) -> bool:
    """Whether the product takes less time in the other order than with a transposing copy after it."""
    assert isinstance(product, Tensor)
    assert isinstance(turned, Tensor)
    views = [
        OperandView(source.dtype, source.shape, operand_view(product, position).strides)
        for position, source in enumerate(product.inputs)
        if isinstance(source, Tensor)
    ]
    if not product.size or not can_write(views, turned.type, turned.attrs["axes"]):
        return False
    apart, copy = matmul(views, product.type, 1), seconds(_COPIED * product.size, 2 * product.type.nbytes)
    other = matmul_turned(views, turned.type, 1, turned.attrs["axes"])
    return _seconds(other, product) <= _seconds(apart, product) + copy


def _seconds(call: LibraryCall, product: Tensor) -> float:
    return seconds(call.effort, product.type.nbytes + sum(_bytes(product.inputs)))


def _bytes(nodes: Sequence[Node]) -> list[int]:
    return [node.type.nbytes for node in nodes]
