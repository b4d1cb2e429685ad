"""Regions of one block of memory, one behind the other, each begun as the driver begins what it gives out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

__all__ = ["ALIGNMENT", "regions"]

ALIGNMENT = 256  # bytes


def regions(sizes: Iterable[int]) -> tuple[int, ...]:
    """Where regions of so many bytes start, and where the last of them ends."""
    return 0, *accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)
