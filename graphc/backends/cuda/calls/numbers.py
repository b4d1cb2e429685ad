"""Dtypes among the parameters of calls, which are whole numbers."""

from __future__ import annotations

from graphc.ir.types import DTYPES, DType

__all__ = ["dtype_of", "number_of"]

_NAMES = [*DTYPES]


def number_of(dtype: DType) -> int:
    """The number that stands for a dtype."""
    return _NAMES.index(dtype.name)


def dtype_of(number: int) -> DType:
    """The dtype for which a number stands."""
    return DTYPES[_NAMES[number]]
