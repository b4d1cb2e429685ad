"""Whose turn it is with storage that outlives calls: parameters that programs read and update.

There is one lock for each set of storage that programs share: making a program joins the sets of its parameters, and
whoever reads or writes some of a set takes its turn, so that nobody sees half an update. A thread holds the turn of one
set at a time, but for joining, which takes them in one order: nobody waits in a circle. A signal handler or a finalizer
that comes while its own thread has the turn reads what a call has not begun to change, and is refused what would wait.

The newest values of storage may be elsewhere, on a device: what keeps them there is noted with the turn, and asked for
them before anybody else reads or writes.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from graphc.errors import BusyError

__all__ = ["CALL", "Elsewhere", "Guard", "Storage", "Turn", "copies", "joined", "nested", "sets"]

K = TypeVar("K")
T = TypeVar("T")
CALL = "a call of a program"  # changes storage in one go that nothing interrupts: before and after, it can be read
_numbers = itertools.count()
_turns: weakref.WeakSet[Turn] = weakref.WeakSet()
_joining = threading.Lock()


class Elsewhere(Protocol):
    """Another place that storage has, which may be newer than the array. Whoever calls has the turn."""

    is_newer: bool

    def fetch(self) -> None:
        """Bring the array up to date."""
        ...

    def changed(self) -> None:
        """The array, which was up to date, may be written to."""
        ...


class Turn:
    """The lock of a set. `busy` says what its holder is doing, `next` is the turn of the set that it was joined to.

    `elsewhere` are the other places of its storage.
    """

    __slots__ = ("__weakref__", "busy", "elsewhere", "lock", "next", "number")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy = ""
        self.elsewhere: list[Elsewhere] = []
        self.next: Turn | None = None
        self.number = next(_numbers)
        _turns.add(self)

    @property
    def is_behind(self) -> bool:
        """Whether the newest values of some storage are not in its array."""
        return any(place.is_newer for place in self.elsewhere)

    def gather(self, changes: bool = True) -> None:
        """Have all values in their arrays, which are written to then if something `changes`."""
        for place in self.elsewhere:
            place.fetch()
            if changes:
                place.changed()

    def written(self) -> None:
        """The arrays were written to: what other places have is out of date, even where it was newer."""
        for place in self.elsewhere:
            place.changed()


class Guard:
    """Belongs to storage, or to a program: `turn` is that of its set, or one that leads there.

    Who takes a turn asks afterwards whether it still is that of the set. Locks are held by `with` alone: in any other
    way Ctrl-C could come between taking one and knowing it.
    """

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn = Turn()

    def hold(self, act: Callable[[], T], doing: str = "", changes: bool = True) -> T:
        """What `act` answers with, while nobody else touches the storage, which it only reads unless it `changes`.

        `doing` says what is done where storage is changed step by step. Raises BusyError where this very thread is in
        the middle of something that does not allow it.
        """
        while True:
            turn = self.turn
            with turn.lock:
                if turn.next is not None:
                    self.turn = turn.next
                    continue
                if turn.busy and (doing or turn.busy != CALL or turn.is_behind):
                    raise nested(turn, doing or "reading parameters")
                if turn.elsewhere:
                    turn.gather(changes)
                if not doing:
                    return act()
                turn.busy = doing
                try:
                    return act()
                finally:
                    turn.busy = ""

    def root(self) -> Turn:
        """The turn of the set."""
        while self.turn.next is not None:
            self.turn = self.turn.next
        return self.turn


class Storage(NamedTuple):
    """An array that outlives calls, and whose turn it is with it."""

    array: Any
    guard: Guard


def copies(held: Mapping[K, Storage]) -> dict[K, Any]:
    """The arrays, copied: of what programs share, all from before an update or all from after it."""
    values: dict[K, Any] = {}
    for keys in sets(held):
        arrays = [held[key].array for key in keys]
        values.update(zip(keys, held[keys[0]].guard.hold(partial(_copied, arrays), changes=False), strict=True))
    return {key: values[key] for key in held}


def _copied(arrays: list[Any]) -> list[Any]:
    return [array.copy() for array in arrays]


def sets(held: Mapping[K, Storage]) -> list[list[K]]:
    """The keys by the sets that programs share; to be read or written one set at a time."""
    found: dict[Turn, list[K]] = {}
    for key, storage in held.items():
        found.setdefault(storage.guard.root(), []).append(key)
    return list(found.values())


def joined(guards: Iterable[Guard]) -> Guard:
    """A guard for all that is behind `guards`, which have one turn from now on. Raises BusyError within that turn."""
    whole = Guard()
    with _joining:
        for guard in guards:
            first, second = sorted((whole.root(), guard.root()), key=lambda turn: turn.number)
            if first is not second:
                _join(first, second)
    return whole


def _join(first: Turn, second: Turn) -> None:
    with first.lock, second.lock:
        for turn in (first, second):
            if turn.busy:
                raise nested(turn, "making a program of the same parameters")
        second.next = first
        first.elsewhere += second.elsewhere


def nested(turn: Turn, what: str) -> BusyError:
    """The error for doing `what` where its own thread has the turn."""
    return BusyError(
        f"{what} would wait for itself: this thread is in the middle of {turn.busy} with the same parameters or "
        "buffers, and a signal handler or a finalizer came in between; let it note what to do, and do that after "
        "the call"
    )


def _forked() -> None:
    """In a forked child whoever held a lock does not exist, unless it is the thread that forked."""
    global _joining
    _joining = threading.Lock()
    for turn in list(_turns):
        if not turn.lock._is_owned():  # type: ignore[attr-defined]
            turn.lock, turn.busy = threading.RLock(), ""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
