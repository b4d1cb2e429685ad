"""What vendors' libraries have in common: they know some calls as problems, and have several algorithms for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphc.backends.cuda.engine.device import LibraryWork

__all__ = ["FLOATS", "MOST", "Algorithm", "LibraryProblem", "VendorLibrary"]

FLOATS = ("float32", "float64", "float16", "bfloat16")
MOST = (1 << 31) - 1  # of any extent or stride


@dataclass(frozen=True)
class Algorithm:
    """How a problem is solved, in the library's own words, and the bytes of workspace that this takes."""

    words: tuple[int | str, ...]
    workspace: int


class LibraryProblem(Protocol):
    """A call as a library knows it; its text says what it is."""

    @property
    def dtype(self) -> str: ...


class VendorLibrary(Protocol):
    """A library on a device. Problems are its own; it raises its own errors."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int | str: ...

    def problem_of(self, call: str, params: Sequence[int], /) -> LibraryProblem | None:
        """The problem that a call is, from its first two operands into the third; None for what it does not take."""

    def algorithms(self, problem: Any, most: int, /) -> Iterator[Algorithm]:
        """Up to `most` algorithms for a problem, those first that should be the fastest."""

    def prepared(self, problem: Any, algorithm: Algorithm, workspace: int, /) -> LibraryWork:
        """A problem by an algorithm, ready to run; `workspace` is the address of its workspace."""
