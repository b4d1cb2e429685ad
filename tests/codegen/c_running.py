"""Compiles printed kernels, several at a time, and runs them tile by tile or region by region within guarded memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphc.codegen.c_kernel import CKernel, print_kernel
from graphc.lower.kernel import Kernel
from tests.codegen.tile_running import GARBAGE, GUARD, Call, Ref, guarded

INCLUDE = Path(__file__).parents[2] / "kernels" / "cpu" / "include"
FLAGS = ["-std=c11", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-DGC_GENERATED", f"-I{INCLUDE}"]
COMPILER = shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc") or shutil.which("clang")

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.POINTER(Call), ctypes.c_int64)
_REGION = ctypes.CFUNCTYPE(None, ctypes.POINTER(Call), *[ctypes.c_int64] * 4)


def unit_text(printed: Sequence[CKernel], names: Sequence[str]) -> str:
    """A translation unit that exports every kernel."""
    headers = dict.fromkeys(header for kernel in printed for header in kernel.headers)
    parts = [f'#include "graphc/{header}"' for header in headers]
    ranges = "int64_t a0, int64_t a1, int64_t c0, int64_t c1"
    unused = "(void)call, (void)a0, (void)a1, (void)c0, (void)c1;"
    parts.append(f"static __attribute__((unused)) void gc_tile_run(const gc_call *call, {ranges}) {{ {unused} }}")
    for kernel, name in zip(printed, names, strict=True):
        parts.append(kernel.text)
        parts.append(f"void run_{name}(const gc_call *call, int64_t tile) {{ {name}(call, tile); }}")
        parts.append(f"void part_{name}(const gc_call *call, {ranges}) {{ {name}_region(call, a0, a1, c0, c1); }}")
    return "\n".join(parts)


class Compiled:
    """Kernels compiled into one library."""

    def __init__(self, kernels: Sequence[Kernel], folder: Path, flags: Sequence[str] = ()) -> None:
        names = [f"k{number}" for number in range(len(kernels))]
        self.printed = [print_kernel(kernel, name) for kernel, name in zip(kernels, names, strict=True)]
        source, library = folder / "kernels.c", folder / "kernels.so"
        source.write_text(unit_text(self.printed, names))
        assert COMPILER is not None
        command = [COMPILER, *FLAGS, *flags, "-shared", "-fPIC", str(source), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:4000]
        self.library = ctypes.CDLL(str(library))

    def _call(self, number: int, buffers: Sequence[np.ndarray[Any, Any]]) -> tuple[Call, np.ndarray[Any, Any], Any]:
        bases = (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
        refs = (Ref * len(buffers))(*(Ref(i, 0) for i in range(len(buffers))))
        scratch = guarded(self.printed[number].scratch)
        call = Call(ctypes.addressof(bases), None, None, None, ctypes.addressof(refs), scratch.ctypes.data)
        return call, scratch, (bases, refs)

    def run(self, number: int, buffers: Sequence[np.ndarray[Any, Any]], tiles: Iterable[int] | None = None) -> None:
        """Runs tiles of a kernel on one flat buffer for each operand; scratch is garbage before each."""
        kernel = _KERNEL((f"run_k{number}", self.library))
        for tile in range(self.printed[number].tiles) if tiles is None else tiles:
            call, scratch, _keep = self._call(number, buffers)
            kernel(ctypes.byref(call), tile)
            assert (scratch[-GUARD:] == GARBAGE).all(), f"kernel {number} wrote past its scratch"

    def region(self, number: int, buffers: Sequence[np.ndarray[Any, Any]], a: tuple[int, int], c: tuple[int, int]) -> None:
        """Runs a region of outer and inner positions."""
        call, scratch, _keep = self._call(number, buffers)
        _REGION((f"part_k{number}", self.library))(ctypes.byref(call), *a, *c)
        assert (scratch[-GUARD:] == GARBAGE).all(), f"kernel {number} wrote past its scratch"
