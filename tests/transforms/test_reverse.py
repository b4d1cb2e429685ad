"""Reverse mode: values, structure of what is built, and errors."""

import sys
from collections import namedtuple
from itertools import pairwise

import numpy as np
import pytest

import graphc as gx
from graphc.errors import GradientError, InternalError
from graphc.ir.graph import topological
from graphc.ops.build import apply
from graphc.ops.record import NO_GRADIENT, OPS, Kind, primitive


def here():
    """The line this is called from, as an error names it."""
    frame = sys._getframe(1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def run(node, values):
    return gx.evaluate([node], values)[0]


@pytest.fixture
def x():
    return gx.input("x", (3,), "float64")


X = np.array([0.5, -1.5, 2.0])


# Values -------------------------------------------------------------------------------------------------------------
def test_fan_out_adds_up(x):
    y = gx.exp(x)
    loss = gx.sum(y * y + y * x + gx.sin(y))
    expected = np.exp(X) * (2 * np.exp(X) + X + np.cos(np.exp(X))) + np.exp(X)
    np.testing.assert_allclose(run(gx.grad(loss, x), {x: X}), expected, rtol=1e-14)


def test_the_same_operand_twice_and_the_same_output_twice(x):
    np.testing.assert_allclose(run(gx.grad(gx.sum(x * x), x), {x: X}), 2 * X)
    np.testing.assert_allclose(run(gx.vjp([x, x], [x], [np.ones(3), np.ones(3)])[0], {x: X}), 2 * np.ones(3))


def test_broadcasting_is_undone():
    a, b = gx.input("a", (4, 1, 3), "float64"), gx.input("b", (2, 1), "float64")
    rng = np.random.default_rng(1)
    values = {a: rng.normal(size=a.shape), b: rng.normal(size=b.shape)}
    da, db = gx.grad(gx.sum(a * b), [a, b])
    assert (da.shape, db.shape) == (a.shape, b.shape)
    np.testing.assert_allclose(run(da, values), np.broadcast_to(values[b].sum(), a.shape), rtol=1e-13)
    np.testing.assert_allclose(run(db, values), np.broadcast_to(values[a].sum(), b.shape), rtol=1e-13)
    assert gx.check_gradients(gx.tanh(a * b), [a, b], values, order=2) < 1e-6


def test_ties_share_the_cotangent():
    a, b = gx.input("a", (2,), "float64"), gx.input("b", (2,), "float64")
    da, db = gx.grad(gx.sum(gx.maximum(a, b)), [a, b])
    values = {a: np.array([1.0, 2.0]), b: np.array([1.0, 1.0])}
    np.testing.assert_array_equal(run(da, values) + run(db, values), [1.0, 1.0])
    np.testing.assert_array_equal(run(da, values), [0.5, 1.0])


@pytest.mark.parametrize(
    "function", [gx.tanh, gx.exp, gx.sigmoid, lambda x: gx.tanh(gx.exp(x)), lambda x: 1 / (1 + x * x)]
)
def test_up_to_the_fourth_derivative(function):
    x = gx.input("x", (), "float64")
    derivatives = [function(x)]
    for _ in range(4):
        derivatives.append(gx.grad(derivatives[-1], x))
    for lower, higher in pairwise(derivatives):
        step = 1e-4
        points = [run(lower, {x: np.array(0.3 + k * step)}) for k in (1, -1, 2, -2)]
        numeric = np.dot(points, [8, -8, -1, 1]) / (12 * step)
        np.testing.assert_allclose(run(higher, {x: np.array(0.3)}), numeric, rtol=1e-7)


def test_fourth_derivative_of_exp_of_twice():
    x = gx.input("x", (), "float64")
    y = gx.exp(2.0 * x)
    for _ in range(4):
        y = gx.grad(y, x)
    np.testing.assert_allclose(run(y, {x: np.array(0.25)}), 16 * np.exp(0.5), rtol=1e-14)


def test_intermediate_tensors(x):
    y = gx.exp(x)
    dx, dy = gx.grad(gx.sum(y * y), [x, y])
    np.testing.assert_allclose(run(dy, {x: X}), 2 * np.exp(X))
    np.testing.assert_allclose(run(dx, {x: X}), 2 * np.exp(X) ** 2)


def test_the_output_by_itself(x):
    (seed,) = gx.vjp([x], [x], [np.arange(3.0)])
    np.testing.assert_array_equal(run(seed, {x: X}), np.arange(3.0))


def test_unconnected_and_detached_and_integer_paths_are_zero(x):
    other = gx.input("other", (2, 2))
    loss = gx.sum(gx.stop_gradient(gx.exp(x)) + gx.floor(x) + gx.argmax(x) + gx.astype(x > 0, "float64"))
    dx, dother = gx.grad(loss, [x, other])
    for slope, source in ((dx, x), (dother, other)):
        assert slope.type == source.type
        assert [node.op for node in topological([slope])] == ["constant", "broadcast_to"]
    np.testing.assert_array_equal(run(dx, {}), np.zeros(3))


def test_detached_in_part(x):
    loss = gx.sum(x * gx.stop_gradient(x * x))
    np.testing.assert_allclose(run(gx.grad(loss, x), {x: X}), X**2)


def test_a_zero_cotangent_is_symbolic(x):
    (slope,) = gx.vjp([gx.exp(x), gx.sin(x)], [x], [None, np.ones(3)])
    assert "exp" not in {node.op for node in topological([slope])}
    np.testing.assert_allclose(run(slope, {x: X}), np.cos(X))


def test_dtypes_are_kept_through_casts():
    x = gx.input("x", (3,), "float32")
    loss = gx.sum(gx.astype(gx.exp(gx.astype(x, "float64")), "float16"))
    slope = gx.grad(loss, x)
    assert slope.type == x.type
    np.testing.assert_allclose(run(slope, {x: X.astype("f4")}), np.exp(X), rtol=2e-3)


def test_empty_and_zero_dimensional():
    x, s = gx.input("x", (0, 3), "float64"), gx.input("s", (), "float64")
    dx, ds = gx.grad(gx.sum(x * s) + s * s, [x, s])
    values = {x: np.zeros((0, 3)), s: np.array(3.0)}
    assert run(dx, values).shape == (0, 3)
    assert run(ds, values) == 6.0


# What is built ------------------------------------------------------------------------------------------------------
def test_structures_of_wrt(x):
    Pair = namedtuple("Pair", "a b")
    y = gx.input("y", (3,), "float64")
    loss = gx.sum(x * y)
    dx, dy = gx.grad(loss, x), gx.grad(loss, y)
    assert gx.grad(loss, [x, y])[1] is dy
    assert isinstance(gx.grad(loss, (x, y)), tuple)
    assert gx.grad(loss, {"x": x, "y": y})["x"] is dx
    assert gx.grad(loss, Pair(x, y)).b is dy
    assert gx.grad(loss, (t for t in (x, y)))[0] is dx
    assert gx.grad(loss, []) == []
    value, slopes = gx.value_and_grad(loss, {"x": x})
    assert value is loss
    assert slopes["x"] is dx


def test_deterministic_and_interned(x):
    loss = gx.sum(gx.exp(x) * gx.sin(x))
    assert gx.grad(loss, x) is gx.grad(loss, x)


def test_only_needed_rules_are_called(x, monkeypatch):
    y = gx.input("y", (3,), "float64")
    called = []
    record = OPS["multiply"]
    spies = tuple(lambda *a, i=i, r=r, **k: (called.append(i), r(*a, **k))[1] for i, r in enumerate(record.vjp))
    monkeypatch.setitem(OPS, "multiply", record.__class__(**{**vars(record), "vjp": spies}))
    gx.grad(gx.sum(x * gx.exp(y)), x)
    assert called == [0]


def test_gradients_have_the_line_of_what_they_are_the_gradient_of(x):
    y = gx.tanh(x)
    line = here()
    slope = gx.grad(gx.sum(y), x)
    lines = {f"{node.location.filename}:{node.location.line}" for node in topological([slope]) if node.op == "multiply"}
    file, number = line.rsplit(":", 1)
    assert lines == {f"{file}:{int(number) - 1}"}


def test_jacobian_and_hessian(x):
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    jac = gx.jacobian(gx.sin(gx.matmul(gx.constant(matrix), x)), x)
    np.testing.assert_allclose(run(jac, {x: X}), np.cos(matrix @ X)[:, None] * matrix, rtol=1e-13)
    hess = gx.hessian(gx.sum(x) * gx.sum(x * x), x)
    np.testing.assert_allclose(run(hess, {x: X}), 2 * X[:, None] + 2 * X + 2 * X.sum() * np.eye(3), rtol=1e-13)
    assert gx.jacobian(gx.input("none", (0,), "float64"), x).shape == (0, 3)


# Errors -------------------------------------------------------------------------------------------------------------
def test_a_loss_that_is_not_scalar(x):
    y, line = gx.exp(x), here()
    with pytest.raises(GradientError, match=r"needs a scalar loss.*\(3,\).*gx\.vjp") as caught:
        gx.grad(y, x)
    assert line in str(caught.value)


def test_integer_loss_and_variable(x):
    loss, line = gx.sum(gx.argmax(x)), here()
    with pytest.raises(GradientError, match=r"what is differentiated.*int64") as caught:
        gx.grad(loss, x)
    assert line in str(caught.value)
    labels, line = gx.input("labels", (3,), "int32"), here()
    with pytest.raises(GradientError, match=r"with respect to.*'labels'.*int32") as caught:
        gx.grad(gx.sum(x), [x, labels])
    assert line in str(caught.value)


@pytest.mark.parametrize("wrong", [1.0, "x", None, np.zeros(3), [1.0], {"a": 2}])
def test_what_is_no_tensor(x, wrong):
    with pytest.raises(GradientError, match="must be a tensor of the graph") as caught:
        gx.grad(gx.sum(x), wrong)
    assert __file__ in str(caught.value)
    with pytest.raises(GradientError, match="must be a tensor of the graph"):
        gx.grad(1.0, x)


@pytest.mark.parametrize(
    ("cotangents", "message"),
    [
        ([np.zeros(2)], r"must be float64\[3\]; float64\[2\] came"),
        ([np.zeros(3, "f4")], r"must be float64\[3\]; float32\[3\] came"),
        ([np.zeros(3), np.zeros(3)], "1 output.*2 came"),
        ([], "0 came"),
        ([1.0], r"float64\[\] came"),
    ],
)
def test_wrong_cotangents(x, cotangents, message):
    with pytest.raises(GradientError, match=message) as caught:
        gx.vjp([gx.exp(x)], [x], cotangents)
    assert __file__ in str(caught.value)


@pytest.fixture
def opaque(monkeypatch):
    """An op without gradient, in the table for one test."""
    monkeypatch.delitem(OPS, "opaque", raising=False)
    yield primitive(
        "opaque",
        kind=Kind.ELEMENTWISE,
        infer=lambda x: x,
        vjp=NO_GRADIENT,
        jvp=NO_GRADIENT,
        reference=lambda x: x,
        cost=1,
    )
    del OPS["opaque"]


def test_no_gradient_on_the_path(x, opaque):
    y, line = apply("opaque", x), here()
    for derive in (lambda: gx.grad(gx.sum(y), x), lambda: gx.jvp([y], [x], [np.ones(3)])):
        with pytest.raises(GradientError, match=r"opaque has no gradient.*gx.stop_gradient") as caught:
            derive()
        assert line in str(caught.value)
    gx.grad(gx.sum(gx.stop_gradient(y) + x), x)  # off the path: no error
    gx.grad(gx.sum(y * x), y)


@pytest.mark.parametrize("result", [None, 1.0, "narrow"])
def test_a_rule_that_gives_the_wrong_type_is_named(x, monkeypatch, result):
    record = OPS["exp"]
    rule = lambda g, y, x: gx.sum(g) if result == "narrow" else result  # noqa: E731
    monkeypatch.setitem(OPS, "exp", record.__class__(**{**vars(record), "vjp": (rule,)}))
    with pytest.raises(InternalError, match="the vjp rule of exp for input 0 gave"):
        gx.grad(gx.sum(gx.exp(x)), x)
    with pytest.raises(InternalError, match="the jvp rule of exp"):
        gx.jvp([gx.exp(x)], [x], [np.ones(3)])
