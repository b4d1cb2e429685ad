"""The backend "cython": the tile machine and prebuilt kernels, for several instruction sets. It needs no compiler."""

from __future__ import annotations

from graphc.backends.backend import Backend, Planning
from graphc.backends.cpu.executing import executor
from graphc.backends.cpu.library import library_call
from graphc.backends.cpu.passes import PASSES
from graphc.backends.tile.launches import TileCode, TileWriter
from graphc.toolchain.isa import kernels

__all__ = ["CYTHON"]


CYTHON = Backend(
    "cython",
    lack=lambda: "",
    how=Planning(
        passes=PASSES,
        lowering=library_call,
        writer=TileWriter,
        identity=lambda: (str(kernels().level),),
        code_of=lambda facts: TileCode(facts["source"]),
        load=lambda plan, read, library: (kernels().table, ""),
        engine=executor,
    ),
)
