"""The CPU kernels, compiled once for each instruction set level.

`LEVELS` are the levels from the plainest to the widest. A level can be used if it was built and this processor has
its instructions; `load` imports one. Each module exports `table`, a capsule with a `gc_isa` (include/graphc/isa.h).
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .features import has_avx2, has_avx512

__all__ = ["LEVELS", "load", "supported_levels"]

LEVELS = ("baseline", "avx2", "avx512")


def supported_levels() -> tuple[str, ...]:
    """The levels that were built and that this processor can run, plainest first."""
    able = {"baseline": True, "avx2": has_avx2(), "avx512": has_avx512()}
    return tuple(level for level in LEVELS if able[level] and find_spec(f"{__name__}.{level}") is not None)


def load(level: str | None = None) -> ModuleType:
    """The kernels of `level`, or of the widest level that this processor can run. Raises ImportError, saying why."""
    levels = supported_levels()
    chosen = levels[-1] if level is None and levels else level
    if chosen not in levels:
        raise ImportError(
            f"no kernels for instruction set level {chosen!r}; usable here: {', '.join(levels) or 'none'}"
        )
    return import_module(f"{__name__}.{chosen}")
