"""Merging groups: two loop nests over the same elements become one.

Candidates are a group and one that reads a value it stores, and two groups that read the same value. They merge if
one loop nest serves both (their members are taken in one by one, as when a group grows) and no value would leave the
new group and come back (see `precedence`). What only the two of them read needs no buffer any more. Large values come
first: they save most.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence

from graphc.fusion.group import Group, boundaries, library_operands
from graphc.fusion.precedence import Precedence
from graphc.fusion.results import result_base
from graphc.fusion.stacking import Stack, all_pieces
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.record import Kind, op_of

__all__ = ["merge_groups", "reads_of"]

_CROWD = 8  # a value that more groups than this touch is left alone


def merge_groups(groups: Sequence[Group], graph: Graph, stacks: dict[Node, Stack], max_nodes: int) -> list[Group]:
    """`groups`, merged where that saves a pass over memory, in an order in which they can run, as they are in before.

    Ends, as every merge leaves one group less, and a value waits to be looked at again only after a merge.
    """
    merging = _Merging(groups, graph, stacks, max_nodes)
    for value in graph.nodes:
        merging.consider(value)
    while merging.queue:
        value = graph.nodes[heapq.heappop(merging.queue)[-1]]
        merging.waiting.discard(value)
        for alike in (merging.same_rows, merging.same_elements):
            merging.merge_around(value, alike)
    return merging.precedence.sorted()


class _Merging:
    def __init__(self, groups: Sequence[Group], graph: Graph, stacks: dict[Node, Stack], max_nodes: int) -> None:
        self.rank = {node: number for number, node in enumerate(graph.nodes)}
        self.stacks = stacks
        self.results = {result_base(result) for result in graph.results}
        self.results |= boundaries(graph)
        self.results.update(piece for stack in stacks.values() for piece in stack.pieces)
        self.max_nodes = max_nodes
        self.makers: dict[Node, dict[Group, None]] = {}  # several of a stack whose parts have several shapes
        self.touching: dict[Node, dict[Group, None]] = {}  # fused groups that read or store a value
        self.readers: dict[Node, dict[Group, None]] = {}  # all groups that read a value, library operands too
        self.reads: dict[Group, list[Node]] = {}  # what a group reads and does not compute
        self.counts: dict[Group, tuple[int, int]] = {}  # elements of a group's full domain and of its rows
        self.refused: set[tuple[Group, Group]] = set()  # pairs that no loop nest serves
        # values to merge around: the largest first, of equal ones those that need no buffer once all is merged
        self.queue: list[tuple[int, bool, int]] = []
        self.waiting: set[Node] = set()
        for group in groups:
            self._enter(group)
        self.precedence = Precedence(groups, self._makers, self._readers)

    def _enter(self, group: Group) -> None:
        self.counts[group] = _counts(group)
        for node in group.stores:
            self.makers.setdefault(node, {})[group] = None
            if node not in group.parts:
                self._touch(node, group)
        self.reads[group] = reads_of(group)
        for node in self.reads[group]:
            self._touch(node, group)
        stacks = [node for node in self.reads[group] if node in self.stacks]
        self.reads[group] += [piece for stack in stacks for piece in all_pieces(self.stacks, stack)]
        for node in self.reads[group]:
            self.readers.setdefault(node, {})[group] = None

    def _touch(self, node: Node, group: Group) -> None:
        if group.library is None:
            self.touching.setdefault(node, {})[group] = None

    def _leave(self, group: Group) -> None:
        for node in (*group.stores, *self.reads[group]):
            self.makers.get(node, {}).pop(group, None)
            self.touching.get(node, {}).pop(group, None)
            self.readers.get(node, {}).pop(group, None)

    def consider(self, value: Node) -> None:
        """Look at the groups around `value`, be it again: what was merged elsewhere may have cleared the way."""
        if value in self.touching and value.size and value not in self.waiting:
            self.waiting.add(value)
            heapq.heappush(self.queue, (-value.size, value not in self.makers, self.rank[value]))

    def merge_around(self, value: Node, alike: Callable[[Group, Group], bool]) -> None:
        """Merge pairs that touch `value` and are `alike`, the largest loop nests first: they can take in most.

        Ends, as each round but the last leaves one group less.
        """
        while 1 < len(self.touching.get(value, ())) <= _CROWD:
            groups = sorted(self.touching[value], key=lambda group: self.counts[group][0], reverse=True)
            if not any(alike(a, b) and self._merge(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]):
                return

    def same_rows(self, first: Group, second: Group) -> bool:
        """Whether both have as many elements in all and as many rows."""
        return self.counts[first] == self.counts[second]

    def same_elements(self, first: Group, second: Group) -> bool:
        """Whether one loop nest may serve both: as many elements in all, or as many as the other has rows."""
        return not set(self.counts[first]).isdisjoint(self.counts[second])

    def _merge(self, first: Group, second: Group) -> bool:
        if len(first.accesses) + len(second.accesses) > self.max_nodes or (first, second) in self.refused:
            return False
        if self._feeds(first, second) or self._feeds(second, first):
            return False
        between = self.precedence.between(first, second)
        if between is None:
            return False
        union = self._union(first, second)
        if union is None:
            self.refused.add((first, second))
            return False
        self._leave(first)
        self._leave(second)
        self._enter(union)
        self.precedence.merge(first, second, union, between)
        for value in (*union.stores, *self.reads[union]):
            self.consider(value)
        return True

    def _union(self, first: Group, second: Group) -> Group | None:
        """The one group of both's members, if the larger loop nest can serve them."""
        sizes = [(self.counts[group][0], len(group.accesses)) for group in (first, second)]
        lead, other = (first, second) if sizes[0] >= sizes[1] else (second, first)
        union = lead.copy()
        dims = union.dims_of(other)
        if dims is None or not union.adopt_reduce(other, dims):
            return None
        for node in sorted(other.accesses, key=lambda node: -self.rank[node]):
            access, parts = union.translated(other.access(node), dims), other.parts.get(node)
            if node in lead.accesses:
                if union.access(node) != access or parts is not None:
                    return None
                continue
            if not (union.join(node, access) if parts is None else union.join_parts(node, parts, access)):
                return None
        touched = other.accesses.keys() | (other.wants.keys() & lead.accesses.keys())
        if any(union.wanted(node) != union.access(node) for node in touched if node in union.wants):
            return None
        needed = union.needs - first.needs - second.needs  # by views that this loop nest cannot follow: in no buffer
        if union.needs & union.accesses.keys() or any(op_of(node).kind is not Kind.SOURCE for node in needed):
            return None
        union.accesses = dict(sorted(union.accesses.items(), key=lambda item: -self.rank[item[0]]))
        union.stores = [node for node in (*lead.stores, *other.stores) if self._is_read_outside(node, first, second)]
        own = [node for node in union.stores if node in other.accesses and node not in other.parts]
        covered = (union.covers(union.access(node), node.shape) for node in own)
        return union if all(covered) else None

    def _is_read_outside(self, node: Node, first: Group, second: Group) -> bool:
        if node in self.results:
            return True
        return any(reader is not first and reader is not second for reader in self.readers.get(node, ()))

    def _feeds(self, first: Group, second: Group) -> bool:
        """Whether `second` reads a whole of which `first` makes parts: all of it must be there before."""
        wholes = [node for node in self.reads[second] if node in self.stacks]
        return any(w in first.parts or not self.stacks[w].pieces.keys().isdisjoint(first.stores) for w in wholes)

    def _makers(self, group: Group) -> Iterable[Group]:
        return (maker for node in self.reads[group] for maker in self.makers.get(node, ()))

    def _readers(self, group: Group) -> Iterable[Group]:
        return (reader for node in group.stores for reader in self.readers.get(node, ()))


def _counts(group: Group) -> tuple[int, int]:
    """Elements of the full domain and of its rows."""
    reduce = set(group.reduce_dims())
    full = math.prod(group.domain.extents.values())
    return full, math.prod(extent for d, extent in group.domain.extents.items() if d not in reduce)


def reads_of(group: Group) -> list[Node]:
    """The values that `group` reads and does not compute, with what its views need."""
    own = [node for node in (*group.wants, *group.needs) if node not in group.accesses and node is not group.library]
    operands = library_operands(group.library) if group.library is not None else ()
    return list(dict.fromkeys([*own, *operands]))
