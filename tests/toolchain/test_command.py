"""A program that is not ours runs within bounds: of time, with all that it started; of memory; of what is read back."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from graphc.toolchain import command
from graphc.toolchain.command import Outcome, run_bounded, run_side_by_side


def run(folder: Path, script: str, seconds: float = 60) -> Outcome:
    return run_bounded([sys.executable, "-S", "-c", script], folder, time.monotonic() + seconds)


def test_status_and_output(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import sys, os; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    assert (outcome.status, outcome.timed_out, outcome.succeeded) == (3, False, False)
    assert sorted(outcome.output.split()) == ["one", "two"]
    assert str(outcome).startswith("ended with status 3:\n  ")
    assert run(tmp_path, "pass").succeeded
    assert str(run(tmp_path, "import os; os.abort()")).startswith("was ended by signal 6")
    assert os.listdir(tmp_path) == []


def test_it_reads_nothing_and_keeps_its_files_in_the_folder(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import os, sys; print(sys.stdin.read() == '', os.environ['TMPDIR'], os.getcwd())")
    assert outcome.output.split() == ["True", str(tmp_path), str(tmp_path)]


def test_what_cannot_be_started(tmp_path: Path) -> None:
    outcome = run_bounded([str(tmp_path / "nothing")], tmp_path, time.monotonic() + 60)
    assert not outcome.succeeded
    assert "No such file" in outcome.output


def test_the_deadline_ends_everything_that_was_started(tmp_path: Path) -> None:
    child = "import time; open('started', 'w'); time.sleep(2); open('finished', 'w')"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    began = time.monotonic()
    outcome = run(tmp_path, script, 1.0)
    assert outcome.timed_out
    assert "in time" in str(outcome)
    assert time.monotonic() - began < 30
    time.sleep(2.5)
    assert not (tmp_path / "finished").exists()
    assert run(tmp_path, "pass", -1.0).timed_out, "a deadline that has passed"


def test_several_run_at_once_and_end_together(tmp_path: Path) -> None:
    waits = "import os, sys, time\nopen(sys.argv[1], 'w')\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    base = [sys.executable, "-S", "-c"]
    pair = [[*base, waits, "one", "two"], [*base, waits, "two", "one"], ["nothing-of-this-name"]]
    first, second, missing = run_side_by_side(pair, tmp_path, time.monotonic() + 60)
    assert first.succeeded
    assert second.succeeded
    assert not missing.succeeded
    script = "import sys, time; time.sleep(float(sys.argv[1]))"
    outcomes = run_side_by_side([[*base, script, each] for each in ("0", "60", "60")], tmp_path, time.monotonic() + 1.5)
    assert [outcome.timed_out for outcome in outcomes] == [False, True, True]


def test_only_the_beginning_of_the_output_is_read(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import os\nfor _ in range(200): os.write(1, b'\\xff' * 1000)")
    assert outcome.succeeded
    assert len(outcome.output) == command.OUTPUT


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system does not limit a running process")
def test_memory_and_files_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = "import time; time.sleep(0.5);"  # by then the limits hold
    assert "MemoryError" in run(tmp_path, f"{wait} bytearray({command.MEMORY})").output
    monkeypatch.setattr(command, "FILE", 1 << 20)
    assert not run(tmp_path, f"{wait} open('large', 'wb').write(bytes(2 << 20))").succeeded
    assert (tmp_path / "large").stat().st_size <= 1 << 20


def test_threads_run_commands_side_by_side(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=lambda i=i: outcomes.append(run(tmp_path, f"print({i})"))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.output.strip() for outcome in outcomes) == ["0", "1", "2", "3"]
