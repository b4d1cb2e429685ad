"""Concatenations before they are planned (see `stacking`): some inside others, those of too many parts in several.

concatenate(a, b, c), concatenate(a, b)  =  concatenate(d, c), d      where d = concatenate(a, b) has a buffer
concatenate(a, ..., z)                   =  concatenate(concatenate(a, ...), ..., concatenate(..., z))
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from graphc.fusion.stacking import FEW_READ, MOST_PARTS, held_nodes, plan_stacks
from graphc.ir.graph import Graph, identical, rebuild
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.primitives.views import join
from graphc.ops.record import View, view_of
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import rebuilt

__all__ = ["divide_stacks", "nest_stacks"]

_DIVIDED = 32  # parts of one shape that are a part of a divided concatenation


def nest_stacks(graph: Graph) -> Graph:
    """`graph` with concatenations that others hold, part after part, as parts of those: each lies in memory once.

    So the layers of a dense block write one buffer, and each reads the beginning of it.
    """
    if sum(view_of(node) is View.JOINED for node in graph.nodes) < 2:
        return graph
    held = held_nodes(graph)
    stacks = [node for node in graph.nodes if node in held and view_of(node) is View.JOINED and node.size]
    starts: dict[tuple[Node, int], list[Node]] = {}
    for stack in sorted(stacks, key=lambda node: -len(node.inputs)):
        if _is_stretch(stack):
            starts.setdefault((stack.inputs[0], stack.attrs["axis"]), []).append(stack)
    inner = {stack: found for stack in stacks if (found := _held_by(stack, starts)) is not None}
    if not inner:
        return graph
    new: dict[Node, Node] = {}

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        chain = [(node, inputs)]  # each holds the next; the last is there, or holds none
        while chain[-1][0] in inner and chain[-1][0] not in new:
            at, part = inner[chain[-1][0]]
            chain.append((part, chain[-1][1][at : at + len(part.inputs)]))
        for stack, parts in reversed(chain):
            if stack not in new:
                new[stack] = _around(stack, parts, new, *inner[stack]) if stack in inner else rebuilt(stack, parts)
        return new[node]

    return rebuild(graph, build)


def _around(stack: Node, parts: Sequence[Any], new: dict[Node, Node], at: int, held: Node) -> Tensor:
    """The concatenation `stack` of `parts`, of which those from `at` on are `held` in `new`."""
    since = next_serial()
    built = join([*parts[:at], new[held], *parts[at + len(held.inputs) :]], stack.attrs["axis"])  # type: ignore[list-item]
    inherit_location([built], since, stack.location)
    return built


def _is_stretch(stack: Node) -> bool:
    """Whether each part of the concatenation is one stretch of it."""
    return all(extent == 1 for extent in stack.shape[: stack.attrs["axis"]])


def _held_by(stack: Node, starts: dict[tuple[Node, int], list[Node]]) -> tuple[int, Node] | None:
    """The longest concatenation whose parts are some of those of `stack`, and the part that it begins with."""
    found: tuple[int, Node] | None = None
    for at, part in enumerate(stack.inputs if _is_stretch(stack) else ()):
        for other in starts.get((part, stack.attrs["axis"]), ()):
            count = len(other.inputs)
            if found is not None and count <= len(found[1].inputs):
                break
            if count < len(stack.inputs) and identical(stack.inputs[at : at + count], other.inputs):
                found = at, other
                break
    return found


def divide_stacks(graph: Graph) -> Graph:
    """`graph` with each concatenation of too many parts for any launch as one of concatenations of fewer."""
    many = [node for node in graph.nodes if view_of(node) is View.JOINED and node.size and len(node.inputs) > FEW_READ]
    if not many:
        return graph
    stacks = plan_stacks(graph)

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        if view_of(node) is not View.JOINED or len(inputs) <= FEW_READ or node in stacks or not node.size:
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
    while len(parts) > MOST_PARTS or (len(parts) > FEW_READ and len({part.shape for part in parts}) > 1):
        parts = [join(parts[at : at + FEW_READ], axis) for at in range(0, len(parts), FEW_READ)]
    return join(parts, axis)
