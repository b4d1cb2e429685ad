"""`python -m benchmarks [--quick] [WHAT ...]`: measure, print tables, save them where asked.

`python -m benchmarks memory [WORKLOAD ...]` measures the memory of these workloads, and nothing else. Commands of their
own, each with -h: `contractions`, `cuda-check`, `cuda-kernels`, `frontier`, `planning`, `scale`, `pairs`, `deep`,
`half`, `share`.

Exit codes: 0 success; 1 an engine failed, or engines computed different numbers; 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import budgets, contractions, cuda_kernels, frontier, pairs, planning, report, scale
from benchmarks.busy import SITUATIONS, measure_busy
from benchmarks.compare import disagreements
from benchmarks.cuda_check import command as cuda_check
from benchmarks.engines import ENGINES, OURS, default_engines, missing
from benchmarks.first_call import measure_first_calls
from benchmarks.machine import Load, measure_limits
from benchmarks.measure import Effort, Result, measure
from benchmarks.memory import WORKLOADS_OF_GOAL, measure_memory
from benchmarks.overhead import call_overhead, compile_times
from benchmarks.plot import save_plot
from benchmarks.scoreboard import Scoreboard, this_machine, to_json
from benchmarks.workloads import GROUPS, WORKLOADS
from graphc.backends.table import NAMES

SPECIALS = {
    "call": "what a call costs beside its work",
    "compile": "how compile time grows with the graph",
    "first": "first calls of tiny and gpt, cold and warm",
    "busy": "two threads against one, also with a core taken",
    "memory": "how much memory a step takes; workloads after it: of these alone",
}
COMMANDS = {
    "contractions": ("einsums of every kind beside NumPy's and PyTorch's", contractions.main),
    "frontier": ("memory of large models, planned, and what less of it costs", frontier.main),
    "planning": ("how planning time grows with the graph", planning.main),
    "scale": ("how building and compiling grow with the number of equal parts", scale.main),
    "pairs": ("k-means by pairs as users write it against one by a matrix product", pairs.main),
    "deep": ("a step of 1,000 layers in the memory of the square root of so many", budgets.main_deep),
    "half": ("a step of gpt in half of its memory", budgets.main_half),
    "cuda-check": ("all that is to be known of a CUDA device, in one run of minutes", cuda_check.main),
    "cuda-kernels": ("the CUDA kernels of steps, compiled and looked at", cuda_kernels.main),
    "share": ("a step of MobileNet-V2 in MONeT's share of its memory", budgets.main_share),
}
FIRST_CALLS = ("tiny", "gpt")
BUSY = ("tiny", "mlp", "gelumlp", "cnn", "lstm", "chain")


@dataclass(frozen=True)
class Task:
    """What was asked for, the engines that can run here, and where to tell about it."""

    options: argparse.Namespace
    engines: list[str]
    console: Console


def main() -> int:
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        return COMMANDS[sys.argv[1]][1](sys.argv[2:])
    options = _options()
    console = Console(width=max(Console().width, 140))
    limits = measure_limits(options.threads, 0.002 if options.quick else 0.01)
    board = Scoreboard(this_machine(limits))
    for line in (*report.machine_lines(board.machine), *_crowd(options.quick)):
        console.print(line, highlight=False, soft_wrap=True)
    engines = []
    for engine in options.engines or default_engines():
        reason = missing(engine)
        engines += [] if reason else [engine]
        if reason:
            console.print(f"{engine} is left out: {reason}", highlight=False)
    task = Task(options, engines, console)
    for measured in (_workloads, _busy, _memory, _first, _calls, _compiles):
        for fuller in measured(board, task):
            board = fuller
            _save(board, options)
    for fault in board.faults:
        console.print(fault, style="bold red", highlight=False, soft_wrap=True)
    return 1 if board.faults else 0


# Measurements, each step of which gives a fuller scoreboard -------------------------------------------------------
def _workloads(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    contenders = [(engine, threads) for threads in task.options.threads for engine in task.engines]
    effort = _effort(task.options)
    for names in _together([name for name in task.options.what if name in WORKLOADS]):
        if not contenders:
            return
        with _bar(task.console, effort.turns(len(names), len(contenders))) as tell:
            results = measure(names, contenders, effort, tell)
        task.console.print(report.step_sheet(results, board.machine.limits))
        board = replace(board, results=board.results + tuple(results), faults=board.faults + tuple(_faults(results)))
        yield board
    if board.results:
        task.console.print(report.summary_sheet(board.results, board.machine.limits))


def _busy(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    if "busy" not in task.options.what:
        return
    if len(os.sched_getaffinity(0)) < 2:
        task.console.print("busy is left out: there is one core only", highlight=False)
        return
    chosen = [name for name in task.engines if name in OURS] or task.engines
    names = BUSY[:2] if task.options.quick else BUSY
    effort = replace(_effort(task.options), losses=1)
    with _bar(task.console, len(SITUATIONS) * effort.turns(len(names), 2 * len(chosen))) as tell:
        for row in measure_busy(names, chosen, effort, tell):
            faults = [f"{row['workload']}, {row['engine']}, {row['when']}: {row['fault']}"] if row["fault"] else []
            board = replace(board, busy=(*board.busy, row), faults=(*board.faults, *faults))
            yield board
    task.console.print(report.busy_sheet(board.busy))


def _memory(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    if "memory" not in task.options.what:
        return
    names, threads = task.options.of_memory, task.options.threads
    with _bar(task.console, len(names) * len(threads) * len(task.engines)) as tell:
        for row in measure_memory(names, task.engines, threads, tell, small=task.options.quick):
            faults = [f"memory of {row['workload']}, {row['engine']}: {row['fault']}"] if row["fault"] else []
            board = replace(board, memory=(*board.memory, row), faults=(*board.faults, *faults))
            yield board
    task.console.print(report.memory_sheet(board.memory))


def _first(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    if "first" not in task.options.what:
        return
    names = FIRST_CALLS[:1] if task.options.quick else FIRST_CALLS
    with _bar(task.console, 2 * len(names) * len(task.engines)) as tell:
        for row in measure_first_calls(names, task.engines, max(task.options.threads), tell):
            faults = [f"first call of {row['workload']}, {row['engine']}: {row['fault']}"] if row["fault"] else []
            board = replace(board, first_calls=(*board.first_calls, row), faults=(*board.faults, *faults))
            yield board
    task.console.print(report.first_sheet(board.first_calls))


def _calls(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    if "call" in task.options.what:
        calls = 2_000 if task.options.quick else 20_000
        rows = [row for name in NAMES if name in ("c", "cython") for row in call_overhead(calls, name)]
        task.console.print(report.call_sheet(rows))
        yield replace(board, calls=tuple(rows))


def _compiles(board: Scoreboard, task: Task) -> Iterator[Scoreboard]:
    if "compile" in task.options.what:
        rows = compile_times((1_000, 10_000) if task.options.quick else (1_000, 10_000, 100_000))
        task.console.print(report.compile_sheet(rows))
        yield replace(board, compiles=tuple(rows))


def _faults(results: list[Result]) -> Iterator[str]:
    """What failed or differs. An engine that is left out on purpose is no fault."""
    for result in results:
        if result.fault and result.engine not in WORKLOADS[result.workload].left_out:
            yield f"{result.workload}, {result.engine} ({result.threads}): {result.fault}"
    for name in dict.fromkeys(result.workload for result in results):
        yield from (f"{name}: {text}" for text in disagreements([r for r in results if r.workload == name]))


def _together(names: list[str]) -> list[list[str]]:
    """Workloads that share processes, together."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(WORKLOADS[name].group or name, []).append(name)
    return list(found.values())


