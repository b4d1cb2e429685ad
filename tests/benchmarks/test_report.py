"""What becomes of recorded results: ratios round by round, tables, JSON, Markdown as a golden, a picture.

    UPDATE_GOLDENS=1 python -m pytest tests/benchmarks/test_report.py

accepts a new Markdown document.
"""

from __future__ import annotations

import importlib.util
import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.compare import disagreements, faster, goal_ratio, mean_ratio, ratio
from benchmarks.machine import Limits
from benchmarks.scoreboard import from_json, this_machine, to_json
from benchmarks.workloads import GROUPS, WORKLOADS
from tests.benchmarks.recorded import LIMITS, result, scoreboard

GOLDEN = Path(__file__).parent.parent / "goldens" / "scoreboard.md"


def test_markdown_is_as_recorded() -> None:
    text = report.markdown(scoreboard())
    if os.environ.get("UPDATE_GOLDENS"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_json_comes_back() -> None:
    board = scoreboard()
    assert from_json(to_json(board)) == board
    assert this_machine(Limits(reason="nobody asked")).packages["numpy"]


def test_ratios_are_taken_round_by_round() -> None:
    own, peer = result("tiny", "graphc", 1, (1, 2, 4)), result("tiny", "torch", 1, (3, 4, 16))
    found = ratio(own, peer)
    assert (found.median, found.low, found.high) == (3, 2.5, 3.5)
    assert str(found) == "3.00× [2.50–3.50]"
    single = ratio(result("tiny", "graphc", 1, (1,)), result("tiny", "torch", 1, (3,)))
    assert single.low == single.median == single.high == 3
    assert mean_ratio([found, ratio(own, own)]).median == pytest.approx(3**0.5)


def test_goals_are_about_the_faster_peer() -> None:
    results = scoreboard().results
    peer = faster(results, "tiny", ("torch", "torch-compile"), 1)
    assert peer is not None
    assert peer.engine == "torch"
    found = [goal_ratio(results, "tiny", goal, 1) for goal in WORKLOADS["tiny"].goals]
    assert [ratio.peer for ratio in found if ratio] == ["torch", "jax"]
    assert goal_ratio(results, "mlp", WORKLOADS["mlp"].goals[0], 4) is None


@pytest.mark.parametrize(
    ("trace", "sentences"),
    [
        ({"the losses": (2.5, 2.2501)}, 0),
        ({"the losses": (2.5, 2.26)}, 1),
        ({"the losses": (2.5, float("nan"))}, 1),
        ({"the losses": (float("inf"), 2.25)}, 1),
        ({"result 0": (2.5, 2.25)}, 1),
    ],
)
def test_disagreements(trace: dict[str, tuple[float, ...]], sentences: int) -> None:
    own, peer = result("tiny", "graphc", 1, (1,)), result("tiny", "torch", 1, (1,), trace=trace)
    assert len(disagreements([own, peer])) == sentences


def test_graphc_agrees_with_itself_to_the_bit() -> None:
    own = result("tiny", "graphc", 1, (1,))
    other = result("tiny", "graphc", 2, (1,), trace={"the losses": (2.5, 2.2500001)})
    assert disagreements([own, other]) == [
        "graphc (1) and graphc (2) differ in number 2 of the losses: 2.25 and 2.2500001"
    ]


def test_limits() -> None:
    assert LIMITS.seconds(1, 2e11, 10) == 1
    assert LIMITS.seconds(2, 0, 1 << 28) == pytest.approx((1 << 28) / 1.5e10)
    assert LIMITS.seconds(1, 0, 2 << 22) == pytest.approx((2 << 22) / 2.5e10)
    assert "nan" in str(Limits(reason="no").seconds(1, 1, 1))


def test_groups_have_a_geometric_mean() -> None:
    results = [
        result(name, engine, 1, (n, n)) for name in GROUPS["gemm"] for engine, n in (("graphc", 2), ("torch", 3))
    ]
    rows = report.summary_sheet(results, LIMITS).rows
    assert rows[-1][0] == "gemm, geometric mean"
    assert rows[-1][-1] == "≥ 1× torch: reached"
    assert "1.50×" in rows[-1][4]
    assert report.summary_sheet(results[2:], LIMITS).rows[-1][0] != "gemm, geometric mean"
    assert report.step_sheet(results, LIMITS).columns[0] == "workload"


def test_tables_fit_a_terminal() -> None:
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(report.summary_sheet(scoreboard().results, LIMITS))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 140
    assert any(line.startswith("  tiny ") and "40.0× [39.4–40.6]" in line for line in lines)
    assert "rely on the ratios" in lines[-2]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_a_picture_is_drawn(tmp_path: Path) -> None:
    from benchmarks.plot import save_plot

    save_plot(scoreboard().results, tmp_path / "scoreboard.png")
    assert (tmp_path / "scoreboard.png").read_bytes().startswith(b"\x89PNG")
