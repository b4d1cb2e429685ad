"""From tasks to storage: the order of launches, who shares memory with whom, where each value lies, who waits for whom.

    value   = bytes, and whether the arena holds it (else it is an input, output, parameter or constant)
    task    = values read, values written, and pairs (read, written) that may share memory: the task reads an
              element of the one only to write the same element of the other

`plan_updates` decides which parameters are updated in place; `arrange` does the rest. Both know numbers only, no
nodes and no kernels, so they are checked by an independent verifier and by random tests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graphc.ir.indices import Indexed, numbered, numbers
from graphc.memory.numbers import Position, TaskNumber, ValueNumber
from graphc.memory.order import order
from graphc.memory.placement import ALIGNMENT, EFFORT, Block, place

__all__ = ["Arrangement", "Task", "Value", "arrange", "in_wholes", "order_tasks", "plan_updates"]

Lifetime = tuple[Position, Position]  # the first and the last that touch a value
_MOST_SHARERS = 16  # launches that write some of a value each and do not wait for each other


@dataclass(frozen=True)
class Value:
    """`storage` names memory outside the arena that the value lives in (values may share it), or is None.

    `inside` is the value in whose memory it lies, and at which byte. A task that reads that one lists this one too.
    """

    nbytes: int
    storage: str | None = None
    inside: tuple[ValueNumber, int] | None = None


@dataclass(frozen=True)
class Task:
    """What a launch reads and writes. `after` are tasks it must follow for other reasons."""

    reads: tuple[ValueNumber, ...]
    writes: tuple[ValueNumber, ...]
    in_place: tuple[tuple[ValueNumber, ValueNumber], ...] = ()
    after: tuple[TaskNumber, ...] = ()


@dataclass(frozen=True)
class Arrangement:
    """`order` lists tasks; all else is by position in that order.

    `offsets`, `lifetimes` are by value (None and (0, 0) outside the arena); `depends` by position. What lies in no
    other value begins at a multiple of `alignment` bytes.
    """

    order: Indexed[Position, TaskNumber]
    offsets: Indexed[ValueNumber, int | None]
    lifetimes: Indexed[ValueNumber, Lifetime]
    depends: Indexed[Position, tuple[Position, ...]]
    arena_bytes: int
    lower_bound: int
    alignment: int


def _producers(tasks: Sequence[Task]) -> dict[ValueNumber, list[TaskNumber]]:
    """The tasks that write a value: several where each writes some of it."""
    found: dict[ValueNumber, list[TaskNumber]] = {}
    for number, task in numbered(TaskNumber, tasks):
        for value in task.writes:
            found.setdefault(value, []).append(number)
    return found


def _readers(tasks: Sequence[Task]) -> dict[ValueNumber, list[TaskNumber]]:
    found: dict[ValueNumber, list[TaskNumber]] = {}
    for number, task in numbered(TaskNumber, tasks):
        for value in task.reads:
            found.setdefault(value, []).append(number)
    return found


def plan_updates(
    tasks: Sequence[Task], updates: Sequence[tuple[ValueNumber, ValueNumber]]
) -> tuple[list[Task], set[ValueNumber]]:
    """Which updates (old value, new value) can be written straight over the old value.

    Answers with the tasks, now ordered after the other readers of what they overwrite, and the new values for which it
    holds. The rest must be written elsewhere and copied at the end.
    """
    producers, readers = _producers(tasks), _readers(tasks)
    followers: list[set[TaskNumber]] = [set() for _ in tasks]
    for number, task in numbered(TaskNumber, tasks):
        for value in task.reads:
            for writer in producers.get(value, ()):
                followers[writer].add(number)
    after: list[list[TaskNumber]] = [list(task.after) for task in tasks]
    direct: set[ValueNumber] = set()
    for old, new in updates:
        writers = producers.get(new, [])
        if len(writers) != 1:
            continue
        (writer,) = writers
        if old in readers and writer in readers[old] and (old, new) not in tasks[writer].in_place:
            continue
        others = [reader for reader in readers.get(old, []) if reader != writer]
        if _reaches(writer, set(others), followers):
            continue
        for reader in others:
            followers[reader].add(writer)
            after[writer].append(reader)
        direct.add(new)
    ordered = [Task(t.reads, t.writes, t.in_place, tuple(a)) for t, a in zip(tasks, after, strict=True)]
    return ordered, direct


def _reaches(start: TaskNumber, goals: set[TaskNumber], followers: Indexed[TaskNumber, Iterable[TaskNumber]]) -> bool:
    if not goals:
        return False
    seen, pending = {start}, [start]
    while pending:
        for number in followers[pending.pop()]:
            if number in goals:
                return True
            if number not in seen:
                seen.add(number)
                pending.append(number)
    return False


def arrange(
    values: Sequence[Value],
    tasks: Sequence[Task],
    sequence: Sequence[TaskNumber] | None = None,
    effort: int = EFFORT,
    alignment: int = ALIGNMENT,
) -> Arrangement:
    """Order the tasks, share and place the memory of the arena's values, and find who must wait for whom.

    `sequence` is the order where that is settled, `effort` and `alignment` are those of `memory.place`.
    """
    sequence = order_tasks(values, tasks) if sequence is None else sequence
    tasks = [in_wholes(task, values) for task in tasks]
    lifetimes = _lifetimes(values, tasks, sequence)
    homes = _share(values, tasks, sequence, lifetimes)
    blocks: dict[ValueNumber, list[ValueNumber]] = {}
    for value, home in homes.items():
        blocks.setdefault(home, []).append(value)
    spans = [
        Block(values[home].nbytes, min(lifetimes[v][0] for v in members), max(lifetimes[v][1] for v in members))
        for home, members in blocks.items()
    ]
    placement = place(spans, alignment=alignment, effort=effort)
    offset_of_home = dict(zip(blocks, placement.offsets, strict=True))
    own = [offset_of_home[homes[v]] if v in homes else None for v in numbers(ValueNumber, len(values))]
    depends = _depends(values, tasks, sequence, homes, own)
    offsets = tuple(_offset(value, offset, own) for value, offset in zip(values, own, strict=True))
    return Arrangement(
        tuple(sequence), offsets, tuple(lifetimes), depends, placement.peak, placement.lower_bound, alignment
    )  # fmt: skip


def _offset(value: Value, own: int | None, offsets: Indexed[ValueNumber, int | None]) -> int | None:
    """Where a value lies in the arena, be it in another's place."""
    whole = offsets[value.inside[0]] if value.inside else None
    return own if value.inside is None or whole is None else whole + value.inside[1]


