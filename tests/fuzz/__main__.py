"""`python -m tests.fuzz --count 20000 --seed 0 --engines cython,c --jobs 2`: run programs, report their faults.

Programs run in child processes, which may die or hang: the parent names the program and goes on with the next.
`--only 17` runs one program in this process and prints its script. Exit codes: 0 no fault, 1 some, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from tests.fuzz.grow import grow
from tests.fuzz.judge import ENGINES, faults
from tests.fuzz.shrink import script, shrunk

ROOT = str(Path(__file__).parents[2])
CHUNK = 50  # programs of one child process
SILENCE = 120.0  # seconds after which a child that says nothing is ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    engines = options.engines.split(",")
    if options.child is not None:
        return _child(range(*map(int, options.child.split(":"))), engines)
    if options.only is not None:
        return _one(options.only, engines)
    seeds = range(options.seed, options.seed + options.count)
    console, counts = Console(width=max(Console().width, 100), soft_wrap=True), Counter[str]()
    with Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("programs", total=len(seeds))
        for seed, found in _everywhere(seeds, engines, options.jobs):
            progress.advance(task)
            for kind, text in found[:1]:
                counts[kind] += 1
                console.print(f"program {seed}: {kind}: {text}", markup=False, highlight=False)
    wrong = ", ".join(f"{count} × {kind}" for kind, count in counts.most_common()) or "no fault"
    console.print(f"{len(seeds)} programs from seed {seeds.start} on {', '.join(engines)}: {wrong}", highlight=False)
    return 1 if counts else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Random programs against the reference.")
    parser.add_argument("--seed", type=int, default=0, help="the first program")
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--engines", default=",".join(ENGINES), help="of c and cython, with commas between")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="child processes at a time")
    parser.add_argument("--only", type=int, help="one program, made small and printed as a script")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not set(options.engines.split(",")) <= set(ENGINES):
        parser.error(f"engines are {', '.join(ENGINES)}, not {options.engines}")
    return options


def _one(seed: int, engines: Sequence[str]) -> int:
    """One program in this process: its faults, and the smallest program that has the first of them."""
    program = grow(seed)
    found = faults(program, engines)
    for kind, text in found:
        print(f"{kind}: {text}")
    if not found:
        print(f"program {seed}: no fault")
        return 0
    kind = found[0][0]
    on = [kind.rsplit(" ", 1)[1]]
    small = shrunk(program, lambda other: any(kind == k for k, _ in faults(other, on, 10.0)))
    print(script(small))
    return 1


# Children ------------------------------------------------------------------------------------------------------------
def _child(seeds: range, engines: Sequence[str]) -> int:
    """Say which program begins, then what its faults are, as lines of JSON."""
    for seed in seeds:
        print(json.dumps([seed, None]), flush=True)
        try:
            found = faults(grow(seed), engines)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of this program
            found = [(f"{type(error).__name__}", str(error))]
        print(json.dumps([seed, found]), flush=True)
    return 0


def _everywhere(seeds: range, engines: Sequence[str], jobs: int) -> Iterator[tuple[int, list[Any]]]:
    """Seeds with their faults as they come, from several children at a time."""
    results: Queue[Any] = Queue()
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_chunk, chunk, engines, results) for chunk in chunks]
        for _ in seeds:
            yield results.get()
        for one in waiting:
            one.result()


def _chunk(seeds: range, engines: Sequence[str], results: Queue[Any]) -> None:
    """Run the programs of a chunk, in a new child after each that died."""
    begin = seeds.start
    while begin < seeds.stop:
        begin = _in_a_child(range(begin, seeds.stop), engines, results)


def _in_a_child(seeds: range, engines: Sequence[str], results: Queue[Any]) -> int:
    """The seed to go on with."""
    run = f"import sys; sys.path.append({ROOT!r}); from tests.fuzz.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "--engines", ",".join(engines), "--child", f"{seeds.start}:{seeds.stop}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        lines: Queue[str] = Queue()
        pump = Thread(target=_pump, args=(process.stdout, lines), daemon=True)
        pump.start()
        running = seeds.start
        while running < seeds.stop:
            try:
                line = lines.get(timeout=SILENCE)
            except Empty:
                process.kill()
                line = ""
            if not line:
                results.put((running, [("died", f"the process ended with {process.wait()}")]))
                return running + 1
            seed, found = json.loads(line)
            if found is not None:
                results.put((seed, found))
                running = seed + 1
        pump.join()
    return running


def _pump(stream: Any, lines: Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    sys.exit(main())
