"""Arrays of a call on their way: side by side in one block of the device and in one of the host, so one copy does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import Bytes, Device, DeviceMemory, Pointer
from graphc.backends.cuda.regions import regions
from graphc.ir.types import DTYPES
from graphc.plan.plan import Buffer, Plan

__all__ = ["Staging", "staged", "staging_bytes"]


class Staging:
    """Places for the contents of `buffers`: `views` on the host, and `offsets` of both blocks."""

    def __init__(self, device: Device, buffers: Sequence[Buffer]) -> None:
        *self.offsets, total = regions(buffer.nbytes for buffer in buffers)
        self.memory, self.host = DeviceMemory(device, total), device.pinned(total)
        self._parts: dict[tuple[bool, ...], list[tuple[Pointer, Bytes]]] = {}  # few ways of calling a program are used
        self.views = [self._view(*pair) for pair in zip(buffers, self.offsets, strict=True)]

    def parts(self, wanted: tuple[bool, ...]) -> list[tuple[Pointer, Bytes]]:
        """What to copy for the places that are `wanted`, on the device and on the host: neighbours are one part."""
        found = self._parts.get(wanted)
        if found is None:
            found = self._parts[wanted] = [
                (self.memory.at(start, stop - start), self.host[start:stop]) for start, stop in self._runs(wanted)
            ]
        return found

    def _runs(self, wanted: tuple[bool, ...]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for at, (is_wanted, offset) in enumerate(zip(wanted, self.offsets, strict=True)):
            if is_wanted:
                start = found.pop()[0] if at and wanted[at - 1] else offset
                found.append((start, offset + self.views[at].nbytes))
        return found

    def _view(self, buffer: Buffer, offset: int) -> np.ndarray[Any, Any]:
        dtype, nbytes = DTYPES[buffer.dtype].numpy, buffer.nbytes
        return self.host[offset : offset + nbytes].view(dtype).reshape(buffer.shape)


def staged(plan: Plan) -> tuple[list[Buffer], list[Buffer]]:
    """What is copied to the device in each step, and what back: the random state is behind the inputs."""
    given = [plan.buffers[number] for number in (*plan.inputs, *([plan.rng] if plan.rng >= 0 else []))]
    return given, [plan.buffers[number] for number in plan.outputs]


def staging_bytes(plan: Plan) -> int:
    """The pinned memory of the host that a program takes beside its buffers."""
    return sum(regions(buffer.nbytes for buffer in buffers)[-1] for buffers in staged(plan))
