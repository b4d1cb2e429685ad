"""Runs library kernels as the executor does, one tile at a time, and watches that they keep to their memory."""

import ctypes
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.backends.tile.assembler import assemble
from graphc.kernel.ir import Kernel, LibraryCall
from graphc.kernels import cpu

GUARD = 64  # bytes after the scratch and the output that no kernel may touch
GARBAGE = 0xFF  # what scratch and output hold before: NaN as a float, -1 as an integer


class _Ref(ctypes.Structure):
    _fields_ = [("buffer", ctypes.c_int64), ("offset", ctypes.c_int64)]


class _Call(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_void_p) for name in ("buffers", "operands", "params", "program", "refs", "scratch", "local")
    ]


_Kernel = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Call), ctypes.c_int64)


class _Isa(ctypes.Structure):
    _fields_ = [
        ("level", ctypes.c_char_p),
        ("kernel", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)),
        ("name", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int64)),
        ("program_size", ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)),
        ("program_decode", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)),
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


@dataclass(frozen=True)
class Epilogue:
    """A kernel over the output, with its operands as positions among the call's inputs, `extra` and the output (-1)."""

    kernel: Kernel
    operands: tuple[int, ...]
    extra: tuple[np.ndarray, ...] = ()


def _decoded(level: str, words: tuple[int, ...]) -> ctypes.Array[ctypes.c_char]:
    isa, data = table(level), (ctypes.c_int64 * len(words))(*words)
    size = isa.program_size(data, len(words))
    assert size >= 0, "malformed program"
    memory = ctypes.create_string_buffer(size)
    assert isa.program_decode(data, len(words), memory) == 0, "malformed program"
    return memory


def launch(
    level: str, call: LibraryCall, inputs: Sequence[np.ndarray], shape: tuple[int, ...], dtype: np.dtype,
    tiles: Iterable[int] | None = None, epilogue: Epilogue | None = None,
) -> np.ndarray:  # fmt: skip
    """The kernel's output. `tiles` is the order in which they run; scratch is garbage before each."""
    return launch_several(level, call, inputs, [(shape, dtype)], tiles, epilogue)[0]


def launch_several(
    level: str, call: LibraryCall, inputs: Sequence[np.ndarray], types: Sequence[tuple[tuple[int, ...], np.dtype]],
    tiles: Iterable[int] | None = None, epilogue: Epilogue | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """The outputs of a kernel that has several, of these shapes and dtypes."""
    address = table(level).kernel(call.name.encode())
    assert address, f"{call.name} is not in the library of level {level}"
    scratch_bytes = call.scratch
    outputs = [guarded(int(np.prod(shape)) * dtype.itemsize) for shape, dtype in types]
    arrays = [*inputs, *(epilogue.extra if epilogue else ()), *outputs]
    buffers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    places = [*range(len(inputs)), *range(len(arrays) - len(outputs), len(arrays))]
    refs = (_Ref * len(places))(*(_Ref(place, 0) for place in places))
    params = (ctypes.c_int64 * len(call.params))(*call.params)
    program = program_refs = None
    if epilogue:
        assembled = assemble(epilogue.kernel)
        program, scratch_bytes = _decoded(level, assembled.words), max(scratch_bytes, assembled.scratch)
        program_refs = (_Ref * len(epilogue.operands))(*(_Ref(place % len(arrays), 0) for place in epilogue.operands))
    for tile in range(call.tiles) if tiles is None else tiles:
        scratch = guarded(scratch_bytes)
        parts = (buffers, refs, params, program, program_refs)
        c_call = _Call(*(part and ctypes.addressof(part) for part in parts), scratch.ctypes.data)
        _Kernel(address)(ctypes.byref(c_call), tile)
        assert intact(scratch), f"{call.name} wrote past its scratch"
    assert all(map(intact, outputs)), f"{call.name} wrote past its output"
    pairs = zip(outputs, types, strict=True)
    return [output[:-GUARD].view(dtype).reshape(shape) for output, (shape, dtype) in pairs]
