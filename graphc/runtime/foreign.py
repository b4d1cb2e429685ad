"""Where another library's array lies: on the host, or on a CUDA device, as DLPack or its CUDA interface say."""

from __future__ import annotations

from typing import Any

from graphc.runtime.dlpack import CUDA, CUDA_MANAGED

__all__ = ["lies_on_device"]


def lies_on_device(value: Any) -> bool:
    """Whether `value` is an array in the memory of a CUDA device."""
    try:
        if hasattr(type(value), "__dlpack_device__"):
            return int(value.__dlpack_device__()[0]) in (CUDA, CUDA_MANAGED)
        return hasattr(value, "__cuda_array_interface__")
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):  # an array that has no place to name
        return False
