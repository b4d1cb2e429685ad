"""A scoreboard with made-up numbers, to see what becomes of them."""

from __future__ import annotations

from benchmarks.machine import Limits
from benchmarks.measure import Result
from benchmarks.scoreboard import Machine, Scoreboard

LIMITS = Limits({1: 2e11, 2: 4e11}, {1: {1 << 18: 4e10, 1 << 26: 1e10}, 2: {1 << 18: 8e10, 1 << 26: 1.5e10}})
MACHINE = Machine("Some Processor", 2, "Linux", "3.11.0", "avx2", {"graphc": "0.1.0", "torch": "2.0"}, LIMITS)


def result(workload: str, engine: str, threads: int, milliseconds: tuple[float, ...], **more: object) -> Result:
    """A result with these rounds; the losses are the same for all."""
    rounds = tuple(value / 1000 for value in milliseconds)
    flops, traffic = (4e8, 3 << 20) if workload == "mlp" else (1e5, 3000)
    first = Result(
        workload, engine, threads, "c" if engine == "graphc" else "", 0.25, 0.05, rounds, min(rounds), 100,
        12 << 20, flops, traffic, 0.02, {"the losses": (2.5, 2.25)},
    )  # fmt: skip
    return Result(**{**first.__dict__, **more})


def scoreboard() -> Scoreboard:
    """Two networks, two products, a fault, a difference, and a machine that others used."""
    fault = Result("mlp", "jax", 2, fault="XlaRuntimeError: no such thing")
    results = (
        result("tiny", "graphc", 1, (0.004, 0.004, 0.005, 0.004)),
        result("tiny", "torch", 1, (0.16, 0.15, 0.2, 0.17)),
        result("tiny", "torch-compile", 1, (0.3, 0.3, 0.3, 0.3)),
        result("tiny", "jax", 1, (0.012, 0.013, 0.014, 0.013)),
        result("mlp", "graphc", 1, (2.8, 2.9, 2.8, 2.8)),
        result("mlp", "torch", 1, (3.1, 3.0, 3.2, 3.1), others=0.8),
        result("mlp", "graphc", 2, (1.5, 1.6, 1.5, 1.5)),
        result("mlp", "torch", 2, (2.3, 2.2, 2.3, 2.4), trace={"the losses": (2.5, 2.75)}),
        fault,
    )
    busy = [
        {
            "workload": "mlp",
            "engine": "graphc",
            "when": when,
            "one": 0.0028,
            "two": two,
            "median": two / 0.0028,
            "low": 0.5,
            "high": 1.6,
            "fault": "",
        }
        for when, two in (("quiet", 0.0015), ("one core taken", 0.004))
    ]
    first = [
        {"workload": "tiny", "engine": "graphc", "threads": 2, "cold": 0.5, "warm": 0.05, "fault": ""},
        {"workload": "tiny", "engine": "jax", "threads": 2, "fault": "RuntimeError: no"},
    ]
    calls = ({"call": "x + 1 of a scalar", "backend": "c", "microseconds": 1.5},)
    compiles = ({"nodes": 1000, "build": 0.01, "differentiate": 0.02, "compile": 0.3, "first": 0.001},)
    faults = ("mlp, jax (2): XlaRuntimeError: no such thing",)
    return Scoreboard(MACHINE, results, calls, compiles, tuple(first), tuple(busy), faults)
