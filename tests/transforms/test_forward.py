"""Forward mode against reverse mode, for every function of the table, and products with the Hessian."""

import numpy as np
import pytest

import graphc as gx
from graphc.errors import GradientError


@pytest.fixture
def x():
    return gx.input("x", (3,), "float64")


X = np.array([0.5, -1.5, 2.0])


def run(node, values):
    return gx.evaluate([node], values)[0]


def test_values(x):
    (tangent,) = gx.jvp([gx.sin(x) * x], [x], [np.ones(3)])
    np.testing.assert_allclose(run(tangent, {x: X}), np.cos(X) * X + np.sin(X), rtol=1e-14)


def test_zero_tangents_are_symbolic(x):
    y = gx.input("y", (3,), "float64")
    (tangent,) = gx.jvp([x * y], [x, y], [np.ones(3), None])
    np.testing.assert_array_equal(run(tangent, {y: X}), X)
    (zero,) = gx.jvp([gx.exp(y)], [x], [np.ones(3)])
    np.testing.assert_array_equal(run(zero, {}), np.zeros(3))


def test_cut_paths(x):
    y = gx.stop_gradient(gx.exp(x)) + gx.floor(x) + gx.astype(gx.argmax(x), "float64")
    np.testing.assert_array_equal(run(gx.jvp([y], [x], [np.ones(3)])[0], {x: X}), np.zeros(3))


def test_an_intermediate_input_moves_alone(x):
    y = gx.exp(x)
    (tangent,) = gx.jvp([y * x], [y], [np.ones(3)])
    np.testing.assert_array_equal(run(tangent, {x: X}), X)
    (tangent,) = gx.jvp([y * x], [x, y], [np.zeros(3), np.ones(3)])
    np.testing.assert_array_equal(run(tangent, {x: X}), X)
    (tangent,) = gx.jvp([y + x], [x, y], [np.full(3, 2.0), np.ones(3)])
    np.testing.assert_array_equal(run(tangent, {}), np.full(3, 3.0))


def test_hvp_against_differences(x):
    w = gx.input("w", (3, 2), "float64")
    loss = gx.sum(gx.tanh(gx.matmul(gx.sin(x), w)) ** 3) + gx.sum(x * x * x)
    rng = np.random.default_rng(3)
    values = {x: X, w: rng.normal(size=(3, 2))}
    vectors = [rng.normal(size=3), rng.normal(size=(3, 2))]
    products = gx.evaluate(gx.hvp(loss, [x, w], vectors), values)
    slopes = gx.grad(loss, [x, w])
    step = 1e-4

    def moved(k):
        return gx.evaluate(slopes, {x: X + k * step * vectors[0], w: values[w] + k * step * vectors[1]})

    stencil = list(zip(*(moved(k) for k in (1, -1, 2, -2)), strict=True))
    for product, points in zip(products, stencil, strict=True):
        numeric = (8 * points[0] - 8 * points[1] - points[2] + points[3]) / (12 * step)
        np.testing.assert_allclose(product, numeric, rtol=1e-8, atol=1e-10)


def test_hvp_is_the_hessian_times_the_vector(x):
    loss = gx.prod(x) + gx.sum(gx.exp(x))
    vector = np.array([1.0, 2.0, -1.0])
    product = gx.hvp(loss, x, vector)
    hessian = run(gx.hessian(loss, x), {x: X})
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-13)
    np.testing.assert_allclose(run(product, {x: X}), hessian @ vector, rtol=1e-13)


def test_errors(x):
    with pytest.raises(GradientError, match=r"the tangent of input .*must be float64\[3\]; float64\[4\] came"):
        gx.jvp([x], [x], [np.ones(4)])
    with pytest.raises(GradientError, match=r"1 input.*2 came"):
        gx.jvp([x], [x], [None, None])
    with pytest.raises(GradientError, match=r"what is differentiated.*int64"):
        gx.jvp([gx.argmax(x)], [x], [np.ones(3)])
