"""Fusion: which nodes run in one loop nest.

A group is either one library op, or a set of elementwise, view, reduction and random nodes over one domain, with at
most one contraction whose output tiles it finishes (its epilogue). Groups are convex: no value leaves a group and comes
back, so they can run one after another. Nothing is computed twice, views apart, which cost nothing.

`fuse` visits the nodes from the results down. A node joins the group of its readers if all of them are in that one
group and reach it by the same access; otherwise it starts a new group and gets a buffer. A reduction joins the group
that reads its result row by row, so softmax or a normalisation is one row program. `merge_groups` then puts groups
together that read each other's values, or the same ones, element by element.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.record import Kind, op_of
from graphc.schedule.group import Group, holder
from graphc.schedule.merge import merge_groups
from graphc.schedule.results import result_base
from graphc.schedule.views import strided_view

__all__ = ["MAX_NODES", "fuse"]

MAX_NODES = 64  # members of a group; beyond it, little is gained, and registers and code grow
_FUSIBLE = (Kind.ELEMENTWISE, Kind.REDUCTION)


def fuse(graph: Graph) -> list[Group]:
    """The groups that compute `graph`, in an order in which they can run."""
    fusion = _Fusion()
    fusion.keep_results(graph)
    for node in reversed(graph.nodes):
        fusion.place(node)
    return merge_groups(fusion.groups[::-1], graph, fusion.held, MAX_NODES)


class _Fusion:
    """The state of one run of `fuse`: groups so far, who reads what, and which nodes must be held in a buffer."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.readers: dict[Node, list[Group]] = {}
        self.results: set[Node] = set()
        self.held: set[Node] = set()  # results, operands of library ops, and what views could not be followed to

    def keep_results(self, graph: Graph) -> None:
        self.results = {result_base(result) for result in graph.results}
        self.held |= self.results

    def place(self, node: Node) -> None:
        """Put `node` into a group, unless it lives in its readers (a view, a literal) or outside (an input)."""
        if node not in self.held and node not in self.readers:
            return
        kind = op_of(node).kind
        if kind in (Kind.CONTRACTION, Kind.LIBRARY):
            self._place_library(node)
        elif kind in _FUSIBLE or node.op in ("random_bits", "iota") or kind is Kind.VIEW:
            group = self._only_reader(node)
            access = group.wanted(node) if group is not None else None
            if group is None or access is None or not group.join(node, access):
                group = Group()
                self.groups.append(group)
                group.start(node)
                group.stores.append(node)
            elif node in self.held:
                group.stores.append(node)
            self._note_reads(group)

    def _only_reader(self, node: Node) -> Group | None:
        """The one group that could take `node` in."""
        readers = self.readers.get(node, [])
        if (
            len(readers) != 1
            or (node in self.held and node not in self.results)
            or len(readers[0].accesses) >= MAX_NODES
        ):
            return None
        access = readers[0].wanted(node)
        if access is None or (node in self.held and not readers[0].covers(access, node.shape)):
            return None
        return readers[0]

    def _note_reads(self, group: Group) -> None:
        """Bring the tables of readers up to date after the last member of `group` was added."""
        last = next(reversed(group.accesses))
        for trace in group.reads[last]:
            for leaf in trace.leaves:
                readers = self.readers.setdefault(leaf.node, []) if leaf.node in group.wants else []
                if group not in readers:
                    readers.append(group)
        self._hold(group.needs)

    def _hold(self, nodes: set[Node]) -> None:
        self.held |= nodes
        self.results -= nodes

    def _place_library(self, node: Node) -> None:
        group = self._only_reader(node) if node not in self.held else None
        access = group.wanted(node) if group is not None else None
        if group is None or access is None or not group.take_anchor(node, access):
            self.groups.append(Group(library=node, stores=[node]))
        for source in node.inputs:
            view = strided_view(source)
            fits = view is not None and (op_of(node).strided_operands or view.is_contiguous)
            self._hold({view.base if fits and view is not None else holder(source)})
