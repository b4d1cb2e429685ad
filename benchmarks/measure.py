"""Runs steps of several engines in turns, each in a process of its own, so that a busy moment hits all alike.

A process builds its step once and then measures whenever it is its turn; in between it waits for its pipe. So thread
pools of different engines, and of different sizes, do not get in each other's way.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from benchmarks.engines import ENGINES, PACKAGES, Step
from benchmarks.workloads import WORKLOADS

__all__ = ["Result", "measure"]

LOSSES = 3  # the first losses are compared between engines


@dataclass(frozen=True)
class Result:
    """What was measured of a step, in seconds; `fault` says why it was not, or nothing.

    `build` is the time to a compiled step, `first` that of its first call, `memory` the peak of its process in bytes.
    """

    workload: str
    engine: str
    threads: int
    build: float = 0.0
    first: float = 0.0
    median: float = 0.0
    minimum: float = 0.0
    calls: int = 0
    memory: int = 0
    losses: tuple[float, ...] = ()
    fault: str = ""


def measure(workload: str, contenders: Sequence[tuple[str, int]], rounds: int, seconds: float) -> list[Result]:
    """A result for each contender (engine, threads), after `rounds` turns of `seconds` each."""
    workers = [_Worker(workload, engine, threads) for engine, threads in contenders]
    try:
        for worker in workers:
            worker.start()
        for _ in range(rounds):
            for worker in workers:
                worker.turn(seconds)
        return [worker.result() for worker in workers]
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A contender's process, seen from outside."""

    def __init__(self, workload: str, engine: str, threads: int) -> None:
        self.subject = (workload, engine, threads)
        self.built: dict[str, Any] = {}
        self.times: list[float] = []
        self.memory = 0

    def start(self) -> None:
        """Start the process and wait until its step is ready."""
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, *self.subject), daemon=True)
        self.process.start()
        other.close()
        self.built = self._answer()

    def turn(self, seconds: float) -> None:
        if not self.built.get("fault"):
            self.connection.send(seconds)
            answer = self._answer()
            self.times += answer.get("times", [])
            self.memory = answer.get("memory", self.memory)
            self.built["fault"] = answer.get("fault", "")

    def _answer(self) -> dict[str, Any]:
        try:
            return self.connection.recv()  # type: ignore[no-any-return]
        except EOFError:
            self.process.join()
            return {"fault": f"the process ended with exit code {self.process.exitcode}"}

    def result(self) -> Result:
        if self.built["fault"]:
            return Result(*self.subject, fault=self.built["fault"])
        times = self.times
        return Result(
            *self.subject, self.built["build"], self.built["first"], median(times), min(times), len(times), self.memory,
            self.built["losses"],
        )  # fmt: skip

    def stop(self) -> None:
        """End the process: it leaves when its pipe is closed."""
        if hasattr(self, "process"):
            self.connection.close()
            self.process.join(timeout=10)
            if self.process.is_alive():
                self.process.kill()


# In the process --------------------------------------------------------------------------------------------------
def _serve(connection: Connection, workload: str, engine: str, threads: int) -> None:
    """Build the step, then measure for as long as each message says, until the pipe is closed."""
    try:
        if engine in PACKAGES:
            import_module(PACKAGES[engine])  # the time it takes is not the step's
        begin = time.perf_counter()
        step = ENGINES[engine](WORKLOADS[workload], threads)
        built = time.perf_counter()
        losses = [step()]
        first = time.perf_counter()
        losses += [step() for _ in range(LOSSES - 1)]
        connection.send({"build": built - begin, "first": first - built, "losses": tuple(losses), "fault": ""})
        while True:
            times = _turn(step, connection.recv())
            connection.send({"times": times, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    except EOFError:
        return
    except Exception as error:
        connection.send({"fault": f"{type(error).__name__}: {error}"})
        raise


def _turn(step: Step, seconds: float) -> list[float]:
    """The time of each call in `seconds`, one at least. A first call, which finds cold caches, does not count."""
    step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return times
