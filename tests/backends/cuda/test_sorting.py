"""Sorting, searching and adding at indices on a simulated device, bit by bit what the ops' references give."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cuda.calls.sorting import RowOrder
from graphc.backends.cuda.regions import regions
from graphc.ir.types import DTYPES, DType
from graphc.ops.build import apply, apply_several
from graphc.ops.primitives.sorting import order_of, search_reference
from graphc.ops.record import NUMERIC, OPS
from tests.backends.cuda.running import on_device
from tests.kernel.oracle import Array
from tests.kernel.support import small_values, values_of
from tests.ops.helpers import widened

SIZES = (1, 2, 3, 31, 32, 33, 1000, 1024, 1025, 5000)
ORDERS = [*itertools.product((False, True), repeat=2)]


def values(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Values of all kinds, with the ends of the dtype's range; about a third are the same few."""
    size = int(np.prod(shape))
    found = values_of(rng, dtype, size)
    few = small_values(rng, dtype, size)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        few[::3], few[1::5] = info.min, info.max
    return np.where(rng.random(size) < 0.3, few, found).reshape(shape)


def computed(inputs: list[Any], arrays: list[Array], outputs: list[Any], order: int = 0) -> list[Array]:
    found = [np.zeros(output.shape, output.dtype.numpy) for output in outputs]
    on_device(inputs, outputs, order=order).run(arrays, found)
    return found


def check_sort(x: Array, dtype: str, **attrs: Any) -> None:
    node = gx.input("x", x.shape, dtype)
    found, places = computed([node], [x], list(apply_several("sort", node, **attrs)))
    _, wanted = OPS["sort"].reference(widened(x), **attrs)
    np.testing.assert_array_equal(places, wanted, str((x.shape, attrs)))
    assert found.tobytes() == np.take_along_axis(x, wanted, -1).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_sorting(size: int, dtype: str) -> None:
    rng = np.random.default_rng(size)
    counts = size, min(size, 7), -(-size // 2), size
    for number in range(4) if size < 1000 else range(size % 2, 4, 2):  # large ones take long
        x = values(rng, DTYPES[dtype], ((3, 1, 2, 1)[number], size))
        descending, nan_first = ORDERS[number]
        check_sort(x, dtype, count=counts[number], descending=descending, nan_first=nan_first)


@pytest.mark.parametrize("shape", [(300, 5), (2, 3, 40), (2, 2500)])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_many_rows_and_few_elements(shape: tuple[int, ...], count: int) -> None:
    x = values(np.random.default_rng(0), DTYPES["float32"], shape)
    check_sort(x, "float32", count=count, descending=True, nan_first=True)


def test_equals_keep_their_order() -> None:
    x = np.where(np.arange(3000) % 2, np.float32(0), np.float32(-0.0))
    for descending, nan_first in ORDERS:
        check_sort(x, "float32", count=3000, descending=descending, nan_first=nan_first)


def test_runs_of_an_order() -> None:
    order = RowOrder(3, 5000, 1500, "u64")
    assert order.last == 3
    assert [order.runs(level) for level in range(4)] == [5, 3, 2, 1]
    assert [order.held(level) for level in range(4)] == [1024, 1500, 1500, 1500]
    assert [order.rest(level) for level in range(4)] == [904, 904, 904, 1500]
    assert [order.stride(level) for level in range(4)] == [5000, 3904, 2404, 1500]
    assert order.sizes(3) == [3 * 5000 * 8, 3 * 5000 * 4, 3 * 3904 * 8, 3 * 3904 * 4]
    assert regions([1, 0, 256, 257]) == (0, 256, 256, 512, 1024)


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("size", [0, 1, 2, 31, 33, 1000])
def test_searching(size: int, dtype: str) -> None:
    rng = np.random.default_rng(size)
    line, wanted = values(rng, DTYPES[dtype], (2, size)), values(rng, DTYPES[dtype], (2, 300))
    line = np.take_along_axis(line, order_of(widened(line), descending=False, nan_first=False), -1)
    nodes = [gx.input("line", line.shape, dtype), gx.input("wanted", wanted.shape, dtype)]
    for right in (False, True):
        (found,) = computed(nodes, [line, wanted], [apply("searchsorted", *nodes, right=right)])
        np.testing.assert_array_equal(found, search_reference(widened(line), widened(wanted), right=right))


# Adding at indices ---------------------------------------------------------------------------------------------------
def added(x: Array, indices: Array, updates: Array, axis: int, order: int = 0) -> Array:
    nodes = [
        apply("input", name=name, shape=array.shape, dtype=DTYPES[array.dtype.name])
        for name, array in (("x", x), ("indices", indices), ("updates", updates))
    ]
    return computed(nodes, [x, indices, updates], [apply("scatter_add", *nodes, axis=axis)], order)[0]


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize(("shape", "axis", "count"), [
    ((7,), 0, 1), ((7,), 0, 0), ((1, 5), 0, 40), ((3, 50, 4), 1, 60), ((2, 3, 9), 2, 100), ((400,), 0, 1025),
    ((900, 3), 0, 2500),
])  # fmt: skip
def test_adding(shape: tuple[int, ...], axis: int, count: int, dtype: str) -> None:
    """In the order of the updates; 16-bit floats in float32, many floats in float64, and rounded once."""
    rng, kind = np.random.default_rng(count), DTYPES[dtype]
    extent = shape[axis]
    indices = rng.integers(-2 * extent, 2 * extent, count).astype(rng.choice([np.int32, np.int64]))
    around = (shape[:axis], shape[axis + 1 :])
    x = values_of(rng, kind, int(np.prod(shape)), special=False).reshape(shape)
    updates = values_of(rng, kind, x.size // extent * count, special=False).reshape(*around[0], count, *around[1])
    wide = kind.numpy
    if kind.is_float:
        wide = np.dtype(np.float64 if count >= 16 * extent or kind.itemsize == 8 else np.float32)
    wanted = OPS["scatter_add"].reference(x.astype(wide), indices, updates.astype(wide), axis=axis)
    first = added(x, indices, updates, axis)
    assert first.tobytes() == wanted.astype(kind.numpy).tobytes()
    assert added(x, indices, updates, axis, order=1).tobytes() == first.tobytes()


def test_indices_of_the_smallest_and_the_largest_integers() -> None:
    indices = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, -1, -8, 7, 8, 1 << 32, -(1 << 32)])
    x, updates = np.zeros(8, np.int32), 10 ** np.arange(8, dtype=np.int32)
    wanted = OPS["scatter_add"].reference(x, indices, updates, axis=0)
    np.testing.assert_array_equal(added(x, indices, updates, 0), wanted)


def test_indices_of_several_axes() -> None:
    rng = np.random.default_rng(0)
    x, indices = rng.normal(size=(2, 30, 3)).astype(np.float32), rng.integers(0, 30, (5, 8))
    updates = rng.normal(size=(2, 5, 8, 3)).astype(np.float32)
    wanted = OPS["scatter_add"].reference(x, indices, updates, axis=1)
    np.testing.assert_array_equal(added(x, indices, updates, 1), wanted)
