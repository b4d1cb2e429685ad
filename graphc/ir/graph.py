"""Graphs: named results and the nodes under them, in a fixed order.

A `Graph` is a frozen record: input nodes in call order, result nodes by name, state updates. The order of
`nodes` depends on structure alone, never on when a node was built. All traversals are iterative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import TypeVar

from graphc.ir.body import Body, bodies_of
from graphc.ir.node import Node, Results

__all__ = ["Graph", "consumers", "identical", "interpret", "needed", "rebuild", "replace", "topological"]


def topological(results: Iterable[Node], above: Collection[Node] = ()) -> list[Node]:
    """All nodes under `results`, inputs before consumers: depth first, left to right; none in or under `above`."""
    order: list[Node] = []
    seen = set(above)
    for result in results:
        stack: list[tuple[Node, Iterator[Node]]] = [(result, iter(result.inputs))] if result not in seen else []
        seen.add(result)
        while stack:
            node, sources = stack[-1]
            for source in sources:
                if source in seen:
                    continue
                seen.add(source)
                if source.inputs:
                    stack.append((source, iter(source.inputs)))
                    break
                order.append(source)
            else:
                order.append(node)
                stack.pop()
    return order


def identical(some: Iterable[Node], others: Iterable[Node]) -> bool:
    """True for the same nodes in the same order. (`==` on tuples of tensors would build comparison nodes.)"""
    return all(a is b for a, b in zip_longest(some, others))


def consumers(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """For each node of a topological order, the nodes that read it (once for each time they do)."""
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        readers.setdefault(node, [])
        for source in node.inputs:
            readers[source].append(node)
    return readers


@dataclass(frozen=True, eq=False)
class Graph:
    """What a program computes. `updates` pairs a parameter node with the node of its next value.

    `names` are the names of the outputs, or empty. Graphs are equal when they hold the same nodes and names.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[tuple[Node, Node], ...] = ()
    names: tuple[str, ...] = field(default=())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __copy__(self) -> Graph:
        return self  # of immutable nodes, parameters among them: a copy of these would be another graph's

    def __deepcopy__(self, memo: object) -> Graph:
        return self

    @cached_property
    def _key(self) -> tuple[object, ...]:
        updates = tuple((id(target), id(value)) for target, value in self.updates)
        return tuple(map(id, self.inputs)), tuple(map(id, self.outputs)), updates, self.names

    @property
    def results(self) -> tuple[Node, ...]:
        """Everything that is computed: outputs first, then the next values."""
        return self.outputs + tuple(value for _, value in self.updates)

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes under the results, inputs before consumers."""
        return topological(self.results)

    @cached_property
    def bodies(self) -> tuple[Body, ...]:
        """The bodies of its nodes, which have several results, each once."""
        several = (node for node in self.nodes if isinstance(node, Results))
        return tuple(dict.fromkeys(body for node in several for _, body in bodies_of(node)))

    def with_results(self, results: Iterable[Node]) -> Graph:
        """The same graph with each result replaced, in the order of `results`."""
        new = tuple(results)
        count = len(self.outputs)
        updates = tuple((target, value) for (target, _), value in zip(self.updates, new[count:], strict=True))
        return Graph(self.inputs, new[:count], updates, self.names)


V = TypeVar("V")


def interpret(results: Iterable[Node], given: Mapping[Node, V], compute: Callable[[Node, tuple[V, ...]], V]) -> list[V]:
    """A value for each of `results`: `compute(node, values of its inputs)` along the graph, inputs first.

    Nodes in `given` have their value from there, and what stands under them alone is not visited. A value is dropped
    after its last use. This is the walk of everything that maps a graph: to arrays, to other nodes, to a program.
    """
    wanted = list(results)
    order = needed(wanted, given)
    uses = Counter(source for node in order for source in node.inputs)
    uses.update(wanted)
    values = {node: given[node] for node in uses if node in given}
    for node in order:
        values[node] = compute(node, tuple([values[source] for source in node.inputs]))
        for source in node.inputs:
            uses[source] -= 1
            if not uses[source]:
                values.pop(source, None)
    return [values[node] for node in wanted]


def needed(results: Iterable[Node], given: Container[Node]) -> list[Node]:
    """The nodes under `results`, inputs before consumers, without what is given and what stands under that alone."""
    needed: set[Node] = set()
    pending = [node for node in results if node not in given]
    while pending:
        node = pending.pop()
        if node not in needed:
            needed.add(node)
            pending += [source for source in node.inputs if source not in given]
    return [node for node in topological(results) if node in needed]


def rebuild(graph: Graph, rewrite: Callable[[Node, tuple[Node, ...]], Node]) -> Graph:
    """`graph` with `rewrite(node, new_inputs)` put in place of each node, inputs first.

    `rewrite` answers with the node to use; for no change it rebuilds (or returns) the node over the new inputs.
    """
    return graph.with_results(interpret(graph.results, {}, rewrite))


def replace(
    results: Iterable[Node], new: Mapping[Node, Node], build: Callable[[Node, tuple[Node, ...]], Node]
) -> list[Node]:
    """The results with every node in `new` replaced; nodes above it are rebuilt by `build`."""
    return interpret(results, new, lambda node, at: node if identical(at, node.inputs) else build(node, at))
