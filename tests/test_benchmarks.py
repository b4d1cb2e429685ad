"""The benchmarks measure what they say: a step in a process of its own, and whether engines agree."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.engines import ENGINES, missing
from benchmarks.measure import Result, measure
from benchmarks.overhead import call_overhead, compile_times
from benchmarks.report import json_text, step_table
from benchmarks.workloads import WORKLOADS


def text_of(table: object) -> str:
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_a_step_is_measured_apart() -> None:
    (result,) = measure("tiny", [("graphc", 1)], rounds=2, seconds=0.01)
    assert result.fault == ""
    assert result.calls >= 2
    assert 0 < result.minimum <= result.median < 1
    assert result.memory > 1 << 20
    assert result.losses[0] > result.losses[-1]
    assert "tiny" in text_of(step_table("tiny", [result]))
    assert json.loads(json_text([result], [], []))["steps"][0]["engine"] == "graphc"


def test_faults_and_disagreements_are_reported() -> None:
    (fault,) = measure("tiny", [("graphc", 0)], rounds=1, seconds=0.01)
    assert "threads must be an integer of at least 1" in fault.fault
    good = Result("tiny", "graphc", 1, 0.1, 0.1, 0.001, 0.001, 3, 1 << 20, (1.0, 0.9, 0.8))
    peer = replace(good, engine="torch", median=0.003)
    assert "3.00×" in text_of(step_table("tiny", [good, peer]))
    assert "differ" not in text_of(step_table("tiny", [good, peer]))
    assert "losses differ: 0.9, 0.95" in text_of(step_table("tiny", [good, replace(peer, losses=(1.0, 0.95, 0.8))]))


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in ("lstm", "gpt")])
def test_workloads_repeat_and_learn(name: str) -> None:
    workload = WORKLOADS[name]
    for first, second in zip(workload.batch(), workload.batch(), strict=True):
        np.testing.assert_array_equal(first, second)
    runs = [[ENGINES["graphc"](workload, threads)() for _ in range(1)] for threads in (1, 2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in ("lstm", "gpt")])
def test_engines_start_alike(name: str) -> None:
    if missing("torch"):
        pytest.skip("PyTorch is not installed")
    losses = [ENGINES[engine](WORKLOADS[name], 1)() for engine in ("graphc", "torch")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_overheads_are_measured() -> None:
    assert all(0 < row["microseconds"] < 1e5 for row in call_overhead(100))
    (row,) = compile_times([100])
    assert row["nodes"] == 100
    assert min(row[stage] for stage in ("build", "differentiate", "compile", "first")) >= 0