def in_wholes(task: Task, values: Indexed[ValueNumber, Value]) -> Task:
    """`task` as what it reads and writes of the values that others lie in. These are not overwritten by halves."""
    touched = (*task.reads, *task.writes)
    if all(values[value].inside is None for value in touched):
        return task
    whole = {value: inside[0] if (inside := values[value].inside) else value for value in touched}
    reads, writes = (tuple(dict.fromkeys(whole[value] for value in side)) for side in (task.reads, task.writes))
    pairs = tuple(
        (read, written) for read, written in task.in_place if whole[read] == read and whole[written] == written
    )
    return Task(reads, writes, pairs, task.after)


def order_tasks(values: Sequence[Value], tasks: Sequence[Task]) -> list[TaskNumber]:
    """The tasks in an order that keeps little of the arena alive."""
    producers = _producers(tasks)
    depends = [
        sorted({writer for v in task.reads for writer in producers.get(v, ())} - {number} | set(task.after))
        for number, task in numbered(TaskNumber, tasks)
    ]
    in_arena = [value.nbytes if value.storage is None else 0 for value in values]
    wholes = [in_wholes(task, values) for task in tasks]
    return order(len(tasks), depends, [t.writes for t in wholes], [t.reads for t in wholes], in_arena)


def _lifetimes(
    values: Sequence[Value], tasks: Indexed[TaskNumber, Task], sequence: Sequence[TaskNumber]
) -> list[Lifetime]:
    spans = [(Position(0), Position(0))] * len(values)
    touched: set[ValueNumber] = set()
    for position, number in numbered(Position, sequence):
        for value in (*tasks[number].writes, *tasks[number].reads):
            if values[value].storage is None:
                spans[value] = (spans[value][0] if value in touched else position, position)
                touched.add(value)
    return spans


