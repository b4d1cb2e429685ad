"""`Scalar`: one number of an element type, compared by its bits.

`==` on Python's numbers merges what a program tells apart (0.0 and -0.0, 1 and True), and tells a NaN from itself. So
what holds a number and is compared, hashed or shared (a statement of kernel IR, what a pad fills in) holds a Scalar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.ir.types import DType

__all__ = ["Scalar"]


@dataclass(frozen=True)
class Scalar:
    """`bits` are those of an element of `dtype`, as an unsigned number. `Scalar.of` makes one from a value."""

    dtype: DType
    bits: int

    @classmethod
    def of(cls, dtype: DType, value: Any) -> Scalar:
        """`value`, a number or an array of one element, as an element of `dtype`; bits are kept where that is its own.

        >>> Scalar.of(DTYPES["float32"], -0.0).bits == 1 << 31
        True
        """
        with np.errstate(all="ignore"):
            element = np.asarray(value).reshape(()).astype(dtype.numpy)
        return cls(dtype, int(element.view(f"u{dtype.itemsize}")))

    @cached_property
    def element(self) -> np.ndarray[Any, Any]:
        """The number as an array without axes."""
        return np.array(self.bits, f"u{self.dtype.itemsize}").view(self.dtype.numpy)

    @property
    def value(self) -> Any:
        """The number as Python has it."""
        return bool(self.bits) if self.dtype.kind == "bool" else self.element.item()

    def __str__(self) -> str:
        """The shortest decimal number that has these bits."""
        return str(self.element[()])

    def __repr__(self) -> str:
        return f"Scalar({self.dtype.name}, {self})"
