"""Everything that one run measured, and on what: a record that becomes JSON and comes back from it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.compare import ratio
from benchmarks.machine import Limits, processor
from benchmarks.measure import Result
from graphc.toolchain import isa

__all__ = ["Machine", "Scoreboard", "from_json", "this_machine", "to_json"]

PACKAGES = ("graphc", "numpy", "torch", "jax")


@dataclass(frozen=True)
class Machine:
    """What was measured on. `level` is the instruction set of graphc's kernels; `limits` what the cores can do."""

    processor: str
    cores: int
    system: str
    python: str
    level: str
    packages: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Scoreboard:
    """`results` are of the workloads; the rest are rows of the special measurements."""

    machine: Machine
    results: tuple[Result, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    compiles: tuple[dict[str, Any], ...] = ()
    first_calls: tuple[dict[str, Any], ...] = ()
    busy: tuple[dict[str, Any], ...] = ()
    faults: tuple[str, ...] = ()
    memory: tuple[dict[str, Any], ...] = ()


def this_machine(limits: Limits) -> Machine:
    """The machine that this process runs on."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    level = isa.kernels().level
    return Machine(processor(), cores, platform.platform(), platform.python_version(), level, packages, limits)


def to_json(board: Scoreboard) -> str:
    """The record, and the ratio of each pair of engines on as many threads: how many times faster the first is."""
    good = [result for result in board.results if not result.fault]
    pairs = (
        (first, other)
        for first in good
        for other in good
        if first is not other and (first.workload, first.threads) == (other.workload, other.threads)
    )
    ratios = [
        {"workload": first.workload, "threads": first.threads, "engine": first.engine, **asdict(ratio(first, other))}
        for first, other in pairs
    ]
    return json.dumps({**asdict(board), "ratios": ratios}, indent=1)


def from_json(text: str) -> Scoreboard:
    """What `to_json` wrote."""
    found = json.loads(text)
    found.pop("ratios")
    machine = found.pop("machine")
    limits = machine.pop("limits")
    copies = {int(n): {int(size): rate for size, rate in rates.items()} for n, rates in limits["copies"].items()}
    limits = Limits({int(n): rate for n, rate in limits["flops"].items()}, copies, limits["reason"])
    results = tuple(_result(item) for item in found.pop("results"))
    for row in found.get("memory", ()):
        row |= {"at_peak": tuple(row["at_peak"])} if "at_peak" in row else {}
    return Scoreboard(Machine(**machine, limits=limits), results, **{key: tuple(rows) for key, rows in found.items()})


def _result(item: dict[str, Any]) -> Result:
    trace = {label: tuple(values) for label, values in item.pop("trace").items()}
    return Result(**item | {"rounds": tuple(item["rounds"]), "trace": trace})
