"""`python -m benchmarks planning`: how long planning takes, stage by stage, and how that grows with the graph.

The graphs are training steps of a narrow residual MLP, a chain, and of many small branches that meet in one sum. Time
is that of one thread; the garbage collector rests, as it does in `gx.compile`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

import graphc as gx
from benchmarks.models import residual
from benchmarks.models.training import ZEROS, Step
from benchmarks.sheet import Sheet
from graphc import nn, optim
from graphc.api import build_graph
from graphc.assembly.budgeted import Budgeted
from graphc.assembly.plan import sketch_program
from graphc.backends.c.backend import C
from graphc.errors import MemoryBudgetError
from graphc.fusion.fuse import fuse
from graphc.ir.collection import collection_paused
from graphc.pipeline import optimise

__all__ = ["GRAPHS", "Timing", "main", "plan_graph", "planning_sheet"]

SIZES = (1_000, 3_000, 10_000, 30_000)
WIDTH, BATCH = 16, 64
STAGES = ("build", "passes", "fusion", "drafts", "order and place", "search")
GOAL_NODES, GOAL_SECONDS = 10_000, 20.0


def chain(nodes: int) -> Step:
    """A residual MLP of about so many nodes."""
    return residual.build(max(nodes // 27, 1), WIDTH, BATCH, rng=ZEROS)


def branches(nodes: int) -> Step:
    """Small networks side by side, all on one input, whose results are added; of about so many nodes."""
    x, y = gx.input("x", (BATCH, WIDTH)), gx.input("y", (BATCH, WIDTH))
    parts = [
        nn.Sequential(nn.Linear(WIDTH, WIDTH, rng=ZEROS), nn.Tanh(), nn.Linear(WIDTH, WIDTH, rng=ZEROS))
        for _ in range(max(nodes // 45, 1))
    ]
    loss = nn.mse_loss(sum((part(x) for part in parts[1:]), parts[0](x)), y)
    weights = [weight for part in parts for weight in part.parameters()]
    return [x, y], {"loss": loss}, optim.SGD(lr=0.01, momentum=0.9).minimize(loss, weights)


GRAPHS: dict[str, Callable[[int], Step]] = {"residual MLP": chain, "small branches": branches}


@dataclass(frozen=True)
class Timing:
    """What planning a graph of `nodes` took, in seconds by stage; and what the budget of half the arena came to."""

    graph: str
    nodes: int
    launches: int
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: str = ""

    @property
    def total(self) -> float:
        """Seconds of all stages but building the graph, which is the user's."""
        return sum(self.seconds.values()) - self.seconds["build"]


def plan_graph(name: str, nodes: int) -> Timing:
    """Plan a graph of about `nodes` nodes for the C engine, without its machine code, then within half the arena."""
    times = [time.perf_counter()]

    def timed(value: Any) -> Any:
        times.append(time.perf_counter())
        return value

    with collection_paused():
        graph = timed(build_graph(*GRAPHS[name](nodes))[0])
        optimised = timed(optimise(graph, C))
        groups = timed(fuse(optimised))
        program = timed(sketch_program(optimised, groups, C.how, 1))
        ways = timed(Budgeted(program))
        outcome = timed(_half(ways))
    seconds = [end - begin for begin, end in itertools.pairwise(times)]
    return Timing(name, len(graph.nodes), len(program.sketches), dict(zip(STAGES, seconds, strict=True)), outcome)


def _half(ways: Budgeted) -> str:
    arena = ways.plain.planned.plan.arena_bytes
    try:
        return f"{ways.within(ways.plain.peak - arena // 2).overhead:.1%} more work"
    except MemoryBudgetError:
        return f"refused; least {(ways.smallest().planned.plan.arena_bytes) / max(arena, 1):.0%} of the arena"


# Output ----------------------------------------------------------------------------------------------------------
def planning_sheet(timings: Sequence[Timing]) -> Sheet:
    """A row for each graph, with the exponent by which time grew since the size before: 1 is linear."""
    columns = ["graph", "nodes", "launches", *STAGES, "planned in", "growth", "without search", "half the arena"]
    rows = []
    for timing in timings:
        before = [other for other in timings if other.graph == timing.graph and other.nodes < timing.nodes][-1:]
        total, first = timing.total, timing.total - timing.seconds["search"]
        growth = [_exponent(before[0], timing, total, before[0].total)] if before else [""]
        since = before[0].total - before[0].seconds["search"] if before else 0.0
        growth += [_exponent(before[0], timing, first, since)] if before else [""]
        stages = [f"{timing.seconds[stage]:.2f}" for stage in STAGES]
        rows.append(
            [
                timing.graph,
                f"{timing.nodes:,}",
                f"{timing.launches:,}",
                *stages,
                f"{total:.1f} s",
                *growth,
                timing.outcome,
            ]
        )
    slow = [timing for timing in timings if timing.nodes <= 1.1 * GOAL_NODES and timing.total > GOAL_SECONDS]
    notes = ["Seconds on one core. Growth: the exponent of the number of nodes, since the size before."]
    notes += [f"{timing.graph}, {timing.nodes:,} nodes: above the goal of {GOAL_SECONDS:.0f} s" for timing in slow]
    return Sheet("planning", columns, rows, notes)


def _exponent(before: Timing, timing: Timing, now: float, then: float) -> str:
    return f"{math.log(now / then) / math.log(timing.nodes / before.nodes):.2f}"


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks planning", description="How planning time grows.")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="N,N", help="nodes of the graphs (1k to 30k)")
    options = parser.parse_args(arguments)
    console, timings = Console(width=max(Console().width, 180)), []
    for name in GRAPHS:
        for size in options.sizes:
            with console.status(f"{name}, {size:,} nodes"):
                timings.append(plan_graph(name, size))
            told = f"{name}, {timings[-1].nodes:,} nodes: {timings[-1].total:.1f} s"
            console.print(told, highlight=False)
    console.print(planning_sheet(timings))
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))
