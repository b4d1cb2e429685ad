"""Runs a program that is not ours, such as a compiler, within bounds: of time, of memory, of the files it writes.

No shell comes between. The program has a session of its own, so that at the deadline, or when the caller is
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "run_bounded"]

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
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    with tempfile.TemporaryFile(dir=folder) as output:
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Outcome(NOT_STARTED, str(error))
        _bound(process.pid)
        late = threading.Event()

        def end() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(deadline - time.monotonic(), end)
        timer.start()
        try:
            status = process.wait()  # without a time-out of its own, which would poll
        finally:
            timer.cancel()
            _end(process)
        output.seek(0)
        return Outcome(status, output.read(OUTPUT).decode(errors="replace"), late.is_set())


def _bound(process: int) -> None:
    """Limit a process that has just started, where the system can: before it has done much, though not before all."""
    if hasattr(resource, "prlimit"):
        for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
            with contextlib.suppress(OSError, ValueError):  # it has ended, or its limit is lower already
                resource.prlimit(process, what, (limit, limit))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, unless it has ended by itself."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
