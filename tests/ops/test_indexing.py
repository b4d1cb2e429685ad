"""`x[...]` and its transposes against NumPy on random keys, and the rules that samples cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.graph import topological
from graphc.ops.build import constant
from graphc.ops.functions.gathering import scatter_add, take, take_along_axis
from graphc.ops.functions.indexing import index_add, index_update
from graphc.ops.record import OPS, Kind
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from tests.ops.helpers import input_tensor
from tests.ops.test_backends import COMPILED

Array = np.ndarray[Any, Any]


def numbered(shape: tuple[int, ...]) -> Array:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)


def run(result: Tensor, values: dict[Tensor, Array]) -> Array:
    return evaluate([result], values)[0]


# Random keys -------------------------------------------------------------------------------------------------------
def random_cases(arrays: bool, count: int = 300) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """Shapes, each with a key that NumPy accepts for it; the same ones every time."""
    rng = np.random.default_rng(20)
    for _ in range(count):
        shape = tuple(int(extent) for extent in rng.integers(rng.random() > 0.2, 5, rng.integers(0, 6)))
        block = tuple(int(extent) for extent in rng.integers(rng.random() > 0.1, 4, rng.integers(0, 3)))
        first, last = sorted(rng.integers(0, len(shape) + 1, 2))
        key = [random_part(rng, extent, block, arrays) for extent in shape[:first]]
        if last < len(shape) or rng.random() < 0.3:
            key += [Ellipsis, *(random_part(rng, extent, block, arrays) for extent in shape[last:])]
        for _ in range(rng.integers(0, 3) if rng.random() < 0.4 else 0):
            key.insert(rng.integers(0, len(key) + 1), None)
        yield shape, tuple(key)


def random_part(rng: np.random.Generator, extent: int, block: tuple[int, ...], arrays: bool) -> Any:
    """An integer, a slice, or an array of indices whose shape broadcasts to `block`, for an axis of this extent."""
    choice = rng.random() if extent else 1.0
    if arrays and block and choice < 0.6:
        own = tuple(size if rng.random() < 0.8 else 1 for size in block[rng.integers(0, len(block)) :])
        return rng.integers(-extent, extent, own)
    if choice < 0.7:
        return int(rng.integers(-extent, extent))
    bounds = [None if rng.random() < 0.3 else int(bound) for bound in rng.integers(-6, 7, 2)]
    return slice(*bounds, rng.choice([None, 1, 2, 3, -1, -2]))


def check(got: Any, expected: Any, case: Any) -> None:
    np.testing.assert_array_equal(got, expected, err_msg=str(case), strict=True)


def test_random_keys_are_of_all_kinds() -> None:
    keys = [key for _, key in random_cases(arrays=True)]
    several = sum(sum(isinstance(part, np.ndarray) for part in key) > 1 for key in keys)
    assert several > 30
    assert sum(any(part is None for part in key) for key in keys) > 30
    assert sum(any(part is Ellipsis for part in key) for key in keys) > 60


def test_basic_keys_are_views() -> None:
    for case in random_cases(arrays=False):
        shape, key = case
        x = input_tensor("x", numbered(shape))
        y = x[key]
        check(run(y, {x: numbered(shape)}), numbered(shape)[key], case)
        assert all(OPS[node.op].kind is Kind.VIEW for node in topological([y]) if node is not x)


def test_keys_with_arrays_agree_with_numpy() -> None:
    for case in random_cases(arrays=True, count=600):
        shape, key = case
        x, values = input_tensor("x", numbered(shape)), numbered(shape)
        check(run(x[key], {x: values}), np.asarray(values[key]), case)


def test_symbolic_indices_agree_with_known_ones() -> None:
    for case in random_cases(arrays=True):
        shape, key = case
        x, values = input_tensor("x", numbered(shape)), numbered(shape)
        arrays = {place: np.asarray(part, np.int32) for place, part in enumerate(key) if is_index(part)}
        tensors = {place: input_tensor(f"i{place}", array) for place, array in arrays.items()}
        symbolic = tuple(tensors.get(place, part) for place, part in enumerate(key))
        given = {x: values, **{tensors[place]: array for place, array in arrays.items()}}
        check(run(x[symbolic], given), np.asarray(values[key]), case)


def is_index(part: Any) -> bool:
    return isinstance(part, (np.ndarray, int))


def test_the_transpose_is_that_of_numpy() -> None:
    for case in random_cases(arrays=True):
        shape, key = case
        x, values = input_tensor("x", numbered(shape)), numbered(shape)
        y = x[key]
        cotangent = numbered(y.shape)
        expected = np.zeros(shape)
        np.add.at(expected, key, cotangent)
        check(run(vjp([y], [x], [cotangent])[0], {x: values}), expected, case)
        check(run(index_add(x, key, cotangent), {x: values}), values + expected, case)


def test_updates_agree_with_numpy() -> None:
    refused = 0
    for case in random_cases(arrays=True):
        shape, key = case
        x, expected = input_tensor("x", numbered(shape)), numbered(shape)
        counts = np.zeros(shape, int)
        np.add.at(counts, key, 1)
        new = -numbered(expected[key].shape)
        if counts.max(initial=0) > 1:
            refused += 1
            with pytest.raises(ShapeError, match="index_add"):
                index_update(x, key, new)
            continue
        expected[key] = new
        check(run(index_update(x, key, new), {x: numbered(shape)}), expected, case)
    assert 0 < refused < 250


# Rules that samples cannot express ---------------------------------------------------------------------------------
def test_computed_indices_are_clamped() -> None:
    x, given = input_tensor("x", numbered((4,))), input_tensor("i", np.zeros(6, np.int64))
    values = {x: numbered((4,)), given: np.array([-9, -5, -4, -1, 3, 9])}
    i = given + 0
    expected = [1, 1, 1, 4, 4, 4]
    np.testing.assert_array_equal(run(x[i], values), expected)
    np.testing.assert_array_equal(run(take(x, i), values), expected)
    np.testing.assert_array_equal(run(take_along_axis(x, i), values), expected)
    np.testing.assert_array_equal(run(scatter_add(constant(np.zeros(4)), i, np.ones(6)), values), [3, 0, 0, 3])


@pytest.mark.parametrize("backend", COMPILED)
def test_every_engine_clamps(backend: str) -> None:
    x, given = gx.input("x", (4,)), gx.input("i", (6,), "int64")
    program = gx.compile([x, given], [x[given + 0], scatter_add(gx.zeros(4), given + 0, gx.ones(6))], backend=backend)
    read, added = program(numbered((4,)).astype(np.float32), np.array([-9, -5, -4, -1, 3, 9]))
    assert read.tolist() == [1, 1, 1, 4, 4, 4]
    assert added.tolist() == [3, 0, 0, 3]


def test_computed_indices_are_clamped_axis_by_axis() -> None:
    x = input_tensor("x", numbered((3, 4)))
    i, j = (input_tensor(name, np.zeros(3, np.int32)) for name in "ij")
    values = {x: numbered((3, 4)), i: np.int32([7, -1, 0]), j: np.int32([0, 9, -9])}
    np.testing.assert_array_equal(run(x[i + 0, j + 0], values), [9, 12, 1])


def test_an_updates_single_symbolic_index_needs_no_check() -> None:
    x, i = input_tensor("x", numbered((3, 2))), input_tensor("i", np.zeros((), np.int32))
    values = {x: numbered((3, 2)), i: np.int32(1)}
    np.testing.assert_array_equal(run(index_update(x, i, 0.0), values), [[1, 2], [0, 0], [5, 6]])
    with pytest.raises(GraphError, match="names no element twice"):
        index_update(x, input_tensor("many", np.zeros(2, np.int32)), 0.0)


def test_masks_are_refused_unless_known() -> None:
    x = input_tensor("x", numbered((2, 3)))
    with pytest.raises(DTypeError, match="where"):
        x[x > 2]
    mask = numbered((2, 3)) > 2
    np.testing.assert_array_equal(run(x[mask], {x: numbered((2, 3))}), [3, 4, 5, 6])
    with pytest.raises(ShapeError, match="mask of 2 elements"):
        x[mask.T[:2]]


def test_a_tensor_iterates_over_its_first_axis() -> None:
    x = input_tensor("x", numbered((3, 2)))
    rows = [run(row, {x: numbered((3, 2))}) for row in x]
    np.testing.assert_array_equal(rows, numbered((3, 2)))


@pytest.mark.parametrize("backend", ["cython", "numpy"])
def test_no_index_at_all(backend: str) -> None:
    """An empty input of indices has no range that a call could check."""
    x, index = gx.input("x", (4,)), gx.input("index", (0,), "int64")
    program = gx.compile([x, index], gx.take(x, index), backend=backend)
    assert program(np.ones(4, np.float32), np.zeros(0, np.int64)).shape == (0,)
    empty = gx.input("empty", (0, 3))
    program = gx.compile([empty, index], gx.take(empty, index, 0), backend=backend)
    assert program(np.ones((0, 3), np.float32), np.zeros(0, np.int64)).shape == (0, 3)
