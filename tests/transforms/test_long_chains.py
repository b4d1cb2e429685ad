"""Chains of 100,000 nodes: build, differentiate, print and free, without recursion."""

import gc
import time

import numpy as np

import graphc as gx
from graphc.ir import node as node_module
from graphc.ir.graph import Graph, topological
from graphc.ir.reading import parse_graph
from graphc.ir.text import graph_text
from graphc.ir.verify import verify
from graphc.ops.build import build_node, infer_type

LENGTH = 100_000


def chain(x, length):
    y = x
    for index in range(length):
        y = gx.sin(y) if index % 2 else -y
    return y


def test_a_chain_of_100_000_nodes():
    gc.collect()
    before = len(node_module._nodes)
    start = time.process_time()
    x = gx.input("x", (), "float64")
    y = chain(x, LENGTH)
    slope = gx.grad(y, x)
    nodes = topological([slope])
    assert len(nodes) > 2 * LENGTH
    del nodes, slope, y, x
    gc.collect()
    assert len(node_module._nodes) == before
    assert time.process_time() - start < 30


def test_values_of_a_long_chain():
    x = gx.input("x", (), "float64")
    y = chain(x, 20_000)
    tangent = gx.jvp(y, x, 1.0)
    value, slope, tangent = gx.evaluate([y, gx.grad(y, x), tangent], {x: np.array(1.0)})
    point, derivative = 1.0, 1.0
    for index in range(20_000):
        derivative *= np.cos(point) if index % 2 else -1.0
        point = np.sin(point) if index % 2 else -point
    np.testing.assert_allclose([value, slope, tangent], [point, derivative, derivative], rtol=1e-10)


def test_a_long_chain_is_verified_printed_and_read_back():
    x = gx.input("x", (), "float64")
    graph = Graph((x,), (chain(x, 30_000),))
    verify(graph, infer_type)
    assert parse_graph(graph_text(graph), build_node) == graph


def test_a_wide_fan_out():
    x = gx.input("x", (), "float64")
    total = x
    for index in range(5_000):
        total = total + x * float(index)
    (slope,) = gx.evaluate([gx.grad(total, x)], {x: np.array(1.0)})
    assert slope == 1 + 5_000 * 4_999 / 2
