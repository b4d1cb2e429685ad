"""Which instruction set level the kernels are taken from.

The widest level that was built and that this processor runs; the environment variable GRAPHC_ISA asks for another
one. Levels differ in speed, and in the last bits of results.
"""

from __future__ import annotations

import os
from types import ModuleType

from graphc.errors import BackendError
from graphc.kernels import cpu

__all__ = ["VARIABLE", "chosen_level", "kernels", "usable_levels"]

VARIABLE = "GRAPHC_ISA"


def usable_levels() -> tuple[str, ...]:
    """The levels that can be used here, plainest first."""
    return cpu.supported_levels()  # type: ignore[no-any-return]


def chosen_level() -> str:
    """The level that GRAPHC_ISA names, or the widest. Raises BackendError if it cannot be used here."""
    levels = usable_levels()
    if os.environ.get(VARIABLE) or not levels:
        return str(kernels().level)
    return levels[-1]


def kernels(level: str | None = None) -> ModuleType:
    """The module of CPU kernels for `level`, for the level GRAPHC_ISA names, or for the widest. Raises BackendError."""
    wanted = level or os.environ.get(VARIABLE) or None
    try:
        return cpu.load(wanted)  # type: ignore[no-any-return]
    except ImportError as error:
        source = f" ({VARIABLE} asks for it)" if wanted and not level else ""
        raise BackendError(f"{error}{source}") from None
