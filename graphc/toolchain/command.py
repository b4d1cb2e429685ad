"""Runs programs that are not ours, such as compilers, within bounds: of time, of memory, of the files it writes.

No shell comes between. Each program has a session of its own, so that at the deadline, or when the caller is
interrupted, everything that it started ends with it. It reads nothing, and what it prints goes to a private file of
which the beginning is read back.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

__all__ = ["Outcome", "run_bounded", "run_side_by_side"]

MEMORY = 4 << 30  # bytes of address space
FILE = 256 << 20  # bytes of one file
OUTPUT = 64 << 10  # bytes of output read back
NOT_STARTED = 127  # the status that shells give such a command


@dataclass(frozen=True)
class Outcome:
    """How a command ended: status (negative: the signal that ended it), what it printed, whether it took too long."""

    status: int
    output: str
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status == 0 and not self.timed_out

    def __str__(self) -> str:
        """How it failed, with the first lines that it printed."""
        lines = [line for line in self.output.splitlines() if line.strip()][:6]
        if self.timed_out:
            how = "gave no answer in time"
        elif self.status < 0:
            how = f"was ended by signal {-self.status}"
        else:
            how = f"ended with status {self.status}"
        return "\n  ".join([f"{how}{':' if lines else ' without a word'}", *lines])


def run_bounded(command: Sequence[str], folder: Path, deadline: float) -> Outcome:
    """Run `command` in `folder`, which also holds its temporary files; `deadline` is on the clock of time.monotonic.

    Raises OSError if there is no room for those files.
    """
    (outcome,) = run_side_by_side([command], folder, deadline)
    return outcome


def run_side_by_side(commands: Sequence[Sequence[str]], folder: Path, deadline: float) -> list[Outcome]:
    """Run all `commands` at the same time, as run_bounded does one. When the caller is interrupted, all of them end."""
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    processes: dict[int, subprocess.Popen[bytes]] = {}
    outcomes: dict[int, Outcome] = {}
    late, over = threading.Event(), deadline <= time.monotonic()  # nothing that starts now is in time, however quick

    def end() -> None:
        late.set()
        _end_all(processes.values())

    with contextlib.ExitStack() as files:
        outputs = [files.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in commands]
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
        try:
            for number, command in enumerate(commands):
                try:
                    with _uninterrupted():
                        processes[number] = subprocess.Popen(
                            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=outputs[number],
                            stderr=subprocess.STDOUT, start_new_session=True,
                        )  # fmt: skip
                except OSError as error:
                    outcomes[number] = Outcome(NOT_STARTED, str(error))
                else:
                    _bound(processes[number].pid)
            timer.start()
            statuses = {number: process.wait() for number, process in processes.items()}  # a time-out would poll
        finally:
            timer.cancel()
            _end_all(processes.values())
        for number, status in statuses.items():
            outputs[number].seek(0)
            text = outputs[number].read(OUTPUT).decode(errors="replace")
            outcomes[number] = Outcome(status, text, over or (late.is_set() and status < 0))
    return [outcomes[number] for number in range(len(commands))]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect afterwards: a process that has started is known by then, and can be ended."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if waiting:
        handler(*waiting[0])


def _bound(process: int) -> None:
    """Limit a process that has just started, where the system can: before it has done much, though not before all."""
    if hasattr(resource, "prlimit"):
        for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
            with contextlib.suppress(OSError, ValueError):  # it has ended, or its limit is lower already
                resource.prlimit(process, what, (limit, limit))


def _end_all(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End the processes and what they started, unless they have ended by themselves."""
    for process in list(processes):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
