"""Rewrites in loops: how passes enter bodies, and how loops lose what nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.ir.body import Body, bodies_of
from graphc.ir.graph import Graph, interpret, topological
from graphc.ir.node import Node, remade
from graphc.ir.text import body_of
from graphc.ops.primitives.loops import Looped
from graphc.ops.record import Kind, op_of
from graphc.passes.opened import OpenLoop

__all__ = ["everywhere", "prune_loops"]

Pass = Callable[[Graph], Graph]


def everywhere(rewrite: Pass, graph: Graph) -> Graph:
    """`graph` after `rewrite`, which every body in it went through before."""
    if graph.bodies:
        found = {body: everywhere(rewrite, body.graph) for body in graph.bodies}
        new = {body: body if after is body.graph else body_of(after) for body, after in found.items()}
        graph = _with_bodies(graph, new)
    return rewrite(graph)


def _with_bodies(graph: Graph, new: Mapping[Body, Body]) -> Graph:
    def compute(node: Node, inputs: tuple[Node, ...]) -> Node:
        return remade(node, inputs, {name: new[body] for name, body in bodies_of(node) if new[body] is not body})

    return graph.with_results(interpret(graph.results, {}, compute))


def prune_loops(graph: Graph) -> Graph:
    """`graph` whose loops compute what is read of their results, each thing once, and carry what changes."""
    if not graph.bodies:
        return graph
    live, needs = _needs(graph)

    def compute(node: Node, inputs: tuple[Any, ...]) -> Any:
        if node not in live:
            return None
        if op_of(node).kind is Kind.LOOP:  # the new nodes of its parts
            return _pruned(node, inputs, needs[node])
        if op_of(node).kind is Kind.PART and node.inputs[0] in needs:
            return inputs[0][node.attrs["index"]]
        return remade(node, inputs)

    return graph.with_results(interpret(graph.results, {}, compute))


@dataclass(frozen=True)
class _Need:
    """What of a loop is needed: of its body the `outputs` and, of what it is given, the nodes `used`, of which those
    `carried` change. `parts` are the results that are read."""

    parts: frozenset[int]
    outputs: tuple[Node, ...]
    used: frozenset[Node]
    carried: frozenset[Node]


def _needs(graph: Graph) -> tuple[set[Node], dict[Node, _Need]]:
    """The nodes that are needed, and what of each loop is."""
    read: dict[Node, set[int]] = {}
    needs: dict[Node, _Need] = {}
    live = set(graph.results)
    for node in reversed(graph.nodes):
        if node not in live:
            continue
        source = node.inputs[0] if op_of(node).kind is Kind.PART else node
        if source is not node and op_of(source).kind is Kind.LOOP:
            read.setdefault(source, set()).add(node.attrs["index"])
            live.add(source)
        elif op_of(node).kind is Kind.LOOP:
            needs[node] = _need(node, frozenset(read[node]))
            pairs = zip(Looped(node).body.inputs, node.inputs, strict=True)
            live.update(given for inside, given in pairs if inside in needs[node].used)
            live.update(node.inputs[part] for part in read[node] if _is_still(node, part))
        else:
            live.update(node.inputs)
    return live, needs


def _is_still(node: Node, part: int) -> bool:
    """Whether a result of a loop is a carried value that never changes."""
    updates = Looped(node).body.updates
    return part < len(updates) and updates[part][0] is updates[part][1]


def _need(node: Node, parts: frozenset[int]) -> _Need:
    graph = Looped(node).body
    count, nexts = len(graph.updates), dict(graph.updates)
    outputs = tuple(dict.fromkeys(graph.outputs[part - count] for part in sorted(parts) if part >= count))
    moving = {carry for carry, value in graph.updates if carry is not value}
    carried = moving & {graph.updates[part][0] for part in parts if part < count}
    while True:
        under = {*topological((*outputs, *(nexts[carry] for carry in carried))), *carried}
        if carried == moving & under:
            break
        carried = moving & under
    return _Need(parts, outputs, frozenset(under.intersection(graph.inputs)), frozenset(carried))


def _pruned(node: Node, inputs: Sequence[Node], need: _Need) -> dict[int, Node]:
    """The parts that are read of `node`, whose inputs are to be `inputs`."""
    updates = Looped(node).body.updates
    still = {part: inputs[part] for part in need.parts if _is_still(node, part)}
    if len(still) == len(need.parts):
        return still
    opened = OpenLoop.of(node, inputs)
    opened.constants = [*((inside, init) for inside, init, _ in opened.carries), *opened.constants]
    opened.constants = [pair for pair in opened.constants if pair[0] in need.used - need.carried]
    opened.carries = [carry for carry in opened.carries if carry[0] in need.carried]
    opened.slices = [pair for pair in opened.slices if pair[0] in need.used]
    opened.outputs = [*need.outputs]
    results = opened.closed(lambda body: body_of(prune_loops(body.graph)))
    finals = {carry[0]: result for carry, result in zip(opened.carries, results, strict=False)}
    stacks = dict(zip(need.outputs, results[len(finals) :], strict=True))
    outputs = Looped(node).body.outputs
    for part in need.parts - still.keys():
        still[part] = finals[updates[part][0]] if part < len(updates) else stacks[outputs[part - len(updates)]]
    return still
