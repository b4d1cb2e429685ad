"""The road from a graph to a program: first the plan, then exactly the code that it launches, and nothing twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim, pipeline
from graphc.toolchain.cache import FOLDER, open_cache
from tests.runtime.support import needs_compiler

DEEP = 6
X = np.random.default_rng(0).normal(size=(256, 32)).astype(np.float32)
ENGINES = [pytest.param("c", marks=needs_compiler), "cython"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache"


def training(backend: str, **options: Any) -> gx.Program:
    """A step of a deep net with dropout, built anew."""
    nn.init.seed(1)
    x = gx.input("x", X.shape)
    blocks = [(nn.Linear(32, 96), nn.GELU(), nn.Linear(96, 32), nn.Dropout(0.1)) for _ in range(DEEP)]
    model = nn.Sequential(*(nn.Residual(nn.Sequential(*block)) for block in blocks))
    loss = gx.mean(model(x) ** 2)
    updates = optim.SGD(lr=0.1).minimize(loss, model.parameters())
    return gx.compile([x], {"loss": loss}, updates, backend=backend, threads=1, **options)


def losses(program: gx.Program) -> list[bytes]:
    return [program(X)["loss"].tobytes() for _ in range(3)]


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was done before")


# What is written -----------------------------------------------------------------------------------------------------
def functions(source: str) -> set[str]:
    return set(re.findall(r"^(?:static|GC_ACROSS) .*void ((?:fused|call)_\d+)\(.*{$", source, re.MULTILINE))


@needs_compiler
@pytest.mark.parametrize("budget", [None, 0.8, 0.6])
def test_c_holds_the_functions_that_the_plan_launches(budget: float | None) -> None:
    program = training("c", memory_budget=budget)
    assert program.plan is not None
    assert any(launch.rematerialises >= 0 for launch in program.plan.launches) == (budget is not None)
    launched = {launch.kernel for launch in program.plan.launches}
    assert functions(program.source) == launched


@pytest.mark.parametrize("budget", [None, 0.8, 0.6])
def test_a_plan_holds_the_tile_programs_that_it_launches(budget: float | None) -> None:
    plan = training("cython", memory_budget=budget).plan
    assert plan is not None
    assert {launch.program for launch in plan.launches} - {-1} == set(range(len(plan.programs)))
    assert len(set(plan.programs)) == len(plan.programs)


def test_a_program_within_a_budget_computes_the_same() -> None:
    whole, less = training("cython"), training("cython", memory_budget=0.6)
    assert losses(less) == losses(whole)
    assert less.memory.peak_bytes <= 0.6 * whole.memory.peak_bytes


# Nothing twice -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("budget", [None, 0.7])
def test_a_model_built_twice_has_equal_bits_and_one_entry(
    backend: str, budget: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = losses(training(backend, memory_budget=budget))
    entries = open_cache().statistics().entries
    monkeypatch.setattr(pipeline, "compile_plan", never)
    assert losses(training(backend, memory_budget=budget)) == first
    assert open_cache().statistics().entries == entries


@needs_compiler
@pytest.mark.parametrize("recalled", [False, True])
@pytest.mark.parametrize("budget", [None, 0.7])
def test_an_export_reuses_the_plan(
    budget: float | None, recalled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = training("c", memory_budget=budget)
    if recalled:
        program = training("c", memory_budget=budget)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "compile_plan", never)
        program.export(tmp_path / "step")
    again = gx.load(tmp_path / "step")
    assert again.memory.peak_bytes == program.memory.peak_bytes
    assert losses(again) == losses(program)
