"""`graphc doctor`: what is installed, what was chosen and why, and whether it works.

Every backend, and every instruction set level, runs a small training step in a process of its own, so that a level
that this processor cannot run is a line of the report and not a crash. `python -m graphc.commands.doctor BACKEND` is
that process: it prints the largest error against the reference.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import graphc as gx
from graphc import nn, optim
from graphc.backends.cuda.engine.choosing import is_simulated, lack
from graphc.backends.table import VARIABLE
from graphc.commands.cuda_facts import cuda_rows
from graphc.kernels import cpu
from graphc.kernels.cpu.features import has_avx2, has_avx512
from graphc.toolchain import isa
from graphc.toolchain.cache import FOLDER, Statistics, open_cache
from graphc.toolchain.compiler import Compiler, compiler_or_reason, try_compilers

__all__ = ["clear_cache", "examine", "self_test"]

Array = np.ndarray[Any, Any]

REQUIRED = ("numpy", "scipy", "ml_dtypes", "safetensors", "rich")
OPTIONAL = {
    "scikit-learn": "data of the demo and the digits examples",
    "matplotlib": "plot of the demo, pictures of arenas",
    "torch": "comparison of speed",
    "pytest": "tests",
}
TOLERANCE = 1e-5
_TIMEOUT = 120  # seconds
_COMMAND = [sys.executable, "-P", "-m", "graphc.commands.doctor"]


def examine(console: Console) -> int:
    """Print the report; 0 if everything that graphc needs works here, else 1."""
    facts = {
        "system": _system(), "packages": _packages(), "kernels": _kernels(), "C compiler": _compiler(),
        "CUDA": cuda_rows(),
    }  # fmt: skip
    for title, rows in facts.items():
        _section(console, title, rows)
    results = [("numpy", *_run_apart("numpy", {}))]
    results += [(f"cython, {level}", *_run_apart("cython", {isa.VARIABLE: level})) for level in isa.usable_levels()]
    if not isinstance(compiler_or_reason(), str):
        results.append(("c", *_run_apart("c", {})))
    if not lack():
        results.append((f"cuda, {'simulated' if is_simulated() else 'on the device'}", *_run_apart("cuda", {})))
    _section(console, "self-test: training steps against the reference", [(name, text) for name, text, _ in results])
    healthy = all(passed for _, _, passed in results) and all(_version(name) for name in REQUIRED)
    console.print("everything works" if healthy else "[bold red]something is wrong: see above[/]")
    return 0 if healthy else 1


def clear_cache(console: Console) -> int:
    """Remove every compiled program from the cache, and say what that was; 0."""
    removed = open_cache().clear()
    console.print(f"removed {_libraries(removed)} from {removed.folder}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
    for name, text in rows:
        table.add_row(escape(name), escape(text))
    console.print(table, highlight=False)
    console.print()


# What is there ---------------------------------------------------------------------------------------------------
def _system() -> list[tuple[str, str]]:
    return [
        ("graphc", f"{gx.__version__} in {Path(gx.__file__).parent}"),
        ("Python", f"{platform.python_version()} in {sys.prefix}"),
        ("system", f"{platform.system()} {platform.release()} on {platform.machine()}"),
        ("processor", _processor()),
        (
            "threads",
            f"{_threads()} of {os.cpu_count()} are for this process; a program takes all of them by default",
        ),
    ]


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _packages() -> list[tuple[str, str]]:
    rows = [(name, _version(name) or "missing, and graphc needs it") for name in REQUIRED]
    return rows + [(name, _version(name) or f"not installed ({purpose})") for name, purpose in OPTIONAL.items()]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _kernels() -> list[tuple[str, str]]:
    """Each level: built or not, usable or not; and which is chosen, and why."""
    able = {"baseline": True, "avx2": has_avx2(), "avx512": has_avx512()}
    rows = []
    for level in cpu.LEVELS:
        built = find_spec(f"graphc.kernels.cpu.{level}") is not None
        runs = "this processor runs it" if able[level] else "this processor lacks its instructions"
        rows.append((level, f"{'built' if built else 'not built'}, {runs}"))
    wanted = os.environ.get(isa.VARIABLE)
    try:
        why = f"{isa.VARIABLE} asks for it" if wanted else f"the widest usable; {isa.VARIABLE}= asks for another"
        chosen = f"{isa.kernels().level}: {why}"
    except gx.errors.BackendError as error:
        chosen = f"none: {error}"
    return [*rows, ("chosen", chosen), ("backend", f'backend="auto" is {_automatic()}')]


def _automatic() -> str:
    """What backend="auto" stands for here, and why."""
    if wanted := os.environ.get(VARIABLE):
        return f'"{wanted}": {VARIABLE} asks for it'
    reason = compiler_or_reason()
    return f'"cython": {reason}' if isinstance(reason, str) else '"c": there is a C compiler that works'


def _compiler() -> list[tuple[str, str]]:
    """The compilers that were tried out, and the cache of what they made."""
    try:
        tried, cache = try_compilers(), open_cache().statistics()
    except gx.errors.BackendError as error:
        return [("none", str(error))]
    rows = [
        (shlex.join(found.command), f"{found.version}: works")
        if isinstance(found, Compiler)
        else ("does not work", found)
        for found in tried
    ]
    used = f"{_libraries(cache)}, of at most {cache.limit / 2**20:.0f} MiB; {FOLDER}= names another folder"
    return [
        *(rows or [("none found", "the prebuilt kernels need none, the faster C engine does")]),
        ("cache", f"{cache.folder}: {used}"),
    ]


def _libraries(cache: Statistics) -> str:
    return f"{cache.entries} {'program' if cache.entries == 1 else 'programs'} of {cache.bytes / 2**20:.1f} MiB"


# Whether it works ------------------------------------------------------------------------------------------------
def _run_apart(backend: str, environment: dict[str, str]) -> tuple[str, bool]:
    """The outcome of `self_test(backend)` in a process of its own."""
    path = [str(Path(gx.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(path)}  # this very graphc
    try:
        done = subprocess.run(
            [*_COMMAND, backend], env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_TIMEOUT} s", False
    if done.returncode:
        signal = f"crashed with signal {-done.returncode}" if done.returncode < 0 else "failed"
        return f"{signal}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", False
    error = float(done.stdout)
    return f"largest relative error {error:.1e}", error <= TOLERANCE


def self_test(backend: str) -> float:
    """The largest relative error, on `backend`, after five steps of a small convolutional network with dropout."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25),
        nn.Linear(4 * 4 * 4, 10, rng=rng),
    )  # fmt: skip
    x, labels = gx.input("x", (8, 1, 8, 8)), gx.input("labels", (8,), "int32")
    loss = nn.cross_entropy(model(x), labels)
    updates = optim.SGD(lr=0.1, momentum=0.9).minimize(loss, model.parameters())
    start = {parameter: parameter.value for parameter in updates}
    batch = rng.standard_normal(x.shape).astype(np.float32), rng.integers(0, 10, labels.shape).astype(np.int32)

    def train(backend: str) -> list[Array]:
        for parameter, value in start.items():
            parameter.value = value
        step = gx.compile([x, labels], loss, updates, backend=backend, seed=1)
        return [np.array([step(*batch) for _ in range(5)]), *model.state_dict().values()]

    return max(
        float(np.abs(result - expected).max() / max(1e-30, float(np.abs(expected).max())))
        for result, expected in zip(train(backend), train("numpy"), strict=True)
    )


if __name__ == "__main__":
    print(self_test(sys.argv[1]))
