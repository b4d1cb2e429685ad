"""Constants in compiled programs: each keeps its bits, whatever equals it."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.ir.types import DTYPES
from tests.runtime.support import needs_compiler

COMPILED = [
    "numpy",
    "cython",
    pytest.param("c", marks=needs_compiler),
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


# Algebra with constants ----------------------------------------------------------------------------------------------
BASES = np.array([-np.inf, -2, -0.0, 0.0, 1e-30, 0.25, 4, 3e19, np.inf, np.nan])
EXPONENTS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_constant_powers_at_special_points(backend: str, dtype: str) -> None:
    """Powers and their gradients are C's pow, infinities and the signs of zeros included."""
    x = gx.input("x", BASES.shape, dtype)
    powers = [x**exponent for exponent in EXPONENTS]
    slopes = [gx.grad(gx.sum(power), x) for power in powers]
    with np.errstate(all="ignore"):
        bases = BASES.astype(dtype)
        got = gx.compile([x], powers + slopes, backend=backend)(bases)
        wide = bases.astype(np.float64 if dtype == "float64" else np.float32)
        right = [np.power(wide, np.full(wide.shape, e, wide.dtype)).astype(dtype) for e in EXPONENTS]
        outer = [np.power(wide, np.full(wide.shape, e - 1, wide.dtype)).astype(dtype) for e in EXPONENTS]
        right += [(np.array(e, dtype) * p) if e else np.zeros_like(p) for e, p in zip(EXPONENTS, outer, strict=True)]
    tolerance = {"float64": 1e-15, "float32": 5e-7, "float16": 1e-3}[dtype]
    for number, (a, b) in enumerate(zip(right, got, strict=True)):
        what = f"{'slope of ' * (number >= len(EXPONENTS))}x**{EXPONENTS[number % len(EXPONENTS)]}"
        np.testing.assert_allclose(b, a, rtol=tolerance, err_msg=what)
        np.testing.assert_array_equal(np.signbit(b[~np.isnan(b)]), np.signbit(a[~np.isnan(a)]), err_msg=what)


@pytest.mark.parametrize("backend", COMPILED)
def test_constants_are_joined_only_where_no_bit_can_differ(backend: str) -> None:
    """What overflows, underflows or is rounded on the way is so in compiled code, too."""
    x, h = gx.input("x", (3,)), gx.input("h", (1,), "float16")
    products = [x * 2 * 0.5, x * 1e-30 * 1e30, x * 0.1 * 0.3, x / 8 * 8, x * 4 * 1.1, x / 3 * 3]
    values = np.array([3e38, 3e-12, 1.4e-45], np.float32)
    *got, half = gx.compile([x, h], [*products, h * 1e-4 * 1e-4 * 1e4], backend=backend)(values, np.float16([100]))
    with np.errstate(all="ignore"):
        f = np.float32
        right = [
            values * f(2) * f(0.5), values * f(1e-30) * f(1e30), values * f(0.1) * f(0.3), values / f(8) * f(8),
            values * f(4) * f(1.1), values / f(3) * f(3),
        ]  # fmt: skip
        small = np.float16([100])
        for factor in (1e-4, 1e-4, 1e4):
            small = small * np.float16(factor)
    for a, b in zip([*right, small], [*got, half], strict=True):
        assert a.tobytes() == b.tobytes(), (a, b)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64"])
@pytest.mark.parametrize("backend", COMPILED[1:])
def test_an_integer_is_rounded_to_16_bits_once(backend: str, dtype: str) -> None:
    """A little above the middle of two numbers of bfloat16, where float32 holds the middle alone."""
    powers = [2**k for k in range(25, 31 if dtype == "int32" else 32)]
    x = gx.input("x", (len(powers),), dtype)
    got = gx.compile([x], x.astype("bfloat16"), backend=backend)(np.array([p + p // 256 + 1 for p in powers], dtype))
    assert got.astype(np.float64).tolist() == [p + p // 128 for p in powers]
