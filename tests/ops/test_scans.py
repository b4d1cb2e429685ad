"""Products and running products that leave the range of their type on the way, with zeros among them; recurrences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.ops.build import apply
from graphc.ops.record import Arg, Function, Sample
from tests.ops.helpers import Case, build, derivative_faults, report
from tests.ops.test_backends import COMPILED

every_backend = pytest.mark.parametrize("backend", COMPILED)
TWOS = np.full(1100, 2.0)


def value_and_slope(function: Any, factors: Any, dtype: str, backend: str) -> list[Any]:
    array = np.array(factors, dtype)
    x = gx.input("x", array.shape, dtype)
    y = function(x)
    return list(gx.compile([x], [y, gx.grad(y.sum(), x)], backend=backend)(array))


@every_backend
@pytest.mark.parametrize(
    "factors",
    [
        [1e-30, 1e30, 1e-30, 1e30],
        [1e30, 1e30, 1e-30, 1e-30],
        [1e-30, 1e-30, 1e30, 1e30],
        [1e-20] * 8 + [1e20] * 8,
        [0.0, 1e30, 1e-30, 2.0],
        [3.0, 0.0, 1e30, 0.0],
    ],
)
def test_products_of_factors_far_apart(factors: list[float], backend: str) -> None:
    """float32 whose products, taken in any order, leave its range: what is within it at last is right."""
    wide = np.array(factors, "float32").astype("float64")
    others = [np.prod(np.delete(wide, i)) for i in range(len(wide))]
    value, slope = value_and_slope(gx.prod, factors, "float32", backend)
    np.testing.assert_allclose(value, np.prod(wide), rtol=1e-6)
    np.testing.assert_allclose(slope, others, rtol=1e-6)
    runs, _ = value_and_slope(gx.cumprod, factors, "float32", backend)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(runs, np.cumprod(wide).astype("float32"), rtol=1e-6)


@every_backend
@pytest.mark.parametrize(
    ("factors", "slope"),
    [
        ([0.0, *TWOS], [np.inf, *np.zeros(1100)]),
        ([2.0, 2.0, 2.0, 0.0, *TWOS], [7.0, 6.0, 4.0, np.inf, *np.zeros(1100)]),
        ([2.0, 0.0, 0.0, 3.0], [1.0, 2.0, 0.0, 0.0]),
    ],
)
def test_running_products_after_a_zero(factors: list[float], slope: list[float], backend: str) -> None:
    """Zero times products that overflow, in float64: nothing that follows a zero counts."""
    value, got = value_and_slope(gx.cumprod, factors, "float64", backend)
    np.testing.assert_array_equal(value, np.cumprod(factors))
    np.testing.assert_array_equal(got, slope)


# The recurrence, whose derivatives are its own ---------------------------------------------------------------------
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 2), 1), ((1,), 0), ((0, 2), 0)]
)
def test_derivatives_of_recurrences(shape: tuple[int, ...], axis: int, reverse: bool) -> None:
    """To the second order, backwards and forwards, with a factor 0."""
    factors = np.random.default_rng(1).uniform(-1.5, 1.5, shape).ravel()
    factors[1:2] = 0.0
    record = Function(
        "recurrence", lambda a, b: apply("recurrence", a, b, axis=axis, reverse=reverse), lambda a, b: a,
        (Sample((Arg(shape, values=tuple(factors)), Arg(shape))),), ("float64",), differentiable=True,
    )  # fmt: skip
    faults = list(derivative_faults(build(Case(record, "float64", 0))))
    assert not faults, report(faults)


@every_backend
def test_a_zero_and_the_first_factor_link_nothing(backend: str) -> None:
    """What comes after is the addend itself, to the sign of a zero; the first factor may be anything."""
    a, b = np.array([np.inf, 2.0, 0.0, -0.0, 2.0]), np.array([-0.0, np.inf, -0.0, -0.0, 1.0])
    x, y = gx.input("x", a.shape, "float64"), gx.input("y", b.shape, "float64")
    made = gx.compile([x, y], apply("recurrence", x, y, axis=0, reverse=False), backend=backend)
    assert np.asarray(made(a, b)).tobytes() == np.array([-0.0, np.inf, -0.0, -0.0, 1.0]).tobytes()


@every_backend
def test_of_equals_the_first_is_the_extreme_and_of_nans_too(backend: str) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 3, (40, 50)).astype(np.float32)
    array[rng.random(array.shape) < 0.02] = np.nan
    x = gx.input("x", array.shape)
    found = gx.compile([x], [f(x, axis) for f in (gx.argmax, gx.argmin) for axis in (0, 1, None)], backend=backend)
    expected = [f(array, axis) for f in (np.argmax, np.argmin) for axis in (0, 1, None)]
    for got, want in zip(found(array), expected, strict=True):
        np.testing.assert_array_equal(got, want)
