"""The command line: `graphc demo | compile | inspect | memory | check | place | doctor | bench`.

Exit codes: 0 for success, 1 for what failed (a wrong gradient, a graph that cannot be compiled, a missing package),
2 for a command line that makes no sense, 130 for Ctrl-C. Errors that graphc raises on purpose are printed without a
traceback unless --traceback asks for it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NoReturn

from rich.console import Console

from graphc import __version__
from graphc.backends.table import NAMES
from graphc.commands.bench import bench
from graphc.commands.checking import check
from graphc.commands.doctor import clear_cache, examine
from graphc.commands.exporting import BACKENDS, export
from graphc.commands.inspection import SECTIONS, inspect
from graphc.commands.memory import TARGETS, Wish, memory
from graphc.commands.placing import EFFORT, run_place
from graphc.commands.target import TargetError, load_target
from graphc.demo import run_demo
from graphc.errors import GraphcError
from graphc.memory.quantity import checked_budget, checked_bytes
from graphc.picture import FORMATS
from graphc.runtime.executor import MOST_THREADS

__all__ = ["main"]

TARGET = """\
TARGET is MODULE:FUNCTION or FILE.py:FUNCTION. The function takes no arguments
and answers with (inputs, outputs), (inputs, outputs, updates), or a dict of
arguments of gx.compile.

  # model.py
  import graphc as gx

  def build():
      x = gx.input("x", (3,))
      w = gx.parameter("w", [1.0, 2.0, 3.0])
      loss = gx.sum((x - w) ** 2)
      return [x], {"loss": loss}, {w: w - 0.1 * gx.grad(loss, w)}
"""
PLAIN_SECTIONS = ("graph", "optimised", "kernels", "plan", "memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[Any], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (GraphcError, OSError) as error:
        if options.traceback:
            raise
        return _failed(str(error), 2 if isinstance(error, TargetError) and error.__cause__ is None else 1)


def _failed(message: str, code: int) -> int:
    Console(stderr=True).print(f"graphc: error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code


# Commands --------------------------------------------------------------------------------------------------------
def _demo(options: argparse.Namespace) -> int:
    return run_demo(options.output, options.epochs, options.seed, options.backend, not options.no_compare)


def _doctor(options: argparse.Namespace) -> int:
    return clear_cache(Console()) if options.clear_cache else examine(Console())


def _inspect(options: argparse.Namespace) -> int:
    return inspect(load_target(options.target), options.section or PLAIN_SECTIONS, print)


def _memory(options: argparse.Namespace) -> int:
    wish = Wish(options.backend, options.threads, options.budget, options.frontier, options.plot)
    return memory(load_target(options.target), wish, print)


def _check(options: argparse.Namespace) -> int:
    return check(load_target(options.target), Console(), seed=options.seed, directions=options.directions)


def _compile(options: argparse.Namespace) -> int:
    if options.isa and options.backend != "c":
        raise TargetError("--isa is for C libraries: a CUDA program holds kernels for all devices")
    target, name = load_target(options.target), options.name or options.target.rpartition(":")[2]
    return export(target, options.output, name, options.backend, options.isa, options.threads, Console())


def _place(options: argparse.Namespace) -> int:
    return run_place(
        options.file, options.output, options.plot, Console(),
        capacity=options.capacity, alignment=options.alignment, effort=options.effort,
    )  # fmt: skip


def _bench(options: argparse.Namespace) -> int:
    return bench(
        Console(), backend=options.backend, threads=options.threads, seconds=options.seconds, profile=options.profile
    )


# Arguments -------------------------------------------------------------------------------------------------------
class _Parser(argparse.ArgumentParser):
    """Errors point to the help of the command that was meant."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} -h\n")


def _parser() -> argparse.ArgumentParser:
    description, epilog = "A compiled static-graph autodiff engine.", "graphc COMMAND -h tells more."
    parser = _Parser(prog="graphc", description=description, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"graphc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_compile(commands)
    _add_doctor(commands)
    _add_inspect(commands)
    _add_memory(commands)
    _add_check(commands)
    _add_place(commands)
    _add_bench(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[Any], int], summary: str, details: str, epilog: str = "") -> Any:
    parser = commands.add_parser(
        name, help=summary, description=fill(f"{summary[0].upper()}{summary[1:]}. {details}".strip(), 78),
        epilog=epilog or None,
        formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
    )  # fmt: skip
    parser.add_argument("--traceback", action="store_true", help="print the Python traceback of an error")
    parser.set_defaults(run=run)
    return parser


def _add_demo(commands: Any) -> None:
    details = "Saves a plot and both models. Needs scikit-learn, whose bundled data it learns from, and matplotlib."
    parser = _command(commands, "demo", _demo, "train an MLP and a CNN on handwritten digits", details)
    where = Path("graphc-demo")
    parser.add_argument("--output", type=Path, default=where, metavar="DIR", help="where to save (%(default)s)")
    parser.add_argument("--epochs", type=_positive, metavar="N", help="epochs of each model (each its own)")
    parser.add_argument("--seed", type=_seed, default=0, help="of weights, batches and dropout (%(default)s)")
    parser.add_argument("--no-compare", action="store_true", help="leave out the comparison with PyTorch")
    _add_backend(parser)


