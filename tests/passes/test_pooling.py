"""The maxima of a pooling are searched once where a gradient needs their positions, and only there."""

from __future__ import annotations

import numpy as np

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ops.reference import evaluate
from graphc.passes import share_positions


def _graph(with_gradient: bool) -> tuple[Graph, gx.Tensor]:
    x = gx.input("x", (2, 3, 6, 5))
    y = gx.max_pool2d(gx.tanh(x), 2, 2)
    results = (y, gx.grad(gx.sum(y * y), x)) if with_gradient else (y,)
    return Graph((x,), results), x


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_a_training_step_gathers_at_the_positions_it_has() -> None:
    graph, x = _graph(with_gradient=True)
    shared = share_positions(graph)
    assert "max_pool2d" not in _ops(shared)
    assert _ops(shared).count("max_pool2d_argmax") == 1
    values = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    before, after = (evaluate(g.results, {x: values}) for g in (graph, shared))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))
    assert share_positions(shared) == shared


def test_inference_keeps_the_plain_maximum() -> None:
    graph, _ = _graph(with_gradient=False)
    assert share_positions(graph) is graph
