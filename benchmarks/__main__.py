"""`python -m benchmarks [--quick] [WHAT ...]`: measure, print tables, and write JSON where asked."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.engines import ENGINES, missing
from benchmarks.measure import Result, measure
from benchmarks.overhead import call_overhead, compile_times
from benchmarks.report import call_table, compile_table, json_text, step_table
from benchmarks.workloads import WORKLOADS

WHAT = (*WORKLOADS, "call", "compile")


def main() -> int:
    options = _options()
    console = Console(width=max(Console().width, 110))
    steps = list(_steps(options, console))
    calls = call_overhead(2_000 if options.quick else 20_000) if "call" in options.what else []
    if calls:
        console.print(call_table(calls))
    sizes = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    compiles = compile_times(sizes) if "compile" in options.what else []
    if compiles:
        console.print(compile_table(compiles))
    if options.json:
        options.json.write_text(json_text(steps, calls, compiles))
    return 1 if any(result.fault for result in steps) else 0


def _steps(options: argparse.Namespace, console: Console) -> Iterator[Result]:
    """The training steps that were asked for, printed as they are measured."""
    reasons = {engine: missing(engine) for engine in options.engines}
    for engine, reason in reasons.items():
        if reason:
            console.print(f"{engine} is left out: {reason}", highlight=False)
    contenders = [(engine, threads) for threads in options.threads for engine in options.engines if not reasons[engine]]
    rounds, seconds = (3, 0.2) if options.quick else (8, 1.0)
    for workload in (name for name in options.what if name in WORKLOADS and contenders):
        found = measure(workload, contenders, rounds, seconds)
        console.print(step_table(workload, found))
        yield from found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Training steps of graphc and its peers, taking turns on this machine."
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", default=WHAT, help=f"of {', '.join(WHAT)} (all)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns: a smoke test")
    parser.add_argument(
        "--threads",
        type=_counts,
        default=sorted({1, os.cpu_count() or 1}),
        metavar="N,N",
        help="thread counts (%(default)s)",
    )
    parser.add_argument("--engines", type=_engines, default=list(ENGINES), metavar="NAME,NAME", help="of %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here, too")
    options = parser.parse_args()
    if unknown := [name for name in options.what if name not in WHAT]:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(WHAT)}")
    return options


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("a thread count is at least 1")
    return counts


def _engines(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(ENGINES):
        raise argparse.ArgumentTypeError(
            f"there is no engine {', '.join(sorted(unknown))}; choose from {', '.join(ENGINES)}"
        )
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
