"""How many threads a step may use."""

from __future__ import annotations

from reprlib import repr as shown

from graphc.errors import BackendError
from graphc.runtime.executor import MOST_THREADS
from graphc.toolchain.shares import processors

__all__ = ["checked_threads"]


def checked_threads(threads: int | None) -> int:
    """How many threads a step may use if `threads` are asked for: all processors if None. Raises BackendError."""
    if threads is None:
        return min(processors(), MOST_THREADS)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise BackendError(f"threads must be an integer from 1 to {MOST_THREADS}, not {shown(threads)}")
    return threads
