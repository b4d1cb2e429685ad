"""Runs steps of several engines in turns, each in a process of its own, so that a busy moment hits all alike.

A process builds its steps once and then measures whenever it is its turn; in between it waits for its pipe. So thread
pools of different engines, and of different sizes, do not get in each other's way. Every round is the last one's in
reverse order, so that a drift cancels out.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.machine import Load
from benchmarks.worker import Start, Subject, Turn, serve
from benchmarks.workloads import WORKLOADS

__all__ = ["Contender", "Effort", "Result", "Worker", "measure"]

Contender = tuple[str, int]  # engine, threads
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long to measure: turns of so many seconds for each contender; `losses` are compared. `small` is for tests."""

    rounds: int
    seconds: float
    losses: int = 20
    small: bool = False

    def turns(self, workloads: int, contenders: int) -> int:
        """How often `measure` will tell that it goes on."""
        return workloads * contenders * (self.rounds + 1)


@dataclass(frozen=True)
class Result:
    """What was measured of a step by an engine, in seconds; `fault` says why it was not, or nothing.

    `build` is the time to a compiled step and `first` that of its first call, both without cached code; `rounds` the
    median of each turn, `minimum` the fastest of all. `memory` is how much the process grew, at its peak, from before
    the step was built. `flops` and `traffic` are the work of a step, `others` the processors that others used.
    """

    workload: str
    engine: str
    threads: int
    backend: str = ""
    build: float = 0.0
    first: float = 0.0
    rounds: tuple[float, ...] = ()
    minimum: float = 0.0
    steps: int = 0
    memory: int = 0
    flops: float = 0.0
    traffic: int = 0
    others: float = 0.0
    trace: dict[str, tuple[float, ...]] = field(default_factory=dict)
    fault: str = ""

    @property
    def median(self) -> float:
        """Seconds of a step, typically."""
        return median(self.rounds)


def measure(
    workloads: Sequence[str], contenders: Sequence[Contender], effort: Effort, tell: Tell = lambda _: None
) -> list[Result]:
    """A result for each workload and contender. The workloads share a process for each contender."""
    with tempfile.TemporaryDirectory(prefix="graphc-benchmarks-") as folder:
        workers = [Worker(*contender, str(Path(folder) / f"{i}")) for i, contender in enumerate(contenders)]
        try:
            records = [_Record(worker, name, effort) for worker in workers for name in workloads]
            for record in records:
                tell(record.title)
                record.start()
            for turn in range(effort.rounds):
                for record in _in_turns(records, workloads, turn):
                    tell(record.title)
                    record.turn()
            return [record.result() for name in workloads for record in records if record.name == name]
        finally:
            for worker in workers:
                worker.stop()


def _in_turns(records: list[_Record], workloads: Sequence[str], turn: int) -> list[_Record]:
    """Workload by workload, all contenders; every second time backwards."""
    order = [record for name in workloads for record in records if record.name == name]
    return order[::-1] if turn % 2 else order


class Worker:
    """A contender's process, seen from outside. It starts with the first request."""

    def __init__(self, engine: str, threads: int, cache: str) -> None:
        self.subject = Subject(engine, threads, cache)
        self.process: Any = None

    def ask(self, *request: Any) -> Any:
        """The answer to a request: a record, or a sentence that says what went wrong."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=serve, args=(other, self.subject), daemon=True)
            self.process.start()
            other.close()
        try:
            self.connection.send(request)
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return f"the process ended with exit code {self.process.exitcode}"

    def stop(self) -> None:
        """End the process: it leaves when its pipe is closed."""
        if self.process is not None:
            self.connection.close()
            self.process.join(timeout=10)
            if self.process.is_alive():
                self.process.kill()


class _Record:
    """What is known of a workload in a worker so far."""

    def __init__(self, worker: Worker, name: str, effort: Effort) -> None:
        self.worker, self.name, self.effort = worker, name, effort
        self.title = f"{name} · {worker.subject.engine} · {worker.subject.threads}"
        self.started: Start | None = None
        self.turns: list[Turn] = []
        self.others: list[float] = []
        self.fault = ""

    def start(self) -> None:
        left_out = WORKLOADS[self.name].left_out.get(self.worker.subject.engine, "")
        answer = left_out or self.worker.ask("start", self.name, self.effort.small, self.effort.losses)
        self.started, self.fault = (answer, "") if isinstance(answer, Start) else (None, str(answer))

    def turn(self) -> None:
        if self.fault:
            return
        load = Load()
        answer = self.worker.ask("turn", self.name, self.effort.seconds)
        if isinstance(answer, Turn):
            self.turns.append(answer)
            self.others.append(load.others(answer.processor))
        else:
            self.fault = str(answer)

    def result(self) -> Result:
        subject, started = self.worker.subject, self.started
        if self.fault or started is None or not self.turns:
            return Result(self.name, subject.engine, subject.threads, fault=self.fault or "there was no turn")
        return Result(
            self.name, subject.engine, subject.threads, started.backend, started.build, started.first,
            tuple(turn.median for turn in self.turns), min(turn.minimum for turn in self.turns),
            sum(turn.steps for turn in self.turns), max(turn.memory for turn in self.turns),
            started.flops, started.traffic, fmean(self.others), started.trace,
        )  # fmt: skip
