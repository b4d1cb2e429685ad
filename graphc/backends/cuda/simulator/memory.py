"""The memory of a simulated kernel: operands and shared arrays, which know who has touched each element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphcError

__all__ = ["Memory", "Private", "Several", "Shared", "SimulationError", "memory_of"]

Array = np.ndarray[Any, Any]


class SimulationError(GraphcError):
    """What a kernel does that no device answers for."""


class _Touchers:
    """Who has touched each element: -1 nobody, -2 several, else a thread or a block."""

    def __init__(self, size: int) -> None:
        self.writer = np.full(size, -1, np.int64)
        self.reader = np.full(size, -1, np.int64)

    def read(self, at: Array, by: Array) -> bool:
        """Note a read; whether another has written there."""
        before = self.reader[at]
        self.reader[at] = by
        several = (self.reader[at] != by) | ((before != -1) & (before != by))
        if several.any():
            self.reader[at[several]] = -2
        return _is_others(self.writer[at], by)

    def write(self, at: Array, by: Array) -> bool:
        """Note a write; whether another has touched what is there, or does so at the same time."""
        found = _is_others(self.writer[at], by) or _is_others(self.reader[at], by)
        self.writer[at] = by
        return found


def _is_others(who: Array, by: Array) -> bool:
    """Whether any is somebody, and another one than those who are there now."""
    return bool(((who != by) & (who != -1)).any())


class Memory:
    """Elements, and who has touched them: threads since the last barrier, blocks at any time."""

    def __init__(self, array: Array, *, initial: bool) -> None:
        self.array = array
        self.written = None if initial else np.zeros(array.size, bool)
        self.blocks = _Touchers(array.size)
        self.forget()

    def forget(self) -> None:
        """The threads of each block have met at a barrier."""
        self.threads = _Touchers(self.array.size)

    def load(self, at: Array, threads: Array, blocks: Array, what: str) -> Array:
        if self.written is not None and not self.written[at].all():
            raise SimulationError(f"{what} is read before it was written")
        if any([self.threads.read(at, threads), self.blocks.read(at, blocks)]):
            raise SimulationError(f"{what} is read by one thread and written by another")
        return self.array[at]

    def store(self, at: Array, values: Array, threads: Array, blocks: Array, what: str) -> None:
        if values.dtype != self.array.dtype:
            raise SimulationError(f"{what} holds {self.array.dtype}, stored is {values.dtype}")
        touched = any([self.threads.write(at, threads), self.blocks.write(at, blocks)])
        if (self.threads.writer[at] != threads).any():
            raise SimulationError(f"{what} is written by two threads at once")
        if touched:
            raise SimulationError(f"{what} is written by one thread and touched by another")
        if self.written is not None:
            self.written[at] = True
        self.array[at] = values


def memory_of(names: Sequence[str], operands: Sequence[Array]) -> dict[str, Memory]:
    """The memory of each operand; operands at one place share it."""
    places: dict[int, Memory] = {}
    found = {}
    for name, array in zip(names, operands, strict=True):
        place = array.__array_interface__["data"][0] if array.size else id(array)
        found[name] = places.setdefault(place, Memory(array, initial=True))
    return found


class Private:
    """An array of each thread."""

    def __init__(self, lanes: int, size: int, kind: type[np.generic]) -> None:
        self.size = size
        self.array = np.zeros((size, lanes), kind)
        self.written = np.zeros((size, lanes), bool)


class Shared:
    """An array of each block."""

    def __init__(self, blocks: int, size: int, kind: type[np.generic]) -> None:
        self.size = size
        self.memory = Memory(np.zeros(blocks * size, kind), initial=False)


class Several:
    """Elements in one local: an array for each of them."""

    def __init__(self, values: list[Array]) -> None:
        self.values = values

    def put(self, number: int, value: Array, shape: tuple[int, ...]) -> Several:
        """The same with another element."""
        if np.asarray(value).dtype != self.values[0].dtype:
            raise SimulationError(f"elements are {self.values[0].dtype}, one becomes {np.asarray(value).dtype}")
        values = list(self.values)
        values[number] = np.broadcast_to(value, shape)
        return Several(values)

    def where(self, mask: Array, otherwise: object) -> Several:
        """These in the threads that are there, and what they had before in others."""
        if not isinstance(otherwise, Several) or mask.all():
            return self
        pairs = zip(self.values, otherwise.values, strict=True)
        return Several([np.where(mask, new, old) for new, old in pairs])
