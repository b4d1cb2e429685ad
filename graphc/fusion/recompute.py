"""Recomputation: what a few cheap operations give back is not kept in memory for the launch that needs it later.

A launch that reads values which another one stored for it may compute them anew, from fewer or smaller values that are
kept anyway: the derivative of GELU reads its argument alone, that of a normalisation the input and the moments of each
row. A value is traded where arithmetic costs less than the traffic that goes, and where hardly more bytes stay alive.
It may cost somewhat more where what vectors make up, pair by pair, is reduced: memory then grows as the vectors do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.fusion.group import Group, boundaries, is_literal
from graphc.fusion.merge import reads_of
from graphc.fusion.parts import prune
from graphc.fusion.results import result_base
from graphc.fusion.stacking import Stack
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.record import Kind, View, op_of, view_of

__all__ = ["recompute"]

_COST_OF_BYTE = 2.4  # of arithmetic, in units of `Op.cost`: what is done while a core moves one byte to or from memory
_MOST = 48  # nodes that one launch computes anew
_MINOR = 8  # values this many times smaller than others, such as moments of rows, are kept
_LEAST = 1 << 13  # bytes of values that are worth a look
_PATIENCE = 4  # times as much arithmetic may be done where all that is read instead is minor, and the loop nest reduces
_SLACK = 1 / 16  # more bytes that may stay alive, such as the moments of rows in place of the rows


def recompute(groups: Sequence[Group], graph: Graph, stacks: Mapping[Node, Stack], max_nodes: int) -> list[Group]:
    """`groups` with values computed anew where that is cheaper than to keep them."""
    return _Recomputation(groups, graph, stacks, max_nodes).run()


@dataclass
class _Trade:
    """What a group may compute anew, latest first, and what it reads then; `gain` in bytes, of traffic."""

    computed: list[Node] = field(default_factory=list)
    read: list[Node] = field(default_factory=list)
    gain: float = 0.0


class _Recomputation:
    def __init__(self, groups: Sequence[Group], graph: Graph, stacks: Mapping[Node, Stack], max_nodes: int) -> None:
        self.groups = list(groups)
        self.max_nodes = max_nodes
        self.rank = {node: number for number, node in enumerate(graph.nodes)}
        self.maker = {node: number for number, group in enumerate(groups) for node in group.stores}
        self.readers: dict[Node, set[int]] = {}
        self.fixed = {result_base(result) for result in graph.results} | boundaries(graph)
        self.fixed.update(*(stack.pieces for stack in stacks.values()), stacks)
        for number, group in enumerate(groups):
            self._note(number, group)

    def _note(self, number: int, group: Group) -> None:
        for node in reads_of(group):
            self.readers.setdefault(node, set()).add(number)
            if node not in group.wants:
                self.fixed.add(node)  # an operand of a library op, or of a view that cannot be followed

    def run(self) -> list[Group]:
        for number in range(len(self.groups)):
            makers: dict[int, list[Node]] = {}
            for node in self.groups[number].wants:
                if self._is_for_sale(node, number):
                    makers.setdefault(self.maker[node], []).append(node)
            for maker, candidates in makers.items():
                wanted = [node for node in candidates if self._is_for_sale(node, number)]  # others are computed by now
                trade = self._trade(number, maker, wanted) if _bytes(wanted) >= _LEAST else _Trade()
                if trade.gain > 0:
                    self._carry_out(number, maker, wanted, trade)
        return [group for group in self.groups if group.stores]

    def _is_for_sale(self, node: Node, number: int) -> bool:
        """Whether the group may compute `node`, which another one stores, anew."""
        made = self.maker.get(node, number)
        kept = node in self.fixed or node in self.groups[number].accesses
        return made != number and not kept and op_of(node).kind is Kind.ELEMENTWISE

    def _trade(self, number: int, maker: int, wanted: Sequence[Node]) -> _Trade:
        """The best trade: values are replaced by what they are computed from, the latest first, as far as it gains.

        Ends, as what a value is computed from has a lower rank than all that was replaced before.
        """
        source = self.groups[maker]
        memory = sum(map(self._share, wanted))
        before = memory + _bytes(wanted)
        read, computed, work = dict.fromkeys(wanted), list[Node](), 0.0
        members = {self.rank[node]: node for node in source.accesses}
        largest = max(node.size for node in wanted)
        queue = [-self.rank[node] for node in wanted if _MINOR * node.size > largest]
        heapq.heapify(queue)
        best = _Trade()
        while queue and len(computed) < _MOST:
            node = members[-heapq.heappop(queue)]
            leaves = _leaves(source, node)
            if leaves is None:
                continue
            del read[node]
            computed.append(node)
            work += op_of(node).cost * node.size / _COST_OF_BYTE
            for leaf in leaves:
                if leaf not in read and leaf in source.accesses and _MINOR * leaf.size > largest:
                    heapq.heappush(queue, -self.rank[leaf])
                read[leaf] = None
            new = _bytes(node for node in read if node in source.accesses and node not in self.maker)
            kept = new + sum(self._share(node) for node in wanted if node in read)
            minor = self.groups[number].reduce and all(_MINOR * node.size <= largest for node in read)
            gain = before - work / (_PATIENCE if minor else 1) - kept - _bytes(read)
            if gain > best.gain and kept + _bytes(self._outlived(read, source, number)) <= memory * (1 + _SLACK):
                best = _Trade(list(computed), list(read), gain)
        return best

    def _share(self, node: Node) -> float:
        """The bytes of `node` for which one of its readers answers."""
        return node.type.nbytes / len(self.readers[node])

    def _outlived(self, nodes: Iterable[Node], source: Group, number: int) -> list[Node]:
        """Values that no launch as late as this one needs so far; the product that `source` finishes is one of them."""
        late = (n for n in nodes if n in self.maker and max(self.readers.get(n, ()), default=number) < number)
        return [*late, *(node for node in nodes if node is source.library and node not in self.maker)]

    def _carry_out(self, number: int, maker: int, wanted: Sequence[Node], trade: _Trade) -> None:
        """Let the group compute the values of `trade`, if its loop nest can."""
        old, source, group = self.groups[number], self.groups[maker], self.groups[number].copy()
        group.stores = list(old.stores)
        new = [n for n in trade.read if (n in source.accesses or n is source.library) and n not in self.maker]
        if len(group.accesses) + len(trade.computed) > self.max_nodes:
            return
        if not all(node is source.library or source.covers(source.access(node), node.shape) for node in new):
            return
        for node in trade.computed:
            access = group.wanted(node)
            if access is None or not group.join(node, access):
                return
        if group.needs - old.needs:
            return
        group.accesses = dict(sorted(group.accesses.items(), key=lambda item: -self.rank[item[0]]))
        for node in trade.computed:
            del group.wants[node]
        stored = source.copy()
        stored.stores = [*source.stores, *new]
        self.maker.update(dict.fromkeys(new, maker))
        self._replace(number, group)
        self._replace(maker, stored)
        self._drop(reads_of(old))

    def _drop(self, nodes: Iterable[Node]) -> None:
        """Keep values no longer that nobody reads any more, nor what only they were computed from.

        Ends, as each value loses its maker once; what its group read is looked at then.
        """
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if node not in self.maker or node in self.fixed or self.readers.get(node):
                continue
            maker = self.maker.pop(node)
            pruned = self.groups[maker].copy()
            pruned.stores = [kept for kept in self.groups[maker].stores if kept is not node]
            prune(pruned)
            pending += reads_of(self.groups[maker])
            self._replace(maker, pruned)

    def _replace(self, number: int, group: Group) -> None:
        for node in reads_of(self.groups[number]):
            self.readers[node].discard(number)
        self.groups[number] = group
        self._note(number, group)


def _bytes(nodes: Iterable[Node]) -> int:
    return sum(node.type.nbytes for node in nodes)


def _leaves(group: Group, node: Node) -> list[Node] | None:
    """What a member is computed from; None for what cannot be computed anew."""
    reads = group.reads[node]
    if op_of(node).kind is not Kind.ELEMENTWISE or any(trace.fill is not None for trace in reads):
        return None
    leaves = [leaf.node for trace in reads for leaf in trace.leaves]
    if any(view_of(leaf) is View.RESHAPED for leaf in leaves):
        return None
    return [leaf for leaf in leaves if not is_literal(leaf) and op_of(leaf).kind is not Kind.GENERATED]
