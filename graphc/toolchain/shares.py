"""Work for several compilers side by side: how many there are to be, and who gets what."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["processors", "share_out"]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(weights: Sequence[int], count: int) -> list[list[int]]:
    """Items dealt to at most `count` shares of about equal weight, the heaviest first; no share is empty."""
    shares: list[list[int]] = [[] for _ in range(min(count, len(weights)))]
    loads = [0] * len(shares)
    for item in sorted(range(len(weights)), key=lambda item: (-weights[item], item)):
        least = loads.index(min(loads))
        shares[least].append(item)
        loads[least] += weights[item]
    return [share for share in shares if share]
