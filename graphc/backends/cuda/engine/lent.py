"""Arrays of others in the memory of the device, by DLPack or by the CUDA array interface: what is known of them.

DLPack is told of the device's stream, which then waits for whatever writes the array. Of the array interface, its own
stream is waited for; where it is of a version that knows none, all streams are. Nothing is copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import Device
from graphc.ir.types import DTYPES
from graphc.runtime import dlpack

__all__ = ["Lent", "lent_by"]

_BFLOAT16 = ("<V2", "|V2")  # what NumPy calls it in an interface


@dataclass(frozen=True)
class Lent:
    """An array on the device: `kept` has to live as long as the memory is used. `dtype` is a name."""

    address: int
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    is_contiguous: bool
    is_read_only: bool
    kept: Any

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}] on the device"


def lent_by(device: Device, value: Any) -> Lent:
    """What an array in a device's memory lends to `device`. Raises ValueError, and what the array's library does."""
    if hasattr(type(value), "__dlpack_device__"):
        _, number = value.__dlpack_device__()
        _check_device(device, int(number))
        capsule = _capsule(value, device.stream)
        address, _, dtype, shape, strides, is_read_only = dlpack.read(capsule)
        return _lent(address, dtype, shape, strides, is_read_only, capsule)
    facts = value.__cuda_array_interface__
    (address, is_read_only), shape, kind = facts["data"], tuple(facts["shape"]), np.dtype(facts["typestr"])
    if facts.get("mask") is not None:
        raise ValueError("it has a mask")
    dtype = "bfloat16" if facts["typestr"] in _BFLOAT16 else kind.name if kind.isnative else str(kind)
    strides = facts.get("strides")
    if strides is not None:
        strides = tuple(stride / kind.itemsize for stride in strides)
    if 0 not in shape:
        _check_device(device, device.holder_of(address))
    if "stream" not in facts or facts["stream"] is not None:
        device.wait_for(facts.get("stream"))
    return _lent(address or 0, dtype, shape, strides, bool(is_read_only), value)


def _capsule(value: Any, stream: int) -> Any:
    """The array's capsule; libraries that know of no versions are asked for the old one."""
    try:
        return value.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:
        return value.__dlpack__(stream=stream)


def _check_device(device: Device, number: int | None) -> None:
    if number is None:
        raise ValueError("its address is in no device's memory")
    if number != device.number:
        raise ValueError(f"it lies on device {number}, the program's is device {device.number}")


def _lent(address: int, dtype: str, shape: tuple[int, ...], strides: Any, is_read_only: bool, kept: Any) -> Lent:
    itemsize = DTYPES[dtype].itemsize if dtype in DTYPES else 0
    expected, step = True, 1
    for count, stride in zip(reversed(shape), reversed(strides or ()), strict=strides is not None):
        expected = expected and (count == 1 or stride == step)
        step *= count
    return Lent(address, dtype, shape, math.prod(shape) * itemsize, expected or 0 in shape, is_read_only, kept)
