"""What a program takes and gives: named arrays of a fixed type."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.types import TensorType

__all__ = ["Argument"]


@dataclass(frozen=True)
class Argument:
    """An input or output of a program. `location` is the user's line that declared it, or empty."""

    name: str
    type: TensorType
    location: str = ""

    @property
    def nbytes(self) -> int:
        return self.type.nbytes

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"
