"""How attention is cut for CUDA: the tile of a block, and what its threads have of it (kernels/cuda/attention.py).

Tiles are as large as registers and shared memory of a block allow, and depend on shapes and dtype alone: so do bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.ir.types import DType
from graphc.kernel.operand import ceil_div

__all__ = ["THREADS", "AttentionTiling", "X", "tiling_of"]

THREADS, X, Y = 128, 16, 8  # of a block, and how they lie on a tile of scores
MOST_SUMS = 96  # registers of a thread for scores and sums
MOST_SHARED = 48 * 1024  # bytes of a block
SLICE = 64  # bytes that neighbouring threads read of a row
_TILES = ((8, 4), (4, 4), (8, 2), (4, 2), (2, 2), (2, 1), (1, 1))  # rows and keys of a thread, the best first


@dataclass(frozen=True)
class AttentionTiling:
    """What a block has: a thread has the scores of `rows` queries and `each` keys, and sums of `columns` columns.

    `columns` has a number for each matrix that is summed, whose columns are shared by `parts` blocks; sums are of the
    keys of the tile, or of its queries. `depths` are those of the products that make tiles like that of the scores.
    `size` is that of an element in bytes.
    """

    rows: int
    each: int
    columns: tuple[int, ...]
    parts: int
    depths: tuple[int, ...]
    size: int
    of_keys: bool

    @property
    def queries(self) -> int:
        return self.rows * Y

    @property
    def keys(self) -> int:
        return self.each * X

    @property
    def height(self) -> int:
        """The rows of a thread's sums."""
        return self.each * X // Y if self.of_keys else self.rows

    @property
    def stride(self) -> int:
        """Between rows of weights: those of neighbouring y do not share banks."""
        return self.keys + (0 if self.keys % 32 == 16 else 16)

    def slice(self, extent: int) -> int:
        """How much of a depth `extent` comes to shared memory at a time."""
        most = SLICE // self.size
        return max(1, ceil_div(extent, max(1, ceil_div(extent, most))))

    @property
    def others(self) -> int:
        """How many rows of the other matrix come to shared memory at a time."""
        return math.gcd(self.queries if self.of_keys else self.keys, SLICE // self.size)

    @property
    def slices(self) -> int:
        """Elements of shared memory for slices."""
        widest = X * max(self.columns)
        deepest = max(map(self.slice, self.depths))
        return max(deepest * (self.queries + self.keys + 4), self.others * (widest + 2))

    @property
    def fits(self) -> bool:
        sums = len(self.depths) * self.rows * self.each + self.height * sum(self.columns)
        shared = (self.queries * self.stride + self.slices) * self.size
        return sums * self.size // 4 <= MOST_SUMS and shared < MOST_SHARED


def tiling_of(
    queries: int, keys: int, depths: Sequence[int], widths: Sequence[int], real: DType, *, of_keys: bool
) -> AttentionTiling:
    """The first tiling that fits, of those with the fewest parts: for sums `widths` wide, computed in `real`."""
    return next(tiling for tiling in _tilings(queries, keys, depths, widths, real, of_keys) if tiling.fits)


def _tilings(
    queries: int, keys: int, depths: Sequence[int], widths: Sequence[int], real: DType, of_keys: bool
) -> Iterator[AttentionTiling]:
    for most in (8, 4, 2, 1):
        parts = max(1, ceil_div(max(widths), X * most))
        columns = tuple(max(1, ceil_div(width, X * parts)) for width in widths)
        for rows, each in _TILES:
            rows = max(1, min(rows, ceil_div(queries, Y)))
            each = max(1, min(each, ceil_div(keys, X)))
            yield AttentionTiling(rows, each, columns, parts, tuple(depths), real.itemsize, of_keys)
