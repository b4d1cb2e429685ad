"""Which device programs run on, and what GRAPHC_CUDA says of it: words with commas between them.

simulate   no device, but the simulator of kernels: slow, and as strict as it can be
own        own kernels alone, even where a vendor's library is installed
libraries  with simulate: simulated libraries, too
debug      launch by launch, with a look at every float; see debugging.py
"""

from __future__ import annotations

import functools
import importlib
import os

from graphc.backends.cuda.compiler.compiling import is_there, lack_of_compiler
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.simulator.driver import SimulatedDriver
from graphc.errors import BackendError

__all__ = [
    "VARIABLE",
    "asked",
    "chosen_device",
    "is_debugged",
    "is_simulated",
    "lack",
    "real_device",
]

VARIABLE = "GRAPHC_CUDA"
_WORDS = ("simulate", "own", "libraries", "debug")
_INSTALL = "pip install 'graphc[cuda-run]'"


def asked() -> list[str]:
    """The words of the environment. Raises BackendError for one that means nothing."""
    words = [word.strip() for word in os.environ.get(VARIABLE, "").split(",") if word.strip()]
    if wrong := [word for word in words if word not in _WORDS]:
        raise BackendError(f"{VARIABLE}={wrong[0]} means nothing; choose from {', '.join(_WORDS)}")
    return words


def is_simulated() -> bool:
    return "simulate" in asked()


def is_debugged() -> bool:
    return "debug" in asked()


def lack() -> str:
    """Why no CUDA program can be compiled and run here, and what to do; nothing where one can."""
    try:
        if is_simulated():
            return ""
        if missing := lack_of_compiler():
            return missing
        chosen_device()
    except BackendError as error:
        return str(error)
    return ""


def chosen_device() -> Device:
    """The device that programs run on. Raises BackendError."""
    return _simulated() if is_simulated() else real_device()


@functools.cache
def _simulated() -> Device:
    return Device(SimulatedDriver())


@functools.cache
def real_device() -> Device:
    """The device of the driver: for running programs, nothing but its bindings is needed."""
    if not is_there("cuda.bindings.driver"):
        raise BackendError(f"running CUDA programs needs cuda.bindings, which is not installed: {_INSTALL}")
    driver = importlib.import_module("cuda.bindings.driver")
    try:
        return Device(driver)
    except RuntimeError as error:  # what the bindings raise where there is no driver, and a BackendError
        raise BackendError(
            f"there is no CUDA device here ({error}); `nvidia-smi` shows what the system's driver sees, and "
            f"{VARIABLE}=simulate runs kernels without a device, for tests"
        ) from None
