"""The vendor's library for products that is installed here."""

from __future__ import annotations

import functools
import importlib

from graphc.backends.cuda.engine.choosing import LIBRARY, is_simulated
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.simulator.cublaslt import SimulatedCublasLt
from graphc.backends.cuda.vendor.cublaslt import CublasLt
from graphc.ir.notice import warn_once

__all__ = ["library_of"]


@functools.cache
def library_of(device: Device) -> CublasLt | None:
    """The library on a device; None, and a warning, where it is installed but does not start."""
    if is_simulated():
        return CublasLt(SimulatedCublasLt(device.driver), device.stream)
    try:
        return CublasLt(importlib.import_module(LIBRARY), device.stream)
    except Exception as error:  # noqa: BLE001 - of the bindings, which have several
        warn_once(LIBRARY, f"cuBLASLt is installed, but cannot be used, so own kernels compute products: {error}")
        return None
