"""Training steps beside those of peers on the same device: all in one process, in turns, from the same numbers.

A setting is what matrix products and convolutions of float32 are for the peers (float32, or TF32), or bfloat16 for
everyone: parameters, moments, activations. A step is timed as its user sees it: called, its loss read. Programs of
graphc copy their inputs to the device in each step, peers hold them there; "kernels" is the device's time alone.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import graphc as gx
from benchmarks import cuda_kernels
from benchmarks.cuda_check.gauge import gauge_here
from benchmarks.cuda_check.runner import Row
from benchmarks.graphc_engine import step_of
from benchmarks.workload import Data, Workload
from benchmarks.workloads import WORKLOADS
from graphc.backends.cuda.engine.choosing import is_simulated

__all__ = ["AHEAD", "DRY_STEPS", "STEPS", "compile_ahead", "differing", "steps"]

AHEAD = "compile ahead"
TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2, "tf32": 1e-2}  # of losses, as a part of the largest
STEPS = (AHEAD, *(f"{name} {setting}" for setting in TOLERANCES for name in cuda_kernels.STEPS))
DRY_STEPS = (AHEAD, "tiny float32", "mlp bfloat16", "tiny tf32")
LOSSES, ROUNDS, TURN_SECONDS, LEAST_STEPS = 5, 7, 0.08, 3
Step = Callable[[], float]


@dataclass
class Contender:
    """An engine's step, entered under what its setting asks for; its losses and the median seconds of each turn."""

    engine: str
    make: Callable[[], Step]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    missing: str = ""
    fault: str = ""
    step: Step | None = None
    built: float = 0.0
    losses: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)

    def try_to(self, work: Callable[[Step], None]) -> None:
        """Do something with the step, unless something was wrong already."""
        if self.missing or self.fault:
            return
        try:
            with self.around():
                if self.step is None:
                    start = time.perf_counter()
                    self.step = self.make()
                    self.losses.append(self.step())
                    self.built = time.perf_counter() - start
                work(self.step)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is recorded, and the others go on
            self.fault = f"{type(error).__name__}: {error}".strip()[:500]


def steps(part: str, dry: bool) -> Iterator[Row]:
    """A row for each engine: `part` is a workload and a setting. Another part compiles ahead."""
    if part == AHEAD:
        yield from compile_ahead(dry)
        return
    name, setting = part.split(" ")
    made, kernels = _contenders(name, setting, dry), list[float]()  # graphc is the first of them
    losses, rounds = (1, 1) if dry else (LOSSES, ROUNDS)
    for contender in made:
        contender.try_to(lambda step, c=contender: c.losses.extend(step() for _ in range(losses)))  # type: ignore[misc]
    for turn in range(rounds):
        for contender in made[::-1] if turn % 2 else made:
            contender.try_to(lambda step, c=contender: c.turns.append(_turn(step, dry)))  # type: ignore[misc]
    own, gauge = made[0], gauge_here()
    own.try_to(lambda step: kernels.append(gauge.seconds(gauge.launching(step.program))))  # type: ignore[attr-defined]
    for contender in made:
        yield _row(part, contender, own, kernels if contender is own else [], TOLERANCES[setting])


def _row(part: str, contender: Contender, own: Contender, kernels: list[float], tolerance: float) -> Row:
    name, setting = part.split(" ")
    row: Row = {"workload": name, "setting": setting, "engine": contender.engine, "left out": contender.missing}
    row["fault"] = contender.fault or differing(own.losses, contender.losses, tolerance)
    if contender.turns:
        row |= {"step": 1e6 * median(contender.turns), "turns": [1e6 * turn for turn in contender.turns]}
        row |= {"first": contender.built, "losses": contender.losses}
        row |= {"ratio": median(contender.turns) / median(own.turns)} if own.turns else {}
    return row | ({"kernels": 1e6 * kernels[0]} if kernels else {})


def differing(ours: Sequence[float], theirs: Sequence[float], tolerance: float) -> str:
    """How losses differ by more than the tolerance, as a part of the largest; nothing where they agree."""
    largest = max(map(abs, (*ours, *theirs)), default=0.0)
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if not abs(a - b) <= tolerance * largest:
            return f"loss {number} is {b:.6g}, graphc's {a:.6g}"
    return ""


