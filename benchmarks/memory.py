"""How much memory a step takes: the growth of a process, at its peak while steps run.

Each engine has a fresh process for each workload. It imports what it needs and runs the workload on tiny sizes, so that
libraries are loaded and threads started; what it holds then does not count. All else does: parameters, optimiser state,
inputs, gradients, what is saved, workspaces, and the objects that describe the model. graphc's plan says what it needs
beforehand; it stands beside what was measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure import Worker
from benchmarks.worker import Footprint

__all__ = ["GOAL", "WORKLOADS_OF_GOAL", "measure_memory"]

WORKLOADS_OF_GOAL = ("cnn", "gpt", "resnet")
GOAL = 0.6  # of what PyTorch takes
STEPS = 5


def measure_memory(
    workloads: Sequence[str],
    engines: Sequence[str],
    threads: Sequence[int],
    tell: Callable[[str], None] = lambda _: None,
    *,
    small: bool = False,
) -> Iterator[dict[str, Any]]:
    """A row for each workload, number of threads and engine: the fields of `Footprint`, in bytes; or a fault."""
    for workload in workloads:
        for count in threads:
            for engine in engines:
                tell(f"memory · {workload} · {engine} · {count}")
                answer = _footprint(engine, count, workload, small)
                row: dict[str, Any] = {"workload": workload, "engine": engine, "threads": count, "fault": ""}
                yield row | (asdict(answer) if isinstance(answer, Footprint) else {"fault": str(answer)})


def _footprint(engine: str, threads: int, workload: str, small: bool) -> Any:
    with tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as cache:
        worker = Worker(engine, threads, cache)
        try:
            return worker.ask("footprint", workload, small, STEPS)
        finally:
            worker.stop()
