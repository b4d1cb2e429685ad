"""The one place that knows Numba: a kernel's text becomes PTX, and PTX a cubin. No device is needed for either.

Numba and NVIDIA's compilers are an extra of this package: they are imported where they are first asked for.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.errors import BackendError

__all__ = ["Compiled", "compile_kernel", "is_there", "lack_of_compiler", "link_kernel"]

_NEEDED = ("numba", "numba_cuda", "llvmlite", "cuda.bindings.nvjitlink")
_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip
_INSTALL = "pip install 'graphc[cuda]'"


@dataclass(frozen=True)
class Compiled:
    """A kernel's function for one architecture: `ptx` for newer ones, and what the linker says of `cubin`."""

    name: str
    ptx: str
    cubin: bytes
    registers: int
    spills: int


def lack_of_compiler() -> str:
    """What is missing to compile kernels, and how to get it; nothing where all is there. Nothing heavy is imported."""
    missing = [module for module in _NEEDED if not is_there(module)]
    return f"compiling CUDA kernels needs {missing[0]}, which is not installed: {_INSTALL}" if missing else ""


def is_there(module: str) -> bool:
    """Whether a module is installed. It is not imported."""
    try:
        return find_spec(module) is not None
    except ImportError:  # of what it is a part of
        return False


def compile_kernel(kernel: CudaKernel, capability: tuple[int, int] = (9, 0)) -> Compiled:
    """The kernel for devices of a compute capability. Raises BackendError."""
    if missing := lack_of_compiler():
        raise BackendError(missing)
    ptx = _ptx(kernel, capability)
    cubin, log = link_kernel(ptx, kernel.function, capability)
    registers, spills = _counted(r"Used (\d+) registers", log), _counted(r"(\d+) bytes spill stores", log)
    return Compiled(kernel.function, ptx, cubin, registers, spills)


def _counted(pattern: str, log: str) -> int:
    found = re.search(pattern, log)
    assert found is not None, log
    return int(found[1])


def _ptx(kernel: CudaKernel, capability: tuple[int, int]) -> str:
    primitives = importlib.import_module("graphc.kernels.cuda.primitives")
    numba, types = (importlib.import_module(module) for module in ("numba.cuda", "numba.types"))
    names: dict[str, Any] = dict(primitives.NAMES)
    exec(compile(_Constants(names).visit(ast.parse(kernel.text)), f"<{kernel.function}>", "exec"), names)
    signature = types.void(*map(primitives.pointer, kernel.types), *[types.uint32] * len(kernel.numbers))
    try:
        with _remembered_calls():
            text, _ = numba.compile(
                names[kernel.function], signature, device=False, abi="numba", cc=capability, output="ptx",
                launch_bounds=kernel.threads,
            )  # fmt: skip
    except Exception as error:  # Numba's and NVVM's, which have nothing nearer in common
        raise BackendError(f"Numba cannot compile {kernel.function}: {error}\n{kernel.text}") from error
    found = re.search(r"\.entry (\w+)\(", text)
    assert found is not None, text
    return str(text).replace(found[1], kernel.function)


_CALLS: dict[tuple[Any, tuple[Any, ...]], Any] = {}


@contextlib.contextmanager
def _remembered_calls() -> Iterator[None]:
    """Within, Numba remembers what functions return for types: else it looks through all of `+` for each `+`."""
    context = importlib.import_module("numba.cuda.descriptor").cuda_target.typing_context
    resolve = context.resolve_function_type

    def recall(function: Any, args: Any, keywords: Any) -> Any:
        key = function, tuple(args)
        if keywords or key not in _CALLS:
            found = resolve(function, args, keywords)
            if keywords or found is None:
                return found
            _CALLS[key] = found
        return _CALLS[key]

    context.resolve_function_type = recall  # in the object alone
    try:
        yield
    finally:
        del context.resolve_function_type


class _Constants(ast.NodeTransformer):
    """Converted literals, as `u32(16)`, become names of numbers that have the type: Numba is faster then."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(ast.Name(kind), [ast.Constant(value=value)]) if kind in _NUMBERS:
                name = f"{kind}_{value!r}"
                self.names[name] = _NUMBERS[kind](value)
                return ast.copy_location(ast.Name(name, ast.Load()), node)
        return self.generic_visit(node)  # type: ignore[return-value]


def link_kernel(ptx: str, name: str, capability: tuple[int, int]) -> tuple[bytes, str]:
    """The cubin of PTX, which may be of an older architecture, and the linker's log. Raises BackendError."""
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
