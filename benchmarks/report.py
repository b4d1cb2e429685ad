"""The scoreboard as tables: each workload's engines, all workloads on one page, and the special measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compare import Ratio, disagreements, find, goal_ratio, leader, mean_ratio, ratio
from benchmarks.engines import ENGINES, OURS
from benchmarks.machine import Limits
from benchmarks.measure import Result
from benchmarks.memory import GOAL, WORKLOADS_OF_GOAL
from benchmarks.scoreboard import Machine, Scoreboard
from benchmarks.sheet import Sheet
from benchmarks.workload import Goal
from benchmarks.workloads import GROUP_GOALS, GROUPS, WORKLOADS
from graphc.plan.text import bytes_text

__all__ = ["busy_sheet", "call_sheet", "compile_sheet", "first_sheet", "machine_lines", "markdown", "memory_sheet",
           "step_sheet", "summary_sheet"]  # fmt: skip

CROWDED = 0.15  # processors used by others: from here on a measurement is called disturbed
BUSY_LIMITS = {"quiet": 1.0, "one core taken": 1.3}  # two threads may take so many times what one takes
MARGIN = 1.05  # times that are said to be equal may differ by so much


# One workload ----------------------------------------------------------------------------------------------------
def step_sheet(results: Sequence[Result], limits: Limits) -> Sheet:
    """The engines of one workload, or of a group of them, in the order they were measured."""
    names = list(dict.fromkeys(result.workload for result in results))
    single = len(names) == 1
    title = f"{names[0]}: {WORKLOADS[names[0]].title}" if single else WORKLOADS[names[0]].group
    columns = ["engine", "threads", "step", "fastest", "of limit", "graphc is faster by", "first call", "memory"]
    rows = [([] if single else [result.workload]) + _step_row(result, results, limits) for result in results]
    notes = [f"{result.workload}, {result.engine} ({result.threads}): {result.fault}" for result in results
             if result.fault and result.engine not in WORKLOADS[result.workload].left_out]  # fmt: skip
    for name in names:
        notes += disagreements([result for result in results if result.workload == name])
    notes += _crowd(results)
    return Sheet(title, columns if single else ["workload", *columns], rows, notes, 1 if single else 2)


def _step_row(result: Result, results: Sequence[Result], limits: Limits) -> list[str]:
    if result.fault:
        reason = "left out" if result.engine in WORKLOADS[result.workload].left_out else "failed"
        return [result.engine, str(result.threads), reason, "", "", "", "", ""]
    own = find(results, result.workload, leader(results), result.threads)
    against = str(ratio(own, result)) if own and own is not result else ""
    return [
        _engine(result), str(result.threads), _time(result.median), _time(result.minimum), _fraction(result, limits),
        against, _time(result.build + result.first), bytes_text(result.memory),
    ]  # fmt: skip


def _engine(result: Result) -> str:
    """The engine, and what it chose where it had a choice."""
    return f"{result.engine} ({result.backend})" if ENGINES[result.engine].option == "auto" else result.engine


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.2f} s"
    return f"{1e6 * seconds:,.1f} µs" if seconds < 1e-3 else f"{1e3 * seconds:,.2f} ms"


def _fraction(result: Result, limits: Limits) -> str:
    fraction = limits.seconds(result.threads, result.flops, result.traffic) / result.minimum
    return "" if math.isnan(fraction) else f"{fraction:.1%}" if fraction < 0.1 else f"{fraction:.0%}"


def _crowd(results: Sequence[Result]) -> list[str]:
    """A sentence about others' load, if there was any to speak of."""
    most = max((result.others for result in results), default=0.0)
    if most < CROWDED:
        return []
    return [f"Others used up to {most:.1f} processors meanwhile: rely on the ratios, not on the times."]


# All workloads ---------------------------------------------------------------------------------------------------
def summary_sheet(results: Sequence[Result], limits: Limits) -> Sheet:
    """One row for each workload and number of threads: graphc's step, and how many times faster it is than peers."""
    own = leader(results)
    peers = [name for name in ENGINES if name != own and any(r.engine == name and not r.fault for r in results)]
    threads = sorted({result.threads for result in results})
    rows = []
    for name in (name for name in WORKLOADS if any(result.workload == name for result in results)):
        counts = (count for count in threads if any((r.workload, r.threads) == (name, count) for r in results))
        rows += [_summary_row(results, limits, name, count, peers, threads[0]) for count in counts]
    for group, goal in GROUP_GOALS.items():
        for count in threads:
            rows += _mean_row(results, group, goal, count, peers)
    ratios = [f"× {name}" for name in (*peers, f"{threads[0]} thread")]
    columns = ["workload", "threads", own, "of limit", *ratios, "goal"]
    notes = [f"× PEER: how many times faster {own} is, median of the rounds. Goals are about the faster peer named."]
    return Sheet("all workloads", columns, rows, [*notes, *_crowd(results)], wide=len(columns) - 1)


