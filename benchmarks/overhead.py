"""What a call costs beside its work, and how compile time grows with the size of a graph."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc as gx

__all__ = ["call_overhead", "compile_times"]


def call_overhead(calls: int = 20_000, backend: str = "auto") -> list[dict[str, Any]]:
    """Microseconds of a call of the smallest programs on one thread: the fastest of ten runs."""
    options: dict[str, Any] = {"backend": backend, "threads": 1}
    x, y = gx.input("x", ()), gx.input("y", (64,))
    number, array = np.float32(1), np.ones(64, np.float32)
    result = np.empty(64, np.float32)
    add = gx.compile([x], x + 1, **options)
    double = gx.compile([y], y * 2, **options)
    weight = gx.parameter("w", np.ones(64, np.float32))
    update = gx.compile([y], gx.sum(weight * y), {weight: weight - y * 1e-9}, **options)
    cases: dict[str, Callable[[], Any]] = {
        "x + 1 of a scalar": lambda: add(number),
        "y * 2 of 64 elements": lambda: double(array),
        "y * 2 of 64 elements, out=": lambda: double(array, out=result),
        "a sum and an update of 64": lambda: update(array),
    }
    return [
        {"call": name, "backend": add.backend, "microseconds": 1e6 * _fastest(run, calls // 10)}
        for name, run in cases.items()
    ]


def _fastest(run: Callable[[], Any], calls: int) -> float:
    """The seconds of a call: the fastest of ten runs of `calls`."""
    found = []
    for _ in range(10):
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        found.append((time.perf_counter() - begin) / calls)
    return min(found)


def compile_times(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Seconds to build, differentiate and compile a chain of so many nodes, and for its first call."""
    rows = []
    for size in sizes:
        times = [time.perf_counter()]
        x = y = gx.input("x", (16,))
        for _ in range(size // 2):
            y = gx.sin(y) + x
        loss = gx.sum(y)
        times.append(time.perf_counter())
        slope = gx.grad(loss, x)
        times.append(time.perf_counter())
        program = gx.compile([x], [loss, slope])
        times.append(time.perf_counter())
        program(np.ones(16, np.float32))
        times.append(time.perf_counter())
        stages = zip(("build", "differentiate", "compile", "first"), itertools.pairwise(times), strict=True)
        rows.append({"nodes": size, **{stage: end - begin for stage, (begin, end) in stages}})
    return rows
