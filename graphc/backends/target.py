"""What a launch runs, and who writes it.

A target turns launches into code: `TileTarget` into programs of the tile machine and names of prebuilt kernels,
`CTarget` into C functions. Launches that are alike share their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from graphc.kernel.ir import Kernel, LibraryCall

__all__ = ["Code", "Target"]


@dataclass(frozen=True)
class Code:
    """The code of a launch, in the plan's terms (plan/plan.py).

    `kernel`, `params` and `program` name it; its `tiles` parts may run at the same time, each needs `scratch` bytes;
    `work` is the number of scalar operations.
    """

    kernel: str
    params: tuple[int, ...]
    program: int
    tiles: int
    scratch: int
    work: int


class Target(Protocol):
    """Writes the code of a program, launch by launch."""

    @property
    def threads(self) -> int:
        """How many threads the work is cut for, where no result depends on it."""
        ...

    def code(self, call: LibraryCall | None, kernel: Kernel | None) -> Code:
        """The code of a library call, of a fused kernel, or of a call with a kernel as its epilogue."""
        ...

    @property
    def programs(self) -> tuple[tuple[int, ...], ...]:
        """The tile programs that were written, as words."""
        ...

    @property
    def source(self) -> str:
        """All that was written, as text."""
        ...
