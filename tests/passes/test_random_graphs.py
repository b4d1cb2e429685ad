"""Every pass on random graphs: the same values, the same types, idempotent, and in linear time."""

import time

import pytest

from graphc.dsl.variables import input as graph_input
from graphc.ir.graph import Graph
from graphc.ir.verify import verify
from graphc.ops.build import apply, full
from graphc.passes import (
    align_reductions,
    fold_constants,
    resolve_marks,
    simplify,
    split_reductions,
    stabilise,
    transpose_products,
)
from graphc.passes.rewriting import rewrite
from graphc.passes.views import VIEWS

from .support import arrays_for, assert_same_values, random_graph, same


def simplify_views(graph):
    return rewrite(graph, VIEWS.rules)


EXACT = (fold_constants, resolve_marks, simplify_views, transpose_products, split_reductions)
ROUNDING = (simplify, stabilise, align_reductions)


@pytest.mark.parametrize("run", EXACT, ids=lambda run: run.__name__)
@pytest.mark.parametrize("seed", range(25))
def test_keeps_every_bit(run, seed):
    graph = random_graph(seed)
    after = run(graph)
    verify(after)
    assert_same_values(graph, after, arrays_for(graph, seed), exact=True)


@pytest.mark.parametrize("run", ROUNDING, ids=lambda run: run.__name__)
@pytest.mark.parametrize("seed", range(60))
def test_changes_values_by_rounding_only(run, seed):
    graph = random_graph(seed, dtype="float64")
    after = run(graph)
    verify(after)
    assert_same_values(graph, after, arrays_for(graph, seed), tolerance=1e-9)


@pytest.mark.parametrize("run", EXACT + ROUNDING, ids=lambda run: run.__name__)
@pytest.mark.parametrize("seed", range(10))
def test_is_idempotent(run, seed):
    once = run(random_graph(seed))
    assert same(once.results, run(once).results)


@pytest.mark.parametrize("seed", range(40))
def test_simplification_never_adds_nodes(seed):
    graph = random_graph(seed)
    assert len(simplify(graph).nodes) <= len(graph.nodes) + 2  # a scalar and its broadcast may be new


@pytest.fixture(scope="module")
def chain():
    """A hundred thousand steps of arithmetic on one vector."""
    x = graph_input("x", (4,))
    half, one, y = full((4,), 0.5, x.dtype), full((4,), 1, x.dtype), x
    for step in range(25_000):
        y = apply("multiply", y, half) if step % 2 else apply("divide", y, half)
        y = apply("negative", apply("multiply", apply("add", y, x), one))
    graph = Graph((x,), (y,))
    assert len(graph.nodes) > 100_000
    return graph


@pytest.mark.parametrize("run", EXACT + ROUNDING, ids=lambda run: run.__name__)
def test_a_long_chain_takes_linear_time(run, chain):
    begin = time.process_time()
    run(chain)
    assert time.process_time() - begin < 15
