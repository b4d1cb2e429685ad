"""The main job: train a multilayer perceptron and a convolutional network on handwritten digits, and show how it went.

`run_demo` trains both with a live progress bar, prints the memory plan and the accuracy on the test set, saves a
plot of losses and accuracies and both models, and compares the speed of a step with PyTorch where that is installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from graphc import nn
from graphc.examples import digits_cnn, digits_mlp, torch_twin
from graphc.examples.digits import Digits, History, batches, classifier, load_digits, train, training_step

__all__ = ["run_demo"]


@dataclass(frozen=True)
class Run:
    """One trained model and what was measured."""

    name: str
    model: nn.Module
    step: Any
    history: History
    compile_seconds: float


def run_demo(
    output: Path, epochs: int | None = None, seed: int = 0, backend: str = "auto", compare: bool = True
) -> int:
    """Train both models, write `digits.png`, `mlp.safetensors` and `cnn.safetensors` to `output`; the exit status.

    `epochs` is each model's own number unless given. Raises SystemExit with advice where scikit-learn or matplotlib
    is missing, before anything is trained.
    """
    console = Console()
    plotting = _plotting()
    digits = load_digits()
    output.mkdir(parents=True, exist_ok=True)
    examples = (("MLP", digits_mlp), ("CNN", digits_cnn))
    runs = [_train(console, name, example, digits, epochs, seed, backend) for name, example in examples]
    for run in runs:
        console.rule(f"memory of the {run.name} step")
        console.print(str(run.step.memory), markup=False, highlight=False)
    console.print(_summary(runs, digits))
    _plot(plotting, output / "digits.png", runs)
    for run in runs:
        run.model.save(output / f"{run.name.lower()}.safetensors")
    console.print(f"wrote {', '.join(sorted(path.name for path in output.iterdir()))} to {output}", highlight=False)
    if compare:
        _compare(console, runs, digits, seed)
    return 0


def _plotting() -> Any:
    """matplotlib's figure module, drawing to files alone."""
    try:
        import matplotlib.figure as figure
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise SystemExit("the plot needs matplotlib: pip install 'graphc[demo]'") from None
    return lambda size: FigureCanvasAgg(figure.Figure(figsize=size, layout="constrained")).figure


# Training --------------------------------------------------------------------------------------------------------
def _train(
    console: Console, name: str, example: ModuleType, digits: Digits, epochs: int | None, seed: int, backend: str
) -> Run:
    epochs = example.EPOCHS if epochs is None else epochs
    per_epoch = len(digits.train_images) // example.BATCH
    model: nn.Module = example.build(seed)
    begin = time.perf_counter()
    step = training_step(model, example.optimizer(epochs * per_epoch), example.BATCH, seed, backend=backend)
    classify = classifier(model, len(digits.test_images), backend=backend)
    compile_seconds = time.perf_counter() - begin
    with _progress(console) as progress:
        report = _reporter(progress, name, epochs * per_epoch)
        history = train(step, classify, digits, epochs, example.BATCH, example.SHIFT, seed, report)
    return Run(name, model, step, history, compile_seconds)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("accuracy {task.fields[accuracy]}"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _reporter(progress: Progress, name: str, steps: int) -> Callable[[History], None]:
    task = progress.add_task(name, total=steps, loss=float("nan"), accuracy="–", rate=0.0)

    def report(history: History) -> None:
        accuracy = f"{history.accuracies[-1]:.2%}" if history.accuracies else "–"
        done = len(history.losses)
        rate = done / history.seconds if history.seconds else 0.0
        progress.update(task, completed=done, loss=history.losses[-1], accuracy=accuracy, rate=rate)

    return report


# Results ---------------------------------------------------------------------------------------------------------
def _summary(runs: list[Run], digits: Digits) -> Table:
    title = f"digits: {len(digits.train_images):,} images to learn from, accuracy on {len(digits.test_images):,} others"
    table = Table(title=title)
    table.add_column("model")
    for title in ("weights", "compile", "steps", "training", "steps/s", "loss", "accuracy"):
        table.add_column(title, justify="right")
    for run in runs:
        history, count = run.history, sum(parameter.size for parameter in run.model.parameters())
        table.add_row(
            run.name, f"{count:,}", f"{run.compile_seconds:.2f} s", f"{len(history.losses):,}",
            f"{history.seconds:.2f} s", f"{len(history.losses) / history.seconds:,.0f}",
            f"{np.mean(history.losses[-20:]):.4f}", f"{history.accuracies[-1]:.2%}",
        )  # fmt: skip
    return table


def _plot(new_figure: Any, path: Path, runs: list[Run]) -> None:
    figure = new_figure((10, 4))
    left, right = figure.subplots(1, 2)
    for run, color in zip(runs, ("tab:blue", "tab:orange"), strict=True):
        losses, accuracies = np.asarray(run.history.losses), np.asarray(run.history.accuracies)
        width = min(20, len(losses))
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        left.plot(losses, color=color, alpha=0.2)
        left.plot(np.arange(len(smooth)) + width - 1, smooth, color=color, label=run.name)
        right.plot(np.arange(1, len(accuracies) + 1), 100 * accuracies, color=color, label=run.name)
    left.set(title="training loss", xlabel="step", ylabel="cross-entropy", yscale="log")
    right.set(title="test accuracy", xlabel="epoch", ylabel="%", ylim=(80, 100.5))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


# Comparison ------------------------------------------------------------------------------------------------------
def _compare(console: Console, runs: list[Run], digits: Digits, seed: int) -> None:
    """The time of a training step beside PyTorch's, measured in turns in this process."""
    if not torch_twin.available():
        console.print("To compare the speed with PyTorch, install it and run the demo again: pip install torch")
        return
    threads = sorted({1, os.cpu_count() or 1})  # one first: a thread pool that PyTorch has made keeps spinning
    batch = next(batches(digits, 64, np.random.default_rng(seed)))
    ours: dict[str, float] = {}
    theirs: dict[str, list[float]] = {run.name: [] for run in runs}
    for count in threads:
        for run in runs:
            assert isinstance(run.model, nn.Sequential)
            own, other = _fastest([run.step, torch_twin.training_step(run.model, count)], batch)
            ours[run.name] = min(own, ours.get(run.name, own))
            theirs[run.name].append(other)
    console.print(_comparison(threads, ours, theirs))


def _comparison(threads: list[int], ours: dict[str, float], theirs: dict[str, list[float]]) -> Table:
    table = Table(title="a training step of 64 images, fastest call")
    peers = [f"PyTorch, {count} thread{'s' * (count > 1)}" for count in threads]
    for title in ("model", "graphc", *peers, "speed-up"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for name, own in ours.items():
        times = [f"{1e6 * seconds:,.0f} µs" for seconds in (own, *theirs[name])]
        table.add_row(name, *times, f"{min(theirs[name]) / own:.2f}×")
    return table


def _fastest(steps: list[Callable[..., Any]], batch: tuple[Any, Any], rounds: int = 12, calls: int = 15) -> list[float]:
    """The fewest seconds of a call of each step; they run in turns, so that a busy moment hits all alike."""
    arrays = tuple(np.ascontiguousarray(part) for part in batch)
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, found in zip(steps, times, strict=True):
            step(*arrays)  # the first call of a turn finds cold caches and sleeping threads
            for _ in range(calls):
                begin = time.perf_counter()
                step(*arrays)
                found.append(time.perf_counter() - begin)
    return [min(found) for found in times]
