"""The vendors' libraries that are installed here, as they are used on a device."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from graphc.backends.cuda.engine.choosing import is_simulated
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.simulator.cublaslt import SimulatedCublasLt
from graphc.backends.cuda.simulator.cudnn import SimulatedCudnn
from graphc.backends.cuda.simulator.driver import SimulatedDriver
from graphc.backends.cuda.vendor.cublaslt import CublasLt
from graphc.backends.cuda.vendor.cudnn import Cudnn
from graphc.backends.cuda.vendor.known import KnownLibrary, libraries_here
from graphc.backends.cuda.vendor.library import VendorLibrary
from graphc.ir.notice import warn_once

__all__ = ["libraries_on", "library_of"]

_USED: Mapping[str, Callable[[Any, int], VendorLibrary]] = {"cuBLASLt": CublasLt, "cuDNN": Cudnn}
_SIMULATED: Mapping[str, Callable[[SimulatedDriver], Any]] = {"cuBLASLt": SimulatedCublasLt, "cuDNN": SimulatedCudnn}


def libraries_on(device: Device) -> dict[str, VendorLibrary]:
    """The libraries that may be used and start on a device, which this thread uses then, by the calls that each knows.

    Raises BackendError where the thread cannot use the device.
    """
    if not libraries_here():
        return {}
    device.enter()
    used = [(known, library_of(device, known)) for known in libraries_here()]
    return {call: library for known, library in used if library is not None for call in known.calls}


@functools.cache
def library_of(device: Device, known: KnownLibrary) -> VendorLibrary | None:
    """A library on a device; None, and a warning, where it is installed but does not start."""
    if is_simulated():
        return _USED[known.name](_SIMULATED[known.name](device.driver), device.stream)
    try:
        return _USED[known.name](importlib.import_module(known.module), device.stream)
    except Exception as error:  # noqa: BLE001 - of the bindings, which have several
        why = f"is installed, but cannot be used, so own kernels compute {known.computes}: {error}"
        warn_once(known.module, f"{known.name} {why}")
        return None
