"""`python -m benchmarks scale`: what building and compiling programs of many equal parts takes, and how that grows.

One table, `PROGRAMS`: many parameters stacked, joined, read one by one; many outputs, layers, tangents. The tests count
calls of the same programs, which does not depend on the machine; here time is measured, on one thread.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

import graphc as gx
from benchmarks.sheet import Sheet

__all__ = ["PROGRAMS", "Timing", "main", "scale_sheet", "time_program"]

SIZES = (1_000, 5_000, 20_000)
Program = tuple[list[gx.Tensor], list[gx.Tensor], dict[gx.Parameter, gx.Tensor]]


def _stepped(loss: gx.Tensor, parameters: Sequence[gx.Parameter]) -> dict[gx.Parameter, gx.Tensor]:
    """A step of gradient descent."""
    return {p: p - 0.1 * g for p, g in zip(parameters, gx.grad(loss, parameters), strict=True)}


def _parameters(count: int, *shape: int) -> list[gx.Parameter]:
    return [gx.parameter(f"p{i}", np.ones(shape, np.float32)) for i in range(count)]


def stacked(count: int) -> Program:
    """Parameters stacked, and trained."""
    parameters = _parameters(count, 4)
    loss = gx.sum(gx.sin(gx.stack(parameters)))
    return [], [loss], _stepped(loss, parameters)


def joined(count: int) -> Program:
    """Inputs of several shapes side by side, and their gradients."""
    inputs = [gx.input(f"x{i}", (3, 1 + i % 3)) for i in range(count)]
    joined = gx.sin(gx.concatenate(inputs, 1))
    return inputs, [joined, *gx.grad(gx.sum(joined), inputs)], {}


def rows(count: int) -> Program:
    """A matrix taken apart by rows, put together anew, and its gradient."""
    x = gx.input("x", (count, 4))
    joined = gx.stack([gx.sin(x[i]) * x[i - 1] for i in range(count)])
    return [x], [joined, gx.grad(gx.sum(joined), x)], {}


def outputs(count: int) -> Program:
    """Results of one input."""
    x = gx.input("x", (8,))
    return [x], [gx.sin(x * float(i)) for i in range(count)], {}


def layers(count: int) -> Program:
    """Dense layers one after the other, and a training step."""
    x, weights = gx.input("x", (8, 16)), _parameters(count, 16, 16)
    h = x
    for weight in weights:
        h = gx.tanh(h @ weight)
    loss = gx.mean(h)
    return [x], [loss], _stepped(loss, weights)


def chain(count: int) -> Program:
    """Elementwise operations one after the other, and their gradient."""
    x = gx.input("x", (64,))
    h = x
    for _ in range(count):
        h = gx.sin(h) + x
    return [x], [h, gx.grad(gx.sum(h), x)], {}


def tangents(count: int) -> Program:
    """Columns of the Jacobian of a chain of rotations, forward, a hundredth as many as are asked for."""
    x = gx.input("x", (12,))
    joint = gx.constant(np.eye(3, dtype=np.float32))
    for i in range(0, 12, 2):
        c, s = gx.cos(x[i]), gx.sin(x[i])
        joint = joint @ gx.stack([gx.stack([c, -s, x[i + 1]]), gx.stack([s, c, c]), gx.stack([x[i], s, c * s])])
    directions = [np.eye(12, dtype=np.float32)[i % 12] * (1 + i) for i in range(max(count // 100, 1))]
    return [x], [gx.jvp([joint], [x], [gx.constant(d)])[0] for d in directions], {}


PROGRAMS: dict[str, Callable[[int], Program]] = {
    "stacked parameters": stacked, "joined inputs": joined, "rows": rows, "outputs": outputs, "layers": layers,
    "chain": chain, "tangents": tangents,
}  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Seconds that a program of `count` parts took."""

    program: str
    count: int
    launches: int
    build: float
    compile: float


def time_program(name: str, count: int) -> Timing:
    """Build and compile for the Cython engine, which compiles no C."""
    begun = time.perf_counter()
    inputs, results, updates = PROGRAMS[name](count)
    built = time.perf_counter()
    program = gx.compile(inputs, results, updates, backend="cython", threads=1)
    done = time.perf_counter()
    plan: Any = program.plan
    return Timing(name, count, len(plan.launches), built - begun, done - built)


def scale_sheet(timings: Sequence[Timing]) -> Sheet:
    """A row for each program and size, with the exponents by which times grew since the size before: 1 is linear."""
    rows = []
    for timing in timings:
        before = [other for other in timings if other.program == timing.program and other.count < timing.count][-1:]
        cells = [timing.program, f"{timing.count:,}", f"{timing.launches:,}"]
        for kind in ("build", "compile"):
            seconds = getattr(timing, kind)
            cells += [f"{seconds:.2f} s", _exponent(before[0], timing, kind) if before else ""]
        rows.append(cells)
    columns = ["program", "parts", "launches", "build", "growth", "compile", "growth"]
    return Sheet("scale", columns, rows, ["Growth: the exponent of the number of parts, since the size before."])


def _exponent(before: Timing, timing: Timing, kind: str) -> str:
    ratio = getattr(timing, kind) / getattr(before, kind)
    return f"{math.log(ratio) / math.log(timing.count / before.count):.2f}"


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description="How building and compiling grow.")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="N,N", help="parts of the programs (1k to 20k)")
    parser.add_argument("--only", choices=PROGRAMS, action="append", metavar="NAME", help="of: " + ", ".join(PROGRAMS))
    options = parser.parse_args(arguments)
    console, timings = Console(width=max(Console().width, 100)), []
    for name in options.only or PROGRAMS:
        for size in options.sizes:
            with console.status(f"{name}, {size:,}"):
                timings.append(time_program(name, size))
    console.print(scale_sheet(timings))
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))
