"""Runs library kernels as the executor does, one tile at a time, and watches that they keep to their memory."""

import ctypes
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.backends.tile.assembler import assemble
from graphc.kernel.ir import Kernel, LibraryCall
from tests.kernels.abi import GUARD, Call, Function, Ref, decode, guarded, intact, isa


def names(level: str) -> tuple[str, ...]:
    """The library kernels of a level."""
    found = itertools.takewhile(lambda name: name is not None, map(isa(level).name, itertools.count()))
    return tuple(name.decode() for name in found)


@dataclass(frozen=True)
class Epilogue:
    """A kernel over the output, with its operands as positions among the call's inputs, `extra` and the output (-1)."""

    kernel: Kernel
    operands: tuple[int, ...]
    extra: tuple[np.ndarray, ...] = ()


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
    address = isa(level).kernel(call.name.encode())
    assert address, f"{call.name} is not in the library of level {level}"
    scratch_bytes = call.scratch
    outputs = [guarded(int(np.prod(shape)) * dtype.itemsize) for shape, dtype in types]
    arrays = [*inputs, *(epilogue.extra if epilogue else ()), *outputs]
    buffers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    places = [*range(len(inputs)), *range(len(arrays) - len(outputs), len(arrays))]
    refs = (Ref * len(places))(*(Ref(place, 0) for place in places))
    params = (ctypes.c_int64 * len(call.params))(*call.params)
    program = program_refs = None
    if epilogue:
        assembled = assemble(epilogue.kernel)
        program, scratch_bytes = decode(level, assembled.words), max(scratch_bytes, assembled.scratch)
        assert program is not None, "malformed program"
        program_refs = (Ref * len(epilogue.operands))(*(Ref(place % len(arrays), 0) for place in epilogue.operands))
    for tile in range(call.tiles) if tiles is None else tiles:
        scratch = guarded(scratch_bytes)
        parts = (buffers, refs, params, program, program_refs)
        c_call = Call(*(part and ctypes.addressof(part) for part in parts), scratch.ctypes.data)
        Function(address)(ctypes.byref(c_call), tile)
        assert intact(scratch), f"{call.name} wrote past its scratch"
    assert all(map(intact, outputs)), f"{call.name} wrote past its output"
    pairs = zip(outputs, types, strict=True)
    return [output[:-GUARD].view(dtype).reshape(shape) for output, (shape, dtype) in pairs]
