"""Compiles printed kernels, many at a time, and runs them tile by tile or region by region within guarded memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphc.backends.c.kernel import CKernel, print_kernel
from graphc.kernel.ir import Kernel
from graphc.kernels import cpu
from tests.kernels.abi import Call, Ref, guarded, intact

INCLUDE = Path(cpu.__file__).parent / "include"
COMPILER = shutil.which(os.environ.get("CC") or "gcc") or shutil.which("cc") or shutil.which("clang")
FLAGS = ("-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-DGC_GENERATED", f"-I{INCLUDE}")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
FAST = ("-O3", "-march=native", "-mprefer-vector-width=512")
QUICK = ("-O1",)  # for kernels of which the text matters and not what the vectoriser makes of it

RANGES = "int64_t a0, int64_t a1, int64_t c0, int64_t c1"
Buffers = Sequence[np.ndarray[Any, Any]]
_TILE = ctypes.CFUNCTYPE(None, ctypes.POINTER(Call), ctypes.c_int64)
_REGION = ctypes.CFUNCTYPE(None, ctypes.POINTER(Call), *[ctypes.c_int64] * 4)


def unit_text(printed: Sequence[CKernel], *, regions: bool = False) -> str:
    """A translation unit that exports kernels k0, k1, ... as run_k0, ..., with `regions` their parts as part_k0, ..."""
    headers = dict.fromkeys(header for kernel in printed for header in kernel.headers)
    parts = [f'#include "graphc/{header}"' for header in headers]
    unused = "(void)call, (void)a0, (void)a1, (void)c0, (void)c1;"
    parts.append(f"static __attribute__((unused)) void gc_run_region(const gc_call *call, {RANGES}) {{ {unused} }}")
    for number, kernel in enumerate(printed):
        name = f"k{number}"
        parts += [kernel.text, f"void run_{name}(const gc_call *call, int64_t tile) {{ {name}(call, tile); }}"]
        if regions and kernel.regions:
            parts.append(f"void part_{name}(const gc_call *call, {RANGES}) {{ {name}_region(call, a0, a1, c0, c1); }}")
    return "\n".join(parts)


def printed_kernels(kernels: Sequence[Kernel]) -> list[CKernel]:
    """The kernels printed as k0, k1, ..."""
    return [print_kernel(kernel, f"k{number}") for number, kernel in enumerate(kernels)]


def build(source: str, target: Path, flags: Sequence[str]) -> None:
    """Compiles C text to `target`; no warning may come."""
    path = target.with_suffix(".c")
    path.write_text(source)
    assert COMPILER is not None
    command = [COMPILER, *FLAGS, *WARNINGS, *flags, str(path), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


class Compiled:
    """Kernels compiled into one library."""

    def __init__(
        self, kernels: Sequence[Kernel], folder: Path, flags: Sequence[str] = FAST, *, regions: bool = False
    ) -> None:
        self.printed = printed_kernels(kernels)
        library = folder / "kernels.so"
        build(unit_text(self.printed, regions=regions), library, [*flags, "-shared", "-fPIC"])
        self.library = ctypes.CDLL(str(library))

    def call(self, number: int, buffers: Buffers) -> tuple[Call, np.ndarray[Any, Any], Any]:
        """What kernel `number` is called with, its scratch memory full of garbage, and what must stay alive."""
        bases = (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
        refs = (Ref * len(buffers))(*(Ref(i, 0) for i in range(len(buffers))))
        scratch = guarded(self.printed[number].scratch)
        call = Call(ctypes.addressof(bases), None, None, None, ctypes.addressof(refs), scratch.ctypes.data)
        return call, scratch, (bases, refs)

    def run(self, number: int, buffers: Buffers, tiles: Iterable[int] | None = None) -> None:
        """Runs tiles of a kernel on one flat buffer for each operand; scratch is garbage before each."""
        kernel = _TILE((f"run_k{number}", self.library))
        for tile in range(self.printed[number].tiles) if tiles is None else tiles:
            call, scratch, _alive = self.call(number, buffers)
            kernel(ctypes.byref(call), tile)
            assert intact(scratch), f"kernel {number} wrote past its scratch"

    def region(self, number: int, buffers: Buffers, a: tuple[int, int], c: tuple[int, int]) -> None:
        """Runs a region of outer and inner positions."""
        call, scratch, _alive = self.call(number, buffers)
        _REGION((f"part_k{number}", self.library))(ctypes.byref(call), *a, *c)
        assert intact(scratch), f"kernel {number} wrote past its scratch"
