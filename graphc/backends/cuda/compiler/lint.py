"""What the compilers made of a kernel, in numbers that tell a slow one before any device runs it.

`doubles` are instructions on float64, which a kernel of float32 never asks for; `local` are accesses to memory that a
thread should have had registers for; `wide` are accesses of several elements, of up to 16 bytes. `registers` and
`spills` are the linker's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphc.backends.cuda.compiler.compiling import Compiled
from graphc.backends.cuda.kernel import CudaKernel

__all__ = ["MOST_REGISTERS", "Lint", "lint"]

MOST_REGISTERS = 1 << 15  # of a block, as a processor has twice as many and should have two blocks at a time
_DOUBLES = re.compile(r"^\s*(?!mov|ld|st|cvta)\w[\w.]*\.f64", re.MULTILINE)
_LOCAL = re.compile(r"\b(?:ld|st)\.local\b")
_WIDE = re.compile(r"\b(?:ld|st)\.global[\w.:]*\.v[248]")
_SHARED = re.compile(r"\.shared [^;]*\[(\d+)\];")


@dataclass(frozen=True)
class Lint:
    """The numbers of a kernel; bytes of shared memory are those of a block."""

    name: str
    registers: int
    spills: int
    doubles: int
    local: int
    wide: int
    shared: int

    def faults(self, kernel: CudaKernel) -> list[str]:
        """What is wrong with it."""
        of_doubles = "f64" in kernel.types or "f64(" in kernel.text  # which sums of many floats are
        found = {
            f"{self.spills} bytes of registers spilled": self.spills,
            f"{self.local} accesses to local memory": self.local,
            f"{self.doubles} instructions on float64": self.doubles and not of_doubles,
            f"{self.registers} registers": self.registers * kernel.threads > MOST_REGISTERS,
            f"{self.shared} bytes of shared memory": self.shared > 48 << 10,
            "no access of several elements": any(kernel.widths) and not self.wide,
        }
        return [what for what, is_wrong in found.items() if is_wrong]


def lint(compiled: Compiled) -> Lint:
    """The numbers of a compiled kernel."""
    ptx = compiled.ptx
    doubles, local, wide = (len(pattern.findall(ptx)) for pattern in (_DOUBLES, _LOCAL, _WIDE))
    shared = sum(int(size) for size in _SHARED.findall(ptx))
    return Lint(compiled.name, compiled.registers, compiled.spills, doubles, local, wide, shared)
