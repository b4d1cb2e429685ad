"""`python -m benchmarks frontier [MODEL ...]`: the memory that large training steps need, and what less of it costs.

Models are planned, not run. For each: the peak without a budget, the smallest budget, and the overhead at the memory at
which MONeT (Shah et al., "Memory optimization for deep networks", 2021) publishes one. Budgets between the smallest
and the largest must be kept, never cost more where they are larger, and below the smallest be refused: else it exits
with 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.models import gpt, mobilenet, resnet, vgg
from benchmarks.models.training import Step
from benchmarks.sheet import Sheet
from graphc.api import build_graph
from graphc.assembly.budgeted import Budgeted
from graphc.backends.table import BACKENDS
from graphc.errors import MemoryBudgetError
from graphc.frontier import Frontier, frontier_of
from graphc.ir.collection import collection_paused
from graphc.pipeline import ways_of
from graphc.plan.text import bytes_text

__all__ = ["GIB", "MODELS", "Planned", "faults_of", "frontier_sheet", "main", "plan_model"]

GB, GIB = 10**9, 1 << 30
LEAST_BUDGETS = 2


@dataclass(frozen=True)
class Published:
    """MONeT's table: PyTorch's peak and MONeT's, in what it calls GB, and MONeT's overhead."""

    torch: float
    monet: float
    overhead: float


@dataclass(frozen=True)
class Model:
    """A training step to plan; `small` are the arguments of a size for tests."""

    title: str
    build: Callable[..., Step]
    small: dict[str, Any]
    published: Published | None = None


SMALL_IMAGES = {"batch": 8, "side": 32, "classes": 5}
SMALL_TEXT = {"batch": 2, "steps": 16, "layers": 2, "size": 32, "heads": 2}
MODELS = {
    "resnet": Model("ResNet-50, batch 184", resnet.build, SMALL_IMAGES, Published(15.06, 4.99, 0.1195)),
    "mobilenet": Model("MobileNet-V2, batch 272", mobilenet.build, SMALL_IMAGES, Published(14.46, 5.01, 0.0872)),
    "vgg": Model("VGG-16, batch 176", vgg.build, SMALL_IMAGES, Published(14.12, 5.51, 0.0911)),
    "gpt": Model("gpt of the scoreboard, batch 8", gpt.build, SMALL_TEXT),
}


@dataclass(frozen=True)
class Planned:
    """A model's frontier, the seconds that building and planning it took, and what is wrong with its budgets."""

    name: str
    frontier: Frontier
    building: float
    planning: float
    faults: tuple[str, ...]
    small: bool = False

    @property
    def title(self) -> str:
        """The model; what is published does not hold for a small one."""
        return f"{self.name}, small" if self.small else MODELS[self.name].title


def plan_model(name: str, budgets: int, backend: str, small: bool, tell: Callable[[str], None]) -> Planned:
    """Plan a model on one thread, and check so many budgets."""
    model = MODELS[name]
    begin = time.perf_counter()
    graph, _ = build_graph(*model.build(**(model.small if small else {})))
    built = time.perf_counter()
    with collection_paused():
        ways = ways_of(graph, BACKENDS[backend], 1)
        frontier = frontier_of(ways, lambda text: tell(f"{name}: {text}"))
        planned = time.perf_counter()
        tell(f"{name}: {budgets} budgets")
        faults = faults_of(ways, frontier, budgets)
    return Planned(name, frontier, built - begin, planned - built, tuple(faults), small)


def faults_of(ways: Budgeted, frontier: Frontier, count: int) -> list[str]:
    """What is wrong with plans within `count` budgets from the smallest to the largest, and below the smallest."""
    most, least = frontier.points[0].peak_bytes, frontier.points[-1].peak_bytes
    budgets = sorted({least + (most - least) * number // (count - 1) for number in range(count)})
    found, last = [], float("inf")
    for budget in budgets:
        choice = ways.within(budget)
        if choice.peak > budget:
            found.append(f"the plan within {budget} bytes needs {choice.peak}")
        if choice.overhead > last:
            found.append(
                f"with {budget} bytes the overhead is {choice.overhead:.3%}; with less memory it is {last:.3%}"
            )
        last = choice.overhead
    return found + _refusal_faults(ways, least)


def _refusal_faults(ways: Budgeted, least: int) -> list[str]:
    try:
        ways.within(least - 1)
    except MemoryBudgetError as error:
        told = f"the smallest budget that will do is {least} " in str(error)
        return [] if told else [f"the refusal of {least - 1} bytes does not name {least}: {error}"]
    return [f"{least - 1} bytes are kept, and the smallest budget is said to be {least}"]


# Output ----------------------------------------------------------------------------------------------------------
def frontier_sheet(planned: Sequence[Planned]) -> Sheet:
    """A row for each model."""
    columns = [
        "model",
        "peak",
        "PyTorch",
        "smallest",
        "overhead",
        "of MONeT",
        "overhead there",
        "MONeT's",
        "planned in",
    ]
    notes = [f"{row.name}: {fault}" for row in planned for fault in row.faults]
    notes += ["MONeT's memory is read as GiB, then as GB; overheads are by each one's model of costs."]
    return Sheet("memory of training steps, planned", columns, [_row(row) for row in planned], notes)


def _row(planned: Planned) -> list[str]:
    points, published = planned.frontier.points, None if planned.small else MODELS[planned.name].published
    theirs = ["", "", "", ""]
    if published is not None:
        there = " / ".join(_overhead(planned.frontier, int(published.monet * unit)) for unit in (GIB, GB))
        theirs = [f"{published.torch} GB", f"{published.monet} GB", there, f"{published.overhead:.2%}"]
    return [
        planned.title, bytes_text(points[0].peak_bytes), theirs[0], bytes_text(points[-1].peak_bytes),
        f"{points[-1].overhead:.2%}", *theirs[1:], f"{planned.planning:.1f} s",
    ]  # fmt: skip


def _overhead(frontier: Frontier, budget: int) -> str:
    try:
        return f"{frontier.within(budget).overhead:.2%}"
    except MemoryBudgetError:
        return "refused"


def _save(planned: Planned, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    times = f"built in {planned.building:.1f} s, planned in {planned.planning:.1f} s"
    text = f"{planned.title}\n{times}\n\n{planned.frontier}\n"
    (folder / f"frontier-{planned.name}.txt").write_text(text)
    planned.frontier.plot(folder / f"frontier-{planned.name}.png", planned.title)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    console, found = Console(width=max(Console().width, 140)), []
    for name in options.models or MODELS:
        with console.status(name) as status:
            found.append(plan_model(name, options.budgets, options.backend, options.quick, status.update))
        console.print(f"{found[-1].title}\n{found[-1].frontier}\n", highlight=False, soft_wrap=True)
        if options.save:
            _save(found[-1], options.save)
    console.print(frontier_sheet(found))
    return 1 if any(planned.faults for planned in found) else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks frontier", description="Memory against computing again."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)} (all)")
    parser.add_argument("--budgets", type=int, default=12, metavar="N", help="budgets that are checked (%(default)s)")
    parser.add_argument("--backend", choices=("c", "cython"), default="c", help="whose plans (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes of the models: a smoke test")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write each frontier here, as text and as a picture")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.models if name not in MODELS]:
        parser.error(f"there is no model {', '.join(unknown)}; choose from {', '.join(MODELS)}")
    if options.budgets < LEAST_BUDGETS:
        parser.error(f"--budgets is at least {LEAST_BUDGETS}")
    return options
