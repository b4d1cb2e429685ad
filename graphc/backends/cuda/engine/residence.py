"""Parameters on a device: their memory there, and which of both sides is the newer one.

A parameter moves when it has to: to the device before a program runs there, if it was written on the host, and back
when somebody reads it. All programs that share it share its memory on the device.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import Device, DeviceMemory
from graphc.ops.guard import Storage

__all__ = ["Residence", "residence_of"]


class Residence:
    """The memory of `array` on a device. Whoever calls has the turn of its guard."""

    def __init__(self, device: Device, array: Any) -> None:
        self.device, self.array = device, array
        self.memory = DeviceMemory(device, array.nbytes)
        self.is_newer = False  # than the array
        self._is_older = True

    def settle(self) -> None:
        """Begin to copy the array to the device, if it is newer."""
        if self._is_older:
            self.device.send(self.memory.address, self.array.reshape(-1))
            self._is_older = False

    def on_device(self) -> Any:
        """A copy of what the device has."""
        copy = np.empty_like(self.array)
        self.device.receive(copy.reshape(-1), self.memory.address)
        self.device.wait()
        return copy

    def fetch(self) -> None:
        """Bring the array up to date."""
        if self.is_newer:
            self.device.enter()
            self.device.receive(self.array.reshape(-1), self.memory.address)
            self.device.wait()
            self.is_newer = False

    def changed(self) -> None:
        """The array may be written to: it is the newer one from now on."""
        self._is_older, self.is_newer = True, False


_residences: weakref.WeakValueDictionary[tuple[int, int], Residence] = weakref.WeakValueDictionary()


def residence_of(device: Device, storage: Storage) -> Residence:
    """The residence of a parameter's storage on a device, which all of its programs share."""
    key = id(device), id(storage.array)
    found = _residences.get(key)
    if found is None:
        found = _residences[key] = Residence(device, storage.array)
        storage.guard.hold(lambda: storage.guard.root().elsewhere.append(found), changes=False)
    return found
