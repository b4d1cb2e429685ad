"""Interning, locations, traversals and rewriting."""

import gc
import threading

import numpy as np
import pytest

import graphc as gx
from graphc.errors import InternalError
from graphc.ir import node as node_module
from graphc.ir.graph import Graph, consumers, identical, rebuild, replace, topological
from graphc.ir.node import Literal, Node, attribute_key, intern, is_interned
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import apply, build_node

SCALAR = TensorType(DTYPES["float32"], ())


def raw(op, inputs=(), **attrs):
    return intern(Node, op, inputs, attrs, SCALAR)


def test_equal_parts_give_one_node():
    assert raw("a", (raw("b"),), axis=1) is raw("a", (raw("b"),), axis=1)
    assert is_interned(raw("a"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (0.0, -0.0), (1, True), (1, 1.0), (0, None), ("1", 1), ((1,), (True,)), ((1, 2), ((1, 2),)),
        (np.float64("nan").item(), float(np.array([0xFFF8000000000000], np.uint64).view(np.float64)[0])),
        (Literal(np.zeros(2)), Literal(np.zeros(2, np.float32))), (Literal(np.zeros(2)), Literal(np.zeros((1, 2)))),
        (Literal(np.array(0.0)), Literal(np.array(-0.0))), (DTYPES["float32"], "float32"),
    ],
)  # fmt: skip
def test_attributes_are_kept_apart(left, right):
    assert raw("a", v=left) is not raw("a", v=right)


def test_nan_attributes_merge():
    assert raw("a", v=float("nan")) is raw("a", v=float("nan"))


@pytest.mark.parametrize("value", [[1], {}, np.float32(1), object()])
def test_unknown_attributes_are_refused(value):
    with pytest.raises(InternalError, match="cannot be part of a node"):
        attribute_key(value)


def test_a_literal_is_an_immutable_copy():
    array = np.arange(3.0)
    literal = Literal(array)
    array[0] = 7
    assert literal.array[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        literal.array[0] = 1


def test_nodes_die_with_their_last_reader():
    gc.collect()
    before = len(node_module._nodes)
    y = gx.exp(gx.input("short-lived", (5,)))
    assert len(node_module._nodes) == before + 2
    del y
    gc.collect()
    assert len(node_module._nodes) == before


def test_threads_build_the_same_nodes():
    found = [None] * 8

    def build(slot):
        y = gx.input("shared", (2,))
        for _ in range(300):
            y = gx.sin(y)
        found[slot] = y

    threads = [threading.Thread(target=build, args=(slot,)) for slot in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(node is found[0] for node in found)


def test_the_location_is_the_first_line_that_built_it():
    x = gx.input("x", (2,))
    first = gx.exp(x)
    again = gx.exp(x)
    assert again is first
    assert first.location.filename == __file__
    assert first.location.text == "first = gx.exp(x)"
    assert first.location.function == "test_the_location_is_the_first_line_that_built_it"


def test_topological_order_depends_on_structure_alone():
    x = gx.input("x", (2,))
    b = gx.sin(x)
    a = gx.exp(x)
    assert [node.op for node in topological([a + b])] == ["input", "exp", "sin", "add"]
    assert [node.op for node in topological([b, a])] == ["input", "sin", "exp"]
    readers = consumers(topological([x * x]))
    assert identical(readers[x], [x * x, x * x])


def test_rebuild_and_replace():
    x = gx.input("x", (2,))
    y = gx.exp(gx.sin(x)) + x
    graph = Graph((x,), (y,), (), ("y",))
    assert rebuild(graph, lambda node, inputs: build_node(node.op, inputs, dict(node.attrs))) == graph
    z = gx.input("z", (2,))
    (new,) = replace([y], {x: z}, lambda node, inputs: apply(node.op, *inputs, **node.attrs))
    assert new is gx.exp(gx.sin(z)) + z
    (same,) = replace([y], {z: x}, lambda node, inputs: apply(node.op, *inputs, **node.attrs))
    assert same is y


def test_graphs_are_equal_by_their_nodes():
    x = gx.input("x", (2,))
    assert Graph((x,), (gx.exp(x),)) == Graph((x,), (gx.exp(x),))
    assert hash(Graph((x,), (gx.exp(x),))) == hash(Graph((x,), (gx.exp(x),)))
    assert Graph((x,), (gx.exp(x),)) != Graph((x,), (gx.sin(x),))
    assert Graph((x,), (x,), (), ("a",)) != Graph((x,), (x,), (), ("b",))
