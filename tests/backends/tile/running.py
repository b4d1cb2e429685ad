"""Runs assembled kernels at one instruction set level, tile by tile, and watches that they keep to their memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.backends.tile.assembler import TileProgram
from tests.kernels.abi import Call, Function, Ref, decode, guarded, intact, isa


def run(
    level: str, program: TileProgram, buffers: Sequence[np.ndarray[Any, Any]], tiles: Iterable[int] | None = None,
) -> None:  # fmt: skip
    """Runs the program on one flat buffer for each operand. `tiles` is their order; scratch is garbage before each."""
    memory = decode(level, program.words)
    assert memory is not None, "the assembler's words were refused"
    table = isa(level)
    for number, buffer in enumerate(buffers):
        assert table.operand_bytes(ctypes.addressof(memory), number) <= buffer.nbytes, f"operand {number} is overrun"
    bases = (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
    refs = (Ref * len(buffers))(*(Ref(i, 0) for i in range(len(buffers))))
    kernel = Function(table.kernel(b"tile"))
    for tile in range(program.tiles) if tiles is None else tiles:
        scratch = guarded(program.scratch)
        call = Call(
            ctypes.addressof(bases), None, None, ctypes.addressof(memory), ctypes.addressof(refs), scratch.ctypes.data
        )
        kernel(ctypes.byref(call), tile)
        assert intact(scratch), "the program wrote past its scratch"
