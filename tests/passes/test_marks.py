"""Marks leave the graph, updates are collected, contradictions are errors at the user's lines."""

import numpy as np
import pytest

from graphc.dsl.variables import input as graph_input
from graphc.dsl.variables import parameter
from graphc.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ops.build import apply
from graphc.passes import resolve_marks

from .support import count, graph_of


def test_stop_gradient_goes():
    x = graph_input("x", (3,))
    graph = resolve_marks(graph_of(apply("stop_gradient", x * 2) + 1))
    assert graph.outputs[0] is x * 2 + 1


def test_updates_are_collected_in_program_order():
    x, p, q = graph_input("x", (3,)), parameter("p", np.zeros(3, "f4")), parameter("q", np.zeros(3, "f4"))
    first = apply("with_update", x + 1, p, p * 2 + x)
    second = apply("with_update", first * 2, q, first)
    graph = resolve_marks(Graph((x,), (second,), (), ("x", "out")))
    assert count(graph, "with_update") == 0
    assert graph.outputs[0] is (x + 1) * 2
    assert [(target.name, value) for target, value in graph.updates] == [("p", p * 2 + x), ("q", x + 1)] or (
        graph.updates[0][1] is p * 2 + x and graph.updates[1][1] is x + 1
    )
    assert graph.names == ("x", "out")


def test_marks_within_updates_count():
    x, p, q = graph_input("x", (3,)), parameter("p", np.zeros(3, "f4")), parameter("q", np.zeros(3, "f4"))
    graph = resolve_marks(Graph((x,), (x,), ((q, apply("with_update", x * 3, p, x)),)))
    assert [target.name for target, _ in graph.updates] == ["p", "q"]
    assert graph.updates[1][1] is x * 3


def test_the_same_update_twice_is_one():
    x, p = graph_input("x", (3,)), parameter("p", np.zeros(3, "f4"))
    marked = apply("with_update", x, p, x * 2) + apply("with_update", x * 3, p, x * 2)
    assert len(resolve_marks(Graph((x,), (marked,))).updates) == 1


def test_two_updates_of_one_parameter_name_both_lines():
    x, p = graph_input("x", (3,)), parameter("p", np.zeros(3, "f4"))
    first = apply("with_update", x, p, x * 2)
    second = apply("with_update", x * 3, p, x * 4)
    with pytest.raises(GraphError, match="updated twice") as caught:
        resolve_marks(Graph((x,), (first + second,)))
    assert str(caught.value).count("test_marks.py:") == 2
    with pytest.raises(GraphError, match="updated twice"):
        resolve_marks(Graph((x,), (first,), ((p, x * 4),)))


def test_only_parameters_are_updated():
    x = graph_input("x", (3,))
    with pytest.raises(GraphError, match="only a parameter"):
        resolve_marks(Graph((x,), (apply("with_update", x, x * 2, x),)))
