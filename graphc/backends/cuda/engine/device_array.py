"""`DeviceArray`: an output that stays on the device, with memory of its own, which is freed with it.

Other libraries take it where it is, by DLPack or the CUDA array interface, and so do programs. What a call answers with
is complete: nobody has to wait for a stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import Device, DeviceMemory
from graphc.ir.types import TensorType
from graphc.runtime import dlpack

__all__ = ["DeviceArray"]


class DeviceArray:
    """An array in the memory of a CUDA device, C-contiguous: what `program(x, out="device")` answers with.

    `numpy()` copies it to the host. `torch.from_dlpack(y)`, `cupy.asarray(y)` and `jax.dlpack.from_dlpack(y)` use its
    memory, as other programs do that it is given to, or whose `out=` it is.

    >>> hidden = encode(x_batch, out="device")  # doctest: +SKIP
    >>> decode(hidden).shape  # doctest: +SKIP
    (8, 3)
    """

    def __init__(self, device: Device, kind: TensorType) -> None:
        self._device, self._kind = device, kind
        self._memory = DeviceMemory(device, kind.nbytes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._kind.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, as NumPy has it."""
        return self._kind.dtype.numpy

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self._kind.nbytes

    @property
    def address(self) -> int:
        """Where it begins on the device."""
        return int(self._memory.address)

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        found = np.empty(self.shape, self.dtype)
        self._device.enter()
        self._device.receive(found.reshape(-1), self.address)
        self._device.wait()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("an array of the device cannot be seen by NumPy without a copy")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # Version 3; no stream has to be waited for.
        typestr, data = self.dtype.str, (self.address, False)
        return {"shape": self.shape, "typestr": typestr, "data": data, "strides": None, "version": 3, "stream": None}

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self._device.number

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        # Whatever stream the taker works on, and whichever version it knows: nothing is under way.
        if copy or (dl_device is not None and tuple(map(int, dl_device)) != self.__dlpack_device__()):
            raise BufferError("an array of the device is lent where it is; numpy() copies it to the host")
        return dlpack.lend(self, self.address, self._device.number, self._kind.dtype.name, self.shape)

    def __repr__(self) -> str:
        return f"<DeviceArray {self._kind} on device {self._device.number}>"
