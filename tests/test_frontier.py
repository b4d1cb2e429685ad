"""`gx.memory_frontier`: what its points promise, what `gx.compile` makes of them, the table and the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import BackendError, GraphError, MemoryBudgetError
from graphc.frontier import Frontier, FrontierPoint, frontier_figure
from tests.test_arena_picture import drawn

TABLE = Frontier((FrontierPoint(4096, 0.0, 0, 0), FrontierPoint(3072, 0.01, 2, 2048), FrontierPoint(1024, 0.5, 9, 1)))


def step(checkpointed: bool = False, rows: int = 512) -> tuple[Any, Any, Any]:
    x, y = gx.input("x", (rows, 64)), gx.input("y", (rows, 64))
    wrap = gx.checkpoint if checkpointed else lambda part: part
    parts = [nn.Sequential(nn.Linear(64, 64, rng=i), nn.GELU()) for i in range(8)]
    z: gx.Tensor = x
    for part in parts:
        z = z + wrap(part)(z)
    loss = nn.mse_loss(z, y)
    weights = [weight for part in parts for weight in part.parameters()]
    return [x, y], {"loss": loss}, optim.SGD(lr=0.1, momentum=0.9).minimize(loss, weights)


def laws(frontier: Frontier) -> None:
    first, *others = frontier.points
    for point, cheaper in zip(others, frontier.points, strict=False):
        assert point.peak_bytes < cheaper.peak_bytes
        assert point.overhead > cheaper.overhead
        assert point.repeated > 0
        assert point.recomputed > 0
    assert first.overhead >= 0


def test_points_are_those_of_compiled_programs() -> None:
    given = step()
    frontier = gx.memory_frontier(*given, backend="cython", threads=1)
    laws(frontier)
    assert len(frontier.points) > 4
    assert (frontier.points[0].overhead, frontier.points[0].repeated, frontier.points[0].recomputed) == (0.0, 0, 0)
    assert frontier.points[-1].peak_bytes < 0.75 * frontier.points[0].peak_bytes
    for point in (frontier.points[0], frontier.points[2], frontier.points[-1]):
        program = gx.compile(*given, backend="cython", threads=1, memory_budget=point.peak_bytes)
        memory = program.memory
        assert (memory.peak_bytes, memory.overhead, memory.repeated) == (
            point.peak_bytes,
            point.overhead,
            point.repeated,
        )
        assert sum(tensor.nbytes for tensor in memory.recomputed) == point.recomputed
    with pytest.raises(MemoryBudgetError, match=f"smallest budget that will do is {frontier.points[-1].peak_bytes} "):
        gx.compile(*given, backend="cython", threads=1, memory_budget=frontier.points[-1].peak_bytes - 1)


def test_the_laws_notice_a_point_that_is_worse() -> None:
    laws(TABLE)
    with pytest.raises(AssertionError):
        laws(Frontier((*TABLE.points, FrontierPoint(1000, 0.4, 1, 1))))


def test_checkpoints_cost_from_the_start() -> None:
    frontier = gx.memory_frontier(*step(checkpointed=True), backend="cython", threads=1)
    laws(frontier)
    assert frontier.points[0].overhead > 0
    assert frontier.points[0].repeated > 0


def test_programs_too_large_to_run() -> None:
    """Rows that take terabytes. Only weights exist."""
    frontier = gx.memory_frontier(*step(rows=1 << 32), backend="c", threads=1)
    laws(frontier)
    assert frontier.points[-1].peak_bytes > 1 << 42


def test_nothing_to_compute_again() -> None:
    x = gx.input("x", (4,))
    (point,) = gx.memory_frontier(x, x * 2, backend="cython", threads=1).points
    assert point == FrontierPoint(gx.compile(x, x * 2, backend="cython", threads=1).memory.peak_bytes, 0.0, 0, 0)


def test_auto_is_what_compile_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_BACKEND", "cython")
    x = gx.input("x", (4,))
    assert gx.memory_frontier(x, x * 2, threads=1) == gx.memory_frontier(x, x * 2, threads=1, backend="cython")
    monkeypatch.setenv("GRAPHC_BACKEND", "abacus")
    with pytest.raises(BackendError, match="names no backend"):
        gx.memory_frontier(x, x * 2)


def test_progress_is_told() -> None:
    told: list[str] = []
    frontier = gx.memory_frontier(*step(), backend="cython", threads=1, progress=told.append)
    assert told[0] == "cutting the work into launches"
    assert len(told) > len(frontier.points)
    assert "more work" in told[-1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "numpy"}, BackendError, "plans no memory"),
        ({"backend": "abacus"}, BackendError, "'abacus' is unknown here"),
        ({"threads": 0}, BackendError, "from 1 to 256, not 0"),
        ({"updates": {1: 2}}, GraphError, "updates are for parameters"),
    ],
)
def test_errors_name_the_line(options: dict[str, Any], error: type[Exception], message: str) -> None:
    x = gx.input("x", (4,))
    with pytest.raises(error, match=message) as caught:
        gx.memory_frontier(x, x * 2, **options)
    assert "test_frontier.py" in str(caught.value)


# Reading it ------------------------------------------------------------------------------------------------------
def test_within() -> None:
    first, second, third = TABLE.points
    found = [TABLE.within(budget) for budget in (1 << 20, 4096, 4095, "3KiB", 0.5, 1024)]
    assert found == [first, first, second, second, third, third]
    with pytest.raises(MemoryBudgetError, match="smallest budget that will do is 1024 "):
        TABLE.within(1023)
    with pytest.raises(GraphError, match="a memory budget is a number of bytes"):
        TABLE.within(-1)


def test_table() -> None:
    assert str(TABLE).splitlines() == [
        "        peak  of the first  overhead  launches again   made again",
        "    4.00 KiB        100.0%     0.00%               0          0 B",
        "    3.00 KiB         75.0%     1.00%               2     2.00 KiB",
        "    1.00 KiB         25.0%    50.00%               9          1 B",
    ]


@drawn
def test_picture(tmp_path: Path) -> None:
    panel = frontier_figure(TABLE, "title").axes[0]
    steps, points = panel.lines[0], panel.lines[1]
    assert (list(points.get_xdata()), list(points.get_ydata())) == ([0, 1, 50], [4096, 3072, 1024])
    assert steps.get_drawstyle() == "steps-post"
    assert [text.get_text() for text in panel.get_legend().get_texts()] == [
        "plans", "nothing twice: 4.00 KiB", "smallest: 1.00 KiB at 50.0 %",
    ]  # fmt: skip
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        TABLE.plot(tmp_path / name, "a title")
        assert (tmp_path / name).read_bytes().startswith(start)
    assert "smallest: 1.00 KiB" in (tmp_path / "a.svg").read_text()
    with pytest.raises(gx.GraphcError, match=r"ends in \.png"):
        TABLE.plot(tmp_path / "a.txt")
