"""The order of launches: a topological order that keeps little memory alive.

`order` makes three candidates and takes the one with the lowest peak: the order of the program; list scheduling that
always runs what frees most; and list scheduling that stays on what was just computed. Peaks that differ by next to
nothing count as equal; of these the one wins whose sum of live bytes over all launches is least: where values can be
rematerialised, its peak falls lowest. Near-linear and deterministic; ties go to the order of the program.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from graphc.errors import InternalError
from graphc.ir.indices import Indexed, numbered, numbers
from graphc.memory.numbers import TaskNumber, ValueNumber

__all__ = ["order", "peak_of"]

TaskLists = Indexed[TaskNumber, Sequence[TaskNumber]]
ValueLists = Indexed[TaskNumber, Sequence[ValueNumber]]
Sizes = Indexed[ValueNumber, int]
Rank = Callable[[int, int, TaskNumber], tuple[int, int, int]]
_TINY = 8  # so many powers of two below what the largest launch needs, memory is next to nothing
_ALL = 1 << 62  # more bytes than there are


def order(count: int, depends: TaskLists, produces: ValueLists, consumes: ValueLists, sizes: Sizes) -> list[TaskNumber]:
    """The launches 0 ... count - 1 in an order that respects `depends` and lowers the peak of live bytes.

    `depends[i]` are launches that must come before launch i; `produces[i]` and `consumes[i]` are the buffers that it
    writes and reads, of `sizes[buffer]` bytes. A buffer lives from the first launch that writes it to the last that
    touches it; one that no launch writes is not counted. Raises InternalError when the dependencies form a cycle.

    >>> order(4, [[], [], [0], [1]], [[0], [1], [2], [3]], [[], [], [0], [1]], [100, 100, 1, 1])
    [0, 2, 1, 3]
    """
    graph = _Launches.make(count, depends, produces, consumes, sizes)
    best = _schedule(graph, lambda change, age, launch: (launch, 0, 0))
    peak, total = _load(best, produces, consumes, sizes)
    little = graph.floor >> _TINY
    small = frozenset(launch for launch in numbers(TaskNumber, count) if graph.needs(launch) <= little)
    for kind in (_frees_most, _stays_near):
        if peak == graph.floor:
            break
        candidate = _schedule(graph, partial(_ranked, kind, small))
        load = _load(candidate, produces, consumes, sizes)
        if load[0] < peak - little or (load[0] <= peak + little and load[1] < total):
            best, (peak, total) = candidate, load
    return best


def _ranked(
    kind: Rank, small: Collection[TaskNumber], change: int, age: int, launch: TaskNumber
) -> tuple[int, int, int]:
    """What needs next to no memory comes first: a learning rate that all updates wait for, say."""
    return (-_ALL, launch, 0) if launch in small else kind(change, age, launch)


def _frees_most(change: int, age: int, launch: TaskNumber) -> tuple[int, int, int]:
    return change, launch, 0


def _stays_near(change: int, age: int, launch: TaskNumber) -> tuple[int, int, int]:
    return min(change, 0), -age, launch


def peak_of(launches: Sequence[TaskNumber], produces: ValueLists, consumes: ValueLists, sizes: Sizes) -> int:
    """The most bytes that are alive during any launch, when they run in this order."""
    return _load(launches, produces, consumes, sizes)[0]


def _load(launches: Sequence[TaskNumber], produces: ValueLists, consumes: ValueLists, sizes: Sizes) -> tuple[int, int]:
    """The most bytes that are alive during any launch, and the sum over all launches."""
    touched: dict[ValueNumber, int] = {}
    for step, launch in enumerate(launches):
        for buffer in (*produces[launch], *consumes[launch]):
            touched[buffer] = step
    live = peak = total = 0
    written: set[ValueNumber] = set()
    for step, launch in enumerate(launches):
        for buffer in produces[launch]:
            if buffer not in written:
                written.add(buffer)
                live += sizes[buffer]
        peak, total = max(peak, live), total + live
        for buffer in {*produces[launch], *consumes[launch]}:
            if touched[buffer] == step and buffer in written:
                live -= sizes[buffer]
    return peak, total


@dataclass(frozen=True)
class _Launches:
    """The problem, with its edges in both directions. Buffers that no launch writes are left out."""

    count: int
    waits: Indexed[TaskNumber, int]  # how many launches must come before each
    followers: TaskLists
    writes: Indexed[TaskNumber, frozenset[ValueNumber]]
    touches: Indexed[TaskNumber, frozenset[ValueNumber]]
    users: dict[ValueNumber, tuple[TaskNumber, ...]]  # launches that touch a buffer
    sizes: Sizes

    @property
    def floor(self) -> int:
        """Bytes that some launch needs by itself: no order has a lower peak."""
        return max(map(self.needs, numbers(TaskNumber, self.count)), default=0)

    def needs(self, launch: TaskNumber) -> int:
        """Bytes that the launch needs by itself."""
        return sum(self.sizes[buffer] for buffer in self.touches[launch])

    @staticmethod
    def make(count: int, depends: TaskLists, produces: ValueLists, consumes: ValueLists, sizes: Sizes) -> _Launches:
        followers: list[list[TaskNumber]] = [[] for _ in range(count)]
        before = [frozenset(sources) for sources in depends]
        for launch, sources in numbered(TaskNumber, before):
            for source in sorted(sources):
                followers[source].append(launch)
        written = {buffer for buffers in produces for buffer in buffers}
        writes = [frozenset(buffers) for buffers in produces]
        touches = [
            frozenset(b for b in (*produces[i], *consumes[i]) if b in written) for i in numbers(TaskNumber, count)
        ]
        users: dict[ValueNumber, list[TaskNumber]] = {buffer: [] for buffer in written}
        for launch, buffers in numbered(TaskNumber, touches):
            for buffer in buffers:
                users[buffer].append(launch)
        return _Launches(
            count, tuple(map(len, before)), tuple(map(tuple, followers)), tuple(writes), tuple(touches),
            {buffer: tuple(launches) for buffer, launches in users.items()}, sizes,
        )  # fmt: skip


def _schedule(graph: _Launches, rank: Rank) -> list[TaskNumber]:
    """List scheduling: of the launches that are ready, the one of least `rank(change in live bytes, age, launch)`.

    `age` counts the launches that ran before it became ready. A launch's change falls once for each buffer of which it
    becomes the last user, and when another launch writes a buffer of its own first; it is then ranked anew. Ends, as
    every round takes an entry off the heap, and one is put there only where a launch becomes ready or its change falls.
    """
    waits, launches = list(graph.waits), numbers(TaskNumber, graph.count)
    left = {buffer: len(users) for buffer, users in graph.users.items()}
    change = [_change(graph, launch) for launch in launches]
    age = [0] * graph.count
    done = [False] * graph.count
    written: set[ValueNumber] = set()
    ready = [(rank(change[launch], 0, launch), launch) for launch in launches if not waits[launch]]
    heapq.heapify(ready)
    result: list[TaskNumber] = []
    while ready:
        key, launch = heapq.heappop(ready)
        if done[launch] or key != rank(change[launch], age[launch], launch):
            continue
        done[launch] = True
        result.append(launch)
        for other in _settle(graph, launch, written, left, change, done):
            if not waits[other]:
                heapq.heappush(ready, (rank(change[other], age[other], other), other))
        for follower in graph.followers[launch]:
            waits[follower] -= 1
            if not waits[follower]:
                age[follower] = len(result)
                heapq.heappush(ready, (rank(change[follower], age[follower], follower), follower))
    if len(result) != graph.count:
        stuck = next(launch for launch in launches if not done[launch])
        raise InternalError(f"launch order: launch {stuck} waits for itself; the dependencies form a cycle")
    return result


def _change(graph: _Launches, launch: TaskNumber) -> int:
    """What running `launch` first of all adds to the live bytes once it is over."""
    return sum(graph.sizes[b] for b in graph.writes[launch] if len(graph.users[b]) > 1)


def _settle(
    graph: _Launches,
    launch: TaskNumber,
    written: set[ValueNumber],
    left: dict[ValueNumber, int],
    change: list[int],
    done: Indexed[TaskNumber, bool],
) -> list[TaskNumber]:
    """Account for `launch` having run; answers with the launches whose change has fallen."""
    fallen: list[TaskNumber] = []
    for buffer in graph.touches[launch]:
        fresh = buffer in graph.writes[launch] and buffer not in written
        left[buffer] -= 1
        if not fresh and left[buffer] != 1:
            continue
        for user in graph.users[buffer]:
            if done[user]:
                continue
            if fresh and buffer in graph.writes[user]:
                change[user] -= graph.sizes[buffer]
                fallen.append(user)
            if left[buffer] == 1:
                change[user] -= graph.sizes[buffer]
                fallen.append(user)
        if fresh:
            written.add(buffer)
    return sorted(set(fallen))
