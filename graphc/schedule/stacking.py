"""Concatenations that have a buffer: who writes which part of it.

    piece   = a part that some launch computes and stores anyway: it lies in the buffer from the start, without a copy
    parts   = those left: one launch puts them together, in a loop nest over one part, which may compute them too

Pieces stand one after the other in memory: the concatenation is along the first axis of more than one element. A
concatenation that only fused launches read, of few parts, has no buffer: they read its parts themselves. One of many
parts, or of many shapes, is divided: a loop nest that chooses among n parts takes n steps for each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from graphc.ir.graph import Graph, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.ops.views import join
from graphc.passes.rewriting import rebuilt
from graphc.schedule.results import result_base
from graphc.schedule.views import strided_view

__all__ = ["Stack", "divide_stacks", "plan_stacks"]

_FEW_READ = 8  # parts up to which a fused launch reads them itself
_MOST_PARTS = 48  # parts that one launch puts together
_DIVIDED = 32  # of these, a part of a divided concatenation: of most dtypes it begins where kernels may write
_ALIGNMENT = 64  # bytes; kernels may read and write a buffer from such addresses on


class Stack(NamedTuple):
    """The pieces of a concatenation, each with the element of it where it lies, and the parts left for a launch."""

    pieces: dict[Node, int]
    parts: tuple[int, ...]


def plan_stacks(graph: Graph) -> dict[Node, Stack]:
    """For each concatenation that is put together in a buffer of its own, how."""
    if not any(node.op == "concatenate" for node in graph.nodes):
        return {}
    held = {result_base(result) for result in graph.results}
    taken = set(held)  # nodes that have a place already
    undivided = {result_base(value) for _, value in graph.updates}
    stacks: dict[Node, Stack] = {}
    for node in reversed(graph.nodes):
        if op_of(node).kind in (Kind.CONTRACTION, Kind.LIBRARY):
            held.update(view.base for source in node.inputs if (view := strided_view(source)) is not None)
        elif node.op == "concatenate" and node.size and (node in held or len(node.inputs) > _FEW_READ):
            stack = _stack(node, taken, divided=node not in undivided)
            if stack is not None:
                stacks[node] = stack
                for nodes in (taken, held, undivided):
                    nodes.update(stack.pieces)
    return stacks


def divide_stacks(graph: Graph) -> Graph:
    """`graph` with each concatenation of too many parts for any launch as one of concatenations of fewer."""
    many = [node for node in graph.nodes if node.op == "concatenate" and node.size and len(node.inputs) > _FEW_READ]
    if not many:
        return graph
    stacks = plan_stacks(graph)

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op != "concatenate" or len(inputs) <= _FEW_READ or node in stacks or not node.size:
            return rebuilt(node, inputs)
        since = next_serial()
        new = _divided(inputs, node.attrs["axis"])
        inherit_location([new], since, node.location)
        return new

    return rebuild(graph, build)


def _divided(parts: Sequence[Any], axis: int) -> Tensor:
    """The parts along `axis`, those of one shape together first. Ends, as each round leaves fewer of them."""
    parts = [
        join(run[at : at + _DIVIDED], axis)
        for run in (list(run) for _, run in groupby(parts, key=lambda part: part.shape))
        for at in range(0, len(run), _DIVIDED)
    ]
    while len(parts) > _MOST_PARTS or (len(parts) > _FEW_READ and len({part.shape for part in parts}) > 1):
        parts = [join(parts[at : at + _FEW_READ], axis) for at in range(0, len(parts), _FEW_READ)]
    return join(parts, axis)


def _stack(node: Node, taken: set[Node], *, divided: bool) -> Stack | None:
    """How `node` is put together, with pieces if it may be `divided`; None where one loop nest over a part cannot."""
    pieces: dict[Node, int] = {}
    parts: list[int] = []
    offset = 0
    consecutive = divided and all(extent == 1 for extent in node.shape[: node.attrs["axis"]])
    for number, part in enumerate(node.inputs):
        base = _computed(part) if consecutive and offset * node.dtype.itemsize % _ALIGNMENT == 0 else None
        if base is None or base in taken or base in pieces:
            parts.append(number)
        else:
            pieces[base] = offset
        offset += part.size
    alike = len({node.inputs[number].shape for number in parts}) <= 1 and len(parts) <= _MOST_PARTS
    return Stack(pieces, tuple(parts)) if alike else None


def _computed(part: Node) -> Node | None:
    """The node that a launch computes and that `part` is the whole of, if perhaps in another shape."""
    view = strided_view(part)
    if view is None or not view.is_whole:
        return None
    kind = op_of(view.base).kind
    computed = kind not in (Kind.SOURCE, Kind.VIEW) or view.base.op == "concatenate"
    return view.base if computed else None
