"""A CUDA kernel as a record: what calls and the printer make, the compiler compiles, devices and simulator launch."""

from __future__ import annotations

import hashlib
import json
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
    """A kernel: the function `name` in `text`, its operands' types in memory, `blocks` of so many `threads`.

    Its operands are those of its launch in their order, or what `places` says: for each an operand of the launch, and
    the byte of it where it starts. Where they are not all at multiples of `widths`, `narrow` computes the same; where
    its result is for its epilogue alone, `unstored` does, which leaves it in registers.
    """

    name: str
    text: str
    types: tuple[str, ...]
    blocks: int
    threads: int = BLOCK
    places: tuple[tuple[int, int], ...] = ()
    widths: tuple[int, ...] = ()
    narrow: CudaKernel | None = None
    unstored: CudaKernel | None = None

    def signed(self) -> CudaKernel:
        """The same kernel, called after what it is: so equal kernels of all programs have one name."""
        told = json.dumps([self.text, self.types, self.blocks, self.threads])
        name = f"{self.name}_{hashlib.blake2b(told.encode(), digest_size=6).hexdigest()}"
        text = self.text.replace(f"def {self.name}(", f"def {name}(")
        narrow, unstored = (other and other.signed() for other in self.variants.values())
        return replace(self, name=name, text=text, narrow=narrow, unstored=unstored)

    @property
    def variants(self) -> dict[str, CudaKernel | None]:
        """The kernels that may take its place, by the fields that they are in."""
        return {"narrow": self.narrow, "unstored": self.unstored}

    @classmethod
    def of(
        cls, name: str, text: str, types: Sequence[str], blocks: int, threads: int, places: Any, widths: Sequence[int],
        narrow: Any, unstored: Any,
    ) -> CudaKernel:  # fmt: skip
        """A kernel of its fields, as JSON holds them."""
        pairs = tuple((operand, start) for operand, start in places)
        others = (None if other is None else cls.of(*other) for other in (narrow, unstored))
        return cls(name, text, tuple(types), blocks, threads, pairs, tuple(widths), *others)


MakeKernel = Callable[[Sequence[int], str, Routine | None], CudaKernel]
"""What makes the kernel of a call: of its parameters, called so, with the epilogue of the routine."""
MakeKernels = Callable[[Sequence[int], str], tuple[CudaKernel, ...]]
"""What makes the kernels of a call, which run one after the other; their names begin so."""
