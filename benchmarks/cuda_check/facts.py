"""What a device and its software are, and what a program's memory there is beside what its plan said."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import graphc as gx
from benchmarks.cuda_check.gauge import gauge_here
from benchmarks.cuda_check.runner import Row
from benchmarks.graphc_engine import step_of
from benchmarks.workloads import WORKLOADS
from graphc.backends.cuda.engine.choosing import chosen_device

__all__ = ["memory", "versions"]

PACKAGES = (
    "graphc", "numba", "numba-cuda", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvrtc", "torch",
    "triton", "jax", "jaxlib", "jax-cuda13-plugin", "numpy",
)  # fmt: skip
ASKED = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,clocks.sm,clocks.memory,power.limit"


def versions(part: str, dry: bool) -> Iterator[Row]:
    """A row for each package, or for each fact about the device, which comes last: it may be missing."""
    if part == "packages":
        yield {"what": "python", "is": f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores"}
        for package in PACKAGES:
            try:
                yield {"what": package, "is": version(package)}
            except PackageNotFoundError:
                yield {"what": package, "is": "not installed"}
        return
    device = chosen_device()
    yield {"what": "device", "is": device.name}
    yield {"what": "compute capability", "is": "{}.{}".format(*device.capability)}
    yield {"what": "CUDA of the driver", "is": f"{device.version // 1000}.{device.version % 1000 // 10}"}
    if not dry:
        yield from _clocks()


def _clocks() -> Iterator[Row]:
    """What nvidia-smi says, where it is."""
    asked = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=8, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        yield {"what": "nvidia-smi", "is": str(error)}
        return
    for name, value in zip(ASKED.split(","), answer.splitlines()[0].split(","), strict=True):
        yield {"what": name, "is": value.strip()}


def memory(part: str, dry: bool) -> Iterator[Row]:
    """A row for a workload, `part`, in each dtype: bytes that its plan needs on the device, and those that are taken.

    Pinned memory of the host, which the plan counts, is no memory of a device; the simulated device has it as well.
    """
    for dtype in ("float32", "bfloat16"):
        row = _memory(part, dtype, dry)
        gc.collect()
        yield {"workload": part, "dtype": dtype, **row}


def _memory(name: str, dtype: str, dry: bool) -> Row:
    gauge = gauge_here()
    workload = WORKLOADS[name].shrunk() if dry else WORKLOADS[name]
    inputs, loss, updates, arrays = step_of(workload, workload.data(), dtype)()
    before = gauge.held()
    program = gx.compile(inputs, loss, updates, backend="cuda")
    made = gauge.held() - before
    float(program(*arrays))
    taken, report = gauge.held() - before, program.memory
    planned = report.peak_bytes - (0 if dry else report.table)
    facts = {"planned": planned, "pinned": report.table, "arena": report.arena}
    return {**facts, "made": made, "taken": taken, "ratio": taken / planned}
