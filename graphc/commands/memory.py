"""`graphc memory`: the memory that a program needs, told from its plan alone. Nothing is compiled, nothing is run.

So it works for programs that are too large for this machine. Within a budget, the plan is the cheapest that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from graphc.api import build_graph
from graphc.assembly.budgeted import Budgeted
from graphc.assembly.records import Planned
from graphc.backends.table import usable
from graphc.commands.arena_picture import Box, draw_arena
from graphc.commands.target import Target
from graphc.frontier import frontier_of
from graphc.ir.collection import collection_paused
from graphc.memory.quantity import checked_budget
from graphc.picture import check_picture
from graphc.pipeline import ways_of
from graphc.plan.liveness import arena_spans
from graphc.plan.plan import Buffer, Plan
from graphc.plan.text import bytes_text
from graphc.plan.verify import verify
from graphc.runtime.threads import checked_threads

__all__ = ["TARGETS", "Wish", "arena_boxes", "memory"]

TARGETS = ("auto", "c", "cython")


@dataclass(frozen=True)
class Wish:
    """What to tell: whose plan, for how many threads, within which budget; or the whole `frontier`; and a picture."""

    backend: str = "auto"
    threads: int | None = None
    budget: int | str | float | None = None
    frontier: bool = False
    picture: Path | None = None


def memory(target: Target, wish: Wish, write: Callable[[str], None]) -> int:
    """Write the report for `target`, and a picture where one is asked for. Raises MemoryBudgetError."""
    if wish.picture is not None:
        check_picture(wish.picture)
    budget = checked_budget(target.options.get("memory_budget") if wish.budget is None else wish.budget)
    backend = usable(wish.backend)
    threads = checked_threads(wish.threads or target.options.get("threads"))
    graph, _ = build_graph(target.inputs, target.outputs, target.updates)
    with _progress() as tell, collection_paused():
        tell("cutting the work into launches")
        ways = ways_of(graph, backend, threads)
        if wish.frontier:
            found = frontier_of(ways, tell)
        else:
            tell("searching for what to compute again" if budget is not None else "")
            planned = ways.within(budget).planned
    write(f"as the {backend.name} engine runs it on {threads} thread{'s' * (threads > 1)}")
    if not wish.frontier:
        return _report(planned, ways, wish.picture, target.name, write)
    write(str(found))
    if wish.picture is not None:
        found.plot(wish.picture, target.name)
        write(f"peak of memory against computing again: {wish.picture}")
    return 0


def _report(planned: Planned, ways: Budgeted, picture: Path | None, name: str, write: Callable[[str], None]) -> int:
    plan = verify(planned.plan)
    write(str(ways.report(planned)))
    if picture is not None:
        arena = f"arena {bytes_text(plan.arena_bytes)}, {len(plan.launches)} launches"
        draw_arena(arena_boxes(plan), plan.lower_bound, picture, f"{name}: {arena}")
        write(f"the arena over time: {picture}")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, for how long. None where nobody looks on."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda text: progress.update(task, description=text)


def arena_boxes(plan: Plan) -> list[Box]:
    """The arena of a plan over its launches. Of what shares memory, the longest-lived names the box."""
    late = {buffer for launch in plan.launches if launch.rematerialises >= 0 for buffer in launch.writes}
    found = []
    for span in arena_spans(plan):
        longest = max(span.buffers, key=lambda i: plan.buffers[i].last - plan.buffers[i].first)
        label = _label(plan.buffers[longest], len(span.buffers) - 1)
        found.append(Box(span.first, span.last, span.offset, span.nbytes, label, longest in late))
    return found


def _label(buffer: Buffer, more: int) -> str:
    """A tensor and the user's line, by the last part of its path."""
    type = f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
    text = f"{buffer.name} {type}" + (f" and {more} in its place" if more else "")
    return f"{text}  {buffer.location.rpartition('/')[2]}".rstrip()
