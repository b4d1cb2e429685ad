"""What a device is measured with: its own events, its own copies, what its driver says of its memory.

A simulated device has none of these. All that a dry run has instead is here: wall-clock times of one run, which mean
nothing, a copy by way of the host, the sum of all blocks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.choosing import chosen_device, is_simulated
from graphc.backends.cuda.engine.device import Device

__all__ = ["Gauge", "gauge_here"]

Work = Callable[[], None]  # what begins work on the device, and does not wait
ROUNDS, SECONDS, MOST_RUNS = 7, 0.01, 1000


class Gauge:
    """Measures one device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def seconds(self, work: Work) -> float:
        """What the device takes for `work`: the median of rounds, each of as many as take long enough to be timed."""
        self.span(work, 1)  # what comes first is slower
        runs = min(max(math.ceil(SECONDS / max(self.span(work, 1), 1e-9)), 1), MOST_RUNS)
        return median(self.span(work, runs) / runs for _ in range(ROUNDS))

    def span(self, work: Work, runs: int) -> float:
        """Seconds between two events around so many runs."""
        call, stream = self.device.call, self.device._stream
        start, end = (call("making an event", "cuEventCreate", 0) for _ in range(2))
        call("recording an event", "cuEventRecord", start, stream)
        for _ in range(runs):
            work()
        call("recording an event", "cuEventRecord", end, stream)
        self.device.wait()
        milliseconds = float(call("reading events", "cuEventElapsedTime", start, end))
        for event in (start, end):
            call("freeing an event", "cuEventDestroy", event)
        return milliseconds / 1e3

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Begin to copy from one place of the device to another."""
        self.device.call("copying", "cuMemcpyDtoDAsync", target, source, nbytes, self.device._stream)

    def held(self) -> int:
        """Bytes of the device that are not free; only differences of it mean something."""
        return -int(self.device.call("asking for free memory", "cuMemGetInfo"))

    def launching(self, program: Any) -> Work:
        """What launches the graph of a program that has run once: no array is copied."""
        engine = program._engine
        return lambda: self.device.launch(engine._graph)


class _DryGauge(Gauge):
    """What stands for the above on a simulated device."""

    def seconds(self, work: Work) -> float:
        return self.span(work, 1)

    def span(self, work: Work, runs: int) -> float:
        start = time.perf_counter()
        for _ in range(runs):
            work()
        self.device.wait()
        return time.perf_counter() - start

    def copy(self, target: int, source: int, nbytes: int) -> None:
        between = np.empty(nbytes, np.uint8)
        self.device.receive(between, source)
        self.device.wait()
        self.device.send(target, between)
        self.device.wait()

    def held(self) -> int:
        return sum(block.size for block in self.device.driver.blocks.values())


def gauge_here() -> Gauge:
    """For the device that programs run on. Raises BackendError where there is none."""
    return (_DryGauge if is_simulated() else Gauge)(chosen_device())
