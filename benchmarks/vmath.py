"""`python -m benchmarks.vmath`: how accurate and how fast the elementary functions of kernels/cpu/include/graphc are.

Builds vmath_check.c for each instruction set level that runs here, checks every float32 (or every N-th: `--stride N`),
times every function, prints a table and writes it where asked. The exit code is 1 if a function is less accurate than
promised: 2 ulp in float32, 4 ulp in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from graphc.kernels import cpu
from graphc.toolchain import isa

__all__ = ["LIMIT", "Accuracy", "Checker", "build", "compiler", "functions", "markdown"]

SOURCE = Path(__file__).parent / "vmath_check.c"
INCLUDE = Path(cpu.__file__).parent / "include"
FLAGS = ("-std=gnu11", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-falign-loops=64")
LEVELS = {"avx2": ("-march=x86-64-v3",), "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512")}
LIMIT = {"f32": 2.0, "f64": 4.0}  # ulp


@dataclass(frozen=True)
class Accuracy:
    """The worst error of a function in ulp, of the exact result, and where: `function(x, y)` gave `result`."""

    level: str
    function: str
    worst: float
    x: float
    y: float
    result: float
    seen: int
    rate: float = 0.0  # results per nanosecond on one core; 0 if not measured

    @property
    def is_good(self) -> bool:
        return self.worst <= LIMIT[self.function[-3:]]


@dataclass(frozen=True)
class Checker:
    """The program built from vmath_check.c for a level."""

    level: str
    path: Path

    def check(
        self, function: str, stride: int, reach: int, samples: int, progress: Callable[[float], None] | None = None
    ) -> Accuracy:
        """Run the check; `progress` is told the part that is done."""
        command = [str(self.path), "check", function, str(stride), str(reach), str(samples)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            for line in process.stderr:
                if progress:
                    progress(float(line))
            words = process.stdout.read().split()
        if process.returncode:
            raise RuntimeError(f"{self.path} ended with {process.returncode} while it checked {function}")
        worst, (x, y, result), seen = float(words[0]), map(float.fromhex, words[1:4]), int(words[4])
        return Accuracy(self.level, function, worst, x, y, result, seen)

    def digest(self, function: str, stride: int, reach: int, samples: int) -> str:
        """A number made of the bits of all results."""
        return self._output("digest", function, str(stride), str(reach), str(samples))

    def rate(self, function: str) -> float:
        """Results per nanosecond on one core."""
        return float(self._output("time", function))

    def near_differences(self, stride: int) -> int:
        """For how many near arguments sin, cos or tan differ from their versions for near arguments."""
        return int(self._output("near", str(stride)))

    def functions(self) -> tuple[str, ...]:
        return tuple(self._output("list").split())

    def _output(self, *words: str) -> str:
        return subprocess.run([str(self.path), *words], check=True, capture_output=True, text=True).stdout.strip()


def compiler() -> str | None:
    """The C compiler that would be used, or None."""
    named = os.environ.get("CC", "").split()
    return next(filter(None, map(shutil.which, [*named[:1], "cc", "gcc", "clang"])), None)


def build(level: str, folder: Path, *, include: Path = INCLUDE, flags: Sequence[str] = ()) -> Checker:
    """Compile the checks for a level; with OpenMP, for speed, where the compiler has it."""
    command = [compiler() or "cc", *FLAGS, *LEVELS.get(level, ()), *flags, f"-I{include}", str(SOURCE)]
    path = folder / f"vmath_check_{level}"
    for openmp in (["-fopenmp"], []):
        made = subprocess.run([*command, *openmp, "-o", str(path), "-lm"], capture_output=True, text=True)
        if made.returncode == 0:
            return Checker(level, path)
    raise RuntimeError(f"{SOURCE.name} does not compile:\n{made.stderr}")


def functions(checker: Checker, wanted: Sequence[str]) -> list[str]:
    """Those that are named, in full or without their type (`exp`); all of them if none is."""
    known = checker.functions()
    if unknown := [name for name in wanted if not {name, f"{name}_f32"} & set(known)]:
        raise ValueError(f"there is no {', '.join(unknown)}; choose from {', '.join(known)}")
    return [name for name in known if not wanted or {name, name[:-4]} & set(wanted)]


def main() -> int:
    options = _options()
    console = Console(width=max(Console().width, 110))
    if compiler() is None:
        console.print("no C compiler was found; set CC")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        checkers = [build(level, Path(folder)) for level in options.levels]
        names = functions(checkers[0], options.functions)
        found = list(_checked(checkers, names, options, console))
    console.print(_table(found))
    if options.json:
        record = {"machine": platform.processor() or platform.machine(), "stride": options.stride}
        options.json.write_text(json.dumps({**record, "functions": [asdict(each) for each in found]}, indent=1))
    if options.markdown:
        options.markdown.write_text(markdown(found))
    return 0 if all(each.is_good for each in found) else 1


def _checked(
    checkers: Sequence[Checker], names: Sequence[str], options: argparse.Namespace, console: Console
) -> Iterator[Accuracy]:
    """Every function at every level, with progress; figures appear as they are found."""
    with Progress(console=console, transient=True) as progress:
        total = progress.add_task("all functions", total=len(names) * len(checkers))
        for name in names:
            for checker in checkers:
                task = progress.add_task(f"{name}, {checker.level}", total=1.0)
                tell = lambda part, task=task: progress.update(task, completed=part)  # noqa: E731
                found = checker.check(name, options.stride, options.reach, options.samples, tell)
                rate = 0.0 if options.no_time else checker.rate(name)
                progress.remove_task(task)
                progress.advance(total)
                yield Accuracy(**{**asdict(found), "rate": rate})


def _where(each: Accuracy) -> str:
    pair = each.function.startswith(("power", "atan2"))
    return f"{each.x.hex()}, {each.y.hex()}" if pair else each.x.hex()


def _table(found: Sequence[Accuracy]) -> Table:
    table = Table(title="elementary functions", title_justify="left")
    for title in ("function", "level", "worst, ulp", "at", "arguments", "results/ns"):
        table.add_column(title, justify="left" if title in ("function", "level", "at") else "right")
    for each in found:
        worst = f"{each.worst:.3f}" + ("" if each.is_good else " !")
        rate = f"{each.rate:.2f}" if each.rate else ""
        table.add_row(each.function, each.level, worst, _where(each), f"{each.seen:,}", rate)
    return table


def markdown(found: Sequence[Accuracy]) -> str:
    """A table with a line for each function and the worst error of every level."""
    levels = list(dict.fromkeys(each.level for each in found))
    lines = [f"| function | {' | '.join(levels)} |", f"| --- |{' ---: |' * len(levels)}"]
    for name in dict.fromkeys(each.function for each in found):
        worst = {each.level: f"{each.worst:.2f}" for each in found if each.function == name}
        lines.append(f"| `{name}` | {' | '.join(worst.get(level, '') for level in levels)} |")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vmath", description="Accuracy and speed of the elementary functions."
    )
    add = parser.add_argument
    add("--functions", type=_names, default=[], metavar="NAME,NAME", help="exp, or exp_f32 (default: all)")
    add("--stride", type=int, default=1, metavar="N", help="check every N-th float32 (%(default)s: every one)")
    add("--reach", type=int, default=64, metavar="N", help="neighbours of each point of interest (%(default)s)")
    add("--samples", type=int, default=10_000_000, metavar="N", help="random arguments (%(default)s)")
    add("--levels", type=_names, default=list(isa.usable_levels()), metavar="NAME,NAME", help="of %(default)s")
    add("--no-time", action="store_true", help="do not measure speed")
    add("--json", type=Path, metavar="FILE", help="write the results here, too")
    add("--markdown", type=Path, metavar="FILE", help="write a table of the worst errors here, too")
    options = parser.parse_args()
    if unknown := set(options.levels) - set(isa.usable_levels()):
        parser.error(f"cannot run here: {', '.join(sorted(unknown))}; usable: {', '.join(isa.usable_levels())}")
    if min(options.stride, options.reach, options.samples) < 1:
        parser.error("--stride, --reach and --samples are at least 1")
    return options


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
