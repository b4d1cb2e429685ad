"""max and min of rows of every length that kernels tell apart: NaN, infinities and signed zeros wherever they stand."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from tests.ops.test_backends import COMPILED

LENGTHS = (3, 33, 64, 65, 100, 257, 1000)  # short rows, fewer and more than all lanes, with and without a rest
SPECIAL = {
    "ordinary": (),
    "not a number": (np.nan, -np.nan),
    "zeros of both signs": (0.0, -0.0),
    "infinities": (np.inf, -np.inf),
    "all": (np.nan, 0.0, -0.0, np.inf, -np.inf),
}
SIGNS = {"of any sign": np.asarray, "nothing negative": np.abs, "nothing positive": lambda x: -np.abs(x)}


def rows(length: int, dtype: str) -> np.ndarray:
    """Rows in which a few elements, at random places, are special ones: some have none, some only one."""
    rng = np.random.default_rng(length)
    made = []
    for special in SPECIAL.values():
        for sign in SIGNS.values():
            x = sign(rng.normal(size=(40, length)))
            made.append(np.where(rng.random(x.shape) < 1.5 / length, rng.choice(special, x.shape), x) if special else x)
    return np.concatenate([*made, np.full((1, length), -0.0), np.full((1, length), 0.0)]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", COMPILED)
def test_the_best_of_rows_is_the_references_to_the_bit(backend: str, dtype: str) -> None:
    arrays = [rows(length, dtype) for length in LENGTHS]
    inputs = [gx.input(f"x{i}", array.shape, dtype) for i, array in enumerate(arrays)]
    shown = [f(y, axis=1) for x in inputs for y in (x, 2 * x) for f in (gx.max, gx.min)]  # in memory, and computed
    wanted = gx.evaluate(shown, dict(zip(inputs, arrays, strict=True)))
    for node, got, want in zip(shown, gx.compile(inputs, shown, backend=backend)(*arrays), wanted, strict=True):
        np.testing.assert_array_equal(got, want, err_msg=repr(node))
        numbers = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]), err_msg=repr(node))
