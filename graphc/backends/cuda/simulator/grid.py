"""Some blocks of a kernel while they run: locals, memory and threads, of which a mask says who is there.

A local is an array with an element for each thread, or one number that all share. What a kernel's text does with all
this is in program.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import WARP, CudaKernel
from graphc.backends.cuda.simulator.functions import TYPES, garbage
from graphc.backends.cuda.simulator.memory import Memory, Private, Several, Shared, SimulationError

__all__ = ["Array", "Grid", "Statement"]

Array = np.ndarray[Any, Any]
SHUFFLED = [np.dtype(kind) for kind in (np.int32, np.int64, np.float32, np.float64)]  # what Numba's shuffles take


class Grid:
    """Some blocks of a kernel."""

    def __init__(self, kernel: CudaKernel, memory: Mapping[str, Memory], first: int, blocks: int) -> None:
        self.memory, self.blocks = memory, blocks
        self.lanes = blocks * kernel.threads
        lane = np.arange(self.lanes)
        self.block, self.thread = lane // kernel.threads, lane % kernel.threads
        self.ids, self.block_ids = lane + first * kernel.threads, self.block + first
        self.all = np.ones(self.lanes, bool)  # the mask of all threads, known by its identity
        self.locals: dict[str, Any] = {}
        self.shared: dict[int, Shared] = {}
        self.special = {
            "threadIdx": self.thread.astype(np.int32), "blockIdx": (self.block + first).astype(np.int32),
            "blockDim": np.int32(kernel.threads), "gridDim": np.int32(kernel.blocks),
        }  # fmt: skip

    # Locals ----------------------------------------------------------------------------------------------------------
    def local(self, name: str) -> Any:
        if name not in self.locals:
            raise SimulationError(f"{name} is read before it has a value")
        return self.locals[name]

    def give(self, name: str, found: Any, mask: Array) -> None:
        if isinstance(found, (Private, Shared)):
            self.locals[name] = found
            return
        if isinstance(found, Several):
            self.locals[name] = found.where(mask, self.locals.get(name))
            return
        new, old = found if np.shape(found) == mask.shape else np.broadcast_to(found, mask.shape), self.locals.get(name)
        if old is not None and np.ndim(old) and old.dtype != new.dtype:
            raise SimulationError(f"{name} is {old.dtype} and becomes {new.dtype}")
        if mask is self.all:
            self.locals[name] = new
        else:
            self.locals[name] = np.where(mask, new, garbage(new.dtype) if old is None else old).astype(new.dtype)

    # Memory ----------------------------------------------------------------------------------------------------------
    def _place(self, name: str, index: Any, mask: Array) -> tuple[Memory, Array]:
        """Where the active lanes' elements lie: the memory, and positions in it."""
        at = self._active(index, mask)
        if at.dtype.kind not in "iu":
            raise SimulationError(f"an index of {name} is {at.dtype}")
        at = at.astype(np.int64)
        shared = self.locals.get(name)
        memory, size = (shared.memory, shared.size) if isinstance(shared, Shared) else (self._operand(name), -1)
        limit = memory.array.size if size < 0 else size
        if at.size and not (at.min() >= 0 and at.max() < limit):
            wrong = int(at.max() if at.max() >= limit else at.min())
            raise SimulationError(f"{name}[{wrong}] is not there: it has {limit}")
        if size >= 0:
            at = at + self._active(self.block, mask) * size
        return memory, at

    def _operand(self, name: str) -> Memory:
        if name not in self.memory:
            raise SimulationError(f"{name} is no operand and no shared array")
        return self.memory[name]

    def load(self, name: str, index: Any, mask: Array) -> Array:
        """An element of an operand, of shared memory, or of a thread's own array."""
        if isinstance(private := self.locals.get(name), Private):
            return self._private(private, name, index, mask)
        memory, at = self._place(name, index, mask)
        who = self._active(self.ids, mask), self._active(self.block_ids, mask)
        loaded = memory.load(at, *who, f"an element of {name}")
        if mask is self.all:
            return loaded
        found = np.full(mask.shape, garbage(memory.array.dtype), memory.array.dtype)
        found[mask] = loaded
        return found

    def store(self, name: str, index: Any, value: Any, mask: Array) -> None:
        if isinstance(private := self.locals.get(name), Private):
            self._keep(private, name, index, value, mask)
            return
        memory, at = self._place(name, index, mask)
        who = self._active(self.ids, mask), self._active(self.block_ids, mask)
        memory.store(at, self._active(value, mask), *who, f"an element of {name}")

    def load_wide(self, name: str, kind: str, size: int, index: Any, mask: Array) -> Several:
        """Elements side by side, read with one access."""
        first = self._first(f"load_{kind}x{size}", name, kind, size, index, mask)
        return Several([self.load(name, first + k, mask) for k in range(size)])

    def store_wide(self, name: str, kind: str, size: int, index: Any, several: Any, mask: Array) -> None:
        first = self._first(f"store_{kind}x{size}", name, kind, size, index, mask)
        if not isinstance(several, Several) or size != len(several.values):
            raise SimulationError(f"store_{kind}x{size} takes {size} values in one local")
        for k, value in enumerate(several.values):
            self.store(name, first + k, value, mask)

    def _first(self, function: str, name: str, kind: str, size: int, index: Any, mask: Array) -> Array:
        """Where an access of several elements begins: at a multiple of what they take, as devices ask for."""
        array = self._operand(name).array
        if TYPES[kind] != array.dtype:
            raise SimulationError(f"{function} of {name} is no access of several elements")
        first = np.asarray(index).astype(np.int64)
        address = array.__array_interface__["data"][0] + self._active(first, mask) * array.itemsize
        if (address % (size * array.itemsize)).any():
            raise SimulationError(f"{size} elements of {name} at an address that is no multiple of their size")
        return first

    def _active(self, values: Any, mask: Array) -> Array:
        """The values of the threads that are there."""
        whole: Array = values if np.shape(values) == mask.shape else np.broadcast_to(values, mask.shape)
        return whole if mask is self.all else whole[mask]

    def _private(self, private: Private, name: str, index: Any, mask: Array) -> Array:
        """An element of each thread's own array, at one index for all."""
        at = self._index_of(private, name, index)
        if not self._active(private.written[at], mask).all():
            raise SimulationError(f"{name}[{at}] is read before it was written")
        found: Array = private.array[at].copy()
        return found

    def _keep(self, private: Private, name: str, index: Any, value: Any, mask: Array) -> None:
        at, new = self._index_of(private, name, index), np.broadcast_to(value, mask.shape)
        if new.dtype != private.array.dtype:
            raise SimulationError(f"{name} holds {private.array.dtype}, stored is {new.dtype}")
        if mask is self.all:
            private.array[at], private.written[at] = new, True
            return
        private.array[at, mask] = new[mask]
        private.written[at, mask] = True

    def _index_of(self, private: Private, name: str, index: Any) -> int:
        if np.ndim(index) or not 0 <= int(index) < private.size:
            raise SimulationError(f"{name} takes a number from 0 to {private.size - 1}, the same in all threads")
        return int(index)

    # Threads ---------------------------------------------------------------------------------------------------------
    def shared_array(self, place: int, size: int, kind: type[np.generic]) -> Shared:
        """The shared array that is made at a place of the text."""
        if place not in self.shared:
            self.shared[place] = Shared(self.blocks, size, kind)
        return self.shared[place]

    def barrier(self, mask: Array) -> None:
        there = mask.reshape(self.blocks, -1)
        if (there.any(axis=1) & ~there.all(axis=1)).any():
            raise SimulationError("a barrier that some threads of a block do not reach")
        for memory in (*self.memory.values(), *(shared.memory for shared in self.shared.values())):
            memory.forget()

    def shuffle(self, named: Any, value: Any, step: Any, mask: Array) -> Array:
        lanes = np.arange(self.lanes)
        if np.asarray(value).dtype not in SHUFFLED:
            raise SimulationError(f"a shuffle of {np.asarray(value).dtype}")
        named = np.broadcast_to(np.asarray(named).astype(np.uint64), mask.shape)
        bits = (named >> (lanes % WARP).astype(np.uint64)) & np.uint64(1) == 1
        warps = np.where(mask, 1, 0).reshape(-1, WARP).any(axis=1).repeat(WARP)
        if (warps & (bits != mask)).any():
            raise SimulationError("a shuffle whose mask is not that of the threads that are there")
        partners: Array = np.broadcast_to(value, mask.shape)[lanes ^ np.asarray(step).astype(np.int64)]
        return partners


Statement = Callable[[Grid, Array], None]
