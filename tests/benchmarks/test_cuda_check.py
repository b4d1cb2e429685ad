"""The check of a device: what a runner keeps whatever happens, its tables, and two sections on a simulated device."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.cuda_check import command, ops, sections, steps
from benchmarks.cuda_check.runner import NO_TIME, Finding, Section, run_sections
from graphc.ops.record import FUNCTIONS
from tests.benchmarks.obedient import measure


def section(name: str, *parts: str, seconds: float = 30.0) -> Section:
    return Section(name, name, seconds, measure, parts, parts[:1])


def test_a_fault_is_recorded_and_the_rest_goes_on() -> None:
    first, second = run_sections([section("first", "raise", "die", "a", "b"), section("second", "c")], 60)
    assert first.faults == {"raise": "ValueError: it was asked to", "die": "the process ended with exit code 3"}
    assert [row["part"] for row in first.rows] == ["raise", "die", "a", "b"]
    assert len({row["process"] for row in first.rows}) == 3  # a fresh one after each fault
    assert [row["part"] for row in second.rows] == ["c"]
    assert first.rows[-1]["process"] != second.rows[0]["process"]


def test_a_part_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    (found,) = run_sections([section("slow", "sleep", "a", seconds=4)], 60)
    assert time.monotonic() - start < 20
    assert found.faults == {"sleep": "ended: it took longer than its section may"}
    assert found.left_out == f"{NO_TIME} for a"


def test_after_the_deadline_sections_are_left_out() -> None:
    found = run_sections([section("first", "a"), section("second", "b")], 0)
    assert [(finding.left_out, finding.rows) for finding in found] == [(NO_TIME, [])] * 2


def test_a_dry_run_has_parts_of_its_own_and_all_is_saved_after_each_part() -> None:
    saved: list[list[int]] = []
    run_sections([section("first", "a", "b"), section("second", "c")], 60,
                 save=lambda findings: saved.append([len(finding.rows) for finding in findings]))  # fmt: skip
    assert saved == [[1], [2], [2], [2, 1], [2, 1]]
    (found,) = run_sections([section("first", "a", "b")], 60, dry=True)
    assert [(row["part"], row["dry"]) for row in found.rows] == [("a", True)]


# The sections --------------------------------------------------------------------------------------------------------
def test_two_sections_on_a_simulated_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "")
    code = command.main(["--dry", "--only", "versions", "--only", "bandwidth", "--out", str(tmp_path)])
    told, text = json.loads((tmp_path / "cuda-check.json").read_text()), (tmp_path / "cuda-check.md").read_text()
    assert (code, told["times"], [part["name"] for part in told["sections"]]) == (
        0, "simulated", ["versions", "bandwidth"],
    )  # fmt: skip
    assert {"what": "device", "is": "simulated device"} in told["sections"][0]["rows"]
    assert [row["kernels"] for row in told["sections"][1]["rows"]] == [1] * 4
    assert "simulated device" in text
    assert "GB/s" not in text


def test_tables_tell_times_faults_and_goals(tmp_path: Path) -> None:
    rates = {"kernel": "x * s + x", "dtype": "float32", "kernels": 1, "GB/s": 4000.0, "copy": 4100.0, "share": 0.976}
    good, bad = (
        {"function": "exp", "dtype": "float32", "sample": number, "fault": "wrong" * number} for number in (0, 1)
    )
    findings = [
        Finding("ops", [good, bad], left_out=NO_TIME),
        Finding("bandwidth", [rates], {"bfloat16": "no | device"}),
    ]
    command.write(findings, tmp_path, dry=False)
    text = (tmp_path / "cuda-check.md").read_text()
    assert "| x * s + x | float32 | 1 | 4,000 | 4,100 | 98% |" in text
    assert "2 cases of 1 functions in 1 dtypes; 1 faults." in text
    assert "met by 1 of 1" in text
    assert "bfloat16: no | device" in text
    assert text.count("exp") == 1
    assert NO_TIME in text


def test_sections_have_tables_and_fit_into_their_time() -> None:
    assert [*sections.TABLES] == [section.name for section in sections.SECTIONS]
    assert all(set(section.dry) <= set(section.parts) for section in sections.SECTIONS)
    assert sum(section.seconds for section in sections.SECTIONS[:-1]) < 60 * 4


def test_all_functions_come_first() -> None:
    order = ops.in_order()
    assert [case.function.name for case in order[: len(FUNCTIONS)]] == [*FUNCTIONS]
    assert len({str(case) for case in order}) == len(order)
    assert len(ops.ops_parts()) * ops.BATCH >= len(order)


def test_losses_that_differ_are_told() -> None:
    assert steps.differing([2.0, 1.0], [2.0, 1.0005], 1e-3) == ""
    assert steps.differing([2.0, 1.0], [2.0, 1.1], 1e-3) == "loss 2 is 1.1, graphc's 1"
    assert "nan" in steps.differing([2.0], [float("nan")], 1e-3)
