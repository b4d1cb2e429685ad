"""Matrices that many products of few rows share are brought into panels once; values and gradients stay."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cpu.panels import share_panels
from graphc.ir.graph import Graph
from graphc.ops.build import apply
from graphc.ops.primitives.contraction import panels_of
from graphc.ops.reference import evaluate
from graphc.transforms import check_gradients


def _steps(count: int, rows: int, size: int, dtype: str = "float32") -> Graph:
    """Steps of a recurrent net, each waiting for the one before, and a use of the transposed matrix."""
    x, w = gx.input("x", (rows, size), dtype), gx.input("w", (size, size), dtype)
    h = x
    for _ in range(count):
        h = gx.tanh(h @ w)
    back = h
    for _ in range(count):
        back = back @ w.T
    return Graph((x, w), (h, back))


def _count(graph: Graph, op: str) -> int:
    return sum(node.op == op for node in graph.nodes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_share_panels(dtype: str) -> None:
    before = _steps(5, 8, 128, dtype)
    after = share_panels(before)
    assert _count(after, "matmul") == 0
    assert _count(after, "matmul_panels") == 10
    panels = {node.inputs[1] for node in after.nodes if node.op == "matmul_panels"}
    assert len(panels) == 2
    assert share_panels(after) is after
    rng = np.random.default_rng(0)
    values = {node: rng.standard_normal(node.shape).astype(dtype) / 10 for node in before.inputs}
    for want, got in zip(evaluate(before.results, values), evaluate(after.results, values), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "graph", [_steps(3, 8, 128), _steps(5, 200, 128), _steps(5, 8, 100), _steps(5, 8, 64, "float16")]
)
def test_others_stay(graph: Graph) -> None:
    assert share_panels(graph) is graph


@pytest.mark.parametrize("backend", ["c", "cython"])
def test_a_program_keeps_its_values(backend: str) -> None:
    graph = _steps(5, 8, 128)
    program = gx.compile(list(graph.inputs), list(graph.results), backend=backend)
    assert sum("matmul_panels" in launch.label for launch in program.plan.launches) == 10
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(node.shape).astype("float32") / 10 for node in graph.inputs]
    for want, got in zip(
        evaluate(graph.results, dict(zip(graph.inputs, arrays, strict=True))), program(*arrays), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_its_gradients() -> None:
    a, b = gx.input("a", (3, 5), "float64"), gx.input("b", (5, 64), "float64")
    rng = np.random.default_rng(2)
    values = {a: rng.standard_normal(a.shape), b: rng.standard_normal(b.shape)}
    check_gradients(gx.tanh(apply("matmul_panels", a, panels_of(b))), [a, b], values)
