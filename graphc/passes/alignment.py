"""Reductions of pairs: what is made of vectors, pair by pair, is reduced along the same axes wherever it is reduced.

The gradient of a potential of bodies sums the forces of all pairs over rows and over columns. One loop nest cannot go
through both, so the forces would be kept in memory. Along the same axis they run in one nest, which computes each pair
from the vectors; where f is symmetric the two are one sum.

Sums are those of the same numbers in the same order, up to the signs of zeros (see `turning`). A power of two changes
no digit, unless numbers leave the range of their dtype.
"""

from __future__ import annotations

import math

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply, broadcast_to, full_like
from graphc.ops.primitives.views import permute, reshape_to
from graphc.ops.record import WIDE_FLOAT, Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.passes.algebra import product_constant
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt
from graphc.passes.turning import Order, Turned, Turning, pair_leaves, plain_leaf

__all__ = ["REWRITES", "align_reductions"]


def _pairs(x: Tensor, y: Tensor, scale: float = 1) -> Tensor:
    """Sums over rows and over columns of a value of all pairs."""
    shape = (x.size, x.size)
    difference = broadcast_to(reshape_to(x, (x.size, 1)), shape) - broadcast_to(y, shape)
    rows = apply("sum", difference * scale, axes=(0,))
    return apply("divide", full_like(rows, 1), rows) + apply("sum", apply("exp", difference), axes=(1,))


REWRITES = (
    Rewrite(
        "sum(f(x, y), over i)", "sum(f(y, x), over j)", Keeps.ROUNDING, _pairs,
        "f made of broadcasts alone, axes of one extent; max and min too",
    ),
    Rewrite(
        "sum(f(x, x), over i)", "sum(f(x, x), over j), or -sum(f(x, x), over j)", Keeps.ZEROS,
        lambda x: _pairs(x, x), "where f shows that f(y, x) = f(x, y) or -f(x, y)",
    ),
    Rewrite(
        "sum(f * c)", "sum(f) * c", Keeps.REAL, lambda x, y: _pairs(x, y, 2),
        "in such sums, c a power of two that nothing else reads f * c of", dtypes=WIDE_FLOAT,
        differs={"x": (3e38, -3e38), "y": (0.0,)},
    ),
)  # fmt: skip

Axes = tuple[int, ...]

_LARGEST = 2.0**16  # of the powers of two that are taken out of a sum
_OPPOSITE = {"sum": "sum", "max": "min", "min": "max"}  # reductions, and what they are of the negative


def align_reductions(graph: Graph) -> Graph:
    """`graph` with reductions of pairs along the same axes."""
    axes = _axes(graph)
    if not axes:
        return graph
    readers = consumers(graph.nodes)
    leaves = {leaf for node in axes for leaf in pair_leaves(node.inputs[0]) or () if leaf.op == "broadcast_to"}
    turning = Turning()

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node not in axes and node not in leaves:
            return rebuilt(node, inputs)
        since = next_serial()
        (x,) = inputs
        assert isinstance(x, Tensor)
        assert isinstance(node, Tensor)
        if node in leaves:
            new = plain_leaf(node, x)
        else:
            alone = all(reader.op in _OPPOSITE for reader in readers[node.inputs[0]])
            new = _reduced(node, turning.turned(x, _swap(node, axes[node])), axes[node], alone)
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, build)


# Which reductions ------------------------------------------------------------------------------------------------
def _axes(graph: Graph) -> dict[Node, Axes]:
    """The reductions of pairs that go together, where they are not aligned yet, with the axes for all of them."""
    found: dict[Node, Axes] = {}
    for region in _regions(graph):
        sets = {node.attrs["axes"] for node in region if len(node.attrs["axes"]) < node.inputs[0].ndim}
        if len(sets) < 2:
            continue
        common = max(sets, key=lambda axes: axes[::-1])  # the last axes are contiguous
        fit = [node for node in region if _fits(node, common)]
        if len({node.attrs["axes"] for node in fit}) > 1:
            found.update(dict.fromkeys(fit, common))
    return found


def _regions(graph: Graph) -> list[list[Node]]:
    """The reductions of elementwise values, those together that share some of these."""
    above: dict[Node, Node] = {}
    regions: dict[Node, list[Node]] = {}

    def top(node: Node) -> Node:
        while above[node] is not node:
            above[node] = node = above[above[node]]
        return node

    for node in graph.nodes:
        if op_of(node).kind is Kind.ELEMENTWISE:
            above[node] = node
            for source in node.inputs:
                if source in above:
                    above[top(source)] = node
    for node in graph.nodes:
        if node.op in _OPPOSITE and node.inputs[0] in above:
            regions.setdefault(top(node.inputs[0]), []).append(node)
    return list(regions.values())


def _fits(node: Node, axes: Axes) -> bool:
    """Whether the reduction may be done along `axes`."""
    shape, (moved, places) = node.inputs[0].shape, _exchanged(node, axes)
    alike = [shape[axis] for axis in moved] == [shape[axis] for axis in places]
    return alike and pair_leaves(node.inputs[0]) is not None


def _exchanged(node: Node, axes: Axes) -> tuple[list[int], list[int]]:
    """The axes that only `node` reduces, and those of `axes` that it does not."""
    own = node.attrs["axes"]
    return sorted(set(own) - set(axes)), sorted(set(axes) - set(own))


def _swap(node: Node, axes: Axes) -> Order:
    """The order of axes that brings those which `node` reduces to where `axes` are."""
    order = list(range(node.inputs[0].ndim))
    for a, b in zip(*_exchanged(node, axes), strict=True):
        order[a], order[b] = b, a
    return tuple(order)


# What they become ------------------------------------------------------------------------------------------------
def _reduced(node: Tensor, turned: Turned, axes: Axes, alone: bool) -> Tensor:
    """The reduction `node`, of what its input is when turned, over `axes`. `alone`: nothing but reductions reads it."""
    x, factor = turned.node, float(turned.sign)
    scaled = product_constant(x) if node.op == "sum" and alone else None
    if scaled is not None and _is_exact(scaled[1], x):
        x, factor = scaled[0], factor * scaled[1]
    result = apply(node.op if turned.sign > 0 else _OPPOSITE[node.op], x, axes=axes)
    order = _swap(node, axes)
    kept = [order[axis] for axis in range(x.ndim) if axis not in axes]
    result = permute(result, [kept.index(axis) for axis in sorted(kept)])
    if factor == 1:
        return result
    return apply("negative", result) if factor == -1 else apply("multiply", result, full_like(result, factor))


def _is_exact(factor: float, x: Tensor) -> bool:
    """Whether `factor` is a power of two by which `x` can be multiplied without a change of digits."""
    usual = x.dtype.name in ("float32", "float64") and 1 / _LARGEST <= abs(factor) <= _LARGEST
    return usual and abs(math.frexp(factor)[0]) == 0.5
