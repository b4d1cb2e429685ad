"""Marks: what was only a message to the compiler leaves the graph."""

from __future__ import annotations

from graphc.errors import GraphError, with_location
from graphc.ir.graph import Graph, rebuild, topological
from graphc.ir.node import Node
from graphc.ops.build import apply
from graphc.ops.primitives.marks import INDEX_WITHIN as INDEX_MARK
from graphc.ops.record import ALL, INTEGER
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt

__all__ = ["REWRITES", "drop_index_marks", "resolve_marks"]

REWRITES = (
    Rewrite(
        "stop_gradient(x)",
        "x",
        Keeps.BITS,
        lambda x: apply("stop_gradient", x),
        "gradients were taken before",
        dtypes=ALL,
    ),
    Rewrite(
        "with_update(y, p, v)",
        "y",
        Keeps.BITS,
        lambda x, v: apply("with_update", x, v, v * 2),
        "p := v joins the graph's updates",
    ),
    Rewrite(
        "index_within(x, low, high)",
        "x",
        Keeps.BITS,
        lambda x: apply(INDEX_MARK, x, low=-(1 << 62), high=1 << 62, ignored=(), what="a range"),
        "calls check what inputs give",
        dtypes=tuple(dtype for dtype in INTEGER if dtype != "int64"),  # of which the example's range holds not all
    ),
)

_PLAIN = ("stop_gradient", INDEX_MARK)
_MARKS = (*_PLAIN, "with_update")


def resolve_marks(graph: Graph) -> Graph:
    """`graph` without marks; what `with_update` asked for, in program order, then the graph's own updates.

    Updates inside the values of updates count too. Raises GraphError, with the user's line, for an update of what is
    not a parameter and for two updates of one parameter that differ.
    """
    if not any(node.op in _MARKS for node in graph.nodes):
        return graph
    new: dict[Node, Node] = {}
    updates: dict[Node, tuple[Node, Node]] = {}
    for node in topological(graph.results):
        inputs = tuple(new[source] for source in node.inputs)
        if node.op == "with_update":
            _, parameter, value = inputs
            _record(updates, parameter, value, node)
            new[node] = inputs[0]
        else:
            new[node] = inputs[0] if node.op in _PLAIN else rebuilt(node, inputs)
    for parameter, value in graph.updates:
        if parameter in updates:
            _check_equal(parameter, new[value], value, *updates[parameter])
        updates[parameter] = (new[value], value)
    outputs = tuple(new[output] for output in graph.outputs)
    return Graph(graph.inputs, outputs, tuple((target, value) for target, (value, _) in updates.items()), graph.names)


def drop_index_marks(graph: Graph) -> Graph:
    """`graph` without marks of indices: a program of it checks none."""
    if not any(node.op == INDEX_MARK for node in graph.nodes):
        return graph
    return rebuild(graph, lambda node, inputs: inputs[0] if node.op == INDEX_MARK else rebuilt(node, inputs))


def _record(updates: dict[Node, tuple[Node, Node]], parameter: Node, value: Node, mark: Node) -> None:
    if parameter.op != "parameter":
        raise with_location(GraphError(f"only a parameter can be updated, not {parameter!r}"), mark.location)
    if value.type != parameter.type:
        message = f"{parameter!r} takes values of type {parameter.type}, the update is {value.type}"
        raise with_location(GraphError(message), mark.location)
    if parameter in updates:
        _check_equal(parameter, value, mark, *updates[parameter])
    updates[parameter] = (value, mark)


def _check_equal(parameter: Node, value: Node, site: Node, other: Node, other_site: Node) -> None:
    if value is not other:
        message = (
            f"{parameter!r} is updated twice with different values; a program writes each parameter once. "
            f"The other update is at {other_site.location}"
        )
        raise with_location(GraphError(message), site.location)
