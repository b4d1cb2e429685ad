"""Divisions by broadcast roots: one reciprocal for each row, the same values but for one rounding."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.passes import resolve_marks, share_reciprocals, stabilise


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


def test_sums_of_powers_have_reciprocals() -> None:
    x, g = gx.input("x", (7, 40)), gx.input("g", (7, 40))
    y, by_hand = gx.softmax(x), gx.exp(x) / gx.sum(gx.exp(x), axis=-1, keepdims=True)
    before = stabilise(resolve_marks(Graph((x, g), (y, by_hand, *gx.vjp(y, [x], g)))))
    after = share_reciprocals(before)
    assert not [size for size in _divisions(after) if size > 7]
    rows = np.random.default_rng(1).standard_normal((7, 40)).astype("float32") * 30
    rows[1, 3], rows[2, 5], rows[3, :], rows[4, :], rows[5] = np.inf, np.nan, -np.inf, -200, 3e38
    values = {x: rows, g: np.random.default_rng(2).standard_normal((7, 40)).astype("float32")}
    with np.errstate(all="ignore"):
        for want, got in zip(evaluate(before.results, values), evaluate(after.results, values), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_other_divisors_stay() -> None:
    x, v = gx.input("x", (6, 40)), gx.input("v", (6, 1))
    near = gx.input("near", (6, 40))
    rows, powers = gx.max(x, axis=1, keepdims=True), gx.exp(x - gx.max(x, axis=0))
    results = (
        x / v, x / gx.sqrt(near), gx.expand_dims(gx.input("i", (3,)), 1) / gx.sqrt(v[:3]),
        x / gx.sum(gx.exp(x), axis=1, keepdims=True), x / gx.sum(powers, axis=1, keepdims=True),
        x / gx.sum(gx.exp(near - rows), axis=1, keepdims=True), x / gx.sum(x - rows, axis=1, keepdims=True),
    )  # fmt: skip
    graph = Graph((x, v, near), results)
    assert share_reciprocals(graph) is graph
