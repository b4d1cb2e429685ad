"""Programs that the fuzzer found wrong, made small: each on every engine, to the reference's values."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest

import graphc as gx
from graphc.ops.build import apply

Build = Callable[[], tuple[list[gx.Tensor], list[gx.Tensor], list[np.ndarray]]]


def _extreme_of_nothing() -> tuple[list[gx.Tensor], list[gx.Tensor], list[np.ndarray]]:
    """No elements to choose from, and none to answer with: the reference raised."""
    x = gx.input("x", (2, 0, 0))
    return [x], [apply("min", x, axes=(1,)), apply("max", x, axes=(1,))], [np.zeros((2, 0, 0), np.float32)]


def _nan_over_nan() -> tuple[list[gx.Tensor], list[gx.Tensor], list[np.ndarray]]:
    """A softmax over one element is 1, but for nan and infinities."""
    x = gx.input("x", (1, 4), "float64")
    e = gx.exp(x)
    return [x], [e / gx.sum(e, 0, keepdims=True)], [np.array([[0.0, np.nan, np.inf, -np.inf]])]


def _slice_across_a_padding() -> tuple[list[gx.Tensor], list[gx.Tensor], list[np.ndarray]]:
    """Rows of a reshaped padding, of which some lie in it: an operand was out of bounds."""
    x = gx.input("x", (4, 2))
    padded = gx.pad(x.reshape((8,)), ((0, 2),)).reshape((2, 5))
    return [x], [padded[:, 3:]], [np.arange(8, dtype=np.float32).reshape(4, 2)]


PROGRAMS: dict[str, Build] = {
    "extreme of nothing": _extreme_of_nothing,
    "nan over nan": _nan_over_nan,
    "slice across a padding": _slice_across_a_padding,
}


@pytest.mark.parametrize(
    "backend", ["numpy", "cython", pytest.param("c", marks=pytest.mark.skipif(not shutil.which("cc"), reason="no cc"))]
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_were_wrong(name: str, backend: str) -> None:
    inputs, outputs, arrays = PROGRAMS[name]()
    wanted = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for got, value in zip(gx.compile(inputs, outputs, backend=backend)(*arrays), wanted, strict=True):
        np.testing.assert_array_equal(got, value)
