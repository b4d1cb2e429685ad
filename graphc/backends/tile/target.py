"""The Cython engine's code: programs for the tile machine, and prebuilt kernels by name."""

from __future__ import annotations

from graphc.backends.target import Code
from graphc.backends.tile.assembler import TileProgram, assemble
from graphc.kernel.ir import Kernel, LibraryCall
from graphc.kernel.text import kernel_text

__all__ = ["TileTarget"]


class TileTarget:
    """Equal kernels become one tile program."""

    def __init__(self, threads: int = 2) -> None:
        self.threads = threads
        self._programs: dict[Kernel, tuple[int, TileProgram]] = {}

    def code(self, call: LibraryCall | None, kernel: Kernel | None) -> Code:
        number, program = (-1, None) if kernel is None else self._program(kernel)
        if call is None:
            assert program is not None
            return Code("tile", (), number, program.tiles, program.scratch, program.work)
        scratch, work = (program.scratch, program.work) if program is not None else (0, 0)
        return Code(call.name, call.params, number, call.tiles, max(call.scratch, scratch), call.work + work)

    def _program(self, kernel: Kernel) -> tuple[int, TileProgram]:
        found = self._programs.get(kernel)
        if found is None:
            found = self._programs[kernel] = len(self._programs), assemble(kernel)
        return found

    @property
    def programs(self) -> tuple[tuple[int, ...], ...]:
        return tuple(program.words for _, program in self._programs.values())

    @property
    def source(self) -> str:
        return "\n".join(f"program {n}: {kernel_text(kernel)}" for kernel, (n, _) in self._programs.items())