def _add_compile(commands: Any) -> None:
    summary = "write a graph as a C library that needs neither Python nor graphc, or as CUDA kernels"
    details = (
        "The folder then holds NAME.c, NAME.h, NAME.so (with --backend cuda NAME.py and NAME.cubins, for which no "
        "device is needed), the state and a manifest; gx.load reads it."
    )
    parser = _command(commands, "compile", _compile, summary, details, epilog=TARGET)
    parser.add_argument("target", metavar="TARGET", help="a function that builds a graph, such as model.py:build")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument("--name", help="prefix of the files and of the C functions (the function's name)")
    parser.add_argument("--backend", choices=BACKENDS, default="c", help="what is to run it (%(default)s)")
    parser.add_argument("--isa", help="instruction set level of C, such as x86-64-v3 (this machine's)")
    parser.add_argument("--threads", type=_threads, metavar="N", help="threads of a step in Python (all)")


def _add_doctor(commands: Any) -> None:
    parser = _command(commands, "doctor", _doctor, "tell what is installed, what was chosen and why, and test it", "")
    parser.add_argument(
        "--clear-cache", action="store_true", help="remove the compiled programs from the cache instead"
    )


def _add_inspect(commands: Any) -> None:
    summary = "print what becomes of a graph: graph, kernels, plan, memory"
    parser = _command(commands, "inspect", _inspect, summary, "", epilog=TARGET)
    parser.add_argument("target", metavar="TARGET", help="a function that builds a graph, such as model.py:build")
    listed = "; ".join(f"{name}: {title}" for name, (title, _) in SECTIONS.items())
    parser.add_argument(
        "--section",
        action="append",
        choices=tuple(SECTIONS),
        help=f"this section only; may be repeated. {listed}",
    )


def _add_memory(commands: Any) -> None:
    summary = "tell the memory that a graph needs, and what takes it"
    details = "From the plan alone: nothing is compiled or run, so it may be too large for this machine."
    parser = _command(commands, "memory", _memory, summary, details, epilog=TARGET)
    parser.add_argument("target", metavar="TARGET", help="a function that builds a graph, such as model.py:build")
    asked = parser.add_mutually_exclusive_group()
    budget = "of the cheapest plan within so many bytes (180MiB), or a fraction (0.5) of what it takes without"
    asked.add_argument("--budget", type=_budget, metavar="SIZE", help=budget)
    asked.add_argument(
        "--frontier", action="store_true", help="what any budget costs, from the largest to the smallest"
    )
    drawn = "draw the arena over time, or the frontier, as .png, .svg or .pdf"
    parser.add_argument("--plot", type=_picture, metavar="FILE", help=drawn)
    parser.add_argument("--backend", choices=TARGETS, default="auto", help="whose plan (%(default)s)")
    parser.add_argument("--threads", type=_threads, metavar="N", help="threads of a step (all)")


def _add_check(commands: Any) -> None:
    summary = "check gradients against finite differences, and backends against each other"
    parser = _command(commands, "check", _check, summary, "", epilog=TARGET + CHECK)
    parser.add_argument("target", metavar="TARGET", help="a function that builds a graph, such as model.py:build")
    parser.add_argument("--seed", type=_seed, default=0, help="of the random inputs and directions (%(default)s)")
    parser.add_argument(
        "--directions", type=_positive, default=3, metavar="N", help="directions for each parameter (%(default)s)"
    )


CHECK = """
Gradients are those of the outputs that are scalars of floats. Inputs are
random: normal floats, integers 0 or 1; a dict may hold other arrays for some of
them: {"inputs": ..., "outputs": ..., "values": {"labels": array}}.
"""


def _add_place(commands: Any) -> None:
    summary = "place buffers with sizes and lifetimes in one arena"
    parser = _command(commands, "place", _place, summary, "", epilog=BUFFERS)
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the buffers")
    parser.add_argument(
        "--capacity", type=_bytes, metavar="SIZE", help="what the arena may take, as 1MiB (as little as possible)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="write the buffers with their offsets")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help=f"draw the arena over time: {', '.join(FORMATS)}")
    parser.add_argument(
        "--alignment", type=_bytes, default=1, metavar="SIZE", help="what offsets are multiples of (%(default)s)"
    )
    parser.add_argument(
        "--effort", type=_positive, default=EFFORT, metavar="N",
        help="how many entries of tables the search may look at, about 2 ns each (%(default)s)",
    )  # fmt: skip


BUFFERS = """\
FILE.csv has a header that names at least these columns, and a line for each
buffer:

  id,lower,upper,size
  a,0,3,4096
  b,2,5,1024

lower is the first step at which the buffer is alive, upper the first at which
it is no longer; sizes are in bytes. The bound is the most that is alive at one
step. Exit code 1 tells that the capacity was not met.
"""


def _add_bench(commands: Any) -> None:
    summary = "measure training steps here"
    parser = _command(commands, "bench", _bench, summary, "Beside PyTorch, in a checkout: python -m benchmarks.")
    parser.add_argument("--threads", type=_threads, metavar="N", help="threads of a step (all)")
    parser.add_argument("--seconds", type=_seconds, default=1.0, help="how long to measure each program (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="print the time of each launch, too")
    _add_backend(parser)


def _add_backend(parser: Any) -> None:
    parser.add_argument("--backend", choices=NAMES, default="auto", help="what runs the programs (%(default)s)")


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {', '.join(FORMATS)}")
    return path


def _budget(text: str) -> int | float | None:
    try:
        return checked_budget(text)
    except GraphcError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bytes(text: str) -> int:
    try:
        return checked_bytes(text)
    except GraphcError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def _threads(text: str) -> int:
    number = _positive(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"a step has at most {MOST_THREADS} threads, not {text}")
    return number


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > 20 or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no seed: a whole number from 0 to 2^64 - 1")
    return int(text)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number
