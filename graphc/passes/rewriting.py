"""How rewrite passes run: rules by op, applied bottom-up in sweeps until nothing changes.

A rule takes a node and answers with a node of the same type to use instead, or None where it does not apply. A sweep
visits each node once, inputs first, and applies the rules of its op until none does; so it takes linear time. What a
rule builds under its answer is visited in the next sweep; where nothing changed in a node or under it, no sweep comes
again. Dead code needs no pass: what no result needs is not in `Graph.nodes`; nor do common subexpressions, which
interning merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_

from graphc.errors import InternalError
from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node, inherit_location, intern, next_serial
from graphc.ops.tensor import Tensor

__all__ = ["Rule", "Rules", "merged", "rebuilt", "rewrite", "same_results"]

Rule = Callable[[Tensor], Tensor | None]
Rules = Mapping[str, Sequence[Rule]]

_MOST_SWEEPS = 12
_MOST_STEPS = 16  # rules applied in a row at one node


def merged(*tables: Rules) -> dict[str, tuple[Rule, ...]]:
    """One table with the rules of all, in order."""
    ops = dict.fromkeys(op for table in tables for op in table)
    return {op: tuple(rule for table in tables for rule in table.get(op, ())) for op in ops}


def rebuilt(node: Node, inputs: tuple[Node, ...]) -> Tensor:
    """`node` over other inputs of the same types; the node itself where they are its own. Keeps the user's line."""
    if all(map(is_, inputs, node.inputs)):
        return node  # type: ignore[return-value]
    new = intern(type(node), node.op, inputs, dict(node.attrs), node.type)
    if new.location is None:
        new.location = node.location
    return new  # type: ignore[return-value]


def rewrite(graph: Graph, rules: Rules, settled: set[Node] | None = None) -> Graph:
    """`graph` with `rules` applied until nothing changes (at most a fixed number of sweeps).

    `settled` holds nodes to which no rule applies; more are added. Nodes are immutable: none ever will.
    """
    settled = set() if settled is None else settled
    done: set[Node] = set()  # settled nodes above nothing but settled ones: no sweep changes them any more
    results = graph.results
    for _ in range(_MOST_SWEEPS):
        swept = _sweep(results, rules, settled, done)
        if same_results(swept, results):
            break
        results = swept
    return graph if same_results(results, graph.results) else graph.with_results(results)


def _sweep(results: Sequence[Node], rules: Rules, settled: set[Node], done: set[Node]) -> tuple[Node, ...]:
    """`results` after one visit to each node that is not `done`, inputs first."""
    new: dict[Node, Node] = {}  # what has changed
    for old in topological(results, done):
        changed = not new.keys().isdisjoint(old.inputs)
        node = rebuilt(old, tuple([new.get(source, source) for source in old.inputs])) if changed else old
        if node.op in rules and node not in settled:
            node = _apply(rules, node, settled)  # type: ignore[arg-type]
        if node is not old:
            new[old] = node
        if (node in settled or node.op not in rules) and done.issuperset(node.inputs):
            done.add(node)
    return tuple([new.get(result, result) for result in results])


def same_results(a: Iterable[Node], b: Iterable[Node]) -> bool:
    """Whether two graphs compute the very same nodes (`==` on tensors builds a comparison)."""
    return all(x is y for x, y in zip(a, b, strict=True))


def _apply(rules: Rules, node: Tensor, settled: set[Node]) -> Tensor:
    since, original = next_serial(), node
    for _ in range(_MOST_STEPS):
        replacement = _first(rules, node)
        if replacement is None:
            settled.add(node)
            break
        node = replacement
    if node is not original:
        inherit_location([node], since, original.location)
    return node


def _first(rules: Rules, node: Tensor) -> Tensor | None:
    """What the first rule that applies makes of `node`."""
    for rule in rules.get(node.op, ()):
        new = rule(node)
        if new is None or new is node:
            continue
        if new.type != node.type:
            raise InternalError(f"rewrite rule {rule.__module__}.{rule.__name__} made {new!r} of {node!r}")
        return new
    return None
