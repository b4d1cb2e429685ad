"""Every elementwise function at special points: the reference against NumPy, every engine against the reference.

Values and derivatives, nan and the signs of zeros included, at every level; compiled engines give the same bits. What
the derivatives are is told, and tested, by the tables of `graphc/docs/conventions.md` (test_conventions.py).
"""

from __future__ import annotations

import contextlib
import warnings
from functools import cache

import numpy as np
import pytest

import graphc as gx
from graphc.api import compile
from graphc.errors import GraphcError
from graphc.ops.build import apply
from graphc.ops.record import FUNCTIONS, INTEGER, OPS, Kind
from graphc.ops.reference import evaluate
from graphc.toolchain.isa import VARIABLE, usable_levels
from tests.ops.helpers import Array, report, widened
from tests.ops.points import Points, Row, faults, points, same
from tests.runtime.support import needs_compiler

FLOATS = ("float64", "float32", "bfloat16", "float16")
DTYPES = (*FLOATS, *INTEGER)
WIDEST = usable_levels()[-1]
ENGINES = [*(("cython", level) for level in usable_levels()), pytest.param("c", WIDEST, marks=needs_compiler)]

# How far from NumPy's formula, relative and absolute, and from the reference, which rounds as engines do.
FORMULA = {"float64": 4e-14, "float32": 2e-6, "bfloat16": 2e-2, "float16": 3e-3}
ENGINE = {"float64": 4e-15, "float32": 1e-6, "bfloat16": 8e-3, "float16": 1e-3}

# What cancels: the result is as good as its largest term, 1 or the argument, is rounded.
CANCELS = {"addcmul", "gelu", "lerp", "logaddexp", "logaddexp2", "mish", "sigmoid", "sinc", "tanh", "tanhshrink"}
# Of equal arguments NumPy takes either; a zero that a logarithm is multiplied with leaves 0.0.
ANY_ZERO = {"fmax", "fmin", "maximum", "minimum", "xlogy", "xlog1py"}
# In 16 bits rounding a step of a composition, or its overflow, is seen in the result.
ROUNDED = {"addcmul", "lerp"}


@cache
def graph(dtype: str) -> Points:
    return points(dtype)


@cache
def expected(dtype: str) -> list[Array]:
    found = graph(dtype)
    return evaluate(found.results, found.values)


def cancelled(row: Row, dtype: str, relative: float) -> float:
    """How far off a result that cancels may be besides."""
    return relative * 4 if row.name in CANCELS else 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_reference_has_the_values_of_numpy(dtype: str) -> None:
    found = []
    for row in graph(dtype).rows:
        if dtype in FLOATS[2:] and row.name in ROUNDED:
            continue
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            formula = np.asarray(FUNCTIONS[row.name].formula(*map(widened, row.arrays)))
            got = expected(dtype)[row.first]
            wanted = formula.astype(got.dtype)
        relative = FORMULA.get(dtype, 4e-14)
        close = same(got, wanted, relative, cancelled(row, dtype, relative), row.name not in ANY_ZERO)
        found += faults(row.name, row, got, wanted, close)
    assert not found, report(found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("backend", "level"), ENGINES)
def test_engines_have_the_values_and_derivatives_of_the_reference(backend: str, level: str, dtype: str) -> None:
    found, relative = [], ENGINE.get(dtype, 4e-15)
    answers = run(backend, level, dtype)
    for row in graph(dtype).rows:
        for name, place in row.results:
            wanted = expected(dtype)[place]
            close = same(answers[place], wanted, relative, cancelled(row, dtype, relative))
            found += faults(name, row, answers[place], wanted, close)
    assert not found, report(found)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_engines_give_the_same_bits(dtype: str) -> None:
    found = []
    one, other = run("c", WIDEST, dtype), run("cython", WIDEST, dtype)
    for row in graph(dtype).rows:
        for name, place in row.results:
            found += faults(name, row, one[place], other[place], same(one[place], other[place], 0.0))
    assert not found, report(found)


@cache
def run(backend: str, level: str, dtype: str) -> list[Array]:
    found = graph(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, level)
        program = compile(list(found.values), found.results, backend=backend)
    answers: list[Array] = program(*found.values.values())
    return answers


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_every_difference_is_found(dtype: str) -> None:
    """The checks above fail where a number, the sign of a zero or a nan is another one."""
    row = next(row for row in graph(dtype).rows if row.name == "negative")
    right = expected(dtype)[row.first]
    for index, value in enumerate(right.tolist()):
        wrong = right.copy()
        wrong[index] = -value if value == 0 and dtype == "float64" else 1 if value != 1 else 2
        assert len(faults("negative", row, wrong, right, same(wrong, right, 1e-6))) == 1


