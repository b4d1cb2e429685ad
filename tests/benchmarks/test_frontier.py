"""Planned models: the checks of budgets, which notice what is wrong, the table, and the commands on small sizes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from benchmarks import __main__ as command
from benchmarks import budgets, planning
from benchmarks.frontier import Planned, faults_of, frontier_sheet
from benchmarks.models import gpt, residual
from graphc.api import build_graph
from graphc.assembly.budgeted import Budgeted
from graphc.backends.table import BACKENDS
from graphc.frontier import Frontier, FrontierPoint, frontier_of
from graphc.pipeline import ways_of
from graphc.plan.memory_report import MemoryReport, Resident


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are short."""
    monkeypatch.setattr("graphc.memory.budget._EFFORT", 100_000)


@pytest.fixture(scope="module")
def ways() -> Budgeted:
    return ways_of(build_graph(*residual.build(8, 32, 256, rng=0))[0], BACKENDS["c"], 1)


def test_budgets_are_kept(ways: Budgeted) -> None:
    frontier = frontier_of(ways)
    assert len(frontier.points) > 4
    assert faults_of(ways, frontier, 12) == []


def test_a_wrong_smallest_budget_is_noticed(ways: Budgeted) -> None:
    first, *others = frontier_of(ways).points
    short = Frontier((first, *others[:-1]))
    assert any("the smallest budget is said to be" in fault for fault in faults_of(ways, short, 3))


@pytest.mark.parametrize(("peak", "overhead", "fault"), [(1 << 40, 0.0, "needs"), (1, 1.0, "with less memory")])
def test_wrong_plans_are_noticed(ways: Budgeted, peak: int, overhead: float, fault: str) -> None:
    class Wrong:
        """Plans that are too large, or dearer the more memory there is."""

        def within(self, budget: int) -> Any:
            found = ways.within(budget)
            return type(found)(peak, overhead * budget, found.planned)

    assert any(fault in text for text in faults_of(Wrong(), frontier_of(ways), 4))  # type: ignore[arg-type]


def test_sheet() -> None:
    points = [FrontierPoint(15 * 10**9, 0.0, 0, 0), FrontierPoint(5 * 10**9, 0.1, 5, 10**9)]
    sheet = frontier_sheet([Planned("resnet", Frontier(tuple(points)), 1.0, 2.0, ("a fault",))])
    assert " | ".join(sheet.rows[0]) == (
        "ResNet-50, batch 184 | 13.97 GiB | 15.06 GB | 4.66 GiB | 10.00% | 4.99 GB | 10.00% / refused | 11.95% | 2.0 s"
    )
    assert sheet.notes[0] == "resnet: a fault"
    small = frontier_sheet([Planned("resnet", Frontier(tuple(points)), 1.0, 2.0, (), small=True)]).rows[0]
    assert (small[0], small[2], small[6]) == ("resnet, small", "", "")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_frontier_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    assert run(monkeypatch, "frontier", "gpt", "--quick", "--budgets", "3", "--save", str(tmp_path)) == 0
    assert (tmp_path / "frontier-gpt.png").read_bytes().startswith(b"\x89PNG")
    assert "made again" in (tmp_path / "frontier-gpt.txt").read_text()
    assert "smallest" in capsys.readouterr().out


def test_a_fault_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.frontier.faults_of", lambda *_: ["a fault"])
    assert run(monkeypatch, "frontier", "vgg", "--quick") == 1


@pytest.mark.parametrize("arguments", [("frontier", "attic"), ("frontier", "--budgets", "1"), ("planning", "x")])
def test_usage_errors(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *arguments)
    assert caught.value.code == 2


# Planning time ---------------------------------------------------------------------------------------------------
def test_planning_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "planning", "--sizes", "150,300") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in planning.GRAPHS)


@pytest.mark.parametrize("name", planning.GRAPHS)
def test_graphs_have_about_so_many_nodes(name: str) -> None:
    assert 0.8 < len(build_graph(*planning.GRAPHS[name](1000))[0].nodes) / 1000 < 1.2


def test_growth() -> None:
    def timing(nodes: int, seconds: float) -> planning.Timing:
        return planning.Timing("a", nodes, nodes, dict.fromkeys(planning.STAGES, seconds / 5), "")

    sheet = planning.planning_sheet([timing(1000, 1.0), timing(10_000, 100.0)])
    assert [row[-3] for row in sheet.rows] == ["", "2.00"]
    assert sheet.notes[-1] == "a, 10,000 nodes: above the goal of 20 s"


# Steps within budgets --------------------------------------------------------------------------------------------
def test_deep_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "deep", "--quick", "--layers", "36", "--rounds", "1", "--backend", "cython") == 0
    assert "36 layers of 16" in capsys.readouterr().out


def test_half_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    found = run(monkeypatch, "half", "--quick", "--rounds", "1", "--fraction", "0.95", "--backend", "cython")
    assert (found, "gpt, dropout 0.1" in capsys.readouterr().out) == (0, True)


def test_share_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "share", "--quick", "--rounds", "1", "--steps", "2", "--backend", "cython") == 0
    assert "MobileNet-V2, batch 8" in capsys.readouterr().out


def test_the_budget_of_a_deep_step() -> None:
    held = tuple(Resident("a", "float32", (25,), 100, 0, 1, "") for _ in range(8))
    free = type("Free", (), {"memory": MemoryReport(1000, 500, 0, 0, 0, 900, 0, 0, 900, at_peak=held)})()
    assert budgets.deep_budget(free, 4) == 1500 + 2 * 2 * 200


def test_other_bits_are_noticed() -> None:
    step = residual.build(2, 4, 8, rng=0)
    program = gx.compile(*step, backend="cython", threads=1)
    arrays, start = [np.full((8, 4), value, np.float32) for value in (1, 2)], program.state_dict()
    one, two = (budgets._trained(program, start, arrays, steps) for steps in (3, 3))
    assert budgets._differences(one, two) == []
    two["losses"][1] += 1
    assert budgets._differences(one, two) == ["losses differ"]
    one["losses"][:] = two["losses"][:] = 1
    assert "prove nothing" in budgets._differences(one, two)[0]


def test_gpt_has_dropout_where_it_is_asked_for() -> None:
    sizes = {"steps": 4, "characters": 5, "layers": 2, "size": 8, "heads": 2}
    plain, dropping = (build_graph(*gpt.build(2, **sizes, dropout=rate))[0] for rate in (0.0, 0.1))  # type: ignore[arg-type]
    masks = [sum("random" in node.op or node.op == "uniform" for node in graph.nodes) for graph in (plain, dropping)]
    assert masks[0] == 0
    assert masks[1] == 1 + 2 * 2
