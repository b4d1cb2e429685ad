"""The scoreboard as a picture: for each workload, how many times faster graphc is than each peer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import find, leader, ratio
from benchmarks.engines import ENGINES
from benchmarks.measure import Result
from benchmarks.workloads import WORKLOADS

__all__ = ["save_plot"]

STYLES = {  # marker and colour, told apart without colours, too
    "torch": ("o", "#d1495b"), "torch-compile": ("s", "#edae49"), "jax": ("^", "#00798c"),
    "graphc-cython": ("D", "#8d96a3"), "graphc-c": ("v", "#30638e"), "graphc-numpy": ("x", "#555555"),
}  # fmt: skip
TICKS = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def save_plot(results: Sequence[Result], path: Path) -> None:
    """Write a picture, one panel for each number of threads. Needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = leader(results)
    names = [name for name in WORKLOADS if any(find(results, name, own, r.threads) for r in results)]
    threads = sorted({result.threads for result in results})
    figure = Figure(figsize=(3 + 5 * len(threads), 2.2 + 0.36 * len(names)), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    drawn: dict[str, Any] = {}
    for panel, count in zip(panels, threads, strict=True):
        drawn |= _draw(panel, results, names, count)
        panel.set_title(f"{count} thread" + ("s" if count > 1 else ""), fontsize=11)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.suptitle(f"How many times faster {own} is (bars: middle half of the rounds)", fontsize=12)
    if drawn:
        figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=len(drawn), frameon=False)
    figure.savefig(path)


def _draw(panel: Any, results: Sequence[Result], names: Sequence[str], threads: int) -> dict[str, Any]:
    """The dots of one panel; answers with one of each kind, by name, for the legend."""
    own = leader(results)
    peers = [name for name in ENGINES if name != own and any(r.engine == name and not r.fault for r in results)]
    drawn: dict[str, Any] = {}
    for place, peer in enumerate(peers):
        marker, colour = STYLES[peer]
        for row, name in enumerate(names):
            mine, other = (find(results, name, engine, threads) for engine in (own, peer))
            if mine and other:
                found = ratio(mine, other)
                y = row + 0.16 * (place - (len(peers) - 1) / 2)
                panel.plot([found.low, found.high], [y, y], color=colour, linewidth=1.5, alpha=0.6)
                drawn[peer] = panel.plot(found.median, y, marker, color=colour, markersize=6)[0]
    drawn |= _draw_goals(panel, names, threads)
    panel.axvline(1, color="black", linewidth=1)
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    ticks = [tick for tick in TICKS if low <= tick <= high] or [1]
    panel.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    panel.minorticks_off()
    panel.grid(axis="x", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    for row in range(1, len(names)):
        panel.axhline(row - 0.5, color="#eeeeee", linewidth=0.8)
    panel.set_xlabel("← slower · faster →")
    panel.spines[["top", "right"]].set_visible(False)
    return drawn


def _draw_goals(panel: Any, names: Sequence[str], threads: int) -> dict[str, Any]:
    """A stroke where the first goal of each workload lies."""
    drawn = {}
    for row, name in enumerate(names):
        goals = [goal.ratios[threads] for goal in WORKLOADS[name].goals[:1] if threads in goal.ratios]
        for goal in goals:
            label = "goal against PyTorch"
            ends = [row - 0.4, row + 0.4]
            drawn[label] = panel.plot([goal, goal], ends, color="#2e8b57", linewidth=2.5, alpha=0.7)[0]
    return drawn
