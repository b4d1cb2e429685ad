"""Who can run a workload: graphc by backend, and its peers. Each engine makes a step of a workload.

An engine's module has `setup(threads)`, called once in the engine's own process, and `prepare(engine, workload, data,
threads)`, which copies the data and answers with a function that compiles and gives the step. The modules of peers
are imported where they are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.workload import Array, Data, Workload
from graphc.backends.table import NAMES
from graphc.plan.memory_report import MemoryReport

__all__ = ["ENGINES", "OURS", "Built", "Engine", "default_engines", "missing"]


@dataclass(frozen=True)
class Built:
    """A step: `run` does it wholly and answers with a loss or results, of which `read` makes arrays.

    `backend` is what runs it, in the engine's own words; `memory` what it says beforehand of the memory it needs, if
    it can.
    """

    run: Callable[[], Any]
    read: Callable[[Any], list[Array]]
    backend: str
    memory: MemoryReport | None = None


@dataclass(frozen=True)
class Engine:
    """`package` is what must be installed besides graphc; `option` is the module's own (a backend, a mode)."""

    name: str
    module: str
    package: str
    option: str

    def setup(self, threads: int) -> None:
        """Import what is needed and set the number of threads: once, in the engine's own process."""
        import_module(self.module).setup(threads)

    def prepare(self, workload: Workload, data: Data, threads: int) -> Callable[[], Built]:
        """What compiles the step. Everything up to there is not the engine's first call."""
        compiling: Callable[[], Built] = import_module(self.module).prepare(self.option, workload, data, threads)
        return compiling


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("graphc", "benchmarks.graphc_engine", "", "auto"),
        Engine("graphc-c", "benchmarks.graphc_engine", "", "c"),
        Engine("graphc-cython", "benchmarks.graphc_engine", "", "cython"),
        Engine("graphc-numpy", "benchmarks.graphc_engine", "", "numpy"),
        Engine("torch", "benchmarks.torch_engine", "torch", "eager"),
        Engine("torch-compile", "benchmarks.torch_engine", "torch", "compile"),
        Engine("jax", "benchmarks.jax_engine", "jax", "jit"),
    )
}
OURS = tuple(name for name in ENGINES if name.startswith("graphc"))


def default_engines() -> list[str]:
    """The best of graphc, its engine without a compiler where that is another one, and all peers."""
    return ["graphc", *(["graphc-cython"] if "c" in NAMES else []), "torch", "torch-compile", "jax"]


def missing(name: str) -> str:
    """Why an engine cannot run here, or nothing."""
    engine = ENGINES[name]
    if engine.package:
        return "" if find_spec(engine.package) else f"{engine.package} is not installed"
    return "" if engine.option in NAMES else f"this graphc has no backend {engine.option!r}"
