"""`graphc bench`: how fast the steps of the demo's two networks run here, on random data.

The full comparison, with PyTorch's steps beside graphc's, is `python -m benchmarks` in a checkout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import graphc as gx
from graphc.examples import digits_cnn, digits_mlp
from graphc.examples.digits import CLASSES, training_step
from graphc.plan.text import bytes_text

__all__ = ["bench"]


def bench(console: Console, *, backend: str, threads: int | None, seconds: float, profile: bool) -> int:
    """Print a table of training steps, measured for `seconds` each, and the time of each launch if `profile`."""
    table = Table(title="a call, and training steps of 64 images")
    table.add_column("program")
    for title in ("compile", "first call", "median", "fastest", "memory"):
        table.add_column(title, justify="right")
    profiles = []
    for name, make in _programs(backend, threads).items():
        begin = time.perf_counter()
        program, arrays = make()
        compiled = time.perf_counter()
        program(*arrays)
        first = time.perf_counter() - compiled
        times = _measured(program, arrays, seconds)
        columns = [f"{1e6 * value:,.1f} µs" for value in (first, median(times), min(times))]
        table.add_row(name, f"{compiled - begin:.2f} s", *columns, bytes_text(program.memory.peak_bytes))
        profiles += [(name, program.profile(*arrays))] if profile else []
    console.print(table)
    for name, found in profiles:
        console.rule(name)
        console.print(str(found), markup=False, highlight=False)
    console.print("beside PyTorch, on more workloads: python -m benchmarks, in a checkout of graphc", highlight=False)
    return 0


def _programs(backend: str, threads: int | None) -> dict[str, Callable[[], tuple[Any, list[Any]]]]:
    """By name: what makes a program and arrays to call it with."""
    rng = np.random.default_rng(0)
    images = rng.random((64, 1, 8, 8), np.float32)
    labels = rng.integers(0, CLASSES, 64).astype(np.int32)

    def smallest() -> tuple[Any, list[Any]]:
        x = gx.input("x", ())
        return gx.compile([x], x + 1, backend=backend, threads=threads), [np.float32(1)]

    def step(example: Any) -> tuple[Any, list[Any]]:
        program = training_step(example.build(), example.optimizer(1000), 64, backend=backend, threads=threads)
        return program, [images, labels]

    return {"x + 1": smallest, "MLP": lambda: step(digits_mlp), "CNN": lambda: step(digits_cnn)}


def _measured(run: Callable[..., Any], arrays: list[Any], seconds: float) -> list[float]:
    """The seconds of each call, for `seconds` in all and for three calls at least."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        run(*arrays)
        times.append(time.perf_counter() - begin)
    return times
