"""The C interface of the kernels (`launch.h`, `isa.h`) in ctypes, and memory that tells when a kernel leaves it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.kernels import cpu

GUARD = 64  # bytes after scratch and outputs that no kernel may touch
GARBAGE = 0xFF  # what both hold before: NaN as a float, -1 as an integer

_words = ctypes.POINTER(ctypes.c_int64)


class Ref(ctypes.Structure):
    _fields_ = [("buffer", ctypes.c_int64), ("offset", ctypes.c_int64)]


class Call(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_void_p) for name in ("buffers", "operands", "params", "program", "refs", "scratch", "local")
    ]


Function = ctypes.CFUNCTYPE(None, ctypes.POINTER(Call), ctypes.c_int64)


class Isa(ctypes.Structure):
    _fields_ = [
        ("level", ctypes.c_char_p),
        ("kernel", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)),
        ("name", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int64)),
        ("program_size", ctypes.CFUNCTYPE(ctypes.c_int64, _words, ctypes.c_int64)),
        ("program_decode", ctypes.CFUNCTYPE(ctypes.c_int, _words, ctypes.c_int64, ctypes.c_void_p)),
        ("operand_bytes", ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)),
    ]


def isa(level: str) -> Isa:
    """The table of an instruction set level."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Isa.from_address(get(cpu.load(level).table, b"graphc.kernels.cpu.isa"))


def decode(level: str, words: Sequence[int]) -> ctypes.Array[ctypes.c_int64] | None:
    """The decoded program, or None if the words are refused."""
    table = isa(level)
    array = (ctypes.c_int64 * len(words))(*words)
    size = table.program_size(array, len(words))
    if size < 0:
        return None
    memory = (ctypes.c_int64 * (size // 8 + 1))()
    return memory if table.program_decode(array, len(words), ctypes.addressof(memory)) == 0 else None


def guarded(nbytes: int) -> np.ndarray[Any, Any]:
    """`nbytes` of garbage at a 64-byte boundary, with a guard behind them that `intact` looks at."""
    block = np.full(nbytes + GUARD + 64, GARBAGE, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + nbytes + GUARD]


def intact(block: np.ndarray[Any, Any]) -> bool:
    return bool((block[-GUARD:] == GARBAGE).all())
