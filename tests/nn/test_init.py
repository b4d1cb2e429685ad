"""Initial values: bounds, spreads, orthogonality, and that a seed decides them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.nn import init

SHAPE = (60, 50, 3, 3)
FAN_IN, FAN_OUT = 450, 540


@pytest.mark.parametrize(
    ("make", "spread"),
    [
        (lambda: init.uniform(SHAPE, 0, -1, 3), 4 / math.sqrt(12)),
        (lambda: init.normal(SHAPE, 0, 1.0, 0.5), 0.5),
        (lambda: init.xavier_uniform(SHAPE, 0), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lambda: init.xavier_normal(SHAPE, 0, gain=2.0), 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lambda: init.kaiming_uniform(SHAPE, 0, nonlinearity="relu"), math.sqrt(2 / FAN_IN)),
        (lambda: init.kaiming_uniform(SHAPE, 0, a=math.sqrt(5)), math.sqrt(1 / (3 * FAN_IN))),
        (lambda: init.kaiming_normal(SHAPE, 0, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / FAN_OUT)),
        (lambda: init.orthogonal(SHAPE, 0), 1 / math.sqrt(FAN_IN)),
    ],
)
def test_spread(make, spread):
    values = make()
    assert values.dtype == np.float32
    assert values.shape == SHAPE
    assert values.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 2, 3), (5, 5)])
def test_orthogonal(shape):
    matrix = init.orthogonal(shape, 3, gain=2.0).reshape(shape[0], -1).astype(np.float64)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(min(matrix.shape)), atol=1e-5)


def test_constants():
    np.testing.assert_array_equal(init.constant((2,), 3.5), np.float32([3.5, 3.5]))
    assert init.zeros((2, 3)).sum() == 0
    assert init.ones((2, 3)).sum() == 6


def test_layers_start_within_pytorchs_bounds():
    nn.seed(0)
    for layer, fan_in in ((nn.Linear(100, 200), 100), (nn.Conv2d(8, 40, 3), 72), (nn.ConvTranspose2d(40, 8, 3), 72)):
        bound = 1 / math.sqrt(fan_in)
        for parameter in layer.parameters():
            values = np.abs(parameter.value)
            assert 0.8 * bound < values.max() <= bound


def test_a_seed_decides_the_values():
    def values(**options):
        return nn.Linear(5, 5, **options).weight.value

    np.testing.assert_array_equal(values(rng=7), values(rng=np.random.default_rng(7)))
    nn.seed(3)
    first, second = values(), values()
    assert not np.array_equal(first, second)
    nn.seed(3)
    np.testing.assert_array_equal(values(), first)


def test_bad_arguments_are_errors():
    with pytest.raises(gx.errors.ShapeError, match="two axes"):
        init.xavier_uniform((3,))
    with pytest.raises(gx.errors.GraphError, match="fan_in"):
        init.kaiming_normal((3, 3), mode="fan")
    with pytest.raises(gx.errors.GraphError, match="no gain"):
        init.calculate_gain("wavelet")