def _crowd(quick: bool) -> list[str]:
    """A warning if the machine is not ours alone."""
    load, own = Load(), time.process_time()
    time.sleep(0.2 if quick else 1.0)
    others = load.others(time.process_time() - own)
    busy = f"The machine is busy: others use {others:.1f} of its processors right now."
    return [busy] if others > report.CROWDED else []


def _effort(options: argparse.Namespace) -> Effort:
    rounds, seconds, losses = (3, 0.2, 5) if options.quick else (9, 1.0, 20)
    return Effort(options.rounds or rounds, options.seconds or seconds, losses)


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[str], None]]:
    """A bar that moves on, and says at what, whenever it is called. None where nobody looks on."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda text: progress.update(task, advance=1, description=text)


# Output and input ------------------------------------------------------------------------------------------------
def _save(board: Scoreboard, options: argparse.Namespace) -> None:
    """Write what there is so far: a long measurement that is interrupted is not lost."""
    for path, write in ((options.json, _write_json), (options.markdown, _write_markdown), (options.plot, _write_plot)):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(board, path)


def _write_json(board: Scoreboard, path: Path) -> None:
    path.write_text(to_json(board))


def _write_markdown(board: Scoreboard, path: Path) -> None:
    path.write_text(report.markdown(board))


def _write_plot(board: Scoreboard, path: Path) -> None:
    if board.results:
        save_plot(board.results, path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Steps of graphc and its peers, taking turns on this machine.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(
            ["WHAT is any of", *(f"  {name:15}{workload.title}" for name, workload in WORKLOADS.items()),
             *(f"  {name:15}{' '.join(names)}" for name, names in GROUPS.items()),
             *(f"  {name:15}{title}" for name, title in SPECIALS.items()),
             "or, alone, one of", *(f"  {name:15}{title}" for name, (title, _) in COMMANDS.items())]
        ),
    )  # fmt: skip
    parser.add_argument("what", nargs="*", metavar="WHAT", help="what to measure (all)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns: a smoke test")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="turns of each contender (9)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a turn (1)")
    counts = sorted({1, len(os.sched_getaffinity(0))})
    parser.add_argument("--threads", type=_counts, default=counts, metavar="N,N", help="thread counts (%(default)s)")
    parser.add_argument("--engines", type=_engines, metavar="NAME,NAME", help=f"of {', '.join(ENGINES)}")
    for name, what in (("json", "everything"), ("markdown", "the tables"), ("plot", "a picture of the ratios")):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what} here")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write scoreboard.json, .md and .png here")
    options = parser.parse_args()
    _expand(parser, options)
    return options


def _expand(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Names of groups become their workloads; a folder becomes its files."""
    known = {**GROUPS, **{name: (name,) for name in (*WORKLOADS, *SPECIALS)}}
    if unknown := [name for name in options.what if name not in known]:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(known)}")
    asked = options.what or (*WORKLOADS, *SPECIALS)
    options.what = list(dict.fromkeys(part for name in asked for part in known[name]))
    options.of_memory = WORKLOADS_OF_GOAL
    if options.what[0] == "memory" and len(options.what) > 1:
        options.of_memory, options.what = options.what[1:], ["memory"]
        if others := [name for name in options.of_memory if name not in WORKLOADS]:
            parser.error(f"memory is measured of workloads; {', '.join(others)} is none")
    if options.save:
        for kind, ending in (("json", "json"), ("markdown", "md"), ("plot", "png")):
            setattr(options, kind, getattr(options, kind) or options.save / f"scoreboard.{ending}")


def _positive(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def _counts(text: str) -> list[int]:
    return sorted({_positive(part) for part in text.split(",")})


def _engines(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(ENGINES):
        raise argparse.ArgumentTypeError(
            f"there is no engine {', '.join(sorted(unknown))}; choose from {', '.join(ENGINES)}"
        )
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