def _share(
    values: Indexed[ValueNumber, Value],
    tasks: Indexed[TaskNumber, Task],
    sequence: Sequence[TaskNumber],
    lifetimes: Indexed[ValueNumber, Lifetime],
) -> dict[ValueNumber, ValueNumber]:
    """For each arena value, the value whose memory it takes over (itself, where it takes over none)."""
    homes: dict[ValueNumber, ValueNumber] = {}
    for position, number in numbered(Position, sequence):
        task = tasks[number]
        taken: set[ValueNumber] = set()
        for value in task.writes:
            if values[value].storage is not None or value in homes:
                continue
            homes[value] = value
            for read, written in task.in_place:
                fits = written == value and read in homes and values[read].nbytes == values[value].nbytes
                if fits and lifetimes[read][1] == position and read not in taken:
                    homes[value] = homes[read]
                    taken.add(read)
                    break
    return homes


@dataclass
class _Touched:
    """Who touched a piece of storage last: for whom all wait, who has written some of it since, who has read it."""

    settled: list[Position] = field(default_factory=list)
    sharers: list[Position] = field(default_factory=list)
    readers: list[Position] = field(default_factory=list)

    def everyone(self) -> list[Position]:
        return [*self.readers, *self.sharers, *self.settled]

    def shares(self) -> bool:
        """Whether one more may write some of it beside the sharers. Few may, so that nobody waits for many."""
        return not self.readers and len(self.sharers) < _MOST_SHARERS


def _depends(
    values: Indexed[ValueNumber, Value],
    tasks: Sequence[Task],
    sequence: Sequence[TaskNumber],
    homes: dict[ValueNumber, ValueNumber],
    offsets: Indexed[ValueNumber, int | None],
) -> tuple[tuple[Position, ...], ...]:
    """For each position the earlier positions it must wait for: what it reads, and what it overwrites.

    Those that write some of a value each need not wait for each other.
    """
    shared = {value for value, writers in _producers(tasks).items() if len(writers) > 1}
    touches: dict[ValueNumber | str, _Touched] = {}
    occupants = _Occupants()
    depends: list[tuple[Position, ...]] = []
    for position, number in numbered(Position, sequence):
        task = tasks[number]
        waits: set[Position] = set()
        for value in task.reads:
            touch = touches.setdefault(_storage(values, homes, value), _Touched())
            waits.update(touch.settled, touch.sharers)
        for value in task.writes:
            key = _storage(values, homes, value)
            if key not in touches and not isinstance(key, str):
                gone = occupants.take(offsets[value] or 0, values[key].nbytes, key)
                touches[key] = _Touched([last for block in gone for last in touches[block].everyone()])
            touch = touches.setdefault(key, _Touched())
            waits.update(touch.settled if value in shared and touch.shares() else touch.everyone())
        for value in task.reads:
            touches[_storage(values, homes, value)].readers.append(position)
        for value in task.writes:
            key = _storage(values, homes, value)
            if value in shared and touches[key].shares():
                touches[key].sharers.append(position)
            else:
                touches[key] = _Touched([position])
        waits.discard(position)
        implied = {earlier for wait in waits for earlier in depends[wait]}
        depends.append(tuple(sorted(waits - implied)))
    return tuple(depends)


def _storage(
    values: Indexed[ValueNumber, Value], homes: dict[ValueNumber, ValueNumber], value: ValueNumber
) -> ValueNumber | str:
    return values[value].storage or homes[value]


class _Occupants:
    """Which block lies where in the arena: disjoint segments, sorted by offset."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.segments: list[tuple[int, int, ValueNumber]] = []  # start, end, block

    def take(self, start: int, nbytes: int, block: ValueNumber) -> list[ValueNumber]:
        """Give [start, start + nbytes) to `block`; answers with the blocks that lay there before."""
        end = start + nbytes
        if nbytes == 0:
            return []
        low = max(bisect_right(self.starts, start) - 1, 0)
        if low < len(self.segments) and self.segments[low][1] <= start:
            low += 1
        high = low
        while high < len(self.segments) and self.segments[high][0] < end:
            high += 1
        gone = self.segments[low:high]
        new = [(s, min(e, start), b) for s, e, b in gone if s < start]
        new.append((start, end, block))
        new += [(max(s, end), e, b) for s, e, b in gone if e > end]
        self.segments[low:high] = new
        self.starts[low:high] = [s for s, _, _ in new]
        return [b for _, _, b in gone]
