"""What follows from results: ratios pair by pair, whether engines agree, and what the goals say.

A ratio is taken within each round, where both were measured one after the other, and reported as the median over the
rounds with the middle half as its spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median, quantiles

from benchmarks.engines import OURS
from benchmarks.measure import Result
from benchmarks.workload import Goal
from benchmarks.workloads import WORKLOADS

__all__ = ["Ratio", "disagreements", "faster", "find", "goal_ratio", "leader", "mean_ratio", "ratio"]


@dataclass(frozen=True)
class Ratio:
    """How many times faster: the median over the rounds, and where the middle half of them lies."""

    median: float
    low: float
    high: float
    peer: str

    def __str__(self) -> str:
        return f"{_number(self.median)}× [{_number(self.low)}–{_number(self.high)}]"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def find(results: Iterable[Result], workload: str, engine: str, threads: int) -> Result | None:
    """The result of a contender, unless it has a fault."""
    subject = workload, engine, threads
    found = (r for r in results if (r.workload, r.engine, r.threads) == subject and not r.fault)
    return next(found, None)


def ratio(result: Result, peer: Result) -> Ratio:
    """How many times faster `result` is than `peer`."""
    ratios = [other / own for own, other in zip(result.rounds, peer.rounds, strict=False)]
    if len(ratios) < 2:
        return Ratio(ratios[0], ratios[0], ratios[0], peer.engine)
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return Ratio(median(ratios), low, high, peer.engine)


def faster(results: Iterable[Result], workload: str, peers: Sequence[str], threads: int) -> Result | None:
    """The fastest of the peers that ran."""
    found = [result for peer in peers if (result := find(results, workload, peer, threads))]
    return min(found, key=lambda result: result.median, default=None)


def leader(results: Iterable[Result]) -> str:
    """The engine that goals are about: graphc as users get it, or the first engine of ours that was measured."""
    return next((engine for engine in OURS if any(result.engine == engine for result in results)), "graphc")


def goal_ratio(results: Sequence[Result], workload: str, goal: Goal, threads: int) -> Ratio | None:
    """What a goal is about: the leader against the fastest of the goal's peers; None where one was not measured."""
    own, peer = find(results, workload, leader(results), threads), faster(results, workload, goal.peers, threads)
    return ratio(own, peer) if own and peer else None


def mean_ratio(ratios: Sequence[Ratio]) -> Ratio:
    """The geometric mean of ratios to one peer, with those of their lower and upper ends."""
    middle = geometric_mean(part.median for part in ratios)
    low, high = geometric_mean(part.low for part in ratios), geometric_mean(part.high for part in ratios)
    return Ratio(middle, low, high, ratios[0].peer)


# Agreement -------------------------------------------------------------------------------------------------------
def disagreements(results: Sequence[Result], tolerance: float | None = None) -> list[str]:
    """What is wrong with the numbers that the engines computed for one workload; empty if all agree.

    Every engine is compared with the first one, within the workload's `tolerance`; each engine of graphc with itself on
    another number of threads, to the bit.
    """
    good = [result for result in results if not result.fault]
    sentences = []
    for other in good[1:]:
        same = next(result for result in good if result.engine == other.engine)
        exact = _differences(same, other, 0.0) if other.engine in OURS else []
        sentences += exact or _differences(good[0], other, tolerance or WORKLOADS[other.workload].tolerance)
    return sentences


def _differences(first: Result, other: Result, tolerance: float) -> list[str]:
    """A sentence about the first numbers that differ by more than `tolerance`, relative to the largest beside them."""
    if first.trace.keys() != other.trace.keys():
        return [f"{_title(first)} and {_title(other)} compute different things"]
    for label, values in first.trace.items():
        others = other.trace[label]
        scale = max(map(abs, (*values, *others)), default=0.0)
        for number, (a, b) in enumerate(zip(values, others, strict=True), 1):
            if not _close(a, b, tolerance * scale):
                what = f"number {number} of {label}"
                return [f"{_title(first)} and {_title(other)} differ in {what}: {a:.8g} and {b:.8g}"]
    return []


def _close(a: float, b: float, difference: float) -> bool:
    return a == b or (math.isfinite(a) and math.isfinite(b) and abs(a - b) <= difference)


def _title(result: Result) -> str:
    return f"{result.engine} ({result.threads})"
