"""Steps within a memory budget beside the same steps without: the time they take, and that results are the same.

`python -m benchmarks deep` trains a residual MLP of 1,000 layers with the activations of 2 · sqrt(1,000) layers;
`python -m benchmarks half` trains gpt of the scoreboard, with dropout and without, in half of its memory;
`python -m benchmarks share` trains MobileNet-V2 at a batch that fits here, in the share of its memory that MONeT's
table gives it at a large one. The two programs of a pair take turns, each second round in reverse order, so that a busy
moment hits both alike.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

import graphc as gx
from benchmarks.frontier import GIB, MODELS
from benchmarks.models import gpt, residual
from benchmarks.models.training import Step
from benchmarks.sheet import Sheet
from graphc.api import build_graph
from graphc.backends.table import BACKENDS
from graphc.pipeline import ways_of
from graphc.plan.text import bytes_text

__all__ = ["Pair", "compare", "deep_budget", "main_deep", "main_half", "main_share"]

DEEP_GOAL, HALF_GOAL = 1.40, 1.25


@dataclass(frozen=True)
class Pair:
    """A step without a budget beside one within: peaks in bytes, seconds of a step in each round, what differs."""

    name: str
    budget: int
    peaks: tuple[int, int]
    overhead: float
    compiling: float
    rounds: tuple[tuple[float, float], ...]
    steps: int
    faults: tuple[str, ...]
    goal: float

    @property
    def ratio(self) -> float:
        """The median over rounds of the time within the budget, as a multiple of the time without."""
        return median(within / free for free, within in self.rounds)


def deep_budget(free: gx.Program, layers: int) -> int:
    """Bytes for the activations of 2 · sqrt(layers) layers, and for all that is no activation.

    What one layer saves for its gradient is what stands in the arena in the launch where the unconstrained plan is
    fullest, divided by the layers. All else that the program holds stays: parameters, state, inputs, outputs,
    workspaces and tables.
    """
    memory = free.memory
    activations = sum(tensor.nbytes for tensor in memory.at_peak)
    return int(memory.peak_bytes - memory.arena + 2 * math.sqrt(layers) * activations / layers)


def compare(
    name: str, step: Step, arrays: Sequence[Any], budget: Any, rounds: int, steps: int, backend: str, goal: float
) -> Pair:
    """Measure `step` that computes nothing twice, and within `budget`, a function of that program or a fraction.

    Both start from the same values and run `steps` steps, after which losses and parameters must be the same bits.
    """
    free = gx.compile(*step, backend=backend, threads=1, memory_budget=1.0)
    limit = budget(free) if callable(budget) else int(budget * free.memory.peak_bytes)
    begin = time.perf_counter()
    tight = gx.compile(*step, backend=backend, threads=1, memory_budget=limit)
    compiling = time.perf_counter() - begin
    programs, start = (free, tight), free.state_dict()
    traces = [_trained(program, start, arrays, steps) for program in programs]
    found = _timed(programs, arrays, rounds)
    peaks = free.memory.peak_bytes, tight.memory.peak_bytes
    faults = _differences(*traces)
    if peaks[1] > limit:
        faults.append(f"the program within {limit} bytes needs {peaks[1]}")
    return Pair(name, limit, peaks, tight.memory.overhead, compiling, found, steps, tuple(faults), goal)


def _trained(program: gx.Program, start: dict[str, Any], arrays: Sequence[Any], steps: int) -> dict[str, Any]:
    """Losses of so many steps from `start`, and the state after them. The programs share their parameters."""
    program.load_state_dict(start)
    program.step = 0
    losses = np.array([program(*arrays)["loss"] for _ in range(steps)])
    return {"losses": losses, **program.state_dict()}


def _differences(free: dict[str, Any], tight: dict[str, Any]) -> list[str]:
    found = [f"{key} differ" for key in free if free[key].tobytes() != tight[key].tobytes()]
    if not np.isfinite(free["losses"]).all() or len(set(free["losses"].tolist())) == 1:
        found.append(f"losses are {free['losses']}: they prove nothing")
    return found


def _timed(programs: Sequence[gx.Program], arrays: Sequence[Any], rounds: int) -> tuple[tuple[float, float], ...]:
    """Seconds of a step of each program, in rounds; the first round warms up and does not count."""
    found = []
    for number in range(rounds + 1):
        times = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            begin = time.perf_counter()
            programs[which](*arrays)
            times[which] = time.perf_counter() - begin
        found.append((times[0], times[1]))
    return tuple(found[1:])


def budget_sheet(title: str, pairs: Sequence[Pair]) -> Sheet:
    """A row for each pair."""
    columns = ["step", "peak", "budget", "peak within", "step", "step within", "ratio", "by costs", "goal", "same bits"]
    rows, notes = [], []
    for pair in pairs:
        free, within = (median(times) for times in zip(*pair.rounds, strict=True))
        reached = "reached" if pair.ratio <= pair.goal else "missed"
        rows.append([
            pair.name, *(bytes_text(size) for size in (pair.peaks[0], pair.budget, pair.peaks[1])),
            f"{1e3 * free:.1f} ms", f"{1e3 * within:.1f} ms", f"{pair.ratio:.3f}", f"{1 + pair.overhead:.3f}",
            f"≤ {pair.goal}: {reached}", f"{pair.steps} steps" if not pair.faults else "no",
        ])  # fmt: skip
        notes += [f"{pair.name}: {fault}" for fault in pair.faults]
        notes.append(
            f"{pair.name}: medians of {len(pair.rounds)} rounds; compiled within the budget in {pair.compiling:.1f} s"
        )
    return Sheet(title, columns, rows, notes)


# Commands --------------------------------------------------------------------------------------------------------
def _shrunk(step: Step, layers: int) -> Step:
    """The step of a residual MLP with weights so small that values stay finite through all layers."""
    for target in step[2]:
        if getattr(target, "trainable", False):
            target.value = target.value / np.float32(layers)  # type: ignore[attr-defined]
    return step


def main_deep(arguments: Sequence[str]) -> int:
    """Run `deep`; the exit code."""
    options = _options("deep", "A deep residual MLP in the memory of few layers.", arguments, ("layers", 1000))
    layers, width, batch = options.layers, 16 if options.quick else 128, 64 if options.quick else 256
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((batch, width), np.float32) for _ in range(2)]
    step = _shrunk(residual.build(layers, width, batch, rng=0), layers)
    pair = compare(
        f"{layers} layers of {width}, batch {batch}", step, arrays, lambda free: deep_budget(free, layers),
        options.rounds, options.steps, options.backend, DEEP_GOAL,
    )  # fmt: skip
    return _told("a deep step with the activations of 2 · sqrt(layers) layers", [pair])


def main_half(arguments: Sequence[str]) -> int:
    """Run `half`; the exit code."""
    options = _options("half", "gpt in half of its memory.", arguments)
    sizes: dict[str, int] = {"batch": 2, "steps": 64, "layers": 4, "size": 32, "heads": 2} if options.quick else {}
    batch, length = sizes.get("batch", 8), sizes.get("steps", 256)
    rng, pairs = np.random.default_rng(0), []
    arrays = [rng.integers(0, 65, shape).astype(np.int32) for shape in ((batch, length), (batch * length,))]
    for dropout in (0.0, 0.1):
        step = gpt.build(**sizes, dropout=dropout)  # type: ignore[arg-type]
        name = "gpt" + (f", dropout {dropout}" if dropout else "")
        pairs.append(
            compare(name, step, arrays, options.fraction, options.rounds, options.steps, options.backend, HALF_GOAL)
        )
    return _told("gpt within a part of its unconstrained peak", pairs)


def main_share(arguments: Sequence[str]) -> int:
    """Run `share`; the exit code."""
    options = _options("share", "MobileNet-V2 in MONeT's share of its memory.", arguments, ("batch", 16))
    model, rng = MODELS["mobilenet"], np.random.default_rng(0)
    sizes = model.small if options.quick else {"batch": options.batch}
    step = model.build(**sizes, rng=0)
    (x, y), classes = step[0], sizes.get("classes", 1000)
    arrays = [rng.standard_normal(x.shape, np.float32), rng.integers(0, classes, y.shape).astype(np.int32)]
    assert model.published is not None
    largest = ways_of(build_graph(*model.build())[0], BACKENDS[options.backend], 1).plain.peak
    fraction = 0.95 if options.quick else model.published.monet * GIB / largest
    name, goal = f"MobileNet-V2, batch {x.shape[0]}", 1 + model.published.overhead
    pair = compare(name, step, arrays, fraction, options.rounds, options.steps, options.backend, goal)
    return _told("a step within the share of its memory that MONeT gives it", [pair])


def _told(title: str, pairs: Sequence[Pair]) -> int:
    console = Console(width=max(Console().width, 160))
    console.print(budget_sheet(title, pairs))
    return 1 if any(pair.faults for pair in pairs) else 0


def _options(name: str, what: str, arguments: Sequence[str], *numbers: tuple[str, int]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=what)
    for option, value in (*numbers, ("rounds", 9), ("steps", 5)):
        parser.add_argument(f"--{option}", type=int, default=value, metavar="N", help="(%(default)s)")
    if name == "half":
        parser.add_argument("--fraction", type=float, default=0.5, metavar="F", help="of the peak (%(default)s)")
    parser.add_argument("--backend", choices=("auto", "c", "cython"), default="auto", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes: a smoke test")
    return parser.parse_args(arguments)
