"""Fusion: which nodes run in one loop nest.

A group is either one library op, or a set of elementwise, view, reduction and random nodes over one domain, with at
most one contraction whose output tiles it finishes (its epilogue). Groups are convex: no value leaves a group and
comes back, so they can run one after another. What is computed twice costs next to nothing (`_spread`) or less than to
keep it (see `recompute`). Concatenations that have a buffer are put together in place (see `stacking`).

`fuse` visits the nodes from the results down. A node joins a group that reads it, if it fits into the loop nest (see
`group`); otherwise it starts a new group. Either way it gets a buffer if others read it too. Let the *height* of a
group be the rank of its first node, the latest of all in the order of the graph. A node that others read as well joins
only a group whose height lies below the ranks of those readers. So whoever reads a value of a group has a greater
height than the group: there are no cycles, and no search for them. `merge_groups` then puts groups together that touch
the same values element by element.
"""

from __future__ import annotations

from graphc.fusion.access import Access
from graphc.fusion.group import Group, boundaries, is_literal, library_operands
from graphc.fusion.merge import merge_groups
from graphc.fusion.recompute import recompute
from graphc.fusion.results import result_base
from graphc.fusion.stacking import Stack, plan_stacks
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Results
from graphc.ops.build import parts_of
from graphc.ops.record import Kind, op_of

__all__ = ["MAX_NODES", "fuse"]

MAX_NODES = 96  # members of a group; beyond it, little is gained, and registers and code grow
_LIGHT = 1  # cost of an op that may be computed more than once
_FUSIBLE = (Kind.ELEMENTWISE, Kind.REDUCTION)


def fuse(graph: Graph, *, apart: bool = False) -> list[Group]:
    """The groups that compute `graph`, in an order in which they can run; `apart` as in `plan_stacks`."""
    stacks = plan_stacks(graph, apart=apart)
    fusion = _Fusion(graph, stacks)
    for node in reversed(graph.nodes):
        fusion.place(node)
    groups = recompute(merge_groups(fusion.groups[::-1], graph, stacks, MAX_NODES), graph, stacks, MAX_NODES)
    places = {piece: place for whole in fusion.placed for piece, place in stacks[whole].pieces.items()}
    for group in groups:
        group.inside = places
    return groups


def _is_light(node: Node) -> bool:
    """Whether `node` is a cheap function of one input or constant of its size, and of literals."""
    op, sources = op_of(node), [source for source in node.inputs if not is_literal(_base(source))]
    inside = len(sources) == 1 and _base(sources[0]).op in ("input", "constant")
    return inside and op.kind is Kind.ELEMENTWISE and op.cost <= _LIGHT and _base(sources[0]).size == node.size


def _base(node: Node) -> Node:
    while op_of(node).kind is Kind.VIEW and len(node.inputs) == 1:
        (node,) = node.inputs
    return node


class _Fusion:
    """The state of one run of `fuse`: groups so far, who reads what, and which nodes must be held in a buffer."""

    def __init__(self, graph: Graph, stacks: dict[Node, Stack]) -> None:
        self.stacks = stacks
        self.rank = {node: number for number, node in enumerate(graph.nodes)}
        self.groups: list[Group] = []
        self.placed: list[Node] = []  # stacks that somebody reads
        self.readers: dict[Node, dict[Group, None]] = {}
        self.height: dict[Group, int] = {}
        self.depth: dict[Group, int] = {}  # rank of a group's earliest node so far
        # nodes that need a buffer, and the rank of the first reader that is no member of a group
        self.held = dict.fromkeys((*boundaries(graph), *map(result_base, graph.results)), len(self.rank))

    def place(self, node: Node) -> None:
        """Put `node` into a group, unless it lives in its readers (a view, a literal) or outside (an input)."""
        if node not in self.held and node not in self.readers:
            return
        kind = op_of(node).kind
        if kind is Kind.PART:
            self._hold(node.inputs[0], node)
        elif node in self.stacks:
            self._place_stack(node, self.stacks[node])
        elif kind.is_launched:
            self._place_library(node)
        elif kind in _FUSIBLE or kind in (Kind.VIEW, Kind.GENERATED):
            self._place_fused(node)

    def _place_fused(self, node: Node) -> None:
        if self._spread(node):
            return
        group, access = self._taker(node)
        if group is None or access is None or not group.join(node, access):
            group = Group(kept=self.stacks)
            group.start(node)
            self._open(group, node)
        elif node in self.held or len(self.readers[node]) > 1:
            group.stores.append(node)
        self.depth[group] = self.rank[node]
        self._note_reads(group, node)

    def _spread(self, node: Node) -> bool:
        """Let each reader compute `node` itself, where that is next to nothing and takes one value from outside."""
        readers = self.readers.get(node, {})
        if len(readers) < 2 or node in self.held or not _is_light(node):
            return False
        accesses = [group.wanted(node) for group in readers]
        full = any(len(group.accesses) >= MAX_NODES for group in readers)
        if full or not all(a and group.reaches_once(a) for group, a in zip(readers, accesses, strict=True)):
            return False
        for group, access in zip(readers, accesses, strict=True):
            assert access is not None
            group.join(node, access)
            self._note_reads(group, node)
        return True

    def _place_stack(self, node: Node, stack: Stack) -> None:
        """The launches that put the concatenation `node` together, if not all of it is there already."""
        self.placed.append(node)
        for piece in stack.pieces:
            self._hold(piece, node)
        for run in stack.runs:
            group = Group(kept=self.stacks)
            group.start_parts(node, run)
            self._open(group, node)
            self._note_reads(group, node)

    def _open(self, group: Group, node: Node, *stores: Node) -> None:
        """Note a new group whose first node is `node`; it stores `stores`, or else that node."""
        group.stores += stores or (node,)
        self.groups.append(group)
        self.height[group] = self.depth[group] = self.rank[node]

    def _taker(self, node: Node) -> tuple[Group | None, Access | None]:
        """The group that may take `node` in, and by which access: its lowest reader, if that lies below all others."""
        readers = self.readers.get(node)
        if not readers:
            return None, None
        group = min(readers, key=self.height.__getitem__)
        if len(readers) > 1 and node.size == 1 and op_of(node).kind is Kind.REDUCTION:
            return None, None  # it saves nothing to the one and may keep the others waiting
        limit = self.held.get(node, len(self.rank))
        for reader in readers:
            limit = min(limit, self.depth[reader]) if reader is not group else limit
        if self.height[group] >= limit or len(group.accesses) >= MAX_NODES:
            return None, None
        access = group.wanted(node)
        stored = len(readers) > 1 or node in self.held
        return (None, None) if access is None or (stored and not group.covers(access, node.shape)) else (group, access)

    def _note_reads(self, group: Group, node: Node) -> None:
        """Bring the tables of readers up to date after `node` was put into `group`."""
        for trace in group.reads[node]:
            for leaf in trace.leaves:
                if leaf.node in group.wants:
                    self.readers.setdefault(leaf.node, {})[group] = None
        for needed in group.needs:
            self._hold(needed, node)

    def _hold(self, node: Node, reader: Node) -> None:
        self.held[node] = min(self.held.get(node, len(self.rank)), self.rank[reader])

    def _place_library(self, node: Node) -> None:
        alone = node not in self.held and len(self.readers[node]) == 1
        group, access = self._taker(node) if alone else (None, None)
        if group is None or access is None or not group.take_anchor(node, access):
            stores = parts_of(node) if isinstance(node, Results) else (node,)  # all of them, if any is read
            self._open(Group(library=node), node, *stores)
        for operand in library_operands(node):
            self._hold(operand, node)
