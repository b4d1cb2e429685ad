"""The one place that knows Numba: a kernel's text becomes PTX, and PTX a cubin. No device is needed for either.

Numba and NVIDIA's compilers are an extra of this package: they are imported where they are first asked for.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from graphc.backends.cuda.kernel import CudaKernel
from graphc.errors import BackendError

__all__ = ["Compiled", "compile_kernel", "lack"]

_NEEDED = ("numba.cuda.libdevice", "cuda.bindings.nvjitlink", "llvmlite")
_INSTALL = "pip install 'graphc[cuda]'"


@dataclass(frozen=True)
class Compiled:
    """A kernel for one architecture: `ptx` for newer ones, and what the linker says of `cubin`."""

    name: str
    ptx: str
    cubin: bytes
    registers: int
    spills: int


def lack() -> str:
    """What is missing to compile kernels, and how to get it; nothing where all is there."""
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"compiling CUDA kernels needs {module}, which cannot be imported ({error}): {_INSTALL}"
    return ""


def compile_kernel(kernel: CudaKernel, capability: tuple[int, int] = (9, 0)) -> Compiled:
    """The kernel for devices of a compute capability. Raises BackendError."""
    if missing := lack():
        raise BackendError(missing)
    ptx = _ptx(kernel, capability)
    cubin, log = _linked(ptx, kernel.name, capability)
    registers, spills = _counted(r"Used (\d+) registers", log), _counted(r"(\d+) bytes spill stores", log)
    return Compiled(kernel.name, ptx, cubin, registers, spills)


def _counted(pattern: str, log: str) -> int:
    found = re.search(pattern, log)
    assert found is not None, log
    return int(found[1])


def _ptx(kernel: CudaKernel, capability: tuple[int, int]) -> str:
    primitives = importlib.import_module("graphc.kernels.cuda.primitives")
    cuda, types = (importlib.import_module(module) for module in ("numba.cuda", "numba.types"))
    names: dict[str, Any] = dict(primitives.NAMES)
    exec(compile(kernel.text, f"<{kernel.name}>", "exec"), names)
    signature = types.void(*(primitives.pointer(kind) for kind in kernel.types))
    try:
        text, _ = cuda.compile(
            names[kernel.name], signature, device=False, abi="numba", cc=capability, output="ptx",
            launch_bounds=kernel.threads,
        )  # fmt: skip
    except Exception as error:  # Numba's and NVVM's, which have nothing nearer in common
        raise BackendError(f"Numba cannot compile {kernel.name}: {error}\n{kernel.text}") from error
    found = re.search(r"\.entry (\w+)\(", text)
    assert found is not None, text
    return str(text).replace(found[1], kernel.name)


def _linked(ptx: str, name: str, capability: tuple[int, int]) -> tuple[bytes, str]:
    """The cubin of PTX, and the linker's log. Raises BackendError."""
    linker = importlib.import_module("cuda.bindings.nvjitlink")
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-O3", "-verbose"]
    handle, data = linker.create(len(options), options), ptx.encode()
    try:
        linker.add_data(handle, linker.InputType.PTX, data, len(data), name)
        linker.complete(handle)
        cubin = bytearray(linker.get_linked_cubin_size(handle))
        linker.get_linked_cubin(handle, cubin)
        log = bytearray(linker.get_info_log_size(handle))
        linker.get_info_log(handle, log)
    except linker.nvJitLinkError as error:
        raise BackendError(f"NVIDIA's linker refuses {name}: {error}") from error
    finally:
        linker.destroy(handle)
    return bytes(cubin), log.decode(errors="replace")
