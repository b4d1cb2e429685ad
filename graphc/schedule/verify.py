"""The checker of groups: what `fuse` makes of a graph can run, one group after the other, and computes all of it.

It looks at the graph, not at how groups came about: whatever takes work under a node and is not reached by views alone
must have been computed before, and kept if another group reads it. Raises InternalError, which lists the faults.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.checkpoint import ENTER, LEAVE
from graphc.ops.record import Kind, op_of
from graphc.schedule.group import Group
from graphc.schedule.merge import reads_of
from graphc.schedule.results import result_base

__all__ = ["faults_of", "verify"]

_FREE = (Kind.SOURCE, Kind.VIEW)  # what costs no work, or next to none
_SHOWN = 8


def verify(graph: Graph, groups: Sequence[Group]) -> None:
    """Raise InternalError unless `groups` compute all that takes work and has elements, once, or several times where it
    is elementwise; are in an order in which they can run; and keep what others read, and nothing else."""
    faults = faults_of(graph, [group for group in groups if any(node.size for node in group.members)])
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise InternalError("\n  ".join(["fuse: wrong groups:", *faults[:_SHOWN], *more]))


def faults_of(graph: Graph, groups: Sequence[Group]) -> list[str]:
    """What is wrong with the groups that have elements, in words."""
    makers, pieces, copied = _makers(groups), _pieces(groups), _copied(groups)
    results = {result_base(result) for result in graph.results}
    dear = [node for node, by in makers.items() if len(by) > 1 and op_of(node).kind is not Kind.ELEMENTWISE]
    faults = [f"{node!r} is computed {len(makers[node])} times" for node in dear if node not in copied]
    faults += [f"{node!r} is computed by nobody" for node in results - makers.keys() - pieces.keys() if node.size]
    faults += [f"{node!r} is computed, but not in the graph" for node in makers.keys() - set(graph.nodes)]
    faults += [
        f"{node!r} is put together in part"
        for node in pieces.keys() | copied.keys()
        if not _is_whole(node, pieces, copied, makers)
    ]
    stored = {node: position for position, group in enumerate(groups) for node in group.stores}
    asked = [set(reads_of(group)) for group in groups]
    read: set[Node] = set()
    for position, node in ((position, node) for node, by in makers.items() for position in by):
        inputs = node.inputs
        if node in groups[position].parts:
            inputs = tuple(node.inputs[part] for part in groups[position].parts[node])
        for source in computed_below(inputs, pieces):
            direct = any(source is given for given in inputs)  # else views on the way may leave it out
            if source not in makers:
                faults += [f"{source!r} is computed by nobody"] if direct and op_of(node).kind not in _FREE else []
            elif position not in makers[source]:
                read.add(source)
                maker = stored.get(source, -1)
                if maker < 0 and direct:
                    faults.append(f"group {position} reads {source!r}, which is not stored")
                if maker > position and (direct or source in asked[position]):
                    faults.append(f"group {position} reads {source!r} of the later group {maker}")
    kept = read | results | _kept_on_purpose(graph, pieces)
    return faults + [f"{node!r} is stored for nobody" for node in stored.keys() - kept if op_of(node).kind not in _FREE]


def _pieces(groups: Sequence[Group]) -> dict[Node, list[Node]]:
    """For each concatenation that is put together in place, what is computed straight into its buffer."""
    pieces: dict[Node, list[Node]] = {}
    for piece, place in groups[0].inside.items() if groups else ():
        pieces.setdefault(place.base, []).append(piece)
    return pieces


def _copied(groups: Sequence[Group]) -> dict[Node, list[Node]]:
    """For each concatenation the parts that are copied, by groups that may be several."""
    parts: dict[Node, list[Node]] = {}
    for group in groups:
        for whole, numbers in group.parts.items():
            parts.setdefault(whole, []).extend(whole.inputs[number] for number in numbers)
    return parts


def _is_whole(
    whole: Node, pieces: Mapping[Node, Sequence[Node]], copied: Mapping[Node, Sequence[Node]], makers: Container[Node]
) -> bool:
    """Whether what is computed or put together in place, and what is copied there, make all of a concatenation."""
    own = [piece for piece in pieces.get(whole, ()) if piece in makers or piece in pieces]
    return sum(node.size for node in (*own, *copied.get(whole, ()))) == whole.size


def _makers(groups: Sequence[Group]) -> dict[Node, list[int]]:
    """For each node the groups that compute it."""
    found: dict[Node, list[int]] = {}
    for position, group in enumerate(groups):
        for node in group.members:
            found.setdefault(node, []).append(position)
    return found


def computed_below(nodes: Sequence[Node], pieces: Mapping[Node, Sequence[Node]]) -> Iterator[Node]:
    """The nearest of `nodes`, and of those under them, that take work: what lies between are views.

    A concatenation that is put together in place takes none; its pieces do.
    """
    pending, seen = list(nodes), set(nodes)
    while pending:
        source = pending.pop()
        kind = op_of(source).kind
        if kind not in _FREE and source not in pieces:
            yield source
            continue
        for below in pieces.get(source, source.inputs if kind is Kind.VIEW else ()):
            if below not in seen:
                seen.add(below)
                pending.append(below)


def _kept_on_purpose(graph: Graph, pieces: Mapping[Node, Sequence[Node]]) -> set[Node]:
    """What a checkpoint keeps, and the parts of a join, and the join."""
    marked = [node for node in graph.nodes if node.op in (ENTER, LEAVE, "concatenate")]
    return {source for node in marked for source in computed_below(node.inputs, pieces)} | pieces.keys()
