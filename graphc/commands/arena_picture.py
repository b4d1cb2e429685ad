"""A picture of an arena over time: each buffer a box from its first step to its last, at its offset, as high as large.

A step is as wide as the space from its number to the next, so that boxes of buffers that follow each other touch. The
peak is a line, and so are the bound and the capacity where they differ from it; the steps at which most is alive are
shaded. Written as PNG, SVG or PDF, by the suffix of the path. Needs matplotlib, which is imported only here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.errors import BackendError
from graphc.runtime.memory_report import bytes_text

__all__ = ["SUFFIXES", "Box", "draw_arena", "require_matplotlib"]

SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = ("#7fb2d9", "#f4b183", "#a5d08a", "#d9a6c8", "#f2d16b", "#9fd3cf", "#c9b79c", "#b3b8e0")
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes"))
_MOST_LABELS = 200  # written into the boxes that are large enough to hold them


@dataclass(frozen=True)
class Box:
    """`size` bytes at `offset` that are kept from step `first` to step `last`, both included."""

    first: int
    last: int
    offset: int
    size: int
    label: str = ""


def require_matplotlib() -> Any:
    """matplotlib's class of figures, which draw to files alone. Raises BackendError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BackendError("a picture needs matplotlib: pip install 'graphc[demo]'") from None
    return Figure


def draw_arena(boxes: Sequence[Box], path: Path, *, title: str = "", capacity: int | None = None) -> None:
    """Write the picture of `boxes` to `path`. The same boxes give the same file.

    Raises BackendError where matplotlib is not installed, OSError where the file cannot be written.

    >>> draw_arena([Box(0, 3, 0, 512, "x"), Box(2, 5, 512, 256, "y")], Path("arena.svg"))  # doctest: +SKIP
    """
    figure = require_matplotlib()(figsize=(12, 6.5), layout="constrained", dpi=150)
    axes = figure.subplots()
    boxes = [box for box in boxes if box.size]
    peak = max((box.offset + box.size for box in boxes), default=0)
    scale, unit = next((s, u) for s, u in _UNITS if peak >= s or s == 1)
    begin, end = min((box.first for box in boxes), default=0), max((box.last for box in boxes), default=0) + 1
    most, spans = _fullest(boxes)
    for left, right in spans:
        axes.axvspan(left, right, color="#d1495b", alpha=0.18, linewidth=0, zorder=0)
    _draw_boxes(axes, boxes, scale)
    _label(axes, boxes, scale, (end - begin, peak))
    _draw_levels(axes, peak, most, capacity, scale)
    axes.set(xlim=(begin, end), ylim=(0, 1.08 * max(peak, capacity or 0, 1) / scale), xlabel="step", ylabel=unit)
    axes.set_title(title)
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.legend(loc="upper right", ncols=3, fontsize=8, framealpha=0.9)
    _save(figure, path)


def _fullest(boxes: Sequence[Box]) -> tuple[int, list[tuple[int, int]]]:
    """The most bytes that are alive at once, and the spans of steps in which they are."""
    changes: dict[int, int] = {}
    for box in boxes:
        changes[box.first] = changes.get(box.first, 0) + box.size
        changes[box.last + 1] = changes.get(box.last + 1, 0) - box.size
    steps, live, alive = sorted(changes), 0, []
    for step in steps:
        live += changes[step]
        alive.append(live)
    most = max(alive, default=0)
    return most, [(a, b) for a, b, bytes in zip(steps, steps[1:], alive, strict=False) if bytes == most]


def _draw_boxes(axes: Any, boxes: Sequence[Box], scale: int) -> None:
    from matplotlib.collections import PolyCollection

    corners, colours = [], []
    for number, box in enumerate(sorted(boxes, key=lambda box: (box.first, box.offset))):
        low, high = box.offset / scale, (box.offset + box.size) / scale
        corners.append([(box.first, low), (box.last + 1, low), (box.last + 1, high), (box.first, high)])
        colours.append(_COLOURS[number % len(_COLOURS)])
    width = 0.6 if len(boxes) < 1_000 else 0.1
    axes.add_collection(PolyCollection(corners, facecolors=colours, edgecolors="#404040", linewidths=width, alpha=0.9))


def _label(axes: Any, boxes: Sequence[Box], scale: int, whole: tuple[int, int]) -> None:
    """Write labels into the largest boxes, where they fit."""
    steps, peak = whole
    by_area = sorted(boxes, key=lambda box: (-(box.last - box.first + 1) * box.size, box.offset))
    for box in by_area[:_MOST_LABELS]:
        width, height = (box.last - box.first + 1) / steps, box.size / peak
        if box.label and height > 0.018 and width > 0.008 * len(box.label):
            x, y = (box.first + box.last + 1) / 2, (box.offset + box.size / 2) / scale
            axes.text(x, y, box.label, ha="center", va="center", fontsize=6, clip_on=True, parse_math=False)


def _draw_levels(axes: Any, peak: int, most: int, capacity: int | None, scale: int) -> None:
    axes.axhline(peak / scale, color="#d1495b", linewidth=1.4, label=f"peak {bytes_text(peak)}")
    if most != peak:
        axes.axhline(most / scale, color="#30638e", linewidth=1, linestyle="--", label=f"bound {bytes_text(most)}")
    if capacity is not None and capacity != peak:
        axes.axhline(
            capacity / scale, color="#404040", linewidth=1, linestyle=":", label=f"capacity {bytes_text(capacity)}"
        )


def _save(figure: Any, path: Path) -> None:
    """Write the file, without the date and random names that would make equal pictures differ."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "graphc", "svg.fonttype": "none"}):
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        figure.savefig(path, metadata=dated.get(path.suffix.lower()))
