"""Pooling in training steps reads its array once; inference and second derivatives are as they were."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cpu.pool_once import pool_once
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.transforms import check_gradients
from tests.runtime.support import needs_compiler

SHAPE = (2, 3, 6, 5)


def pooled(window: tuple[int, int, int]) -> tuple[gx.Tensor, gx.Tensor, gx.Tensor]:
    x = gx.input("x", SHAPE, "float64")
    y = gx.max_pool2d(gx.sin(x), *window)
    return x, y, gx.grad(gx.sum(y * y * y), x)


@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 1, 0)], ids=str)
def test_values_and_positions_come_from_one_pass(window: tuple[int, int, int]) -> None:
    x, y, slope = pooled(window)
    graph = Graph((x,), (y, slope))
    once = pool_once(graph)
    ops = [node.op for node in once.nodes]
    assert (ops.count("max_pool2d_both"), ops.count("max_pool2d"), ops.count("max_pool2d_argmax")) == (1, 0, 0)
    assert pool_once(once) is once
    values = {x: np.random.default_rng(0).permutation(180).reshape(SHAPE) / 60.0}
    for a, b in zip(evaluate(graph.results, values), evaluate(once.results, values), strict=True):
        assert a.tobytes() == b.tobytes()
    check_gradients(gx.sum(once.outputs[0] ** 2) + gx.sum(once.outputs[1] ** 2), [x], values, order=2)


def test_inference_needs_no_positions() -> None:
    x, y, _ = pooled((2, 2, 0))
    graph = Graph((x,), (y,))
    assert pool_once(graph) is graph


def test_other_windows_stay_apart() -> None:
    x, _, slope = pooled((2, 2, 0))
    other = gx.max_pool2d(gx.sin(x), 2, 1)
    ops = [node.op for node in pool_once(Graph((x,), (other, slope))).nodes]
    assert (ops.count("max_pool2d_both"), ops.count("max_pool2d")) == (1, 1)


@pytest.mark.parametrize("backend", ["cython", pytest.param("c", marks=needs_compiler)])
def test_a_step_launches_it_once(backend: str) -> None:
    x, y, slope = pooled((2, 2, 0))
    program = gx.compile([x], [y, slope], backend=backend)
    assert program.plan is not None
    labels = [launch.label for launch in program.plan.launches]
    assert sum("max_pool2d_both" in label for label in labels) == 1
    assert not any("argmax" in label for label in labels)
    array = np.random.default_rng(1).normal(size=SHAPE)
    for a, b in zip(program(array), gx.evaluate([y, slope], {x: array}), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
