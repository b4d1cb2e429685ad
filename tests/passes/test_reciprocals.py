"""Divisions by broadcast roots: one reciprocal for each row, the same values but for one rounding."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.passes import share_reciprocals


def _divisions(graph: Graph) -> list[int]:
    return [node.size for node in graph.nodes if node.op == "divide"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_share_a_reciprocal(dtype: str) -> None:
    x, v = gx.input("x", (6, 40), dtype), gx.input("v", (6,), dtype)
    root = gx.expand_dims(gx.sqrt(v), 1)
    before = Graph((x, v), (x / root, (x + 1) / root))
    after = share_reciprocals(before)
    assert _divisions(before) == [240, 240]
    assert _divisions(after) == [6]
    rng = np.random.default_rng(0)
    values = {x: rng.standard_normal((6, 40)).astype(dtype), v: np.array([2, 0, np.inf, np.nan, 1e-40, 1e30], dtype)}
    values[x][:, 0] = 0
    with np.errstate(all="ignore"):
        pairs = list(zip(evaluate(before.results, values), evaluate(after.results, values), strict=True))
    for want, got in pairs:
        np.testing.assert_allclose(got, want, rtol=2 * np.finfo(dtype).eps)


def test_other_divisors_stay() -> None:
    x, v = gx.input("x", (6, 40)), gx.input("v", (6, 1))
    near = gx.input("near", (6, 40))
    graph = Graph((x, v, near), (x / v, x / gx.sqrt(near), gx.expand_dims(gx.input("i", (3,)), 1) / gx.sqrt(v[:3])))
    assert share_reciprocals(graph) is graph
