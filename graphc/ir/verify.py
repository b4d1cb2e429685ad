"""The checker of tensor graphs, run between passes.

`verify` answers nothing for a sound graph and raises InternalError otherwise: it names the promise that was broken
and prints the neighbourhood of the fault, a node with its inputs and its consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from graphc.errors import GraphcError, InternalError
from graphc.ir.body import Body
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Results, Type, is_interned
from graphc.ir.text import node_text, ordered_nodes

__all__ = ["neighbourhood", "verify"]

_SHOWN = 8


def verify(graph: Graph, infer: Callable[[Node], Type] | None = None, stage: str = "verify") -> None:
    """Check that `graph`, and every body in it, keeps the promises of the tensor graph. `stage` is the pass to blame.

    It is acyclic; every node is interned; every type is what the op's rule gives (`infer(node)`, left out for None);
    of several results parts alone are read;
    every input node is listed, and nothing else is; no parameter is updated twice, and each takes the type it has;
    there are as many names as outputs, or none, all different. In a body inputs are updated, and there is no parameter.

    Raises InternalError.
    """
    pending, seen = [graph], set[Body]()
    while pending:
        looked_at = pending.pop()
        nodes = ordered_nodes(looked_at)
        for fault, node in _faults(looked_at, nodes, infer, "parameter" if looked_at is graph else "input"):
            shown = "" if node is None else f"\n{neighbourhood(node, nodes)}"
            raise InternalError(f"{stage}: {fault}{shown}")
        inner = set(looked_at.bodies) - seen
        seen |= inner
        pending += [body.graph for body in inner]


def neighbourhood(node: Node, nodes: Sequence[Node]) -> str:
    """`node` with its inputs and consumers among `nodes`, as lines of a graph's text."""
    numbers = {other: number for number, other in enumerate(nodes)}
    readers = [other for other in nodes if any(source is node for source in other.inputs)]
    groups: tuple[tuple[str, Iterable[Node]], ...] = (
        ("inputs", dict.fromkeys(node.inputs)), ("node", [node]), ("consumers", readers)
    )  # fmt: skip
    lines = []
    for title, members in groups:
        listed = list(members)
        lines += [f"  {title}:", *(f"    {node_text(member, numbers, locations=True)}" for member in listed[:_SHOWN])]
        if len(listed) > _SHOWN:
            lines.append(f"    and {len(listed) - _SHOWN} more")
        if not listed:
            lines.append("    none")
    return "\n".join(lines)


Fault = tuple[str, Node | None]


def _faults(graph: Graph, nodes: Sequence[Node], infer: Callable[[Node], Type] | None, updated: str) -> Iterator[Fault]:
    yield from _order_faults(nodes)
    for node in nodes:
        if not is_interned(node):
            yield "a node is not the interned one of its parts (changed after it was built?)", node
        if infer is not None:
            yield from _type_faults(node, infer)
        if node.op != "part" and any(isinstance(source, Results) for source in node.inputs):
            yield "several results are read as one", node
    yield from _interface_faults(graph, nodes)
    yield from _update_faults(graph, updated)
    if updated != "parameter":
        yield from (("a body has a parameter", node) for node in nodes if node.op == "parameter")


def _order_faults(nodes: Sequence[Node]) -> Iterator[Fault]:
    """In a depth-first order an input comes after its consumer only on a cycle."""
    position = {node: index for index, node in enumerate(nodes)}
    for node in nodes:
        if any(position[source] >= position[node] for source in node.inputs):
            yield "a node depends on itself", node


def _type_faults(node: Node, infer: Callable[[Node], Type]) -> Iterator[Fault]:
    try:
        expected = infer(node)
    except GraphcError as error:
        yield f"the rule of {node.op} refuses its inputs ({error})", node
    else:
        if expected != node.type:
            yield f"the rule of {node.op} gives {expected}, but the node is {node.type}", node


def _interface_faults(graph: Graph, nodes: Sequence[Node]) -> Iterator[Fault]:
    listed = set(graph.inputs)
    if len(listed) != len(graph.inputs):
        yield "an input is listed twice", None
    for node in nodes:
        if node in listed and node.op != "input":
            yield "a node is listed as an input but is none", node
        if node.op == "input" and node not in listed:
            yield "an input is used but not listed", node
    if graph.names and (len(set(graph.names)) != len(graph.names) or len(graph.names) != len(graph.outputs)):
        yield f"{len(graph.outputs)} output(s) have the names {graph.names}", None


def _update_faults(graph: Graph, updated: str) -> Iterator[Fault]:
    seen: set[Node] = set()
    for target, value in graph.updates:
        if target.op != updated:
            yield f"an update is of what is no {updated}", target
        if target in seen:
            yield "a parameter is updated twice", target
        if value.type != target.type:
            yield f"a parameter {target.type} is updated to a value {value.type}", value
        seen.add(target)
