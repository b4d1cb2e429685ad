"""Two threads against one: alone, and while another process keeps one of two cores busy.

More threads must never be slower than one, on a busy machine neither.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.compare import find, ratio
from benchmarks.machine import cores
from benchmarks.measure import Effort, measure

__all__ = ["SITUATIONS", "measure_busy"]

SITUATIONS = ("quiet", "one core taken")


def measure_busy(
    workloads: Sequence[str], engines: Sequence[str], effort: Effort, tell: Callable[[str], None] = lambda _: None
) -> Iterator[dict[str, Any]]:
    """Rows of how many times longer a step takes on two threads than on one; the one thread has a core to itself."""
    contenders = [(engine, threads) for engine in engines for threads in (1, 2)]
    for when in SITUATIONS:
        for workload in workloads:
            with _spinning(when != "quiet"):
                results = measure([workload], contenders, effort, tell)
            for engine in engines:
                row: dict[str, Any] = {"workload": workload, "engine": engine, "when": when}
                one, two = (find(results, workload, engine, threads) for threads in (1, 2))
                if one is None or two is None:
                    faults = [result.fault for result in results if result.engine == engine and result.fault]
                    yield row | {"fault": "; ".join(dict.fromkeys(faults))}
                    continue
                found = ratio(one, two)
                times = {"one": one.median, "two": two.median}
                yield row | times | {"median": found.median, "low": found.low, "high": found.high, "fault": ""}


@contextmanager
def _spinning(wanted: bool) -> Iterator[None]:
    """Keep the second core busy meanwhile."""
    if not wanted:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=_spin, args=(cores(2)[-1],), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin(core: int) -> None:
    os.sched_setaffinity(0, [core])
    while True:
        pass