# Faults that were --------------------------------------------------------------------------------------------------
ZEROS = np.array([-0.0, 0.0], np.float32)
ALL_BACKENDS = ["numpy", "cython", pytest.param("c", marks=needs_compiler)]


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_signs_of_zeros_are_those_of_one_rule(backend: str) -> None:
    """0.0 is larger than -0.0 whatever their order and the instruction set, a relu has no -0.0, a sum starts at 0.0."""
    x, y, row, rows = (gx.input(name, shape) for name, shape in zip("xyrs", ((2,), (2,), (1, 1), (70, 2)), strict=True))
    outputs = [
        gx.maximum(x, y), gx.maximum(y, x), gx.minimum(x, y), gx.maximum(x, 0.0), gx.relu(x),
        gx.cbrt(x), gx.fmod(x, 1.0), gx.maximum(x, -0.0),
        gx.sum(row, 1), gx.sum(row), gx.mean(row, 0), gx.sum(gx.broadcast_to(row, (1, 3))),
        gx.max(rows, 0), gx.min(rows, 0), gx.max(rows, 1), gx.min(rows, 1),
    ]  # fmt: skip
    table = np.zeros((70, 2), np.float32)
    table[:69] = -0.0
    table[:, 1] *= -1
    arrays = ZEROS, ZEROS[::-1].copy(), -np.zeros((1, 1), np.float32), table
    got = gx.compile([x, y, row, rows], outputs, backend=backend)(*arrays)
    signs = [np.signbit(array).ravel().tolist() for array in got]
    plus, minus, kept = [False] * 2, [True] * 2, [True, False]
    assert signs[:8] == [plus, plus, minus, plus, plus, kept, kept, kept]
    assert signs[8:12] == [[False]] * 4
    assert signs[12:] == [plus, minus, [False] * 70, [True] * 70]


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_a_bound_that_is_nan_clips_to_nan(backend: str) -> None:
    x, low, high = (gx.input(name, (3,)) for name in ("x", "low", "high"))
    outputs = [gx.clip(x, low, high), gx.clip(x, np.nan, 2.0), gx.clip(x, -2.0, np.nan), gx.clip(x, np.nan)]
    arrays = [np.array(v, np.float32) for v in ([0.5, 0.5, 3.0], [np.nan, 0.0, 0.0], [1.0, np.nan, 1.0])]
    got = gx.compile([x, low, high], outputs, backend=backend)(*arrays)
    assert np.isnan(got[0]).tolist() == [True, True, False]
    assert got[0][2] == 1.0
    assert all(np.isnan(array).all() for array in got[1:])


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_the_smallest_integer_has_a_remainder(backend: str) -> None:
    x, y = gx.input("x", (3,), "int8"), gx.input("y", (3,), "int8")
    arrays = np.array([-128, -128, -128], np.int8), np.array([3, -1, -128], np.int8)
    got = gx.compile([x, y], [gx.fmod(x, y), gx.remainder(x, y), gx.floor_divide(x, y)], backend=backend)(*arrays)
    assert [array.tolist() for array in got] == [[-2, 0, 0], [1, 0, 0], [-43, -128, 1]]


WIDER = {"int8": "int32", "uint8": "int32", "bfloat16": "float32", "float16": "float32"}


def of_its_own_dtype(dtype: str) -> list[gx.Tensor]:
    """Every elementwise op of one or two inputs of a dtype that gives that dtype."""
    found = []
    for name, op in OPS.items():
        count = getattr(op.reference, "nin", len(op.vjp) if isinstance(op.vjp, tuple) else 1)
        if op.kind is Kind.ELEMENTWISE and count <= 2:
            with contextlib.suppress(GraphcError, TypeError):
                found.append(apply(name, *(gx.input(letter, (1024,), dtype) for letter in "xy"[:count])))
    return [result for result in found if result.dtype == dtype]


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_a_result_is_a_number_of_its_dtype_before_it_is_used(backend: str, dtype: str) -> None:
    """Engines compute short numbers in wide ones: -(-128) is -128 in int8, whoever reads it."""
    inputs, arrays = [gx.input(letter, (1024,), dtype) for letter in "xy"], []
    for seed in range(2):
        bits = np.random.default_rng(seed).integers(0, 256, 2048 if dtype.endswith("16") else 1024, np.uint8)
        bits[:: 2 + seed] = 0x80
        arrays.append(bits.view(inputs[0].dtype.numpy))
    results = of_its_own_dtype(dtype)
    assert len(results) > 10
    program = gx.compile(inputs, [result.astype(WIDER[dtype]) for result in results], backend=backend)
    for result, wide in zip(results, program(*arrays), strict=True):
        with np.errstate(all="ignore"):
            short = wide.astype(arrays[0].dtype).astype(wide.dtype)
        np.testing.assert_array_equal(wide, short, err_msg=repr(result))
