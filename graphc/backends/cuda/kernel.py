"""A CUDA kernel as a record: what calls and the printer make, the compiler compiles, devices and simulator launch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.backends.backend import Routine

__all__ = ["BLOCK", "WARP", "WIDEST", "CudaKernel", "MakeKernel", "MakeKernels"]

WARP = 32
BLOCK = 256  # threads
WIDEST = 16  # bytes of an access


@dataclass(frozen=True)
class CudaKernel:
    """A kernel as it is launched: a function in `text`, its operands' types in memory, `blocks` of so many `threads`.

    Behind its operands the function takes `numbers`, of 32 bits without a sign. Kernels that differ in these and in
    blocks alone have one function, which is compiled once. Its operands are those of its launch in their order, or what
    `places` says: for each an operand of the launch, and the byte of it where it starts. Where they are not all at
    multiples of `widths`, `narrow` computes the same; where its result is for its epilogue alone, `unstored` does,
    which leaves it in registers. Where `library` has the name of a call and its parameters, a vendor's library may
    compute that from the first two operands into the third, and `finish`, if there is an epilogue, the rest.
    """

    name: str
    text: str
    types: tuple[str, ...]
    blocks: int
    threads: int = BLOCK
    places: tuple[tuple[int, int], ...] = ()
    widths: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    narrow: CudaKernel | None = None
    unstored: CudaKernel | None = None
    library: tuple[str, tuple[int, ...]] | None = None
    finish: CudaKernel | None = None

    def signed(self) -> CudaKernel:
        """The same kernel, called after what it is as is its function: so equal ones of all programs have one name."""
        compiled = [self.text, self.types, self.threads]
        function, name = (f"{self.name}_{_digest(told)}" for told in (compiled, [*compiled, self.blocks, self.numbers]))
        text = self.text.replace(f"def {self.name}(", f"def {function}(")
        narrow, unstored, finish = (other and other.signed() for other in (self.narrow, self.unstored, self.finish))
        return replace(self, name=name, text=text, narrow=narrow, unstored=unstored, finish=finish)

    @property
    def function(self) -> str:
        """The name of its function."""
        found = re.match(r"def (\w+)\(", self.text)
        assert found is not None, self.text
        return found[1]

    @property
    def variants(self) -> dict[str, CudaKernel | None]:
        """The kernels that may take its place, by the fields that they are in."""
        return {"narrow": self.narrow, "unstored": self.unstored}

    @classmethod
    def of(
        cls, name: str, text: str, types: Sequence[str], blocks: int, threads: int, places: Any, widths: Sequence[int],
        numbers: Sequence[int] = (), narrow: Any = None, unstored: Any = None, library: Any = None,
        finish: Any = None,
    ) -> CudaKernel:  # fmt: skip
        """A kernel of its fields, as JSON holds them."""
        pairs = tuple((operand, start) for operand, start in places)
        one, other, last = (None if told is None else cls.of(*told) for told in (narrow, unstored, finish))
        fields = tuple(types), blocks, threads, pairs, tuple(widths), tuple(numbers)
        call = (library[0], tuple(library[1])) if library else None
        return cls(name, text, *fields, one, other, call, last)


def _digest(told: object) -> str:
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=6).hexdigest()


MakeKernel = Callable[[Sequence[int], str, Routine | None], CudaKernel]
"""What makes the kernel of a call: of its parameters, called so, with the epilogue of the routine."""
MakeKernels = Callable[[Sequence[int], str], tuple[CudaKernel, ...]]
"""What makes the kernels of a call, which run one after the other; their names begin so."""
