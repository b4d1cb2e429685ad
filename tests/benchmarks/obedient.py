"""A measurement for tests of the runner, which does what its part says; its processes import little."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from benchmarks.cuda_check.runner import Row

__all__ = ["measure"]


def measure(part: str, dry: bool) -> Iterator[Row]:
    """A row, and then what is asked for."""
    yield {"part": part, "process": os.getpid(), "dry": dry}
    if part == "raise":
        raise ValueError("it was asked to")
    if part == "die":
        os._exit(3)
    if part == "sleep":
        time.sleep(60)