def _turn(step: Step, dry: bool) -> float:
    """Median seconds of the steps of a turn."""
    spent: list[float] = []
    while len(spent) < (1 if dry else LEAST_STEPS) or (not dry and sum(spent) < TURN_SECONDS):
        start = time.perf_counter()
        step()
        spent.append(time.perf_counter() - start)
    return median(spent)


# Contenders ----------------------------------------------------------------------------------------------------------
def _contenders(name: str, setting: str, dry: bool) -> list[Contender]:
    workload = WORKLOADS[name].shrunk() if dry else WORKLOADS[name]
    data, dtype = workload.data(), "bfloat16" if setting == "bfloat16" else "float32"
    return [Contender("graphc", lambda: _Ours(workload, data, dtype)), *_peers(workload, data, setting, dtype)]


class _Ours:
    """A step by graphc."""

    def __init__(self, workload: Workload, data: Data, dtype: str) -> None:
        inputs, loss, updates, self.arrays = step_of(workload, data, dtype)()
        self.program = gx.compile(inputs, loss, updates, backend="cuda")

    def __call__(self) -> float:
        return float(self.program(*self.arrays))


def _peers(workload: Workload, data: Data, setting: str, dtype: str) -> Iterator[Contender]:
    dry = is_simulated()
    lack = "" if find_spec("torch") else "torch is not installed"
    if not lack and not dry and not import_module("torch").cuda.is_available():
        lack = "this torch sees no CUDA device"
    for engine, mode in (("torch", "eager"), ("torch-compile", "traced" if dry else "reduce-overhead")):
        make = _torch_step(mode, workload, data, "cpu" if dry else "cuda", dtype)
        yield Contender(engine, make, lambda: _torch_setting(setting), lack)
    yield Contender("jax", lambda: _jax_step(workload, data, dtype), lambda: _jax_setting(setting), _jax_lack(dry))


def _torch_step(mode: str, workload: Workload, data: Data, device: str, dtype: str) -> Callable[[], Step]:
    def make() -> Step:
        engine = import_module("benchmarks.torch_engine")
        engine.setup(os.cpu_count() or 1)
        run: Step = engine.prepare(mode, workload, data, 1, device, dtype)().run
        return run

    return make


def _torch_setting(setting: str) -> AbstractContextManager[Any]:
    backends = import_module("torch").backends
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = setting == "tf32"
    return nullcontext()


def _jax_lack(dry: bool) -> str:
    if not find_spec("jax"):
        return "jax is not installed"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # before the first import
    return "" if dry or import_module("jax").default_backend() == "gpu" else "this jax sees no CUDA device"


def _jax_step(workload: Workload, data: Data, dtype: str) -> Step:
    run: Step = import_module("benchmarks.jax_engine").prepare("jit", workload, data, 1, dtype)().run
    return run


def _jax_setting(setting: str) -> AbstractContextManager[Any]:
    precision = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}[setting]
    context: AbstractContextManager[Any] = import_module("jax").default_matmul_precision(precision)
    return context


# Compiling ahead -----------------------------------------------------------------------------------------------------
def compile_ahead(dry: bool) -> Iterator[Row]:
    """Let torch.compile fill its cache on disk from processes side by side: it takes most of the time by far."""
    context, start = multiprocessing.get_context("spawn"), time.perf_counter()
    parts = DRY_STEPS[1:2] if dry else STEPS[1:]
    processes = [context.Process(target=_compile, args=(part, dry)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    failed = [part for part, process in zip(parts, processes, strict=True) if process.exitcode]
    yield {"workload": f"compiled ahead in {len(parts)} processes", "first": time.perf_counter() - start,
           "fault": f"{', '.join(failed)} failed" if failed else ""}  # fmt: skip


def _compile(part: str, dry: bool) -> None:
    """Build and run the step that takes long to compile; what is wrong with it is told by the part itself."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    name, setting = part.split(" ")
    for contender in _contenders(name, setting, dry):
        if contender.engine == "torch-compile":
            contender.try_to(lambda step: (step(), None)[1])
