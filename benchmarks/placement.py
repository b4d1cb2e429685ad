"""Placement on the workloads: how far each arena is above its lower bound, and what part of compiling that takes.

`python -m benchmarks.placement [WORKLOAD ...]` compiles each step with the C engine and an empty cache, compiler
included, and prints a line for each. Exit code 1 where an arena is more than 2 % above, or took more than 5 %.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from benchmarks.graphc_engine import prepare
from benchmarks.workloads import WORKLOADS
from graphc.memory import storage
from graphc.memory.placement import Placement
from graphc.toolchain.cache import FOLDER

__all__ = ["Placed", "measure_placement"]

MOST_GAP, MOST_SHARE = 0.02, 0.05


@dataclass(frozen=True)
class Placed:
    """A workload's blocks, bytes of its arena and of the lower bound, seconds in `place` and of all compilation."""

    workload: str
    blocks: int
    peak: int
    bound: int
    place: float
    compile: float

    @property
    def gap(self) -> float:
        return self.peak / self.bound - 1 if self.bound else 0.0

    @property
    def share(self) -> float:
        return self.place / self.compile

    def __str__(self) -> str:
        arena = f"{self.blocks:6,} blocks {self.bound:13,} bound {self.peak:13,} peak {self.gap:6.2%} above"
        return f"{self.workload:22} {arena} {self.place * 1e3:8.2f} ms of {self.compile:6.2f} s {self.share:6.2%}"


def measure_placement(name: str, *, small: bool = False) -> Placed:
    """Compile a workload's step on one thread, with an empty cache."""
    workload = WORKLOADS[name].shrunk() if small else WORKLOADS[name]
    build = prepare("c", workload, workload.data(), 1)
    place, calls = storage.place, []

    def timed(blocks: Sequence[Any], **options: Any) -> Placement:
        begin = time.perf_counter()
        placement = place(blocks, **options)
        calls.append((len(blocks), placement, time.perf_counter() - begin))
        return placement

    with (
        tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as cache,
        patch.object(storage, "place", timed),
        patch.dict("os.environ", {FOLDER: cache}),
    ):
        begin = time.perf_counter()
        build()
        seconds = time.perf_counter() - begin
    count, placement, _ = calls[-1]
    return Placed(name, count, placement.peak, placement.lower_bound, sum(took for _, _, took in calls), seconds)


def main(names: Sequence[str]) -> int:
    """Print a line for each workload."""
    fine = True
    for name in names or list(WORKLOADS):
        placed = measure_placement(name)
        print(placed, flush=True)
        fine = fine and placed.gap <= MOST_GAP and placed.share <= MOST_SHARE
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
