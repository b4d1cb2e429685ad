"""Measuring, on tiny sizes: turns in processes of their own, faults, first calls, a busy machine, the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.busy import measure_busy
from benchmarks.engines import ENGINES, default_engines, missing
from benchmarks.first_call import measure_first_calls
from benchmarks.machine import Load, cores, measure_limits
from benchmarks.measure import Effort, measure
from benchmarks.overhead import call_overhead, compile_times

TINY = Effort(rounds=2, seconds=0.005, losses=4, small=True)


def test_steps_take_turns() -> None:
    told: list[str] = []
    contenders = [("graphc", 1), ("graphc", 2)]
    results = measure(["tiny", "softmax"], contenders, TINY, told.append)
    assert [(r.workload, r.threads) for r in results] == [("tiny", 1), ("tiny", 2), ("softmax", 1), ("softmax", 2)]
    assert len(told) == TINY.turns(2, 2)
    assert told[4:8] == told[8:12][::-1]
    for result in results:
        assert result.fault == ""
        assert len(result.rounds) == 2
        assert 0 < result.minimum <= result.median
        assert result.steps >= 2
        assert result.backend in ("c", "cython")
    assert len(results[0].trace["the losses"]) == 4
    assert results[0].trace["the losses"][-1] < results[0].trace["the losses"][0]


def test_faults_are_told_and_the_others_go_on() -> None:
    bad, good = measure(["tiny"], [("graphc", 0), ("graphc", 1)], TINY)
    assert "Invalid argument" in bad.fault
    assert good.fault == ""
    (left_out,) = measure(["gemm-512x512x512"], [("torch-compile", 1)], TINY)
    assert left_out.fault == "torch.mm is one call"


def test_first_calls() -> None:
    (row,) = measure_first_calls(["tiny"], ["graphc"], 1, small=True)
    assert row["fault"] == ""
    assert min(row["cold"], row["warm"]) > 0


@pytest.mark.skipif(len(cores(2)) < 2, reason="there is one core only")
def test_busy() -> None:
    rows = list(measure_busy(["tiny"], ["graphc"], TINY))
    assert [row["when"] for row in rows] == ["quiet", "one core taken"]
    assert all(row["fault"] == "" and row["low"] <= row["median"] <= row["high"] for row in rows)


def test_limits_and_load() -> None:
    limits = measure_limits([1], 1e-4)
    assert limits.reason or limits.flops[1] > 1e8
    assert Load().others(0.0) >= 0


def test_missing_limits_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert measure_limits([1]).reason == "no C compiler is installed"


def test_engines() -> None:
    assert missing("graphc-cython") == ""
    assert set(default_engines()) <= set(ENGINES)
    assert default_engines()[0] == "graphc"


def test_overheads_are_measured() -> None:
    assert all(0 < row["microseconds"] < 1e5 and row["backend"] == "cython" for row in call_overhead(100, "cython"))
    (row,) = compile_times([100])
    assert row["nodes"] == 100
    assert min(row[stage] for stage in ("build", "differentiate", "compile", "first")) >= 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_the_command_saves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", str(tmp_path / "a" / "b.json"), "--markdown", str(tmp_path / "b.md")]
    options = ["--quick", "--rounds", "2", "--seconds", "0.01", "--engines", "graphc", "--threads", "1"]
    assert run(monkeypatch, "tiny", "call", *options, *files) == 0
    assert "all workloads" in capsys.readouterr().out
    assert json.loads((tmp_path / "a" / "b.json").read_text())["results"][0]["engine"] == "graphc"
    assert "call overhead" in (tmp_path / "b.md").read_text()


@pytest.mark.parametrize("wrong", [["nothing"], ["--engines", "abacus"], ["--threads", "0"], ["--rounds", "0"]])
def test_the_command_refuses(monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *wrong)
    assert end.value.code == 2


def test_a_difference_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "disagreements", lambda results: ["two engines differ"])
    options = ["--quick", "--rounds", "1", "--seconds", "0.01", "--engines", "graphc", "--threads", "1"]
    assert run(monkeypatch, "chain-64k", *options) == 1
    assert "chain-64k: two engines differ" in capsys.readouterr().out
