"""Updates of one parameter by several marks follow each other, as if the graph ran in the order it was built in.

A layer that is used twice asks twice to move its running statistics (`with_update`). The second wish then starts from
what the first made of them: parameters that it reads, beside what it passes through, stand for their latest values.
This is settled when a graph is closed, so the order is part of its text. One node is one use: building the same
layer over the same tensor again gives the same node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from graphc.ir.graph import Graph, replace
from graphc.ir.node import Node
from graphc.passes.rewriting import rebuilt

__all__ = ["chain_updates"]

_MARK = "with_update"


def chain_updates(graph: Graph) -> Graph:
    """`graph` with at most one mark for each parameter, which asks for what all of them make of it."""
    marks = sorted((node for node in graph.nodes if node.op == _MARK), key=lambda node: node.serial)
    wishes: dict[Node, set[Node]] = {}
    for mark in marks:
        wishes.setdefault(mark.inputs[1], set()).add(mark.inputs[2])
    if all(len(values) == 1 for values in wishes.values()):
        return graph
    latest: dict[Node, Node] = {}
    last: dict[Node, Node] = {}
    for mark in marks:
        passed, parameter, value = mark.inputs
        latest[parameter] = _value(value, latest, passed)
        last[parameter] = mark

    def sources(node: Node) -> Sequence[Node]:
        if node.op != _MARK:
            return node.inputs
        passed, parameter, _ = node.inputs
        return (passed, parameter, latest[parameter]) if last[parameter] is node else (passed,)

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        return inputs[0] if node.op == _MARK and len(inputs) == 1 else rebuilt(node, inputs)

    return graph.with_results(_built(graph.results, sources, build))


def _value(value: Node, latest: Mapping[Node, Node], passed: Node) -> Node:
    """`value` over the latest values of parameters, but for what the mark passes through and is computed from."""
    return replace([value], {**{node: node for node in _below(passed)}, **latest}, rebuilt)[0] if latest else value


def _below(node: Node) -> list[Node]:
    """What `node` is computed from; not what marks on the way ask for."""
    found = {node: None}
    pending = [node]
    while pending:
        top = pending.pop()
        for source in top.inputs[:1] if top.op == _MARK else top.inputs:
            if source not in found:
                found[source] = None
                pending.append(source)
    return list(found)


def _built(
    results: Iterable[Node],
    sources: Callable[[Node], Sequence[Node]],
    build: Callable[[Node, tuple[Node, ...]], Node],
) -> list[Node]:
    """The results, built anew over their sources."""
    results = list(results)
    new: dict[Node, Node] = {}
    pending = list(results)
    while pending:
        node = pending[-1]
        missing = [source for source in sources(node) if source not in new] if node not in new else []
        if missing:
            pending.extend(missing)
            continue
        if node not in new:
            new[node] = build(node, tuple(new[source] for source in sources(node)))
        pending.pop()
    return [new[result] for result in results]