def _summary_row(
    results: Sequence[Result], limits: Limits, name: str, threads: int, peers: Sequence[str], fewest: int
) -> list[str]:
    own = find(results, name, leader(results), threads)
    if own is None:
        return [name, str(threads), "not measured", "", *("" for _ in peers), "", ""]
    others = [find(results, name, peer, threads) for peer in peers]
    ratios = [str(ratio(own, other)) if other else "" for other in others]
    alone = find(results, name, own.engine, fewest)
    scale = str(ratio(own, alone)) if alone and threads != fewest else ""
    verdicts = [_verdict(goal, threads, goal_ratio(results, name, goal, threads)) for goal in WORKLOADS[name].goals]
    said = "; ".join(filter(None, verdicts))
    return [name, str(threads), _time(own.median), _fraction(own, limits), *ratios, scale, said]


def _mean_row(results: Sequence[Result], group: str, goal: Goal, threads: int, peers: Sequence[str]) -> list[list[str]]:
    """The geometric means over a group, if it was measured wholly."""
    own = [find(results, name, leader(results), threads) for name in GROUPS[group]]
    means: dict[str, Ratio] = {}
    for peer in peers:
        others = [find(results, name, peer, threads) for name in GROUPS[group]]
        pairs = [(mine, other) for mine, other in zip(own, others, strict=True) if mine and other]
        if len(pairs) == len(own):
            means[peer] = mean_ratio([ratio(mine, other) for mine, other in pairs])
    if not means:
        return []
    verdict = _verdict(goal, threads, means.get(goal.peers[0]))
    cells = [str(means[peer]) if peer in means else "" for peer in peers]
    return [[f"{group}, geometric mean", str(threads), "", "", *cells, "", verdict]]


def _verdict(goal: Goal, threads: int, found: Ratio | None) -> str:
    """Whether a goal was reached; nothing where there is none, or nothing to compare with."""
    wanted = goal.ratios.get(threads)
    if wanted is None or found is None:
        return ""
    word = "reached" if found.median >= wanted else "missed"
    return f"≥ {wanted:g}× {found.peer}: {word}"


# The special measurements ----------------------------------------------------------------------------------------
def call_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    cells = [[row["call"], row["backend"], f"{row['microseconds']:.2f} µs"] for row in rows]
    return Sheet("call overhead", ["call", "backend", "fastest"], cells, left=2)


def compile_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    columns = ["nodes", "build", "differentiate", "compile", "first call", "compile, a node"]
    cells = []
    for row in rows:
        times = [f"{row[name]:.3f} s" for name in ("build", "differentiate", "compile", "first")]
        cells.append([f"{row['nodes']:,}", *times, f"{1e6 * row['compile'] / row['nodes']:.1f} µs"])
    return Sheet("compile time of a chain and its gradient", columns, cells, left=0)


def first_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    """From a built model to the first result, with an empty cache of compiled code and with a full one."""
    cells = [
        [row["workload"], row["engine"], "failed" if row["fault"] else _time(row["cold"]),
         "" if row["fault"] else _time(row["warm"])]
        for row in rows
    ]  # fmt: skip
    notes = [f"{row['workload']}, {row['engine']}: {row['fault']}" for row in rows if row["fault"]]
    return Sheet("first call", ["workload", "engine", "cold cache", "warm cache"], cells, notes, left=2)


def busy_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    """Two threads against one, alone and while another process keeps one of the cores busy."""
    cells, notes = [], []
    for row in rows:
        if row["fault"]:
            notes.append(f"{row['workload']}, {row['engine']}, {row['when']}: {row['fault']}")
            continue
        limit = BUSY_LIMITS[row["when"]]
        word = "reached" if row["median"] <= limit * (MARGIN if limit == 1 else 1) else "missed"
        spread = f"{row['median']:.2f} [{row['low']:.2f}–{row['high']:.2f}]"
        times = [_time(row["one"]), _time(row["two"])]
        cells.append([row["workload"], row["engine"], row["when"], *times, spread, f"≤ {limit:g}: {word}"])
    columns = ["workload", "engine", "machine", "1 thread", "2 threads", "2 / 1", "goal"]
    notes.append(f"Goals allow for {MARGIN - 1:.0%} of noise where the two should be equal.")
    return Sheet("two threads and one", columns, cells, notes, left=3)


