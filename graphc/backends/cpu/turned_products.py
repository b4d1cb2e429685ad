"""Stacks of products whose axes are put in another order are computed in that order, where it costs less.

What writes dense rows or columns costs no more for it; with neither, it is a matter of the stack's cost. A transposed
product has no epilogue, so that nothing is lost.
"""

from __future__ import annotations

from graphc.backends.cpu.matmul import can_turn, matmul, matmul_turned
from graphc.fusion.group import operand_view
from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView
from graphc.ops.build import apply
from graphc.ops.primitives.views import reshape_to
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import rebuilt
from graphc.plan.cost import seconds

__all__ = ["turn_products"]

_COPIED = 6  # operations of an element that is read and written: twice codegen's MEMORY_COST


def turn_products(graph: Graph) -> Graph:
    """`graph` with products that a transpose alone reads written in its order."""
    found = {node: product for node in graph.nodes if (product := _transposed(node)) is not None}
    if not found:
        return graph
    readers, results = consumers(graph.nodes), set(graph.results)

    def turn(node: Node, inputs: tuple[Node, ...]) -> Node:
        product = found.get(node)
        if product is None or any(len(readers[x]) > 1 or x in results for x in (node.inputs[0], product)):
            return rebuilt(node, inputs)
        axes = _axes(product, node)
        if not _pays(product, axes):
            return rebuilt(node, inputs)
        since = next_serial()
        source = inputs[0] if node.inputs[0] is product else inputs[0].inputs[0]
        new = reshape_to(apply("matmul_turned", *source.inputs, axes=axes), node.shape)
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, turn)


def _transposed(node: Node) -> Tensor | None:
    """The product that the transpose `node` reads, perhaps without its extents of 1."""
    if node.op != "transpose":
        return None
    product = node.inputs[0]
    if product.op == "reshape" and _extents(product) == _extents(product.inputs[0]):
        product = product.inputs[0]
    return product if product.op == "matmul" and isinstance(product, Tensor) else None


def _extents(node: Node) -> list[int]:
    return [extent for extent in node.shape if extent != 1]


def _axes(product: Tensor, turned: Node) -> tuple[int, ...]:
    """The order in which `turned` has the product's axes; those of extent 1 come first."""
    ones = [axis for axis, extent in enumerate(product.shape) if extent == 1]
    others = iter(axis for axis in range(product.ndim) if axis not in ones)
    (source,) = turned.inputs
    places = {axis: next(others) for axis, extent in enumerate(source.shape) if extent != 1}
    return (*ones, *(places[axis] for axis in turned.attrs["axes"] if axis in places))


def _pays(product: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether the product takes less time in the other order than with a transposing copy after it."""
    views = [
        OperandView(source.dtype, source.shape, operand_view(product, position).strides)
        for position, source in enumerate(product.inputs)
    ]
    type = product.type.with_shape(tuple(product.shape[axis] for axis in axes))
    result, own = OperandView.contiguous(type), OperandView.contiguous(product.type)
    if not product.size or not can_turn(views, result, axes):
        return False
    copy = seconds(_COPIED * product.size, 2 * type.nbytes)
    turned, plain = matmul_turned(views, result, 1, axes), matmul(views, own, 1)
    return _seconds(turned, product) <= _seconds(plain, product) + copy


def _seconds(call: LibraryCall, product: Tensor) -> float:
    return seconds(call.effort, sum(node.type.nbytes for node in (product, *product.inputs)))
