"""Whole training steps on a simulated device: the losses of the C engine, the same bits within every budget."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from benchmarks.graphc_engine import step_of
from benchmarks.workloads import WORKLOADS
from graphc import nn, optim
from graphc.errors import MemoryBudgetError
from graphc.toolchain.compiler import compiler_or_reason
from tests.training_programs import training_program

STEPS = 5
FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))
STEPS_OF = ("cnn", "mlp", "lstm", "gpt")
HERE = "cython" if isinstance(compiler_or_reason(), str) else "c"
Made = tuple[Any, Any, Any, list[Any]]


def convolutions() -> Made:
    """Convolutions with batch normalisation and dropout."""
    nn.seed(3)
    x, y = gx.input("x", (2, 3, 10, 10)), gx.input("y", (2,), "int32")
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Dropout(0.2), nn.Flatten(), nn.Linear(8 * 9, 5),
    )  # fmt: skip
    loss = nn.cross_entropy(layers(x), y)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=x.shape).astype(np.float32), rng.integers(0, 5, 2).astype(np.int32)]
    return [x, y], loss, optim.SGD(lr=0.05, momentum=0.9).minimize(loss, layers.parameters()), arrays


def workload(name: str) -> Callable[[], Made]:
    small = WORKLOADS[name].shrunk()
    return lambda: step_of(small, small.data())()


def program(seed: int) -> Callable[[], Made]:
    def make() -> Made:
        made = training_program(seed)
        return made.inputs, made.outputs["loss"], made.updates, made.arrays

    return make


MADE: dict[str, Callable[[], Made]] = {
    "convolutions": convolutions,
    **{name: workload(name) for name in (STEPS_OF if FULL else STEPS_OF[1:])},
    **{f"program {seed}": program(seed) for seed in range(12 if FULL else 1)},
}


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate")


def losses(name: str, backend: str, steps: int = STEPS, **settings: Any) -> list[float]:
    inputs, loss, updates, arrays = MADE[name]()
    step = gx.compile(inputs, loss, updates, backend=backend, seed=7, **settings)
    return [float(step(*arrays)) for _ in range(steps)]


@pytest.mark.parametrize("name", MADE)
def test_losses_are_those_of_the_other_engines(name: str) -> None:
    np.testing.assert_allclose(losses(name, "cuda"), losses(name, HERE), rtol=1e-5)


@pytest.mark.parametrize("name", ["convolutions", "gpt"])
def test_a_budget_changes_no_bit(name: str) -> None:
    inputs, loss, updates, _ = MADE[name]()
    whole = gx.compile(inputs, loss, updates, backend="cuda").memory.peak_bytes
    with pytest.raises(MemoryBudgetError) as error:
        gx.compile(inputs, loss, updates, backend="cuda", memory_budget=1)
    least = int(str(error.value).split("smallest budget that will do is ")[1].split()[0])
    assert least < whole
    assert losses(name, "cuda", 1, memory_budget=least) == losses(name, "cuda", 1)


@pytest.mark.parametrize("seed", range(4 if FULL else 1))
def test_checkpoints_change_no_bit(seed: int) -> None:
    found = []
    for checkpointed in (False, True):
        made = training_program(seed, checkpointed)
        step = gx.compile(made.inputs, made.outputs["loss"], made.updates, backend="cuda")
        found.append([float(step(*made.arrays)) for _ in range(2)])
    assert found[0] == found[1]
