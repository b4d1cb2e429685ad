"""`python -m benchmarks cuda-kernels [WORKLOAD ...]`: the CUDA kernels of whole steps, compiled and looked at.

No device is needed, but the extra `cuda`. A row for each kernel: how often a step launches it, how long it took to
compile, what the linker and the PTX tell of it (compiler/lint.py of the backend), and what is wrong with it, if
anything. Exit code 1 says that something is.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress

from benchmarks.graphc_engine import step_of
from benchmarks.sheet import Sheet
from benchmarks.workloads import WORKLOADS
from graphc.api import build_graph
from graphc.backends.cuda.backend import CUDA
from graphc.backends.cuda.compiler.compiling import compile_kernel, lack_of_compiler
from graphc.backends.cuda.compiler.lint import Lint, lint
from graphc.backends.cuda.engine.nodes import nodes_of
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.writer import CudaCode
from graphc.pipeline import compile_plan

__all__ = ["Row", "main", "rows_of"]

STEPS = ("tiny", "mlp", "gelumlp", "cnn", "lstm", "gpt")
COLUMNS = (
    "kernel", "launches", "compiled in", "registers", "shared", "wide", "spills", "local", "float64", "wrong with it",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A kernel of a step that launches it so many times, and what it took to compile it."""

    kernel: CudaKernel
    launches: int
    seconds: float
    lint: Lint

    @property
    def faults(self) -> list[str]:
        return self.lint.faults(self.kernel)

    @property
    def cells(self) -> list[str]:
        found = self.lint
        numbers = (found.registers, found.shared, found.wide, found.spills, found.local, found.doubles)
        took = f"{1000 * self.seconds:.0f} ms"
        return [found.name, str(self.launches), took, *map(str, numbers), "; ".join(self.faults)]


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    console = Console(width=max(Console().width, 140))
    if missing := lack_of_compiler():
        console.print(missing, style="red", highlight=False, soft_wrap=True)
        return 1
    wrong = 0
    for name in options.what:
        rows = rows_of(name, console, small=options.small)
        seconds, count = sum(row.seconds for row in rows), len(rows)
        launches = sum(row.launches for row in rows)
        note = f"{count} kernels, {launches} launches; compiled in {seconds:.1f} s, {seconds / count:.3f} s a kernel"
        console.print(Sheet(f"{name}, sm_90", COLUMNS, [row.cells for row in rows], [note], wide=9))
        wrong += sum(bool(row.faults) for row in rows)
    return 1 if wrong else 0


def rows_of(name: str, console: Console, *, small: bool = False) -> list[Row]:
    """The functions that a workload's step launches, on its sizes for tests if `small`, in the order of the first."""
    workload = WORKLOADS[name].shrunk() if small else WORKLOADS[name]
    tensors, outputs, updates, _ = step_of(workload, workload.data())()
    graph, _ = build_graph(tensors, outputs, updates)
    held = compile_plan(graph, CUDA, 1)
    code = held.code
    assert isinstance(code, CudaCode)
    nodes = nodes_of(held.plan, code)
    launches = Counter(node.kernel.function for node in nodes)
    rows = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for kernel in progress.track({node.kernel.function: node.kernel for node in nodes}.values(), description=name):
            start = time.perf_counter()
            found = compile_kernel(kernel)
            rows.append(Row(kernel, launches[kernel.function], time.perf_counter() - start, lint(found)))
    return rows


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks cuda-kernels", description="CUDA kernels, compiled.")
    parser.add_argument("what", nargs="*", choices=[[], *WORKLOADS], default=STEPS, metavar="WORKLOAD")
    parser.add_argument("--small", action="store_true", help="on the sizes for tests")
    return parser.parse_args(arguments)
