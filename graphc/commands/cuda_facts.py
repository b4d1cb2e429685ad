"""What `graphc doctor` tells of CUDA: the device, what compiles kernels for it, and what mends what is missing.

Nothing of it is needed for anything else, so nothing of it is ever a fault.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from graphc.backends.cuda.compiler.compiling import is_there, lack_of_compiler
from graphc.backends.cuda.engine.choosing import VARIABLE, asked, is_simulated, real_device
from graphc.backends.cuda.vendor.known import LIBRARIES, KnownLibrary
from graphc.errors import BackendError

__all__ = ["cuda_rows"]

_COMPILERS = ("numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink")
_DRIVER = "cuda-bindings"


def cuda_rows() -> list[tuple[str, str]]:
    """The rows of the section."""
    rows = [(name, _version(name) or "not installed (CUDA programs)") for name in (_DRIVER, *_COMPILERS)]
    computing = [(library.computes, _computing(library)) for library in LIBRARIES]
    own = [("compiling", _compiling()), *computing, ("environment", _environment())]
    return [("device", _device()), *rows, *own]


def _device() -> str:
    """The device and its driver, or why there is none."""
    try:
        device = real_device()
    except BackendError as error:
        return str(error)
    major, minor = device.capability
    driver = f"driver for CUDA {device.version // 1000}.{device.version % 1000 // 10}"
    return f"{device.name}, compute capability {major}.{minor}, {driver}"


def _compiling() -> str:
    return lack_of_compiler() or "kernels are compiled here, and `graphc compile --backend cuda` needs no device"


def _computing(library: KnownLibrary) -> str:
    """What computes that which a library may, or what is missing for another choice."""
    if not is_there(library.module):
        return f"own kernels alone; {library.name} is not installed: pip install 'graphc[{library.extra}]'"
    try:
        chosen = library.is_here
        return f"own kernels, or {library.name} where it was faster" if chosen else f"own kernels, as {VARIABLE} says"
    except BackendError as error:
        return str(error)


def _environment() -> str:
    """What the variable asks for, or what is wrong with it."""
    try:
        wanted = asked()
    except BackendError as error:
        return str(error)
    what = f"={','.join(wanted)}" if wanted else " is not set"
    return f"{VARIABLE}{what}" + ("" if is_simulated() else "; simulate runs kernels without a device, for tests")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
