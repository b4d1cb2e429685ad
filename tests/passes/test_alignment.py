"""Reductions of pairs: along one axis, as few values as before where symmetry shows, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ir.verify import verify
from graphc.passes import align_reductions, simplify

from .support import assert_same_values, count, graph_of, same

X, Y = gx.input("x", (12,), "float64"), gx.input("y", (12,), "float64")
VALUES = {X: np.random.default_rng(0).standard_normal(12), Y: np.random.default_rng(1).uniform(0.5, 1.5, 12)}
VALUES[X][3] = VALUES[X][7]


def rows(x: gx.Tensor) -> gx.Tensor:
    return gx.expand_dims(x, 1)


def both(f: gx.Tensor, reduce=gx.sum) -> Graph:
    return simplify(graph_of(reduce(f, axis=0), reduce(f, axis=1)))


def axes_of(graph: Graph) -> set[tuple[int, ...]]:
    return {node.attrs["axes"] for node in graph.nodes if node.op in ("sum", "max", "min")}


DIFFERENCE = rows(X) - X
SQUARE = DIFFERENCE * DIFFERENCE
SYMMETRIC = {
    "product": rows(X) * X,
    "square": SQUARE + 0.5,
    "force": DIFFERENCE / gx.sqrt(SQUARE + 0.01) * (rows(Y) * Y),
    "cubes": -DIFFERENCE * SQUARE - gx.sin(DIFFERENCE),
    "sums": DIFFERENCE + gx.tanh(DIFFERENCE) - (rows(Y) - Y),
    "mask": gx.where(gx.eye(12, dtype="bool"), 0.0, 1.0 / (SQUARE + 1.0)),
    "even": gx.cos(DIFFERENCE) + gx.exp(abs(DIFFERENCE)),
}
OTHERS = {
    "mixed": gx.exp(rows(X) * 0.3) * Y,
    "a sum of both": DIFFERENCE + SQUARE,
    "larger": gx.maximum(rows(X), Y) - rows(Y),
    "divided by a difference": 1.0 / (rows(Y) - Y + gx.where(gx.eye(12, dtype="bool"), 3.0, 0.0)),
    "chosen by sign": gx.where(DIFFERENCE < 0, DIFFERENCE, SQUARE),
}


@pytest.mark.parametrize("reduce", [gx.sum, gx.max, gx.min], ids=lambda reduce: reduce.__name__)
@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_values_are_reduced_once(name: str, reduce) -> None:
    before = both(SYMMETRIC[name], reduce)
    after = align_reductions(before)
    verify(after)
    assert axes_of(after) == {(1,)}
    large = [sum(node.size > 12 and node.op != "broadcast_to" for node in g.nodes) for g in (before, after)]
    assert large[1] <= large[0]
    assert_same_values(before, after, VALUES, tolerance=1e-12)


@pytest.mark.parametrize("reduce", [gx.sum, gx.max, gx.min], ids=lambda reduce: reduce.__name__)
@pytest.mark.parametrize("name", OTHERS)
def test_other_values_are_computed_for_both_orders(name: str, reduce) -> None:
    before = both(OTHERS[name], reduce)
    after = align_reductions(before)
    verify(after)
    assert axes_of(after) == {(1,)}
    assert_same_values(before, after, VALUES, tolerance=1e-12)
    assert same(after.results, align_reductions(after).results)


def test_no_zero_of_unknown_sign_divides() -> None:
    for before in both(1.0 / DIFFERENCE, gx.max), both(-1.0 / DIFFERENCE, gx.min):
        with np.errstate(divide="ignore"):
            assert_same_values(before, align_reductions(before), VALUES, exact=True)


def test_powers_of_two_leave_sums_that_are_alike() -> None:
    f = gx.exp(rows(X) * X)
    before = graph_of(gx.sum(f * 4.0, axis=0), gx.sum(f * -0.5, axis=1), gx.sum(f * 3.0, axis=1))
    after = align_reductions(before)
    assert count(after, "sum") == 2  # three is no power of two
    assert_same_values(before, after, VALUES, tolerance=1e-12)


def test_axes_between_others_and_batches_keep_their_places() -> None:
    z = gx.input("z", (12, 5), "float64")
    f = gx.exp(gx.expand_dims(z, 2) * 0.1) - gx.expand_dims(gx.swapaxes(z, 0, 1), 0)
    before = graph_of(gx.sum(f, axis=0), gx.sum(f, axis=2))
    after = align_reductions(before)
    verify(after)
    assert axes_of(after) == {(2,)}
    values = {z: np.random.default_rng(2).standard_normal((12, 5))}
    assert_same_values(before, after, values, tolerance=1e-12)


def test_matrices_that_are_there_and_axes_of_other_lengths_stay() -> None:
    a, w = gx.input("a", (12, 12), "float64"), gx.input("w", (13,), "float64")
    for f in (gx.exp(a), a * rows(X), gx.exp(rows(X) * w)):
        graph = both(f)
        assert align_reductions(graph) is graph


def test_long_chains_stay() -> None:
    f = rows(X) * Y
    for _ in range(100):
        f = gx.sin(f) + X
    graph = both(f)
    assert align_reductions(graph) is graph
