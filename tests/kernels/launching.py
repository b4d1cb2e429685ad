"""Runs library kernels as the executor does, one tile at a time, and watches that they keep to their memory."""

import ctypes
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from graphc.kernels import cpu
from graphc.lower.kernel import LibraryCall

GUARD = 64  # bytes after the scratch and the output that no kernel may touch
GARBAGE = 0xFF  # what scratch and output hold before: NaN as a float, -1 as an integer


class _Ref(ctypes.Structure):
    _fields_ = [("buffer", ctypes.c_int64), ("offset", ctypes.c_int64)]


class _Call(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("buffers", "operands", "params", "program", "refs", "scratch")]


_Kernel = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Call), ctypes.c_int64)


class _Isa(ctypes.Structure):
    _fields_ = [
        ("level", ctypes.c_char_p),
        ("kernel", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)),
        ("name", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int64)),
    ]


def table(level: str) -> _Isa:
    """The kernels of an instruction set level."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return _Isa.from_address(get(cpu.load(level).table, b"graphc.kernels.cpu.isa"))


def names(level: str) -> tuple[str, ...]:
    """The library kernels of a level."""
    isa = table(level)
    found = itertools.takewhile(lambda name: name is not None, map(isa.name, itertools.count()))
    return tuple(name.decode() for name in found)


def guarded(nbytes: int) -> np.ndarray:
    """`nbytes` of garbage at a 64-byte boundary, with a guard behind them that `intact` looks at."""
    block = np.full(nbytes + GUARD + 64, GARBAGE, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + nbytes + GUARD]


def intact(block: np.ndarray) -> bool:
    return bool((block[-GUARD:] == GARBAGE).all())


def launch(
    level: str, call: LibraryCall, inputs: Sequence[np.ndarray], shape: tuple[int, ...], dtype: np.dtype,
    tiles: Iterable[int] | None = None,
) -> np.ndarray:  # fmt: skip
    """The kernel's output. `tiles` is the order in which they run; scratch is garbage before each."""
    address = table(level).kernel(call.name.encode())
    assert address, f"{call.name} is not in the library of level {level}"
    nbytes = int(np.prod(shape)) * dtype.itemsize
    output = guarded(nbytes)
    bases = [array.ctypes.data for array in inputs] + [output.ctypes.data]
    buffers = (ctypes.c_void_p * len(bases))(*bases)
    refs = (_Ref * len(bases))(*(_Ref(i, 0) for i in range(len(bases))))
    params = (ctypes.c_int64 * len(call.params))(*call.params)
    for tile in range(call.tiles) if tiles is None else tiles:
        scratch = guarded(call.scratch)
        c_call = _Call(*map(ctypes.addressof, (buffers, refs, params)), None, None, scratch.ctypes.data)
        _Kernel(address)(ctypes.byref(c_call), tile)
        assert intact(scratch), f"{call.name} wrote past its scratch"
    assert intact(output), f"{call.name} wrote past its output"
    return output[:nbytes].view(dtype).reshape(shape)
