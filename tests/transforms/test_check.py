"""The gradient checker, and that it can fail."""

import numpy as np
import pytest

import graphc as gx
from graphc.errors import GradientError, InputError
from graphc.ops.record import OPS

X = np.array([0.5, -1.5, 2.0])


def plant(monkeypatch, op, *rules):
    record = OPS[op]
    monkeypatch.setitem(OPS, op, record.__class__(**{**vars(record), "vjp": rules}))


@pytest.fixture
def x():
    return gx.input("x", (3,), "float64")


@pytest.mark.parametrize("order", [1, 2])
def test_right_rules_pass(x, order):
    w = gx.parameter("w", np.linspace(-1, 1, 6).reshape(2, 3))
    outputs = [gx.tanh(gx.matmul(w, x)), gx.sum(gx.exp(x) / (1 + x * x))]
    assert gx.check_gradients(outputs, [x, w], {x: X}, order=order) < 1e-9


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, y, x: g * y * 1.00001,
        lambda g, y, x: -(g * y),
        lambda g, y, x: g,
        lambda g, y, x: g * 0.0,
        lambda g, y, x: g * y / 0.0,
        lambda g, y, x: gx.where(x > 1.0, g * y * 1.1, g * y),
    ],
)
def test_a_wrong_rule_is_caught(x, monkeypatch, rule):
    plant(monkeypatch, "exp", rule)
    with pytest.raises(GradientError, match="differ from finite differences") as caught:
        gx.check_gradients(gx.sum(gx.exp(x)), x, {x: X})
    assert "<input 'x': float64[3]>[2]" in str(caught.value)
    assert __file__ in str(caught.value)


def test_a_wrong_second_derivative_is_caught(x, monkeypatch):
    plant(monkeypatch, "exp", lambda g, y, x: g * gx.stop_gradient(y))
    loss = gx.sum(gx.exp(x))
    assert gx.check_gradients(loss, x, {x: X}) < 1e-9
    with pytest.raises(GradientError, match=r"order[^\n]*\n +2 "):
        gx.check_gradients(loss, x, {x: X}, order=2)


def test_a_wrong_rule_for_one_of_two_inputs_is_caught(x, monkeypatch):
    y = gx.input("y", (3,), "float64")
    plant(monkeypatch, "multiply", lambda g, z, a, b: g / (1.0 / b), lambda g, z, a, b: g)
    loss, values = gx.sum(x * y), {x: X, y: X + 1}
    assert gx.check_gradients(loss, x, values) < 1e-9
    with pytest.raises(GradientError, match="<input 'y'"):
        gx.check_gradients(loss, [x, y], values)


def test_the_table_shows_the_worst_eight(monkeypatch):
    x = gx.input("x", (20,), "float64")
    plant(monkeypatch, "exp", lambda g, y, x: g * y * (1.0 + x * x))
    with pytest.raises(GradientError) as caught:
        gx.check_gradients(gx.sum(gx.exp(x)), x, {x: np.arange(20) / 8})
    rows = str(caught.value).splitlines()
    assert rows[0].startswith("19 derivative(s)")
    assert rows[2].endswith("<input 'x': float64[20]>[19]")
    assert len([row for row in rows if row.lstrip().startswith("1 ")]) == 8


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_narrow_graphs_are_checked_in_float64(dtype):
    x = gx.input("x", (3,), dtype)
    w = gx.constant([0.25, 0.5, 1.5], dtype)
    loss = gx.sum(gx.astype(gx.exp(x * w), "float32"))
    assert gx.check_gradients(loss, x, {x: X}, order=2) < 1e-9


def test_integer_inputs_and_random_numbers():
    x, labels = gx.input("x", (4, 3), "float32"), gx.input("labels", (4,), "int32")
    noise = gx.uniform((4, 3))
    loss = gx.sum(gx.logsumexp(x * noise, axis=1) - gx.sum(x * gx.one_hot(labels, 3), axis=1))
    values = {x: np.linspace(-1, 1, 12).reshape(4, 3), labels: np.array([0, 2, 1, 1])}
    assert gx.check_gradients(loss, x, values, order=2) < 1e-8


def test_an_intermediate_tensor_with_a_value(x):
    y = gx.exp(x)
    assert gx.check_gradients(gx.sum(y * y * x), y, {x: X, y: X}) < 1e-9


def test_unconnected_and_empty_variables(x):
    empty = gx.input("empty", (0,), "float64")
    values = {x: X, empty: np.zeros(0)}
    assert gx.check_gradients(gx.sum(gx.exp(empty)) + 1.0, [x, empty], values, order=2) == 0.0


def test_flat_functions_with_large_values(x):
    assert gx.check_gradients(1e9 + gx.sum(gx.sin(x)), x, {x: X}) <= 1e-6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"<input 'x': float64\[3\]> has no entry"),
        ([np.zeros(2)], r"takes a value of shape \(3,\); \(2,\) came"),
    ],
)
def test_wrong_values(x, values, message):
    with pytest.raises(InputError, match=message):
        gx.check_gradients(gx.sum(x), x, dict(zip([x], values, strict=False)))


def test_wrong_order_and_unvaried_intermediate(x):
    with pytest.raises(GradientError, match="order is 1 or 2"):
        gx.check_gradients(gx.sum(x), x, {x: X}, order=3)
    with pytest.raises(InputError, match="to be varied"):
        gx.check_gradients(gx.sum(gx.exp(x)), gx.exp(x), {x: X})


def test_not_finite_cannot_be_checked(x):
    with pytest.raises(GradientError, match="nan"):
        gx.check_gradients(gx.sum(gx.log(x)), x, {x: X})
