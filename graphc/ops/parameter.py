"""`Parameter`: a tensor that has a value, which programs read and update."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, with_location
from graphc.ir.data import read_array
from graphc.ir.location import capture
from graphc.ir.node import intern, next_serial
from graphc.ir.public import public
from graphc.ops.guard import Guard
from graphc.ops.tensor import Tensor

__all__ = ["Home", "Parameter", "aligned_copy", "checked_array"]


class Home(Protocol):
    """What a parameter has its name from: the module that holds it, or what it is kept for (dsl/naming.py)."""

    def name_of(self, parameter: Parameter) -> str | None: ...


class Parameter(Tensor):
    """A tensor with a value that programs read and update: a weight, or other state (an optimiser's moments).

    `value` reads a copy, which is read-only, and writes: `p.value = p.value + 1`. Every program that uses the parameter
    sees the same storage. `trainable` tells weights from other state: optimisers refuse to train what is not. Copies
    (`copy.copy`, `copy.deepcopy`) are parameters of their own. Made by `gx.parameter` and `gx.state`.
    """

    __slots__ = ("guard", "home", "storage", "trainable")

    guard: Guard  # whose turn it is with the storage
    home: Home | None
    storage: Any  # a C-contiguous, 64-byte aligned array that never moves
    trainable: bool

    @property
    def name(self) -> str:
        """The path from the outermost module that holds it, "encoder.0.weight"; else the name that it was given."""
        found = None if self.home is None else self.home.name_of(self)
        return self.attrs["name"] if found is None else found

    @property
    def shown_name(self) -> str | None:
        return self.name

    @property
    def value(self) -> Any:
        array = self.guard.hold(self.storage.copy, changes=False)
        array.flags.writeable = False  # what is written to a copy would be lost without a word
        return array

    @value.setter
    @public
    def value(self, new: Any) -> None:
        array = checked_array(self, self.storage, new)
        self.guard.hold(lambda: np.copyto(self.storage, array, casting="same_kind"))

    def __copy__(self) -> Parameter:
        attrs = {**self.attrs, "uid": next_serial()}
        new = intern(Parameter, self.op, (), attrs, self.type)
        new.storage, new.trainable, new.home = aligned_copy(self.value), self.trainable, None
        new.guard = Guard()
        new.location = self.location
        return new

    def __deepcopy__(self, memo: Any) -> Parameter:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise with_location(
            GraphError(
                f"{self!r} cannot be pickled: keep its value, an array; a module's values go to a safetensors file by "
                "model.save(path) and come back by model.load(path)"
            ),
            capture(),
        )


def aligned_copy(value: Any) -> Any:
    """A copy of the array `value` that starts at a multiple of 64 bytes."""
    block = np.empty(value.nbytes + 64, np.uint8)
    storage: Any = np.ndarray(value.shape, value.dtype, buffer=block, offset=-block.ctypes.data % 64)
    storage[...] = value
    return storage


def checked_array(owner: object, storage: Any, new: Any) -> Any:
    """`new` as an array that fits into `storage`. Raises ShapeError, DTypeError (lossy casts): they show the owner."""
    array = read_array(new)
    if array.shape != storage.shape:
        raise ShapeError(f"{owner!r} takes values of shape {storage.shape}, got {array.shape}")
    if array.dtype != storage.dtype and not np.can_cast(array.dtype, storage.dtype, "same_kind"):
        raise DTypeError(f"{owner!r} takes {storage.dtype} values, got {array.dtype}")
    return array
