"""Over very many elements: 16-bit floats that cannot count them, float32 that nothing small can be added to any more.

The functions are those of the table that reduce a vector; products, pooling, indexing and losses are rows of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.errors import GraphcError
from graphc.ir.graph import topological
from graphc.ops.record import FUNCTIONS, OPS, Arg, Kind
from graphc.transforms.forward import jvp
from graphc.transforms.reverse import vjp
from tests.ops.helpers import flatten, input_tensor
from tests.ops.test_backends import COMPILED

COUNT = 70_000  # more than float16 and bfloat16 can count
LOW = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
SPACING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def reduces(name: str) -> bool:
    """Whether a function takes a vector alone, and its value has a reduction, or a kernel of its own, in it."""
    item = FUNCTIONS[name]
    if not item.differentiable or "float16" not in item.dtypes or not isinstance(item.samples[0].args[0], Arg):
        return False
    try:
        nodes = topological(flatten(item.build(input_tensor("v", np.zeros(4, np.float16)))))
    except (GraphcError, TypeError, AttributeError):
        return False
    return any(OPS[node.op].kind in (Kind.REDUCTION, Kind.LIBRARY) for node in nodes)


def first_of(build: Callable[[Any], Any], x: Any) -> Any:
    """What a function builds, or the first of several."""
    return flatten(build(x))[0]


CANCELS = ("ptp",)  # the difference of two results, each rounded
REDUCING = [name for name in FUNCTIONS if reduces(name) and name not in CANCELS]
ROWS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(first_of, FUNCTIONS[name].build) for name in REDUCING},
    "max of rows": lambda x: gx.max(x.reshape(2, -1), axis=1),
    "min of columns": lambda x: gx.min(x.reshape(-1, 2), axis=0),
    "broadcast": lambda x: gx.broadcast_to(x[:1], (COUNT,)),
    "layer normalisation": lambda x: nn.LayerNorm(COUNT, elementwise_affine=False)(x),
    "batch normalisation": lambda x: nn.BatchNorm1d(1, affine=False, track_running_stats=False)(x.reshape(-1, 1)),
    "mean squared error": lambda x: nn.mse_loss(x, 0.25),
    "cross entropy": lambda x: nn.cross_entropy(x.reshape(-1, 2), np.arange(COUNT // 2) % 2),
    "negative log-likelihood": lambda x: nn.nll_loss(x.reshape(-1, 2), np.arange(COUNT // 2) % 2),
}


def test_the_table_has_reductions() -> None:
    assert {"sum", "mean", "max", "min", "var", "std", "norm", "logsumexp", "nanmean", "softmax", "prod"} <= set(
        REDUCING
    )


def results(x: Any, rows: list[str]) -> list[Any]:
    """For each row its value, and its derivatives by a cotangent and along a tangent, numbers around 1."""
    found = []
    for name in rows:
        y = ROWS[name](x)
        cotangent, tangent = (
            np.linspace(0.5, 1.5, t.size).astype(LOW["bfloat16"]).astype(t.dtype.numpy).reshape(t.shape) for t in (y, x)
        )
        found += [y, *vjp([y], [x], [cotangent]), *jvp([y], [x], [tangent])]
    return found


@pytest.mark.parametrize("dtype", list(LOW))
@pytest.mark.parametrize("backend", COMPILED)
def test_sixteen_bits_count(backend: str, dtype: str) -> None:
    """Values and derivatives are those of float64 to the last place, where all elements are equal and where none is."""
    rows, faults = list(ROWS), []
    narrow, wide = (gx.input("x", (COUNT,), name) for name in (dtype, "float64"))
    program = gx.compile([narrow], results(narrow, rows), backend=backend)
    for kind, array in (("equal", np.full(COUNT, 0.5)), ("random", np.random.default_rng(0).uniform(0.5, 1.5, COUNT))):
        rounded = array.astype(LOW[dtype])
        wanted = gx.evaluate(results(wide, rows), {wide: rounded.astype(np.float64)})
        for place, (got, want) in enumerate(zip(program(rounded), wanted, strict=True)):
            what = f"{rows[place // 3]} of {kind} elements, {('value', 'vjp', 'jvp')[place % 3]}"
            faults += [f"{what}: {fault}"] if (fault := off(np.asarray(got).astype(np.float64), want, dtype)) else []
    assert not faults, "\n".join(faults)


def off(got: np.ndarray, want: np.ndarray, dtype: str) -> str:
    """Where a 16-bit result is further from the right one than rounding explains: of itself, and of the largest."""
    with np.errstate(all="ignore"):
        limit = float(ml_dtypes.finfo(LOW[dtype]).max)
        want = np.where(np.abs(want) > limit, np.sign(want) * np.inf, want)
        scale = np.abs(want[np.isfinite(want)]).max(initial=0)
        near = np.abs(got - want) <= 2 * SPACING[dtype] * scale + 2.0**-23
    right = near | (got == want) | (np.isnan(got) & np.isnan(want)) | (np.isinf(want) & (np.abs(got) > limit / 1.01))
    first = np.argwhere(~right)[:1]
    return f"{got[tuple(first[0])]} at {tuple(first[0])}, expected {want[tuple(first[0])]}" if len(first) else ""


# float32 -----------------------------------------------------------------------------------------------------------
LONG = 1 << 22  # one float32 that is added to so often is wrong in the second digit
LONG_ROWS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "sum": (gx.sum, LONG * 0.1),
    "mean": (gx.mean, 0.1),
    "norm": (gx.norm, 0.1 * LONG**0.5),
    "dot": (lambda x: gx.dot(x, x), LONG * 0.01),
    "vecdot": (lambda x: gx.vecdot(x, x), LONG * 0.01),
    "einsum": (lambda x: gx.einsum("i,i->", x, x), LONG * 0.01),
    "a few rows by a vector": (lambda x: x.reshape(4, -1) @ x[: LONG // 4], LONG / 4 * 0.01),
    "a vector by a few columns": (lambda x: x[: LONG // 4] @ x.reshape(-1, 4), LONG / 4 * 0.01),
    "many columns by a vector": (lambda x: x.reshape(64, -1).T[:, :32].T @ x[: LONG // 64], LONG / 64 * 0.01),
    "gradient of a bias": (lambda x: x.reshape(-1, 4).sum(0), LONG / 4 * 0.1),
    "gradient of a weight": (lambda x: x.reshape(-1, 4).T @ x.reshape(-1, 4), LONG / 4 * 0.01),
    "average pooling": (lambda x: gx.avg_pool1d(x.reshape(1, 1, -1), LONG // 2), 0.1),
    "adaptive pooling": (lambda x: gx.adaptive_avg_pool2d(x.reshape(2, 1, 256, -1), 1), 0.1),
    "updates of one element": (
        lambda x: gx.scatter_add(gx.zeros((1,)), gx.zeros((LONG,), "int32"), x, 0), LONG * 0.1
    ),
    "running sums": (lambda x: gx.cumsum(x)[-1], LONG * 0.1),
    "running sums of rows": (lambda x: gx.cumsum(x.reshape(-1, 4), 0)[-1], LONG / 4 * 0.1),
    "running sums from the end": (lambda x: gx.cumsum(x, reverse=True)[0], LONG * 0.1),
    "gradient of running sums": (lambda x: gx.vjp([gx.cumsum(x)], [x], [x])[0][0], LONG * 0.1),
}  # fmt: skip


@pytest.mark.parametrize("backend", [backend for backend in COMPILED if backend.values != ("numpy",)])
def test_no_float32_is_added_to_for_long(backend: str) -> None:
    x = gx.input("x", (LONG,))
    program = gx.compile([x], [build(x) for build, _ in LONG_ROWS.values()], backend=backend)
    got = program(np.full(LONG, 0.1, np.float32))
    off = {
        name: np.abs(np.asarray(y, float) / want - 1).max()
        for (name, (_, want)), y in zip(LONG_ROWS.items(), got, strict=True)
    }
    assert {name: error for name, error in off.items() if not error < 3e-5} == {}


@pytest.mark.parametrize("backend", COMPILED)
def test_running_sums_count_on(backend: str) -> None:
    """Ones, summed one by one in float32, would stop at 2**24."""
    start, x = float(2**24 - 2), gx.input("x", (1000,))
    counted = gx.compile([x], gx.cumsum(x), backend=backend)(np.concatenate([[start], np.ones(999)]).astype(np.float32))
    np.testing.assert_array_equal(counted, (start + np.arange(1000)).astype(np.float32))


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0, 0)], ids=str)
def test_of_no_rows_there_are_no_extremes(backend: str, shape: tuple[int, ...]) -> None:
    """Rows of no elements have none, which is an error only where there are such rows."""
    x, last = gx.input("x", shape), len(shape) - 1
    for found in gx.compile([x], [gx.max(x, last), gx.min(x, last)], backend=backend)(np.zeros(shape, np.float32)):
        assert found.shape == shape[:-1]
