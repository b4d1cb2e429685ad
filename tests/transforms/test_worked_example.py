"""A two-layer network worked out by hand: every intermediate figure to 1e-6."""

import numpy as np
import pytest

import graphc as gx
from tests.examples.test_examples import WORKED


def network():
    x = gx.input("x", (2,), "float64")
    w1 = gx.parameter("W1", [[0.15, 0.20], [0.25, 0.30]], dtype="float64")
    b1 = gx.parameter("b1", [0.35, 0.35], dtype="float64")
    w2 = gx.parameter("W2", [0.40, 0.45], dtype="float64")
    b2 = gx.parameter("b2", 0.50, dtype="float64")
    hidden_sum = gx.matmul(w1, x) + b1
    hidden = gx.sigmoid(hidden_sum)
    output_sum = gx.sum(w2 * hidden) + b2
    output = gx.sigmoid(output_sum)
    loss = 0.5 * (output - 0.01) ** 2
    return x, (w1, b1, w2, b2), hidden_sum, hidden, output_sum, output, loss


def test_worked_example():
    x, (w1, b1, w2, b2), hidden_sum, hidden, output_sum, output, loss = network()
    slopes = gx.grad(
        loss, {"dW1": w1, "db1": b1, "dW2": w2, "db2": b2, "hidden errors": hidden_sum, "output error": output_sum}
    )
    results = evaluate_named({"hidden": hidden, "output": output, "loss": loss, **slopes}, x)
    assert results.keys() == WORKED.keys()
    for name, value in WORKED.items():
        np.testing.assert_allclose(results[name], value, rtol=0, atol=1e-6, err_msg=name)


def evaluate_named(nodes, x):
    return dict(zip(nodes, gx.evaluate(list(nodes.values()), {x: np.array([0.05, 0.10])}), strict=True))


@pytest.mark.parametrize("order", [1, 2])
def test_worked_example_against_differences(order):
    x, parameters, *_, loss = network()
    assert gx.check_gradients(loss, [x, *parameters], {x: np.array([0.05, 0.10])}, order=order) < 1e-8
