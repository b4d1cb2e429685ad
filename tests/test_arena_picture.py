"""The picture of an arena: boxes where they belong, the peak, the bound and the largest boxes marked."""

from __future__ import annotations

import builtins
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.commands.arena_picture import LABELLED, Box, arena_figure, draw_arena
from graphc.commands.memory import arena_boxes
from graphc.errors import GraphcError
from graphc.picture import check_picture
from tests.plan.test_memory_report import two_arms
from tests.plan.test_rematerialisation import twice

drawn = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")

BOXES = [Box(0, 1, 0, 100, "alpha"), Box(1, 3, 128, 300, "beta"), Box(2, 2, 0, 50, "gamma"), Box(0, 3, 64, 0, "none")]


def parts(boxes: list[Box], bound: int = 400) -> dict[str, Any]:
    """What is to be seen: corners of the boxes, the steps of the line, where the marks stand, all text."""
    panel = arena_figure(boxes, bound, "title").axes[0]
    corners = [path.vertices[:4].tolist() for path in panel.collections[0].get_paths()]
    line = panel.patches[0].get_data()
    marks = {handle.get_label(): np.asarray(handle.get_xydata()) for handle in panel.lines}
    return {
        "corners": corners,
        "alive": line.values.tolist(),
        "marks": marks,
        "texts": [t.get_text() for t in panel.texts],
    }


@drawn
def test_boxes_lie_where_they_belong() -> None:
    found = parts(BOXES)
    assert found["corners"] == [
        [[0, 0], [2, 0], [2, 100], [0, 100]],
        [[1, 128], [4, 128], [4, 428], [1, 428]],
        [[2, 0], [3, 0], [3, 50], [2, 50]],
    ]
    assert found["alive"] == [100, 400, 350, 300]


@drawn
def test_peak_and_bound_are_marked() -> None:
    marks = parts(BOXES, 380)["marks"]
    assert set(marks["peak: 400 B during step 1"][:, 0]) == {1.5}
    assert set(marks["lower bound: 380 B"][:, 1]) == {380}


@drawn
def test_the_largest_are_explained() -> None:
    texts = parts(BOXES)["texts"]
    assert texts[:3] == ["1", "2", "3"]
    assert texts[3].splitlines() == [
        " 1  300 B  steps 1 to 3", "      beta", " 2  100 B  steps 0 to 1", "      alpha", " 3  50 B  steps 2 to 2",
        "      gamma",
    ]  # fmt: skip
    many = parts([Box(i, i, 0, 64 + i, f"box {i}") for i in range(40)])["texts"]
    assert len(many) == LABELLED + 1
    assert "box 39" in many[-1]
    assert "box 27\n" not in many[-1]


@drawn
def test_what_is_computed_again_is_hatched() -> None:
    boxes = [*BOXES, Box(3, 3, 0, 64, "beta again", rematerialised=True)]
    panel = arena_figure(boxes, 400, "title").axes[0]
    first, again = panel.collections
    assert [path.vertices[:4].tolist() for path in again.get_paths()] == [[[3, 0], [4, 0], [4, 64], [3, 64]]]
    assert (len(first.get_paths()), first.get_hatch(), bool(again.get_hatch())) == (3, None, True)
    assert "computed again" in [text.get_text() for text in panel.get_legend().get_texts()]
    assert "computed again" not in [t.get_text() for t in arena_figure(BOXES, 400, "").axes[0].get_legend().get_texts()]


@drawn
@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".SVG", b"<?xml"), (".pdf", b"%PDF")]
)
def test_files(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"arena{suffix}"
    draw_arena(BOXES, 400, path, "an arena & more")
    assert path.read_bytes().startswith(start)
    if start == b"<?xml":
        assert all(text in path.read_text() for text in ("an arena &amp; more", "beta", "lower bound: 400 B"))


@drawn
def test_the_same_arena_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw_arena(BOXES, 400, tmp_path / name, "title")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@drawn
def test_nothing_and_much_are_drawn(tmp_path: Path) -> None:
    draw_arena([], 0, tmp_path / "nothing.png", "nothing")
    rng = np.random.default_rng(0)
    boxes = [Box(int(t), int(t) + 3, 64 * int(o), 64, str(t)) for t, o in rng.integers(0, 5000, (6000, 2))]
    draw_arena(boxes, 1 << 20, tmp_path / "much.svg", "much")
    assert (tmp_path / "much.svg").stat().st_size < 2_000_000


@drawn
def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphcError, match=r"ends in .png, .svg, .pdf; .*arena.txt' does not"):
        draw_arena(BOXES, 400, tmp_path / "arena.txt", "title")


def test_advice_where_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(GraphcError, match=r"pip install 'graphc\[demo\]'"):
        check_picture(Path("arena.png"))


def test_boxes_of_what_is_computed_again() -> None:
    assert [(box.first, box.rematerialised) for box in arena_boxes(twice())] == [(0, False), (2, True)]


def test_boxes_of_a_plan() -> None:
    assert arena_boxes(two_arms()) == [
        Box(0, 3, 0, 80, "t1 float32[20] and 1 in its place  model.py:2"),
        Box(2, 3, 128, 160, "t2 float32[40]  model.py:3"),
    ]


@drawn
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_boxes_give_equal_files(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        draw_arena(BOXES, 400, path, "$x_1$")
    assert paths[0].read_bytes() == paths[1].read_bytes()


@drawn
def test_steps_may_be_far_apart() -> None:
    found = parts([Box(1 << 40, (1 << 40) + 9, 0, 64, "late"), Box(0, 1 << 40, 64, 64, "early")])
    assert found["alive"] == [64, 128, 64]
