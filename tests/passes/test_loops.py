"""What passes take out of loops: products before and behind them, and what one loop computes again after another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.ir.graph import Graph
from graphc.ops.primitives.loops import Looped
from graphc.ops.record import Kind, op_of
from graphc.pipeline import optimise, ways_of

TIMES, BATCH, WIDTH = 10, 2, 8
RNG = np.random.default_rng(0)


def recurrent(batch: int = BATCH, cell: Any = None) -> tuple[list[Any], list[Any]]:
    """A recurrent net, its loss and all gradients."""
    xs, h = gx.input("xs", (TIMES, batch, WIDTH), "float64"), gx.input("h", (batch, WIDTH), "float64")
    w, u, b = (gx.input(name, (WIDTH, WIDTH)[: 2 - (name == "b")], "float64") for name in "wub")

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        new = gx.tanh(x @ w + h @ u + b) if cell is None else cell(h, x, w, u)
        return new, new

    last, ys = gx.scan(step, h, xs)
    loss = gx.sum(ys * ys) + gx.sum(last)
    given = [xs, h, w, u, b]
    return given, [loss, *gx.grad(loss, given[1:])]


def ops_in_loops(graph: Graph) -> list[Counter[str]]:
    """The ops in the body of each loop, in order."""
    loops = [node for node in graph.nodes if op_of(node).kind is Kind.LOOP]
    return [Counter(node.op for node in Looped(loop).body.nodes) for loop in loops]


def test_a_recurrent_net_has_one_product_in_each_loop() -> None:
    forward, backward = ops_in_loops(optimise(build_graph(*recurrent())[0]))
    assert (forward["matmul"], forward["tanh"]) == (1, 1)
    assert (backward["matmul"], backward["tanh"]) == (1, 0)
    assert not backward["sum"]


def test_what_leaves_a_loop_keeps_its_line() -> None:
    graph = optimise(build_graph(*recurrent())[0])
    products = [node for node in graph.nodes if node.op == "matmul"]
    assert len(products) == 3
    assert all("in recurrent" in str(node.location) or "in step" in str(node.location) for node in products)


def test_a_lean_one_computes_again() -> None:
    forward, backward = ops_in_loops(optimise(build_graph(*recurrent())[0], lean=True))
    assert (forward["tanh"], backward["tanh"]) == (1, 1)


def test_of_many_rows_products_stay() -> None:
    """Where a product of one step reads more rows than it has weights, stacking would only take memory."""
    forward, backward = ops_in_loops(optimise(build_graph(*recurrent(batch=4 * WIDTH))[0]))
    assert forward["matmul"] == 2
    assert backward["matmul"] == 3


def test_a_sum_of_what_is_not_stacked_stays_small() -> None:
    """A filter of many steps has a state of its own size: memory does not grow with the steps."""
    peaks = []
    for times in (10, 1000):
        xs, h = gx.input("xs", (times, 1)), gx.input("h", (WIDTH, 1))

        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            state, second = carry
            state = gx.tanh(state * 0.9 + x)
            return (state, second + state @ state.T), None

        (_, second), _ = gx.scan(step, (h, gx.zeros((WIDTH, WIDTH))), xs)
        peaks.append(gx.compile([xs, h], second).memory.arena)
    assert peaks[0] == peaks[1]


CELLS: dict[str, Any] = {
    "columns": lambda h, x, w, u: gx.tanh((w @ x.T).T[: h.shape[0]] + h @ u),
    "twice": lambda h, x, w, u: gx.tanh(x @ w + gx.tanh(h @ u) @ u + x @ w),
    "gates": lambda h, x, w, u: gx.sigmoid(x @ w) * h + gx.tanh((h * gx.sigmoid(h @ u)) @ w),
    "weights of the carry": lambda h, x, w, u: gx.tanh(x @ w + h @ (u * gx.sum(h))),
    "inner loop": lambda h, x, w, u: gx.fori_loop(0, 3, lambda _, v: gx.tanh(v @ u + x @ w), h),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("batch", [1, BATCH])
def test_values_and_gradients_are_those_of_the_reference(name: str, batch: int) -> None:
    given, outputs = recurrent(batch, CELLS[name])
    arrays = [RNG.normal(size=node.shape) / 2 for node in given]
    expected = gx.evaluate(outputs, dict(zip(given, arrays, strict=True)))
    for got, wanted in zip(gx.compile(given, outputs)(*arrays), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_products_with_columns_leave_too() -> None:
    xs, h = gx.input("xs", (TIMES, WIDTH), "float64"), gx.input("h", (WIDTH,), "float64")
    w, u = gx.input("w", (WIDTH, WIDTH), "float64"), gx.input("u", (WIDTH, WIDTH), "float64")
    last, _ = gx.scan(lambda h, x: (gx.tanh(w @ x + u @ h), None), h, xs)
    given, outputs = [xs, h, w, u], [last, *gx.grad(gx.sum(last), [xs, h, w, u])]
    forward, _ = ops_in_loops(optimise(build_graph(given, outputs)[0]))
    assert forward["matmul"] == 1
    arrays = [RNG.normal(size=node.shape) / 2 for node in given]
    expected = gx.evaluate(outputs, dict(zip(given, arrays, strict=True)))
    for got, wanted in zip(gx.compile(given, outputs)(*arrays), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_less_memory_has_the_same_bits() -> None:
    given, outputs = recurrent(cell=CELLS["gates"])
    ways = ways_of(build_graph(given, outputs)[0])
    least = ways.smallest().peak
    assert least < ways.plain.peak
    arrays = [RNG.normal(size=node.shape) / 2 for node in given]
    whole, less = (gx.compile(given, outputs, memory_budget=budget) for budget in (None, least))
    assert less.memory.peak_bytes < whole.memory.peak_bytes
    for got, wanted in zip(less(*arrays), whole(*arrays), strict=True):
        np.testing.assert_array_equal(got, wanted)
