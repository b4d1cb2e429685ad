"""The checker of groups: what `fuse` makes of a graph can run, one group after the other, and computes all of it.

It looks at the graph, not at how groups came about: whatever takes work under a node and is not reached by views alone
must have been computed before, and kept if another group reads it. Raises InternalError, which lists the faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from graphc.errors import InternalError
from graphc.fusion.group import Group
from graphc.fusion.merge import reads_of
from graphc.fusion.results import result_base
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.record import Kind, View, op_of, view_of

__all__ = ["checked", "faults_of", "verify"]

_FREE = (Kind.SOURCE, Kind.GENERATED, Kind.VIEW)  # what costs no work, or next to none
_SHOWN = 8


def checked(graph: Graph, groups: list[Group]) -> list[Group]:
    """`groups`, verified where `ir.checking` says so."""
    if verifies():
        verify(graph, groups)
    return groups


def verify(graph: Graph, groups: Sequence[Group]) -> None:
    """Raise InternalError unless `groups` compute all that takes work and has elements, once, or several times where it
    is elementwise; are in an order in which they can run; and keep what others read, and nothing else."""
    faults = faults_of(graph, [group for group in groups if any(node.elements for node in group.members)])
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise InternalError("\n  ".join(["fuse: wrong groups:", *faults[:_SHOWN], *more]))


def faults_of(graph: Graph, groups: Sequence[Group]) -> list[str]:
    """What is wrong with the groups that have elements, in words."""
    work = _Work(groups)
    results = {result_base(result) for result in graph.results}
    read: set[Node] = set()
    faults = [*_making_faults(graph, work, results), *_reading_faults(work, read)]
    kept = read | results | _kept_on_purpose(graph, work.pieces)
    idle = [node for node in work.stored.keys() - kept if op_of(node).kind not in (*_FREE, Kind.PART)]
    return faults + [f"{node!r} is stored for nobody" for node in idle]


class _Work:
    """Who computes and who keeps what: `makers` are the groups of a node, `stored` the last that keeps it.

    Of a concatenation that is put together in place, `pieces` are what is computed straight into its buffer, and
    `copied` the parts that are copied there, by groups that may be several.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.makers: dict[Node, list[int]] = {}
        self.stored = {node: position for position, group in enumerate(groups) for node in group.stores}
        self.pieces: dict[Node, list[Node]] = {}
        self.copied: dict[Node, list[Node]] = {}
        for position, group in enumerate(groups):
            for node in dict.fromkeys((*group.members, *group.stores)):
                self.makers.setdefault(node, []).append(position)
            for whole in group.parts:
                self.copied.setdefault(whole, []).extend(self.inputs(whole, position))
        for piece, place in groups[0].inside.items() if groups else ():
            self.pieces.setdefault(place.base, []).append(piece)

    def inputs(self, node: Node, position: int) -> Sequence[Node]:
        """What a group reads for a node of its own: of a concatenation, the parts that it copies."""
        parts = self.groups[position].parts.get(node)
        return node.inputs if parts is None else [node.inputs[part] for part in parts]

    def is_whole(self, join: Node) -> bool:
        """Whether what is computed or put together in place, and what is copied there, make all of a concatenation."""
        own = [piece for piece in self.pieces.get(join, ()) if piece in self.makers or piece in self.pieces]
        sizes: list[int] = [node.size for node in (*own, *self.copied.get(join, ()))]
        return sum(sizes) == join.size


def _making_faults(graph: Graph, work: _Work, results: Set[Node]) -> Iterator[str]:
    for node, by in work.makers.items():
        if len(by) > 1 and op_of(node).kind is not Kind.ELEMENTWISE and node not in work.copied:
            yield f"{node!r} is computed {len(by)} times"
    for node in results - work.makers.keys() - work.pieces.keys():
        if node.size:
            yield f"{node!r} is computed by nobody"
    for node in work.makers.keys() - set(graph.nodes):
        if op_of(node).kind is not Kind.PART:  # all of them are computed, if any is wanted
            yield f"{node!r} is computed, but not in the graph"
    for join in {**work.pieces, **work.copied}:
        if not work.is_whole(join):
            yield f"{join!r} is put together in part"


def _reading_faults(work: _Work, read: set[Node]) -> Iterator[str]:
    """Faults of what groups read of others, which is put into `read`."""
    asked = [set(reads_of(group)) for group in work.groups]
    for position, node in ((position, node) for node, by in work.makers.items() for position in by):
        inputs = work.inputs(node, position)
        for source in computed_below(inputs, work.pieces):
            direct = any(source is given for given in inputs)  # else views on the way may leave it out
            if source not in work.makers:
                if direct and op_of(node).kind not in _FREE:
                    yield f"{source!r} is computed by nobody"
            elif node is work.groups[position].library or position not in work.makers[source]:  # its epilogue may, too
                read.add(source)
                maker = work.stored.get(source, -1)
                if maker < 0 and direct:
                    yield f"group {position} reads {source!r}, which is not stored"
                if maker > position and (direct or source in asked[position]):
                    yield f"group {position} reads {source!r} of the later group {maker}"


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
    marked = [node for node in graph.nodes if view_of(node) in (View.SAME, View.JOINED)]
    return {source for node in marked for source in computed_below(node.inputs, pieces)} | pieces.keys()
