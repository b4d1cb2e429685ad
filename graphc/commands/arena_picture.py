"""An arena over time as a picture: a box for each piece of memory, as wide as its lifetime and as high as its bytes.

Above the boxes runs the line of the bytes that are alive; the step at which they are most is marked, and so is the
bound that no placement can go below. The largest boxes carry numbers, which are explained beside the picture; those of
tensors that are rematerialised are hatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from graphc.picture import check_picture, mark_bytes, new_panel, save_picture
from graphc.plan.text import bytes_text

__all__ = ["Box", "draw_arena"]

LABELLED = 12  # boxes that are explained
MANY = 3000  # boxes beyond which a file of vectors holds them as an image
FILLS = ("#8ecae6", "#a8dadc", "#bde0c1", "#f4d58d", "#f7b267", "#e5a4a4", "#cdb4db", "#b8c0e0")
LINE, MARK = "#1d3557", "#c1121f"
REMATERIALISED: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "#8d5a97", "hatch": "////"}  # computed again


@dataclass(frozen=True)
class Box:
    """`size` bytes from `offset` on, taken from step `first` to step `last`, both included.

    `rematerialised` tells that what they hold was computed before, and dropped.
    """

    first: int
    last: int
    offset: int
    size: int
    label: str
    rematerialised: bool = False


def draw_arena(boxes: Sequence[Box], bound: int, path: Path, title: str) -> None:
    """Write the picture to `path`, as PNG, SVG or PDF by its suffix. `bound` is the least any arena needs, in bytes.

    Raises GraphcError (another suffix, no matplotlib), OSError.

    >>> draw_arena([Box(0, 1, 0, 64, "a"), Box(1, 2, 64, 64, "b")], 128, Path("arena.svg"), "two buffers")
    """
    check_picture(path)
    save_picture(arena_figure(boxes, bound, title), path)


def arena_figure(boxes: Sequence[Box], bound: int, title: str) -> Any:
    """The picture as a figure of matplotlib."""
    panel = new_panel(13, 7)
    boxes = [box for box in boxes if box.size]
    begin, end = min((box.first for box in boxes), default=0), 1 + max((box.last for box in boxes), default=0)
    top = max((box.offset + box.size for box in boxes), default=0)
    _draw_boxes(panel, boxes)
    _draw_lines(panel, *_alive(boxes), bound)
    _number(panel, boxes)
    _frame(panel, begin, end, max(top, bound, 1))
    panel.set_title(title, fontsize=11, loc="left")
    return panel.figure


def _alive(boxes: Sequence[Box]) -> tuple[list[int], list[int]]:
    """The bytes taken, and the steps at which that changes, the first and the last among them: one more of these."""
    change = {0: 0, 1: 0} if not boxes else dict[int, int]()
    for box in boxes:
        change[box.first] = change.get(box.first, 0) + box.size
        change[box.last + 1] = change.get(box.last + 1, 0) - box.size
    steps = sorted(change)
    return list(accumulate(change[step] for step in steps[:-1])), steps


def _draw_boxes(panel: Any, boxes: Sequence[Box]) -> None:
    from matplotlib.collections import PolyCollection

    width, many = (0.4, False) if len(boxes) <= MANY else (0.1, True)
    fills = [FILLS[number % len(FILLS)] for number, box in enumerate(boxes) if not box.rematerialised]
    first = PolyCollection(_corners(boxes, False), facecolors=fills, edgecolors="white", linewidths=width)
    second = PolyCollection(_corners(boxes, True), linewidths=width, **REMATERIALISED)
    for drawn in (first, second):
        drawn.set_rasterized(many)
        panel.add_collection(drawn)
    if any(box.rematerialised for box in boxes):
        second.set_label("computed again")


def _corners(boxes: Sequence[Box], rematerialised: bool) -> list[list[tuple[int, int]]]:
    """The corners of the boxes whose `rematerialised` is as asked for."""
    found = []
    for box in boxes:
        left, right, low, high = box.first, box.last + 1, box.offset, box.offset + box.size
        if box.rematerialised == rematerialised:
            found.append([(left, low), (right, low), (right, high), (left, high)])
    return found


def _draw_lines(panel: Any, alive: Sequence[int], steps: Sequence[int], bound: int) -> None:
    """The bytes alive, their peak, and the bound."""
    peak = max(range(len(alive)), key=alive.__getitem__)
    label = f"peak: {bytes_text(alive[peak])} during step {steps[peak]}"
    panel.stairs(alive, steps, color=LINE, linewidth=1.2, label="bytes alive")
    panel.axvline((steps[peak] + steps[peak + 1]) / 2, color=MARK, linewidth=1, label=label)
    panel.axhline(bound, color=MARK, linewidth=1, linestyle="--", label=f"lower bound: {bytes_text(bound)}")
    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, borderaxespad=0)


def _number(panel: Any, boxes: Sequence[Box]) -> None:
    """Numbers in the largest boxes, and beside the picture what they are."""
    largest = sorted(boxes, key=lambda box: (-box.size, box.first - box.last, box.first, box.offset))[:LABELLED]
    lines = []
    for number, box in enumerate(largest, 1):
        middle = (box.first + box.last + 1) / 2, box.offset + box.size / 2
        frame = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        panel.text(*middle, str(number), ha="center", va="center", fontsize=7, bbox=frame, clip_on=True)
        lines.append(f"{number:2}  {bytes_text(box.size)}  steps {box.first} to {box.last}\n      {box.label}")
    style = {"fontsize": 7, "va": "top", "linespacing": 1.35, "parse_math": False}
    style = {"fontsize": 7, "va": "top", "linespacing": 1.35, "parse_math": False}
    panel.text(1.01, 0.86, "\n".join(lines), transform=panel.transAxes, **style)


def _frame(panel: Any, begin: int, end: int, top: int) -> None:
    """Axes with a little room above, and marks at round numbers of bytes."""
    from matplotlib.ticker import MaxNLocator

    panel.set_xlim(begin, end)
    panel.set_ylim(0, 1.03 * top)
    panel.set_xlabel("step")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    mark_bytes(panel.yaxis, top)
