"""`hoist_products`: products of slices alone leave their loop, as one product of all of them before it.

    in each iteration  x_t @ W       before the loop  (X as one matrix) @ W, of which iteration t takes slice t
    in each iteration  W @ column x_t                 (X as one matrix) @ W', likewise

So the input projection of a recurrent net reads its weights once and not in every step. That is done where a slice has
fewer rows than it has columns: of many rows, a product in the loop is as fast; and where the product is not much larger
than the slice. What is elementwise stays: it would only take memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.ir.graph import Graph, interpret, topological
from graphc.ir.node import Node, inherit_location, next_serial, remade
from graphc.ops.build import apply
from graphc.ops.functions.contraction import matmul
from graphc.ops.functions.loops import loop
from graphc.ops.primitives.views import matrix_transpose, reshape_to
from graphc.ops.record import View, view_of
from graphc.ops.tensor import Tensor
from graphc.passes.opened import OpenLoop, Parts, each_loop
from graphc.passes.rewriting import Keeps, Rewrite

__all__ = ["REWRITES", "hoist_products"]

MOST = 8  # times its slice, that a product may take; those of an LSTM's gates take 4
REWRITES = (
    Rewrite(
        "x_t @ w in iteration t of a loop", "slice t of x @ w, before the loop", Keeps.ROUNDING,
        lambda a, d: loop(lambda carries, slices: ([], [matmul(slices[0], d)]), 8, [], [a])[1][0],
        "w is the same in all iterations, x_t a slice of x of fewer rows than columns",
    ),
)  # fmt: skip


def hoist_products(graph: Graph) -> Graph:
    """`graph` with products of slices before its loops."""
    return each_loop(graph, _hoisted) if graph.bodies else graph


def _hoisted(node: Node, inputs: Sequence[Node]) -> Parts:
    opened = OpenLoop.of(node, inputs)
    around = dict(opened.constants)
    stacks = dict(opened.slices)
    fixed = _fixed(opened)
    new: dict[Node, Node] = {}
    for inside in _products(opened):
        a, b = inside.inputs
        source, matrix = (a, b) if b in fixed else (b, a)
        stack = stacks.get(_below(source))
        if stack is None or matrix not in fixed or matrix.ndim != 2 or (source is b and b.shape[-1] != 1):
            continue
        if (source is a and a.elements >= a.shape[-1] ** 2) or inside.elements > MOST * source.elements:
            continue
        (value,) = interpret([matrix], around, remade)
        since = next_serial()
        product = _product(inside, stack, value, is_column=source is b)
        inherit_location([product], since, inside.location)
        new[inside] = opened.takes(product)
    if new:
        opened.replace(new)
    return opened.closed()


def _products(opened: OpenLoop) -> list[Node]:
    return [node for node in topological(opened.results) if node.op == "matmul"]


def _fixed(opened: OpenLoop) -> set[Node]:
    """The nodes of a body that are the same in all iterations."""
    moving = {inside for inside, _, _ in opened.carries} | {inside for inside, _ in opened.slices}
    found: set[Node] = set()
    for node in topological(opened.results):
        if node not in moving and all(source in found for source in node.inputs):
            found.add(node)
    return found


def _below(node: Node) -> Node:
    """What a node has the elements of, in their order."""
    while view_of(node) is View.RESHAPED:
        node = node.inputs[0]
    return node


def _product(inside: Node, stack: Node, matrix: Node, *, is_column: bool) -> Tensor:
    """The product of all slices of a stack, stacked."""
    depth = matrix.shape[1] if is_column else matrix.shape[0]
    rows = reshape_to(stack, (math.prod(stack.shape) // depth, depth))  # type: ignore[arg-type]
    found = apply("matmul", rows, matrix_transpose(matrix) if is_column else matrix)  # type: ignore[arg-type]
    return reshape_to(found, (stack.shape[0], *inside.shape))
