"""Every pass on random graphs: the same values, the same types, idempotent, and in linear time.

Exact graphs hold no op that a pass may round in another way: whatever their numbers, every bit is kept. With
GRAPHC_TEST_FULL=1 there are a hundred times as many graphs.
"""

from __future__ import annotations

import os
import time

import pytest

from graphc.backends.cpu.split_reductions import split_reductions
from graphc.backends.cuda.spreading import spread_reductions
from graphc.dsl.variables import input as graph_input
from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ir.verify import verify
from graphc.ops.build import apply, full
from graphc.ops.reference import evaluate
from graphc.passes import (
    align_reductions,
    fill_empty,
    fold_constants,
    resolve_marks,
    share_stacks,
    simplify,
    stabilise,
    transpose_products,
)
from graphc.passes.rewriting import rewrite
from graphc.passes.views import VIEWS
from graphc.pipeline import PASSES, optimise

from .random_graphs import random_graph
from .support import arrays_for, assert_bits, assert_same_values, same, special_arrays, values_of


def simplify_views(graph):
    return rewrite(graph, VIEWS.rules)


TIMES = 100 if os.environ.get("GRAPHC_TEST_FULL") else 1
EVERY = (*PASSES, optimise)  # `separate_results` among them, which is for compiled graphs
EXACT = (
    fold_constants,
    resolve_marks,
    fill_empty,
    simplify_views,
    simplify,
    share_stacks,
    split_reductions,
    spread_reductions,
)
LINEAR = (*EXACT, transpose_products, stabilise, align_reductions)


@pytest.mark.parametrize("block", range(TIMES))
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_keeps_every_bit(dtype, block):
    """Of integers and bools through all passes, of floats through those that round nothing."""
    for seed in range(block * 12, block * 12 + 12):
        graph = random_graph(seed, dtype=dtype.name, exact=True)
        values = special_arrays(graph, seed)
        before = values_of(graph, values)
        for run in EXACT if dtype.is_float else EVERY:
            after = run(graph)
            verify(after)
            for a, b in zip(before, values_of(after, values), strict=True):
                try:
                    assert_bits(a, b)
                except AssertionError as error:
                    raise AssertionError(f"{run.__name__} of graph {seed}: {error}") from None


@pytest.mark.parametrize("block", range(TIMES))
@pytest.mark.parametrize("run", EVERY, ids=lambda run: run.__name__)
def test_changes_values_by_rounding_only(run, block):
    for seed in range(block * 20, block * 20 + 20):
        graph = random_graph(seed, dtype="float64")
        after = run(graph)
        verify(after)
        assert_same_values(graph, after, arrays_for(graph, seed), tolerance=1e-8)


def test_a_lost_sign_of_zero_is_noticed():
    """By the numbers that exact graphs are given, where a first output gets 0.0 added to it."""
    noticed = 0
    for seed in range(60):
        graph = random_graph(seed, exact=True)
        x = graph.outputs[0]
        values = special_arrays(graph, seed)
        try:
            assert_bits(*evaluate([x, x + 0.0 if x.dtype.is_float else x], values))
        except AssertionError:
            noticed += 1
    assert noticed >= 5


def test_graphs_have_leaves_everywhere():
    """Results that are inputs, parameters or constants, doubled results, and updates by leaves."""
    graphs = [random_graph(seed) for seed in range(60)]
    for op in ("input", "parameter", "constant"):
        assert sum(any(output.op == op for output in graph.outputs) for graph in graphs) >= 2
        assert sum(any(value.op == op for _, value in graph.updates) for graph in graphs) >= 2
    assert sum(len(set(graph.outputs)) < len(graph.outputs) for graph in graphs) >= 5
    ops = {node.op for graph in graphs for node in graph.nodes}
    assert {"pad", "matmul", "sum", "concatenate", "slice", "power", "where", "cast"} <= ops


@pytest.mark.parametrize("run", EXACT + LINEAR[-3:], ids=lambda run: run.__name__)
@pytest.mark.parametrize("seed", range(8))
def test_is_idempotent(run, seed):
    once = run(random_graph(seed))
    assert same(once.results, run(once).results)


@pytest.mark.parametrize("seed", range(30))
def test_simplification_never_adds_nodes(seed):
    graph = random_graph(seed, exact=True)
    assert len(simplify(graph).nodes) <= len(graph.nodes) + 2  # a scalar and its broadcast may be new


@pytest.fixture(scope="module")
def chain():
    """Forty thousand steps of arithmetic on one vector."""
    x = graph_input("x", (4,))
    half, one, y = full((4,), 0.5, x.dtype), full((4,), 1, x.dtype), x
    for step in range(10_000):
        y = apply("multiply", y, half) if step % 2 else apply("divide", y, half)
        y = apply("negative", apply("multiply", apply("add", y, x), one))
    graph = Graph((x,), (y,))
    assert len(graph.nodes) > 40_000
    return graph


@pytest.mark.parametrize("run", LINEAR, ids=lambda run: run.__name__)
def test_a_long_chain_takes_linear_time(run, chain):
    begin = time.process_time()
    run(chain)
    assert time.process_time() - begin < 6
