"""Stable forms: what is written naively is computed well, forward and backward, and gradients do not divide."""

import numpy as np
import pytest
from scipy import special

from graphc.dsl.variables import input as graph_input
from graphc.ir.graph import Graph
from graphc.ops.build import apply, broadcast_to, full
from graphc.ops.record import call
from graphc.passes import resolve_marks, stabilise
from graphc.transforms.reverse import grad

from .support import arrays_for, assert_same_values, count, graph_of, ops_of, values_of

x = graph_input("x", (6,))
one = full((6,), 1, x.dtype)


def log(value):
    return apply("log", value)


def exp(value):
    return apply("exp", value)


def sigmoid(value):
    return apply("sigmoid", value)


# (name, what is written, ops that remain, the exact value at points where the naive form fails)
FORMS = [
    ("log of exp", log(exp(x)), [], lambda v: v),
    ("log1p", log(one + x), ["log1p"], np.log1p),
    ("log1p of minus", log(one - x), ["negative", "log1p"], lambda v: np.log1p(-v)),
    ("expm1", exp(x) - one, ["expm1"], np.expm1),
    ("expm1, added", exp(x) + full((6,), -1, x.dtype), ["expm1"], np.expm1),
    ("softplus", log(one + exp(x)), ["softplus"], lambda v: np.logaddexp(v, 0)),
    ("log sigmoid", log(sigmoid(x)), ["negative", "softplus", "negative"], lambda v: -np.logaddexp(-v, 0)),
    ("log of 1 - sigmoid", log(one - sigmoid(x)), ["softplus", "negative"], lambda v: -np.logaddexp(v, 0)),
    ("log1p of -sigmoid", apply("log1p", -sigmoid(x)), ["softplus", "negative"], lambda v: -np.logaddexp(v, 0)),
    ("sigmoid", one / (one + exp(-x)), ["sigmoid"], special.expit),
    ("sigmoid of -x", one / (one + exp(x)), ["negative", "sigmoid"], lambda v: special.expit(-v)),
    ("sigmoid by exp", exp(x) / (one + exp(x)), ["sigmoid"], special.expit),
]


@pytest.mark.parametrize(("name", "written", "ops", "formula"), FORMS, ids=[row[0] for row in FORMS])
def test_forms(name, written, ops, formula):
    graph = stabilise(graph_of(written))
    assert [op for op in ops_of(graph) if op != "broadcast_to"] == ops
    points = np.array([-80, -30, -1e-9, 1e-9, 0.5, 80], np.float32)
    with np.errstate(all="ignore"):
        expected = formula(points.astype(np.float64))
    np.testing.assert_allclose(values_of(graph, {x: points})[0], expected, rtol=3e-6)


@pytest.mark.parametrize("keepdims", [False, True])
def test_log_sum_exp_is_shifted(keepdims):
    z = graph_input("z", (4, 5))
    before = graph_of(log(call("sum", exp(z), 1, keepdims)))
    after = stabilise(before)
    values = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 300
    expected = special.logsumexp(values.astype(np.float64), 1, keepdims=keepdims)
    assert np.isinf(values_of(before, {z: values})[0]).any()
    np.testing.assert_allclose(values_of(after, {z: values})[0], expected, rtol=1e-6)


def test_log_sum_exp_of_infinities():
    z = graph_input("z", (3, 2))
    inf = np.inf
    values = {z: np.float32([[-inf, -inf], [inf, 0], [-inf, 1]])}
    (found,) = values_of(stabilise(graph_of(log(call("sum", exp(z), 1)))), values)
    np.testing.assert_array_equal(found, np.float32([-inf, inf, 1]))


def joint(loss, *wrt):
    """The graph of a loss and its gradients, before and after."""
    graph = resolve_marks(Graph(graph_of(loss).inputs, (loss, *grad(loss, list(wrt)))))
    return graph, stabilise(graph)


def is_mean(node):
    """Whether a division is that of a total by a number of elements, done once."""
    return node.shape == () and node.inputs[1].op == "constant"


def binary_cross_entropies():
    z, y = graph_input("z", (100, 1)), graph_input("y", (100, 1))
    p = call("sigmoid", z)
    each = y * call("log", p) + (1 - y) * call("log", 1 - p)
    yield "minus mean", -call("mean", each)
    yield "mean of minus", call("mean", -each)
    yield "sum", -call("sum", each)
    yield "minus first", call("mean", -y * call("log", p) - (1 - y) * call("log", 1 - p))
    yield "log1p", -call("mean", y * call("log", p) + (1 - y) * call("log1p", -p))
    yield "doubled", -2 * call("mean", each)
    yield "written-out sigmoid's loss", -call("mean", (1 - y) * call("log", 1 - p) + y * call("log", p))


LOSSES = list(binary_cross_entropies())


