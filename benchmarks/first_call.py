"""First-call latency: from a built model to the first result, with an empty cache of compiled code and a full one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.measure import Worker
from benchmarks.worker import Start

__all__ = ["measure_first_calls"]


def measure_first_calls(
    workloads: Sequence[str],
    engines: Sequence[str],
    threads: int,
    tell: Callable[[str], None] = lambda _: None,
    *,
    small: bool = False,
) -> Iterator[dict[str, Any]]:
    """A row for each workload and engine: seconds in a fresh process with a fresh cache, and then in another one."""
    for workload in workloads:
        for engine in engines:
            with tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as cache:
                row: dict[str, Any] = {"workload": workload, "engine": engine, "threads": threads, "fault": ""}
                for state in ("cold", "warm"):
                    tell(f"first call, {state} · {workload} · {engine}")
                    answer = _first(Worker(engine, threads, cache), workload, small)
                    if isinstance(answer, Start):
                        row[state] = answer.build + answer.first
                    else:
                        row["fault"] = str(answer)
                        break
            yield row


def _first(worker: Worker, workload: str, small: bool) -> Any:
    try:
        return worker.ask("start", workload, small, 1)
    finally:
        worker.stop()
