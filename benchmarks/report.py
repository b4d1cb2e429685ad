"""Results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.table import Table

from benchmarks.measure import Result
from benchmarks.workloads import WORKLOADS
from graphc.runtime import isa
from graphc.runtime.memory_report import bytes_text

__all__ = ["call_table", "compile_table", "json_text", "step_table"]

AGREEMENT = 1e-3  # of the first losses, relative: further apart, two engines do not compute the same


def step_table(workload: str, results: Sequence[Result]) -> Table:
    """The results of a workload; ratios are to the first peer with as many threads."""
    table = Table(title=f"{workload}: {WORKLOADS[workload].title}", title_justify="left")
    for title in ("engine", "threads", "build", "first call", "median", "minimum", "calls", "memory", "speed-up"):
        table.add_column(title, justify="left" if title == "engine" else "right")
    for result in results:
        if result.fault:
            table.add_row(result.engine, str(result.threads), result.fault)
            continue
        table.add_row(
            result.engine, str(result.threads), f"{result.build:.2f} s", _time(result.first), _time(result.median),
            _time(result.minimum), str(result.calls), bytes_text(result.memory), _ratio(result, results),
        )  # fmt: skip
    table.caption = _disagreement(results)
    return table


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f} µs" if seconds < 1e-3 else f"{1e3 * seconds:,.2f} ms"


def _ratio(result: Result, results: Sequence[Result]) -> str:
    """How many times faster than the peer, by medians."""
    for peer in results:
        if result.engine == "graphc" != peer.engine and peer.threads == result.threads and not peer.fault:
            return f"{peer.median / result.median:.2f}×"
    return ""


def _disagreement(results: Sequence[Result]) -> str | None:
    """A warning if the engines' first losses differ."""
    losses = [result.losses for result in results if not result.fault]
    for step in zip(*losses, strict=True):
        if max(step) - min(step) > AGREEMENT * max(map(abs, step)):
            return f"the engines' losses differ: {', '.join(f'{loss:.6g}' for loss in step)}"
    return None


def call_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("call", title="call overhead", title_justify="left")
    table.add_column("fastest", justify="right")
    for row in rows:
        table.add_row(row["call"], f"{row['microseconds']:.2f} µs")
    return table


def compile_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="compile time of a chain and its gradient", title_justify="left")
    for title in ("nodes", "build", "differentiate", "compile", "first call", "compile, a node"):
        table.add_column(title, justify="right")
    for row in rows:
        times = [f"{row[name]:.3f} s" for name in ("build", "differentiate", "compile", "first")]
        table.add_row(f"{row['nodes']:,}", *times, f"{1e6 * row['compile'] / row['nodes']:.1f} µs")
    return table


def json_text(steps: Sequence[Result], calls: Sequence[Any], compiles: Sequence[Any]) -> str:
    """Everything that was measured, and on what."""
    packages = {}
    for name in ("graphc", "numpy", "torch"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    machine = {"system": platform.platform(), "python": sys.version.split()[0], "level": isa.kernels().level}
    record = {"machine": machine, "packages": packages, "steps": [asdict(result) for result in steps],
              "calls": list(calls), "compile": list(compiles)}  # fmt: skip
    return json.dumps(record, indent=1)
