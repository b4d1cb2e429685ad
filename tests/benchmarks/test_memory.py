"""Measured memory: a process that holds what it says, one that holds more, the table, and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import worker
from benchmarks.engines import ENGINES, Built, missing
from benchmarks.memory import measure_memory
from benchmarks.report import markdown, memory_sheet
from benchmarks.scoreboard import Scoreboard, from_json, to_json
from benchmarks.worker import Footprint, Subject, grouped
from graphc.plan.memory_report import Resident
from tests.benchmarks.recorded import MACHINE

MIB = 1 << 20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not count peaks")


class Hoarder:
    """An engine whose step holds `kept` MiB from the start, and `spent` more while it runs, after `wasted` to build."""

    def __init__(self, kept: int, spent: int, wasted: int) -> None:
        self.kept, self.spent, self.wasted = kept, spent, wasted

    def setup(self, threads: int) -> None:
        pass

    def prepare(self, workload: Any, data: Any, threads: int) -> Any:
        if workload.sizes["batch"] < 64:  # the warming up
            return lambda: Built(lambda: 0.0, lambda loss: [np.asarray(loss)], "none")
        np.ones(self.wasted * MIB, np.uint8).sum()
        held = np.ones(self.kept * MIB, np.uint8)
        return lambda: Built(lambda: float(held[0] + np.ones(self.spent * MIB, np.uint8)[0]), list, "none")


def footprint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: Any) -> Footprint:
    monkeypatch.setattr(worker.os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(worker, "_environment", lambda _: {})
    monkeypatch.setitem(ENGINES, "hoarder", engine)
    return worker._Bench(Subject("hoarder", 1, str(tmp_path))).footprint("tiny", False, 2)


@linux
@pytest.mark.parametrize(("kept", "spent", "wasted"), [(40, 80, 0), (80, 40, 300)])
def test_what_a_process_holds(monkeypatch: Any, tmp_path: Path, kept: int, spent: int, wasted: int) -> None:
    """Memory that only building took does not count, and what steps give back counts at its peak."""
    found = footprint(monkeypatch, tmp_path, Hoarder(kept, spent, wasted))
    assert found.is_exact
    assert abs(found.made - kept * MIB) < 3 * MIB
    assert abs(found.peak - (kept + spent) * MIB) < 3 * MIB


@linux
def test_a_peak_that_is_not_counted_anew_includes_building(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(worker, "_forget", lambda: False)
    found = footprint(monkeypatch, tmp_path, Hoarder(10, 10, 300))
    assert not found.is_exact
    assert found.peak > 290 * MIB


@linux
@pytest.mark.parametrize("engine", ["graphc-c", "graphc-cython"])
def test_steps_take_what_was_planned(engine: str) -> None:
    """To the page where the arena is small, else to the large pages that it may lie in."""
    if reason := missing(engine):
        pytest.skip(reason)
    (row,) = measure_memory(["cnn"], [engine], [1])
    assert row["fault"] == ""
    steps = row["peak"] - row["made"]
    assert row["planned_steps"] > 8 * MIB
    assert -MIB // 4 < steps - row["planned_steps"] < 2 * MIB
    assert row["peak"] < row["planned"] + 4 * MIB
    assert row["at_peak"]


def test_a_fault_is_told() -> None:
    (row,) = measure_memory(["tiny"], ["graphc"], [0])
    assert "Invalid argument" in row["fault"]


def test_tensors_of_one_kind_are_told_together() -> None:
    tensors = [Resident("exp", "float32", (256,), 1024, i, 9, "here/model.py:3 in f") for i in range(3)]
    tensors.append(Resident("sum", "float32", (512,), 2048, 0, 9, ""))
    assert grouped(tensors) == ["3 × 1.00 KiB exp float32[256] model.py:3 in f", "1 × 2.00 KiB sum float32[512]"]


# The table -------------------------------------------------------------------------------------------------------
def row(workload: str, engine: str, peak: int, planned: int = 0) -> dict[str, Any]:
    found = {"made": 2 * MIB, "peak": peak * MIB, "planned": planned * MIB, "planned_steps": (planned and 1) * MIB}
    common = {"workload": workload, "engine": engine, "threads": 1, "fault": "", "is_exact": True}
    return common | found | {"at_peak": ("2 × 1 B exp",) if planned else ()}


def test_sheet() -> None:
    rows = [
        row("cnn", "graphc", 60, 59),
        row("cnn", "torch", 100),
        row("gpt", "graphc", 61, 5),
        row("gpt", "torch", 100),
    ]
    rows.append({"workload": "cnn", "engine": "jax", "threads": 1, "fault": "it failed"})
    sheet = memory_sheet(rows)
    cells = [" | ".join(cell) for cell in sheet.rows]
    assert (
        cells[0] == "cnn | graphc | 1 | 2.00 MiB | 58.00 MiB | 60.00 MiB | 1.00 MiB | 59.00 MiB | 0.60 | ≤ 0.6: reached"
    )
    assert cells[1] == "cnn | torch | 1 | 2.00 MiB | 98.00 MiB | 100.00 MiB |  |  |  | "
    assert cells[2].endswith("0.61 | ≤ 0.6: missed")
    assert sheet.notes[:2] == ["cnn, jax (1): it failed", "gpt, graphc (1), at the peak: 2 × 1 B exp"]
    assert not any("includes compiling" in note for note in sheet.notes)
    assert "includes compiling" in memory_sheet([rows[0] | {"is_exact": False}]).notes[-1]


def test_a_workload_without_a_goal_is_not_judged() -> None:
    cells = memory_sheet([row("tiny", "graphc", 10, 9), row("tiny", "torch", 5)]).rows
    assert cells[0][-2:] == ["2.00", ""]


def test_scoreboard_keeps_it() -> None:
    board = Scoreboard(MACHINE, memory=(row("cnn", "graphc", 60, 59), row("cnn", "torch", 100)))
    assert from_json(to_json(board)) == board
    assert "### memory of a step" in markdown(board)


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    arguments = [
        "memory",
        "tiny",
        "mlp",
        "--quick",
        "--threads",
        "1",
        "--engines",
        "graphc-cython",
        "--json",
        str(path),
    ]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    assert command.main() == 0
    found = json.loads(path.read_text())
    assert [row["workload"] for row in found["memory"]] == ["tiny", "mlp"]
    assert found["results"] == []


@pytest.mark.parametrize("what", [["memory", "call"], ["memory", "attic"]])
def test_command_measures_workloads_alone(monkeypatch: pytest.MonkeyPatch, what: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *what])
    with pytest.raises(SystemExit):
        command._options()


def test_command_without_workloads_takes_those_of_the_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "memory"])
    assert command._options().of_memory == ("cnn", "gpt", "resnet")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "tiny", "memory"])
    options = command._options()
    assert (options.what, options.of_memory) == (["tiny", "memory"], ("cnn", "gpt", "resnet"))
