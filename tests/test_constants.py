"""Constants in compiled programs: each keeps its bits, whatever equals it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import graphc as gx
from graphc.ir.types import DTYPES

COMPILED = [
    "numpy",
    "cython",
    pytest.param("c", marks=pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")),
]
X = np.array([-1, 1], np.float32)


@pytest.mark.parametrize("backend", COMPILED)
def test_zeros_of_either_sign_stay_apart(backend: str) -> None:
    x = gx.input("x", (2,))
    zeros = gx.where(x < 0, -0.0, 0.0)
    padded = gx.pad(x, ((1, 0),), constant_values=-0.0) * gx.pad(x, ((1, 0),), constant_values=0.0)
    results = [1 / zeros, gx.copysign(0.0, x), x * 0.0, x * -0.0, 1 / padded[:1], gx.atan2(0.0, zeros)]
    got = gx.compile([x], results, backend=backend)(X)
    expected = [[-np.inf, np.inf], [-0.0, 0.0], [-0.0, 0.0], [0.0, -0.0], [-np.inf], [np.pi, 0.0]]
    for found, right in zip(got, expected, strict=True):
        np.testing.assert_array_equal(found, np.float32(right))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(right))


def constants(name: str) -> list[np.ndarray]:
    """Numbers of a dtype that `==` would confuse, or that printing could lose."""
    dtype = DTYPES[name]
    if not dtype.is_float:
        info = np.iinfo(dtype.numpy) if dtype.is_integer else None
        numbers = (0, 1) if info is None else (0, 1, info.min, info.max)
        return [np.array(number, dtype.numpy) for number in numbers]
    bits = np.array([0.0, 1.0, np.nan, np.inf], dtype.numpy).view(f"u{dtype.itemsize}")
    bits = np.concatenate([bits, bits[:3] + bits.dtype.type(1)])  # a subnormal, the next number, a NaN with a payload
    return [number for positive in bits.view(dtype.numpy) for number in (positive, -positive)]


@pytest.mark.parametrize("backend", COMPILED)
def test_all_dtypes_keep_the_bits_of_all_constants(backend: str) -> None:
    """One program, in which each constant meets all others of its dtype."""
    m = gx.input("m", (3,), "bool")
    inputs = [gx.input(name, (3,), name) for name in DTYPES]
    held = [(x, np.array(number)) for x in inputs for number in constants(x.dtype.name)]
    results = [gx.where(m, gx.constant(number), x) for x, number in held]
    mask = np.array([True, False, True])
    got = gx.compile([m, *inputs], results, backend=backend)(mask, *(np.zeros(3, x.dtype.numpy) for x in inputs))
    for found, (_, number) in zip(got, held, strict=True):
        right = np.where(mask, number, np.zeros((), number.dtype))
        plain = backend == "numpy" and number.dtype.itemsize == 2 and np.isnan(float(number))  # goes by way of float32
        same = np.isnan(found[mask]).all() if plain else found.tobytes() == right.tobytes()
        assert same, f"{number.dtype} {number} became {found}"
