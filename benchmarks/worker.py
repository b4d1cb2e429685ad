"""The process that an engine lives in: it prepares workloads and measures them whenever it is its turn.

It is pinned to as many cores as it has threads, and keeps compiled code in a cache folder of its own, so that a first
call is the first. Only what is asked for is imported: a peer's thread pools live in the peer's process.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.engines import ENGINES, Built
from benchmarks.machine import cores
from benchmarks.workload import Array, Data, Workload
from benchmarks.workloads import WORKLOADS
from graphc.plan.memory_report import Resident
from graphc.plan.text import bytes_text

__all__ = ["Footprint", "Start", "Subject", "Turn", "compiled", "serve"]

LARGEST = 8  # kinds of tensors at the peak that are told
SAMPLES = 32  # elements of a result that are compared between engines
SAMPLE_SECONDS = 1e-4  # steps are timed in bundles of about so long


@dataclass(frozen=True)
class Subject:
    """What a process measures with: an engine and its threads; `cache` is the folder for compiled code."""

    engine: str
    threads: int
    cache: str


@dataclass(frozen=True)
class Start:
    """What starting a workload told: seconds to compile and to call first, and what the step computes."""

    build: float
    first: float
    backend: str
    flops: float
    traffic: int
    trace: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Turn:
    """What a turn told: median and minimum seconds of a step, steps, bytes of memory, seconds of processor time."""

    median: float
    minimum: float
    steps: int
    memory: int
    processor: float


@dataclass(frozen=True)
class Footprint:
    """Bytes by which a process grew since its libraries were loaded and warm: before the first step (`made`), and at
    most while steps ran (`peak`).

    `planned` is what the engine said that it would hold, of which `planned_steps` is first touched by steps: arena and
    workspaces. `at_peak` are the tensors that take most of the arena, in words. `is_exact` is whether the system let
    the peak be counted from the first step on; else it includes compiling.
    """

    made: int
    peak: int
    planned: int
    planned_steps: int
    at_peak: tuple[str, ...]
    is_exact: bool


def serve(connection: Connection, subject: Subject) -> None:
    """Answer requests until the pipe is closed: a method's name and arguments, answered by its result or a fault."""
    try:
        bench = None
        while True:
            name, *arguments = connection.recv()
            try:
                bench = bench or _Bench(subject)
                connection.send(getattr(bench, name)(*arguments))
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is reported, and the others go on
                connection.send(f"{type(error).__name__}: {error}".strip()[:2000])
    except EOFError:
        return


def compiled(engine: str, workload: Workload, data: Data, threads: int, losses: int) -> tuple[Built, Start]:
    """A step in this process, run for as many losses, or once where it does not train."""
    build = ENGINES[engine].prepare(workload, data, threads)
    begin = time.perf_counter()
    step = build()
    built = time.perf_counter()
    result = step.run()
    first = time.perf_counter()
    arrays = step.read(result)
    work = workload.work(), workload.traffic(data, sum(array.nbytes for array in arrays))
    trace = _losses(step, result, losses) if workload.kind == "train" else _samples(arrays)
    return step, Start(built - begin, first - built, step.backend, *work, trace)


class _Bench:
    """Prepared steps by workload."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.steps: dict[str, Built] = {}
        self.baseline: dict[str, int] = {}
        os.sched_setaffinity(0, cores(subject.threads))
        os.environ.update(_environment(subject))
        ENGINES[subject.engine].setup(subject.threads)

    def start(self, name: str, small: bool, losses: int) -> Start:
        """Compile a step and check what it computes; its turns may follow."""
        workload = WORKLOADS[name].shrunk() if small else WORKLOADS[name]
        data = workload.data()
        self.baseline[name] = _resident("VmRSS")
        self.steps[name], start = compiled(self.subject.engine, workload, data, self.subject.threads, losses)
        _forget()
        return start

    def turn(self, name: str, seconds: float) -> Turn:
        """Measure for so long, one step at least. A first step, which finds cold caches, does not count."""
        run, own = self.steps[name].run, time.process_time()
        begin = time.perf_counter()
        run()
        bundle = max(1, int(SAMPLE_SECONDS / max(time.perf_counter() - begin, 1e-7)))
        times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            for _ in range(bundle):
                run()
            times.append((time.perf_counter() - begin) / bundle)
        memory = max(0, _resident("VmHWM") - self.baseline[name])
        return Turn(median(times), min(times), len(times) * bundle, memory, time.process_time() - own)

    def footprint(self, name: str, small: bool, steps: int) -> Footprint:
        """Warm the libraries up on tiny sizes, then build the step, forget its source data, and run it."""
        engine, threads = ENGINES[self.subject.engine], self.subject.threads
        tiny = WORKLOADS[name].shrunk()
        compiled(self.subject.engine, tiny, tiny.data(), threads, 2)
        _forget()
        before = _resident("VmRSS")
        workload = tiny if small else WORKLOADS[name]
        step = engine.prepare(workload, workload.data(), threads)()
        is_exact = _forget()
        made = _resident("VmRSS")
        for _ in range(steps):
            step.run()
        peak, memory = _resident("VmHWM"), step.memory
        sizes = (memory.peak_bytes, memory.arena + memory.workspace) if memory is not None else (0, 0)
        words = grouped(memory.at_peak)[:LARGEST] if memory is not None else []
        return Footprint(made - before, peak - before, *sizes, tuple(words), is_exact)


def grouped(tensors: Sequence[Resident]) -> list[str]:
    """Tensors of one op, type and line together, in words; what takes most first."""
    bytes_of: dict[str, list[int]] = {}
    for tensor in tensors:
        name, type, _, location = tensor.cells()
        bytes_of.setdefault(f"{name} {type} {location.rpartition('/')[2]}".rstrip(), []).append(tensor.nbytes)
    largest = sorted(bytes_of.items(), key=lambda item: -sum(item[1]))
    return [f"{len(sizes)} × {bytes_text(sizes[0])} {words}" for words, sizes in largest]


def _environment(subject: Subject) -> dict[str, str]:
    """What the engines' libraries read when they are imported."""
    threads, cache = str(subject.threads), Path(subject.cache)
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" if subject.threads == 1 else ""
    return {
        "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu",
        "GRAPHC_CACHE": str(cache / "graphc"), "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }  # fmt: skip


def _losses(step: Built, first: Any, count: int) -> dict[str, tuple[float, ...]]:
    return {"the losses": (float(first), *(float(step.run()) for _ in range(count - 1)))}


def _samples(arrays: list[Array]) -> dict[str, tuple[float, ...]]:
    """A result's root mean square, and elements of it, evenly spread."""
    found = {}
    for number, array in enumerate(arrays):
        flat = np.asarray(array, np.float64).ravel()
        places = np.linspace(0, flat.size - 1, min(flat.size, SAMPLES)).astype(int)
        found[f"result {number}"] = (float(np.sqrt(np.mean(flat * flat))), *flat[places].tolist())
    return found


# Memory ----------------------------------------------------------------------------------------------------------
def _resident(key: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most since the last `_forget`; 0 where nobody counts."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def _forget() -> bool:
    """Give what compiling left over back to the system, and count the most memory from here on; whether that works."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):  # elsewhere than on Linux with glibc: the peak counts from the start
        return False
    return True