def memory_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    """What each process grew by until the peak of its steps, what graphc planned, and PyTorch's in comparison."""
    notes = [f"{_contender(row)}: {row['fault']}" for row in rows if row["fault"]]
    good = [row for row in rows if not row["fault"]]
    cells = [_memory_row(row, good) for row in good]
    missed = {row["workload"]: row for row, cell in zip(good, cells, strict=True) if cell[-1].endswith("missed")}
    notes += [f"{_contender(row)}, at the peak: {tensors}" for row in missed.values() for tensors in row["at_peak"]]
    notes += [
        "peak: how much a fresh process grows, while steps run, over what it holds with libraries loaded and warm;",
        "before: the part of it that is there before the first step; steps: the rest; planned: what the plan says.",
    ]
    if not all(row["is_exact"] for row in good):
        notes.append("The system does not let the peak be counted from the first step on: it includes compiling.")
    columns = [
        "workload",
        "engine",
        "threads",
        "before",
        "steps",
        "peak",
        "planned steps",
        "planned",
        "of torch's",
        "goal",
    ]
    return Sheet("memory of a step", columns, cells, notes, left=2)


def _contender(row: Mapping[str, Any]) -> str:
    return f"{row['workload']}, {row['engine']} ({row['threads']})"


def _memory_row(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    same = [r for r in rows if (r["workload"], r["threads"], r["engine"]) == (row["workload"], row["threads"], "torch")]
    share = row["peak"] / same[0]["peak"] if same and row["engine"] != "torch" else None
    judged = share is not None and row["engine"] in OURS and row["workload"] in WORKLOADS_OF_GOAL
    planned = [bytes_text(row[name]) if row["planned"] else "" for name in ("planned_steps", "planned")]
    sizes = [bytes_text(size) for size in (row["made"], row["peak"] - row["made"], row["peak"])]
    return [
        row["workload"], row["engine"], str(row["threads"]), *sizes, *planned, f"{share:.2f}" if share else "",
        f"≤ {GOAL:g}: {'reached' if share <= GOAL else 'missed'}" if share and judged else "",
    ]  # fmt: skip


# Whole documents -------------------------------------------------------------------------------------------------
def machine_lines(machine: Machine) -> list[str]:
    """What was measured on, in sentences."""
    packages = ", ".join(f"{name} {number}" for name, number in machine.packages.items())
    lines = [f"{machine.processor}, {machine.cores} cores, {machine.system}; Python {machine.python}, {packages}; "
             f"graphc's kernels for {machine.level}."]  # fmt: skip
    limits = machine.limits
    if limits.reason:
        return [*lines, f"The machine's limits are unknown: {limits.reason}."]
    for threads, flops in limits.flops.items():
        copies = ", ".join(f"{rate / 1e9:.0f} ({bytes_text(size)})" for size, rate in limits.copies[threads].items())
        cores = "1 core" if threads == 1 else f"{threads} cores"
        lines.append(f"Limits of {cores}: {flops / 1e9:.0f} GFLOP/s in float32; copying {copies} GB/s.")
    return lines


def markdown(board: Scoreboard) -> str:
    """The whole scoreboard as a document."""
    parts = ["## Scoreboard\n", "  \n".join(machine_lines(board.machine)) + "\n"]
    parts += [f"**{fault}**\n" for fault in board.faults]
    if board.results:
        parts.append(summary_sheet(board.results, board.machine.limits).markdown())
    sheets = [
        (busy_sheet, board.busy),
        (memory_sheet, board.memory),
        (first_sheet, board.first_calls),
        (call_sheet, board.calls),
    ]
    parts += [make(rows).markdown() for make, rows in (*sheets, (compile_sheet, board.compiles)) if rows]
    for names in _together(board.results):
        found = [result for result in board.results if result.workload in names]
        parts.append(step_sheet(found, board.machine.limits).markdown())
    return "\n".join(parts)


def _together(results: Sequence[Result]) -> list[list[str]]:
    """The measured workloads, those of a group together."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(result.workload for result in results):
        found.setdefault(WORKLOADS[name].group or name, []).append(name)
    return list(found.values())
