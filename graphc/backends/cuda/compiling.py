"""The one place that knows Numba: a kernel's text becomes PTX, and PTX a cubin. No device is needed for either.

Numba and NVIDIA's compilers are an extra of this package: they are imported where they are first asked for.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graphc.backends.cuda.kernel import CudaKernel
from graphc.errors import BackendError
from graphc.kernels import cuda
from graphc.toolchain.cache import digest, open_cache, use_cache

__all__ = ["Compiled", "compile_kernel", "compiled", "lack_of_compiler"]

FORMAT = "1"  # changes with what the cache's keys do not cover
_PACKAGES = ("numba", "numba-cuda", "llvmlite", "nvidia-nvvm", "nvidia-nvjitlink")
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


def lack_of_compiler() -> str:
    """What is missing to compile kernels, and how to get it; nothing where all is there."""
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"compiling CUDA kernels needs {module}, which cannot be imported ({error}): {_INSTALL}"
    return ""


def compiled(kernels: Iterable[CudaKernel], capability: tuple[int, int]) -> dict[str, Compiled]:
    """Kernels by name, from the cache or compiled now. Raises BackendError."""
    found: dict[str, Compiled] = {}
    for kernel in kernels:
        if kernel.name not in found:
            found[kernel.name] = _recalled(kernel, capability) or _remembered(kernel, capability)
    return found


def _key(kernel: CudaKernel, capability: tuple[int, int]) -> str:
    facts = json.dumps([kernel.text, kernel.types, kernel.threads, capability])
    return digest("cubin", FORMAT, *_identity(), facts)


@functools.cache
def _identity() -> tuple[str, ...]:
    """What kernels are compiled by: packages, and the primitives that texts call."""
    primitives = Path(cuda.__file__).with_name("primitives.py").read_text()
    return (*(version(package) for package in _PACKAGES), primitives)


def _recalled(kernel: CudaKernel, capability: tuple[int, int]) -> Compiled | None:
    facts = open_cache().recall(_key(kernel, capability))
    try:
        return Compiled(**{**facts, "cubin": base64.b64decode(facts["cubin"])})
    except (LookupError, TypeError, ValueError):
        return None


def _remembered(kernel: CudaKernel, capability: tuple[int, int]) -> Compiled:
    made = compile_kernel(kernel, capability)
    facts = {**asdict(made), "cubin": base64.b64encode(made.cubin).decode()}
    use_cache(lambda cache: cache.remember(_key(kernel, capability), facts))
    return made


def compile_kernel(kernel: CudaKernel, capability: tuple[int, int] = (9, 0)) -> Compiled:
    """The kernel for devices of a compute capability. Raises BackendError."""
    if missing := lack_of_compiler():
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
    numba, types = (importlib.import_module(module) for module in ("numba.cuda", "numba.types"))
    names: dict[str, Any] = dict(primitives.NAMES)
    exec(compile(kernel.text, f"<{kernel.name}>", "exec"), names)
    signature = types.void(*(primitives.pointer(kind) for kind in kernel.types))
    try:
        text, _ = numba.compile(
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
