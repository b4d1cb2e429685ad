"""Hand-made plans, and kernels to run them with: the executor tested without a compiler above it."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from graphc.kernels import cpu
from graphc.plan.plan import Buffer, Launch, Plan, Ref

HERE = Path(__file__).parent
INCLUDE = Path(cpu.__file__).parent / "include"
COMPILER = shutil.which("cc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
BACKENDS = ("numpy", "cython", pytest.param("c", marks=needs_compiler))


def compile_c(source: Path, target: Path, *flags: str) -> Path:
    """Compile `source` to `target`. Only where there is a compiler."""
    assert COMPILER is not None
    command = [COMPILER, "-O2", "-std=gnu11", "-pthread", "-Wno-unused-function", f"-I{INCLUDE}", *flags]
    subprocess.run([*command, str(source), "-o", str(target)], check=True)
    return target


def table_of(library: Path) -> object:
    """The capsule with the test kernels of a compiled library."""
    handle = ctypes.CDLL(str(library))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(ctypes.addressof(ctypes.c_char.in_dll(handle, "test_isa")), b"graphc.kernels.cpu.isa", None)


def buffer(name: str, space: str, size: int, offset: int = 0, first: int = 0, last: int = 0) -> Buffer:
    return Buffer(name, "float32", (size,), 4 * size, space, offset, first, last)


def add_launch(
    a: int, b: int, out: int, size: int, *, tile: int = 0, depends: Iterable[int] = (), kernel: str = "add",
    work: int = 0, wait: int = 0, in_place: tuple[tuple[int, int], ...] = (),
) -> Launch:  # fmt: skip
    """out = a + b over `size` elements in tiles of `tile` (0: one tile)."""
    tile = tile or max(size, 1)
    tiles = math.ceil(size / tile)
    operands = (Ref(a), Ref(b), Ref(out))
    return Launch(
        f"add {a} {b} {out}", kernel, (size, tile, wait), operands, -1, (), tuple(sorted({a, b})), (out,), tiles, 0,
        work or size, work or size, tuple(depends), "", in_place,
    )  # fmt: skip


def plan_of(
    buffers: Iterable[Buffer],
    launches: Iterable[Launch],
    *,
    arena: int = 0,
    rng: int = -1,
    outputs: tuple[int, ...] | None = None,
) -> Plan:
    """A plan over these buffers; inputs, outputs and the rest follow from their spaces."""
    buffers = tuple(buffers)
    at = {
        space: tuple(i for i, b in enumerate(buffers) if b.space == space)
        for space in ("input", "output", "parameter", "constant")
    }
    outputs = at["output"] if outputs is None else outputs
    names = tuple(buffers[i].name for i in (*at["input"], *outputs))
    return Plan(
        buffers, tuple(launches), (), at["input"], outputs, at["parameter"], at["constant"], rng, arena, 0, arena, names
    )


def chain(length: int, size: int, tile: int = 0, work: int = 0) -> Plan:
    """x + x, + x, ...: each launch reads the result of the one before; two arena buffers take turns."""
    span = -(-4 * size // 64) * 64
    buffers = [buffer("x", "input", size), buffer("y", "output", size, 0, length - 1, length - 1)]
    launches, previous = [], 0
    for step in range(length):
        if step < length - 1:
            buffers.append(buffer(f"t{step}", "arena", size, span * (step % 2), step, step + 1))
        target = len(buffers) - 1 if step < length - 1 else 1
        depends = [step - 1] if step else []
        launches.append(add_launch(previous, 0, target, size, tile=tile, depends=depends, work=work))
        previous = target
    return plan_of(buffers, launches, arena=2 * span if length > 1 else 0)


def expected_chain(length: int, x: np.ndarray) -> np.ndarray:
    result = x
    for _ in range(length):
        result = result + x
    return result
