"""Runs sections, each within its seconds and in a process of its own, and keeps what there is whatever happens.

A section is a list of parts, each of which yields rows. A part that raises, or whose process dies, is recorded with
its error, and a fresh process goes on with the next part, as what a fault leaves behind may spoil what comes after it.
A part that takes too long is ended with all processes that it started. Nothing here knows what is measured.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["NO_TIME", "Finding", "Row", "Section", "run_sections"]

Row = dict[str, Any]
Measure = Callable[[str, bool], Iterator[Row]]  # of a part, and whether it is a dry run
NO_TIME = "left out: no time"
LEAST_SECONDS = 1.0  # with less a section is not begun
LONGEST_FAULT = 2000


@dataclass(frozen=True)
class Section:
    """What `measure` yields for each of `parts`, within so many seconds; a dry run has `dry` parts only."""

    name: str
    title: str
    seconds: float
    measure: Measure
    parts: Sequence[str]
    dry: Sequence[str]


@dataclass
class Finding:
    """What a section has told so far: its rows, faults by part, and why parts of it, or all, are left out."""

    name: str
    rows: list[Row] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    left_out: str = ""
    seconds: float = 0.0


def run_sections(
    sections: Sequence[Section],
    seconds: float,
    *,
    dry: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    save: Callable[[list[Finding]], None] = lambda _: None,
) -> list[Finding]:
    """A finding for each section, all within so many seconds; `save` is called after each part with all so far."""
    end = time.monotonic() + seconds
    findings: list[Finding] = []
    for section in sections:
        start = time.monotonic()
        finding = Finding(section.name)
        findings.append(finding)
        limit = min(end, start + section.seconds)
        for _ in _run(section, finding, limit, dry, tell):
            finding.seconds = time.monotonic() - start
            save(findings)
        finding.seconds = time.monotonic() - start
        tell(f"{section.name}: {len(finding.rows)} rows in {finding.seconds:.1f} s {finding.left_out}".rstrip())
        save(findings)
    return findings


def _run(section: Section, finding: Finding, limit: float, dry: bool, tell: Callable[[str], None]) -> Iterator[None]:
    """Run the parts, and come back after each."""
    parts = section.dry if dry else section.parts
    process = _Process(section.measure, dry)
    try:
        for number, part in enumerate(parts):
            if limit - time.monotonic() < LEAST_SECONDS:
                finding.left_out = NO_TIME + (f" for {', '.join(_few(parts[number:]))}" if number else "")
                return
            for row in process.rows(part, limit):
                finding.rows.append(row)
                tell(f"{section.name} · {_told(row)}")
            if process.fault:
                finding.faults[part] = process.fault
                tell(f"{section.name} · {part}: {process.fault.splitlines()[0]}")
                process.stop()
                process = _Process(section.measure, dry)
            yield
    finally:
        process.stop()


def _few(parts: Sequence[str]) -> list[str]:
    return [*parts[:4], *([f"{len(parts) - 4} more"] if len(parts) > 4 else [])]


def _told(row: Row) -> str:
    return ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values() if value)


class _Process:
    """A section's process, which starts with its first part. `fault` is what went wrong with the last one."""

    def __init__(self, measure: Measure, dry: bool) -> None:
        self.measure, self.dry = measure, dry
        self.process: Any = None
        self.fault = ""
        self.is_late = False

    def rows(self, part: str, limit: float) -> Iterator[Row]:
        """The rows of a part as they come, until `limit` by the monotonic clock."""
        self._start()
        self.fault = ""
        try:
            self.connection.send(part)
            while self.connection.poll(max(limit - time.monotonic(), 0)):
                row, fault = self.connection.recv()
                if row is None:
                    self.fault = fault
                    return
                yield row
            self.fault, self.is_late = "ended: it took longer than its section may", True
        except (EOFError, OSError):
            self.process.join()
            self.fault = f"the process ended with exit code {self.process.exitcode}"

    def _start(self) -> None:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=_serve, args=(other, self.measure, self.dry))
            self.process.start()
            other.close()

    def stop(self) -> None:
        """End the process and those that it started."""
        if self.process is not None:
            self.connection.close()
            self.process.join(timeout=0 if self.is_late else 5)
            if self.process.is_alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.kill()
                self.process.join()
            self.process = None


def _serve(connection: Connection, measure: Measure, dry: bool) -> None:
    """Answer parts by their rows, then by no row and a fault or nothing, until the pipe is closed."""
    os.setsid()
    with contextlib.suppress(EOFError, OSError):
        while True:
            part = connection.recv()
            try:
                for row in measure(part, dry):
                    connection.send((row, ""))
                connection.send((None, ""))
            except Exception as error:  # noqa: BLE001 - whatever is raised is recorded, and the others go on
                connection.send((None, f"{type(error).__name__}: {error}".strip()[:LONGEST_FAULT]))
