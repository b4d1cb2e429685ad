"""`memory_frontier`: how much memory a program needs against how much it computes again, from plans alone.

Nothing is compiled and nothing runs, so it answers for programs that are too large for this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.api import Outputs, build_graph, checked_request, located
from graphc.assembly.budgeted import Budgeted, Choice
from graphc.backends.table import usable
from graphc.errors import BackendError, GraphError, MemoryBudgetError
from graphc.ir.collection import collection_paused
from graphc.ir.public import public
from graphc.memory.quantity import bytes_of, checked_budget
from graphc.ops.parameter import Parameter
from graphc.ops.tensor import Tensor
from graphc.picture import check_picture, mark_bytes, new_panel, save_picture
from graphc.pipeline import ways_of
from graphc.plan.rematerialisation import rematerialisation_of
from graphc.plan.text import bytes_text
from graphc.runtime.threads import checked_threads

__all__ = ["Frontier", "FrontierPoint", "frontier_of", "memory_frontier"]

LINE, MARK = "#1d3557", "#c1121f"


@dataclass(frozen=True)
class FrontierPoint:
    """A plan: all the bytes it needs, what rematerialisation costs as a part of a step that computes nothing twice.

    `repeated` launches run once more, wholly or in part, and make `recomputed` bytes.
    """

    peak_bytes: int
    overhead: float
    repeated: int
    recomputed: int


@dataclass(frozen=True)
class Frontier:
    """`points` by falling peak and rising overhead: the first computes nothing twice, the last is the smallest.

    `gx.compile(..., memory_budget=point.peak_bytes)` makes the program of a point.

    >>> print(frontier)
    >>> frontier.within("180MiB").overhead
    """

    points: tuple[FrontierPoint, ...]

    def within(self, budget: int | str | float) -> FrontierPoint:
        """The cheapest point that needs at most `budget`: bytes, a text, or a fraction of the first point's peak.

        Raises GraphError (no budget), MemoryBudgetError, which names the smallest that will do.
        """
        checked = checked_budget(budget)
        if checked is None:
            raise GraphError("a budget is missing")
        limit = bytes_of(checked, self.points[0].peak_bytes)
        for point in self.points:
            if point.peak_bytes <= limit:
                return point
        least = self.points[-1].peak_bytes
        raise MemoryBudgetError(
            f"the budget is {limit} bytes ({bytes_text(limit)}); the smallest budget that will do is {least} "
            f"({bytes_text(least)})"
        )

    def __str__(self) -> str:
        whole = self.points[0].peak_bytes
        lines = [f"{'peak':>12}{'of the first':>14}{'overhead':>10}{'launches again':>16}{'made again':>13}"]
        for point in self.points:
            lines.append(
                f"{bytes_text(point.peak_bytes):>12}{point.peak_bytes / whole:>14.1%}{point.overhead:>10.2%}"
                f"{point.repeated:>16}{bytes_text(point.recomputed):>13}"
            )
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str], title: str = "memory against computing again") -> None:
        """Draw the peak against the overhead, as .png, .svg or .pdf. Needs matplotlib.

        Raises GraphcError (another suffix, no matplotlib), OSError.
        """
        check_picture(Path(path))
        save_picture(frontier_figure(self, title), Path(path))


@public
def memory_frontier(
    inputs: Tensor | Sequence[Tensor],
    outputs: Outputs,
    updates: Mapping[Parameter, Tensor] | None = None,
    *,
    backend: str = "auto",
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Frontier:
    """How much memory the program of `gx.compile(inputs, outputs, updates)` needs, and what less of it costs.

    Arguments are those of `gx.compile`. Plans follow from shapes: no code is compiled and nothing runs. `progress` is
    told in words what is being done, as long as it takes.

    Raises what `gx.compile` raises; BackendError for the numpy backend, which plans no memory.

    >>> frontier = gx.memory_frontier([x, y], {"loss": loss}, updates)
    >>> [(point.peak_bytes, point.overhead) for point in frontier.points]
    >>> frontier.plot("frontier.svg")
    """
    checked_request(backend, threads)
    tell = progress or (lambda text: None)
    try:
        graph, _ = build_graph(inputs, outputs, updates)
        with collection_paused():
            tell("cutting the work into launches")
            return frontier_of(ways_of(graph, usable(backend), checked_threads(threads)), tell)
    except (BackendError, GraphError) as error:
        raise located(error) from None


def frontier_of(ways: Budgeted, tell: Callable[[str], None] = lambda text: None) -> Frontier:
    """The frontier of a program whose ways to run are known; `tell` as in `memory_frontier`."""
    points: list[FrontierPoint] = []
    for choice in ways.choices():
        point = _point(choice)
        while len(points) > 1 and points[-1].overhead >= point.overhead:
            points.pop()
        points.append(point)
        found = f"{bytes_text(point.peak_bytes)} at {point.overhead:.1%} more work"
        tell(found if len(points) > 1 else f"{found}; searching for what to compute again")
    return Frontier(tuple(points))


def _point(choice: Choice) -> FrontierPoint:
    found = rematerialisation_of(choice.planned.plan)
    return FrontierPoint(choice.peak, found.overhead, found.launches, found.nbytes)


def frontier_figure(frontier: Frontier, title: str) -> Any:
    """The picture as a figure of matplotlib: any budget between two points takes the plan of the lower one."""
    panel = new_panel(8, 5)
    peaks = [point.peak_bytes for point in frontier.points]
    costs = [100 * point.overhead for point in frontier.points]
    least = f"smallest: {bytes_text(peaks[-1])} at {costs[-1]:.1f} %"
    panel.step(costs, peaks, where="post", color=LINE, linewidth=1, alpha=0.5)
    panel.plot(costs, peaks, "o", color=LINE, markersize=4, label="plans")
    panel.plot(costs[:1], peaks[:1], "s", color=LINE, markersize=7, label=f"nothing twice: {bytes_text(peaks[0])}")
    panel.plot(costs[-1:], peaks[-1:], "o", color=MARK, markersize=7, label=least)
    panel.set_xlim(left=0 if len(costs) > 1 else None)
    panel.set_ylim(0, 1.05 * peaks[0])
    panel.set_xlabel("computed again, in % of the cost of a step")
    panel.set_ylabel("peak of memory")
    mark_bytes(panel.yaxis, peaks[0])
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    panel.set_title(title, fontsize=11, loc="left")
    return panel.figure
