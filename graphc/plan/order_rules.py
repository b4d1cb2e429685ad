"""The rules of the order of launches: see plan/verify.py."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NewType

from graphc.ir.indices import numbered
from graphc.plan.arena_rules import Interval, overlapping
from graphc.plan.fault import fault
from graphc.plan.plan import Buffer, BufferNumber, Launch, LaunchNumber, Plan

__all__ = ["check_order"]

ChainNumber = NewType("ChainNumber", int)
Furthest = dict[ChainNumber, LaunchNumber]  # of each chain the last of some launches


class _Ancestors:
    """Which launches a launch waits for, directly or through others.

    Launches are cut into chains, each a dependency of the next; a launch remembers the furthest launch it waits for
    on each chain. Programs have few chains side by side, so this takes little space.
    """

    def __init__(self, launches: tuple[Launch, ...]) -> None:
        self.chain: list[ChainNumber] = []
        self.reached: list[Furthest] = []
        tails: list[LaunchNumber] = []
        for position, launch in numbered(LaunchNumber, launches):
            reached: Furthest = {}
            for needed in launch.depends:
                _merge(reached, self.reached[needed])
            mine = next((self.chain[n] for n in launch.depends if tails[self.chain[n]] == n), ChainNumber(len(tails)))
            if mine == len(tails):
                tails.append(position)
            tails[mine] = position
            reached[mine] = position
            self.chain.append(mine)
            self.reached.append(reached)

    def __contains__(self, pair: tuple[LaunchNumber, LaunchNumber]) -> bool:
        """Whether the second launch of the pair waits for the first."""
        before, after = pair
        return self.reached[after].get(self.chain[before], -1) >= before


def _merge(into: Furthest, other: Furthest) -> None:
    for chain, position in other.items():
        if into.get(chain, -1) < position:
            into[chain] = position


@dataclass
class _Touch:
    """Who touched a buffer: who must be followed by all, who has written some of it since, who has read it since.

    Of each chain of `_Ancestors` the last: who follows that one follows the others.
    """

    settled: Furthest = field(default_factory=dict)
    sharers: Furthest = field(default_factory=dict)
    readers: Furthest = field(default_factory=dict)

    def written(self) -> list[LaunchNumber]:
        return [*self.settled.values(), *self.sharers.values()]

    def everyone(self) -> list[LaunchNumber]:
        return [*self.written(), *self.readers.values()]


def check_order(plan: Plan) -> None:
    """Conflicting launches are ordered."""
    ancestors = _Ancestors(plan.launches)
    touches: defaultdict[BufferNumber, _Touch] = defaultdict(_Touch)
    written: set[BufferNumber] = set()
    arena = _ArenaOwners()
    for position, launch in numbered(LaunchNumber, plan.launches):
        chain = ancestors.chain[position]
        for index in launch.reads:
            if index not in written:
                _check_unwritten(plan, position, index)
            _require(plan, ancestors, touches[index].written(), position, index)
        for index in sorted({*launch.reads, *launch.writes}):
            for evicted in arena.enter(plan.buffers[index], index):
                before = touches[evicted].everyone()
                _require(plan, ancestors, before, position, evicted)
                for other in before:
                    _merge(touches[index].settled, {ancestors.chain[other]: other})
        for index in launch.writes:
            written.add(index)
            touch, shares = touches[index], index in launch.shares
            others = [*touch.settled.values(), *touch.readers.values()] if shares else touch.everyone()
            _require(plan, ancestors, others, position, index)
            if shares:
                touch.sharers[chain] = position
            else:
                touches[index] = _Touch({chain: position})
        for index in launch.reads:
            if index not in launch.writes or index in launch.shares:
                touches[index].readers[chain] = position


def _check_unwritten(plan: Plan, position: LaunchNumber, index: BufferNumber) -> None:
    buffer, launch = plan.buffers[index], plan.launches[position]
    by_its_kernel = launch.operands and launch.program_operands and index in launch.writes  # read by the epilogue
    if buffer.space in ("arena", "output") and buffer.nbytes and launch.tiles and not by_its_kernel:
        raise fault(plan, f"launch {position} reads buffer {index} before anything has written it", [position], [index])


def _require(
    plan: Plan, ancestors: _Ancestors, earlier: Iterable[LaunchNumber], position: LaunchNumber, index: BufferNumber
) -> None:
    for before in earlier:
        if before != position and (before, position) not in ancestors:
            what = f"launches {before} and {position} both touch the bytes of buffer {index} and are not ordered"
            raise fault(plan, what, [before, position], [index])


class _ArenaOwners:
    """Whose contents the bytes of the arena hold."""

    def __init__(self) -> None:
        self.owners: list[Interval] = []  # sorted and disjoint
        self.inside: set[BufferNumber] = set()

    def enter(self, buffer: Buffer, index: BufferNumber) -> list[BufferNumber]:
        """Make `buffer` the owner of its bytes; answers with the buffers that had some of them before."""
        if buffer.space != "arena" or not buffer.nbytes or index in self.inside:
            return []
        start, end = buffer.offset, buffer.offset + buffer.nbytes
        old = overlapping(self.owners, (start, end, index))
        first = bisect_left(self.owners, old[0]) if old else bisect_left(self.owners, (start,))
        kept = [(a, min(b, start), i) for a, b, i in old if a < start] + [
            (max(a, end), b, i) for a, b, i in old if b > end
        ]
        self.owners[first : first + len(old)] = sorted([*kept, (start, end, index)])
        self.inside.add(index)
        return [i for _, _, i in old]
