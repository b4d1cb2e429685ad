"""Pooling in training steps: relu comes after pooling, and values stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.passes import pool_before_relu, sum_before_scatter

SHAPE = (2, 3, 6, 5)
WINDOWS = [(2, 2, 0), (3, 2, 1), (3, 1, 0)]  # window, stride, padding: the last two overlap


def _graph() -> Graph:
    x = gx.input("x", SHAPE)
    return Graph((x,), (gx.max_pool2d(gx.tanh(x), 2, 2),))


def _same_bits(before: Graph, after: Graph, values: dict[gx.Tensor, np.ndarray]) -> bool:
    pairs = zip(evaluate(before.results, values), evaluate(after.results, values), strict=True)
    return all((a + 0.0).tobytes() == (b + 0.0).tobytes() for a, b in pairs)  # adding 0.0 makes zeros positive


def test_inference_keeps_the_plain_maximum() -> None:
    graph = _graph()
    assert sum_before_scatter(graph) is graph
    assert pool_before_relu(graph) is graph


def _rectified(window: tuple[int, int, int]) -> tuple[Graph, gx.Tensor, gx.Tensor]:
    """relu(x + bias), pooled, with the gradients of x and bias; x * x keeps the simplifier out of it."""
    x, bias = gx.input("x", SHAPE), gx.input("bias", (3,))
    y = gx.max_pool2d(gx.relu(x + bias.reshape(3, 1, 1)), *window)
    return Graph((x, bias), (y, *gx.grad(gx.sum(y * y * y), [x, bias]))), x, bias


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_relu_after_pooling_changes_no_value(window: tuple[int, int, int]) -> None:
    graph, x, bias = _rectified(window)
    late = pool_before_relu(graph)
    relu = next(node for node in late.nodes if node.op == "relu")
    assert relu.inputs[0].op == "max_pool2d"
    assert not any(node.op == "where" and node.shape == SHAPE for node in late.nodes)
    rng = np.random.default_rng(1)
    for special in ((), (np.nan,), (np.inf, -np.inf), (0.0, -0.0)):
        values = np.round(2 * rng.normal(size=SHAPE)).astype(np.float32)  # with ties, of zeros and others
        for number in special:
            values[rng.random(SHAPE) < 0.2] = number
        with np.errstate(invalid="ignore"):
            assert _same_bits(graph, late, {x: values, bias: np.zeros(3, np.float32)})
    assert pool_before_relu(late) == late


def test_an_activation_that_is_read_elsewhere_stays() -> None:
    x = gx.input("x", SHAPE)
    r = gx.relu(x)
    y = gx.max_pool2d(r, 2)
    for results in ((y, r), (y, gx.sum(r))):
        graph = Graph((x,), (*results, gx.grad(gx.sum(y * y), x)))
        assert pool_before_relu(graph) is graph


def test_the_sum_of_a_spread_gradient_is_its_own() -> None:
    graph, x, bias = _rectified((2, 2, 0))
    shared = sum_before_scatter(pool_before_relu(graph))
    summed = [node.inputs[0] for node in shared.nodes if node.op == "sum" and node.shape == (3,)]
    assert summed
    assert all(node.shape == (2, 3, 3, 2) for node in summed)
    values = {x: np.random.default_rng(2).normal(size=SHAPE).astype(np.float32), bias: np.ones(3, np.float32)}
    for a, b in zip(evaluate(graph.results, values), evaluate(shared.results, values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