@pytest.mark.parametrize(("name", "loss"), LOSSES, ids=[name for name, _ in LOSSES])
def test_sigmoid_and_binary_cross_entropy_do_not_divide(name, loss):
    z, y = graph_input("z", (100, 1)), graph_input("y", (100, 1))
    before, after = joint(loss, z)
    assert count(before, "divide") >= 2
    assert count(after, "log") == 0
    assert count(graph_of(after.outputs[1]), "divide") == 0
    assert all(is_mean(node) for node in after.nodes if node.op == "divide")
    generator = np.random.default_rng(0)
    values = {z: generator.normal(size=(100, 1)).astype(np.float32)}
    values[y] = generator.integers(0, 2, (100, 1)).astype(np.float32)
    assert_same_values(before, after, values, tolerance=1e-5)
    # far out, where the naive form gives inf and nan
    extreme = {z: values[z] * 400, y: values[y]}
    loss_value, gradient = values_of(after, extreme)
    assert not np.isfinite(values_of(before, extreme)[0])
    scale = {"sum": 1, "doubled": 2 / 100}.get(name, 1 / 100)
    wide, label = extreme[z].astype(np.float64), extreme[y]
    expected = (label * np.logaddexp(-wide, 0) + (1 - label) * np.logaddexp(wide, 0)).sum() * scale
    np.testing.assert_allclose(loss_value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, (special.expit(wide) - label) * scale, rtol=1e-5, atol=1e-7)


def test_the_gradient_of_binary_cross_entropy_is_prediction_minus_label():
    z, y = graph_input("z", (64,)), graph_input("y", (64,))
    p = call("sigmoid", z)
    loss = -call("sum", y * call("log", p) + (1 - y) * call("log", 1 - p))
    _, after = joint(loss, z)
    assert after.outputs[1] is p - y


def test_weighted_binary_cross_entropy_through_a_linear_layer_does_not_divide():
    shapes = {"x": (8, 3), "w": (3, 1), "y": (8, 1), "importance": (8, 1)}
    inputs, weight, y, importance = (graph_input(name, shape) for name, shape in shapes.items())
    p = call("sigmoid", apply("matmul", inputs, weight))
    loss = -call("mean", importance * (y * call("log", p) + (1 - y) * call("log", 1 - p)))
    before, after = joint(loss, weight)
    assert count(graph_of(after.outputs[1]), "divide") == 0
    assert_same_values(before, after, arrays_for(before, low=0.1, high=0.9))


@pytest.mark.parametrize("naive", [False, True], ids=["softmax", "exp over sum of exp"])
def test_softmax_and_cross_entropy_do_not_divide_by_probabilities(naive):
    z, y = graph_input("z", (8, 5)), graph_input("labels", (8, 5))
    powers = call("exp", z)
    p = powers / call("sum", powers, 1, True) if naive else call("softmax", z)
    before, after = joint(-call("sum", y * call("log", p)), z)
    assert count(after, "exp") == 1
    divisors = [node.inputs[1] for node in after.nodes if node.op == "divide"]
    assert all(divisor.size == 8 for divisor in divisors)  # by the sum of a row, once a row
    generator = np.random.default_rng(0)
    values = {z: generator.normal(size=(8, 5)).astype(np.float32)}
    values[y] = np.eye(5, dtype=np.float32)[generator.integers(0, 5, 8)]
    assert_same_values(before, after, values)
    values[z] = values[z] * 500
    loss_value, gradient = values_of(after, values)
    expected = special.softmax(values[z].astype(np.float64), 1) - values[y]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss_value, -(values[y] * special.log_softmax(values[z], 1)).sum(), rtol=1e-5)


def test_the_gradient_of_log_sum_exp_does_not_overflow():
    z = graph_input("z", (4, 5))
    before, after = joint(call("sum", call("log", call("sum", call("exp", z), 1))), z)
    values = {z: np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 300}
    assert np.isnan(values_of(before, values)[1]).any()
    expected = special.softmax(values[z].astype(np.float64), 1)
    np.testing.assert_allclose(values_of(after, values)[1], expected, rtol=1e-5, atol=1e-6)


def test_only_what_is_positive_cancels():
    a, b = graph_input("a", (4,)), graph_input("b", (4,))
    kept = graph_of((a / b) * b)
    assert count(stabilise(kept), "divide") == 1
    nested = a / (b / exp(a))  # one division less, but the product could overflow
    assert stabilise(graph_of(nested)).outputs[0] is nested
    positive = exp(b)
    assert stabilise(graph_of((a / positive) * positive)).outputs[0] is a


@pytest.mark.parametrize("size", [3, 49, 100])
def test_the_mean_of_ones_is_one(size):
    a = graph_input("a", (size,))
    for written in (call("mean", a), -call("mean", -a), call("mean", a) * 1):
        assert values_of(stabilise(graph_of(written)), {a: np.ones(size, np.float32)})[0] == 1


def test_divisors_move_out_of_sums():
    a, s = graph_input("a", (8, 5)), graph_input("s", (8, 1))
    before = graph_of(call("sum", a / broadcast_to(s, (8, 5)), 1))
    after = stabilise(before)
    assert [node.size for node in after.nodes if node.op == "divide"] == [8]
    assert_same_values(before, after, arrays_for(before))
