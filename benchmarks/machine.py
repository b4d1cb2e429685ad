"""The machine: what it is, what it can do at most, and how much of it others are using right now.

The limits are measured with small C kernels of their own (limits.c), so that they do not depend on what is compared
with them; where there is no C compiler they stay unknown, and a reason says so.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["Limits", "Load", "cores", "measure_limits", "processor"]

SIZES = (1 << 18, 1 << 23, 1 << 26)  # bytes of the source of a copy: in the second cache, beyond it, in memory
RUNS = 20
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-shared", "-fPIC")


@dataclass(frozen=True)
class Limits:
    """By number of threads: floating-point operations a second; bytes copied a second, by the size of the copy.

    `reason` says why there are none.
    """

    flops: Mapping[int, float] = field(default_factory=dict)
    copies: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    reason: str = ""

    def seconds(self, threads: int, flops: float, traffic: float) -> float:
        """The least time of a step that needs so many operations and moves so many bytes; NaN where unknown."""
        if threads not in self.flops:
            return math.nan
        sizes = self.copies[threads]
        rates = np.interp(math.log(max(traffic, 1) / 2), [math.log(size) for size in sizes], list(sizes.values()))
        return max(flops / self.flops[threads], traffic / float(rates))


def cores(threads: int) -> list[int]:
    """The processors that a measurement with so many threads may use: the first ones, always the same."""
    return sorted(os.sched_getaffinity(0))[:threads]


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


# Limits ----------------------------------------------------------------------------------------------------------
def measure_limits(threads: Sequence[int], seconds: float = 0.01) -> Limits:
    """The limits of as many cores at once: the best of many runs of about `seconds`, of which some should be quiet."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return Limits(reason="no C compiler is installed")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "limits.so"
        command = [compiler, *FLAGS, str(Path(__file__).with_name("limits.c")), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return Limits(reason=f"{compiler} cannot build the kernels that measure them: {done.stderr[:200]}")
        library = ctypes.CDLL(str(target))
    library.multiply_add.restype = library.copy.restype = ctypes.c_int64
    flops = {count: _rate(count, seconds, _multiply_add(library)) for count in threads}
    copies = {count: {size: _rate(count, seconds, _copy(library, size)) for size in SIZES} for count in threads}
    return Limits(flops, copies)


def _multiply_add(library: ctypes.CDLL) -> Callable[[], Callable[[int], int]]:
    def kernel() -> Callable[[int], int]:
        result = ctypes.c_float(1.0)
        return lambda rounds: int(library.multiply_add(ctypes.c_int64(rounds), ctypes.byref(result)))

    return kernel


def _copy(library: ctypes.CDLL, size: int) -> Callable[[], Callable[[int], int]]:
    def kernel() -> Callable[[int], int]:
        source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
        addresses = ctypes.c_void_p(target.ctypes.data), ctypes.c_void_p(source.ctypes.data)
        kept = (source, target)
        return lambda rounds: int(library.copy(ctypes.c_int64(rounds), *addresses, ctypes.c_int64(kept[0].nbytes)))

    return kernel


def _rate(threads: int, seconds: float, make: Callable[[], Callable[[int], int]]) -> float:
    """What `threads` kernels do together in a second: each the best of its runs. A kernel says how much it did."""

    def run(core: int) -> float:
        os.sched_setaffinity(0, [core])
        kernel, rounds = make(), 1
        while min(_timed(kernel, rounds)[0] for _ in range(3)) < seconds / 2:
            rounds *= 2
        return max(done / elapsed for elapsed, done in (_timed(kernel, rounds) for _ in range(RUNS)))

    with ThreadPoolExecutor(threads) as pool:  # ctypes lets other threads run meanwhile
        return sum(pool.map(run, cores(threads)))


def _timed(kernel: Callable[[int], int], rounds: int) -> tuple[float, int]:
    begin = time.perf_counter()
    done = kernel(rounds)
    return time.perf_counter() - begin, done


# Load ------------------------------------------------------------------------------------------------------------
class Load:
    """Processors used by others: everything that ran between two looks, less what the caller knows to be ours."""

    def __init__(self) -> None:
        self._busy, self._time = _busy_seconds(), time.monotonic()

    def others(self, own: float) -> float:
        """The average number of processors that others kept busy since the last look; `own` in seconds."""
        busy, now = _busy_seconds(), time.monotonic()
        elapsed = max(now - self._time, 1e-3)
        found = max(0.0, busy - self._busy - own) / elapsed
        self._busy, self._time = busy, now
        return found


def _busy_seconds() -> float:
    """Seconds that all processors worked since the machine started, stolen time included; 0 where nobody counts."""
    try:
        fields = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0.0
    user, nice, system, _, _, interrupts, soft, stolen = fields
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
