"""Loading our libraries and running programs leaves the processor's floating-point state alone: denormals stay numbers.

A library linked with -ffast-math by GCC before 13 switches them off for the thread that loads it, and for every thread
that this one starts later.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.vmath import FLAGS, INCLUDE, LEVELS, compiler
from graphc.kernels import cpu

CC = compiler()

STATE = """
import ctypes, sys, threading

FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 0x8000, 0x0040

def faults():
    smallest, least_normal = float.fromhex("0x1p-1074"), float.fromhex("0x1p-1022")
    found = []
    if smallest * 2.0 == 0.0 or least_normal / 2.0 == 0.0 or least_normal / 2.0 * 2.0 != least_normal:
        found.append("denormal arithmetic is gone")
    if IS_X86:
        environment = (ctypes.c_uint32 * 32)()
        ctypes.CDLL(None).fegetenv(environment)  # the eighth word is MXCSR
        if environment[7] & (FLUSH_TO_ZERO | DENORMALS_ARE_ZERO):
            found.append(f"MXCSR is {environment[7]:#x}")
    return found

def everywhere():
    found = []
    thread = threading.Thread(target=lambda: found.extend(faults()))
    thread.start()
    thread.join()
    return faults() + found

IS_X86 = PLATFORM
assert everywhere() == []
""".replace("PLATFORM", str(platform.machine() in ("x86_64", "AMD64") and sys.platform == "linux"))

PROGRAM = """
import numpy as np
import graphc as gx

x = gx.input("x", (1 << 16,))
y = gx.input("y", (1 << 12,), dtype="float64")
program = gx.compile([x, y], [x * 0.5, gx.exp(y)], threads=2)
tiny = np.arange(1 << 16, dtype=np.uint32).view(np.float32)
for _ in range(3):
    halves, powers = program(tiny, np.linspace(-744, -709, 1 << 12))
    assert np.array_equal(halves, tiny * np.float32(0.5))
    assert powers.min() > 0
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("level", cpu.supported_levels())
def test_extension_modules(level: str) -> None:
    names = ["graphc.kernels.cpu.features", f"graphc.kernels.cpu.{level}", "graphc.runtime.executor"]
    imports = "".join(f"import {name}\nassert everywhere() == [], (everywhere(), '{name}')\n" for name in names)
    result = run(STATE + imports)
    assert result.returncode == 0, result.stderr


def test_a_program_on_two_threads() -> None:
    result = run(STATE + PROGRAM + "assert everywhere() == [], everywhere()")
    assert result.returncode == 0, result.stderr


LIBRARY = '#include "graphc/vmath.h"\nfloat half(float x) { return gc_exp_f32(0.0f) * x * 0.5f; }\n'


def library(folder: Path, *flags: str) -> Path:
    (folder / "half.c").write_text(LIBRARY)
    path = folder / "half.so"
    subprocess.run([CC or "cc", *flags, f"-I{INCLUDE}", "-fPIC", "-shared", folder / "half.c", "-o", path], check=True)
    return path


LOADING = """
library = ctypes.CDLL({path!r})
library.half.restype = ctypes.c_float
assert library.half(ctypes.c_float(2.0**-148)) == 2.0**-149
assert everywhere() == [], everywhere()
"""


def load(path: Path) -> str:
    return STATE + LOADING.format(path=str(path))


@pytest.mark.skipif(CC is None, reason="there is no C compiler")
@pytest.mark.parametrize("level", cpu.supported_levels())
def test_a_library_compiled_with_our_flags(tmp_path: Path, level: str) -> None:
    result = run(load(library(tmp_path, *FLAGS, *LEVELS.get(level, ()))))
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(CC is None, reason="there is no C compiler")
def test_a_library_that_spoils_it_is_found(tmp_path: Path) -> None:
    """So that the tests above are known to look at the right place."""
    path = library(tmp_path, "-O2", "-ffast-math")
    if b"set_fast_math" not in path.read_bytes():
        pytest.skip("this compiler does not switch off denormals in libraries")
    assert run(load(path)).returncode != 0
