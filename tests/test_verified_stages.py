"""Every stage of compiling is verified here, and the fault of a stage is found there, not somewhere below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import graphc as gx
from graphc import pipeline
from graphc.api import build_graph
from graphc.assembly import linking
from graphc.assembly import plan as planning
from graphc.errors import InternalError
from graphc.fusion import verify as fusion
from graphc.ir import checking
from graphc.ir.graph import Graph
from graphc.pipeline import compile_plan
from graphc.plan.plan import Plan


def graph() -> Graph:
    x, w = gx.input("x", (64, 32)), gx.parameter("w", np.ones((32, 8), np.float32))
    loss = gx.sum(gx.tanh(gx.softmax(x) @ w))
    return build_graph([x], [loss], {w: w - gx.grad(loss, w)})[0]


def forgets_inputs(whole: Graph) -> Graph:
    return replace(whole, inputs=())


def repeats_names(whole: Graph) -> Graph:
    return replace(whole, names=("y", "y"))


def with_pass(rewrite: Callable[[Graph], Graph]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(pipeline, "PASSES", (*pipeline.PASSES[:3], rewrite))


def backwards(patch: pytest.MonkeyPatch) -> None:
    fuse = pipeline.fuse
    patch.setattr(pipeline, "fuse", lambda *args, **kwargs: fuse(*args, **kwargs)[::-1])


def out_of_the_arena(patch: pytest.MonkeyPatch) -> None:
    make: Callable[..., Plan] = linking._plan
    patch.setattr(linking, "_plan", lambda *args: replace(made := make(*args), arena_bytes=made.arena_bytes // 2))


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (with_pass(forgets_inputs), "forgets_inputs: an input is used but"),
        (with_pass(repeats_names), "repeats_names: 1 output"),
        (backwards, "fuse: wrong groups:\n  group "),
        (out_of_the_arena, "arena"),
    ],
)
def test_the_fault_of_a_stage_is_told_of_that_stage(
    plant: Callable[[pytest.MonkeyPatch], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checking.verifies(), "the tests turn it on"
    compile_plan(graph())
    plant(monkeypatch)
    with pytest.raises(InternalError, match=said):
        compile_plan(graph())


@pytest.mark.parametrize(("value", "on"), [("", False), ("0", False), ("1", True)])
def test_users_may_turn_it_on(value: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(checking.VARIABLE, value)
    looked_at = []
    for module, name in ((pipeline, "verify_graph"), (fusion, "verify"), (planning, "verify")):
        monkeypatch.setattr(module, name, lambda *_, module=module: looked_at.append(module))
    compile_plan(graph())
    assert set(looked_at) == ({pipeline, fusion, planning} if on else set())
