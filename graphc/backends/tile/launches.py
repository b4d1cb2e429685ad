"""The Cython engine's launches: programs for the tile machine, and prebuilt kernels by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.backends.backend import Footprint, LaunchCode, Routine, Written, coded
from graphc.backends.tile.assembler import TileProgram, assemble
from graphc.ir.indices import numbered
from graphc.kernel.ir import Kernel
from graphc.kernel.text import kernel_text
from graphc.plan.plan import NO_PROGRAM, Plan, ProgramNumber
from graphc.runtime.executor import table_bytes
from graphc.toolchain.isa import kernels

__all__ = ["TileCode", "TileWriter"]


@dataclass(frozen=True)
class TileCode:
    """The loop nests of a program as text; their code is in the plan, and the other kernels are prebuilt."""

    source: str

    def facts(self) -> Mapping[str, Any]:
        return {"source": self.source}


class TileWriter:
    """Equal loop nests become one tile program."""

    def __init__(self) -> None:
        self._programs: dict[Kernel, TileProgram] = {}

    def measure(self, routine: Routine) -> Footprint:
        return routine.footprint(None if routine.nest is None else self._program(routine.nest))

    def _program(self, nest: Kernel) -> TileProgram:
        found = self._programs.get(nest)
        if found is None:
            found = self._programs[nest] = assemble(nest)
        return found

    def tables(self, plan: Plan, routines: Sequence[Routine]) -> int:
        nests, launches = _named(routines)
        programs = tuple(self._program(nest).words for nest in nests)
        return table_bytes(coded(plan, launches, programs), kernels().table)

    def write(self, routines: Sequence[Routine]) -> Written:
        nests, launches = _named(routines)
        source = "\n".join(f"program {at}: {kernel_text(nest)}" for at, nest in enumerate(nests))
        return Written(launches, tuple(self._program(nest).words for nest in nests), TileCode(source))


def _named(routines: Sequence[Routine]) -> tuple[list[Kernel], tuple[LaunchCode, ...]]:
    """The loop nests of routines, each once, and what the launches are called."""
    nests = list(dict.fromkeys(routine.nest for routine in routines if routine.nest is not None))
    number: dict[Kernel | None, ProgramNumber] = {nest: at for at, nest in numbered(ProgramNumber, nests)}
    number[None] = NO_PROGRAM
    launches = (
        LaunchCode("tile", (), number[routine.nest])
        if routine.call is None
        else LaunchCode(routine.call.name, routine.call.params, number[routine.nest])
        for routine in routines
    )
    return nests, tuple(launches)
