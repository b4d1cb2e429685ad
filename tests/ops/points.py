"""Special points: the arguments at which functions change their minds, and what counts as the same answer there.

A point is a zero of either sign, a subnormal, the ends of a dtype, a kink, a half, an infinity or nan. Functions take
all of them, pairs take all pairs, in one program for each dtype, values and gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from graphc.ops.record import FUNCTIONS, WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from tests.ops.helpers import Array, elementwise_arity, input_tensor

_KINKS = (1e-3, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 100.0)
_FEW = (0.5, 1.0, 1.5, 2.0, 3.0)


def both_signs(values: tuple[float, ...], dtype: str) -> Array:
    return np.array([np.nan, *values, *(-value for value in values)], dtype)


def float_points(dtype: str, arity: int) -> list[Array]:
    """An array for each argument: all points, all pairs of some, all triples of a few."""
    info = ml_dtypes.finfo(dtype)
    least, normal, most = float(info.smallest_subnormal), float(info.tiny), float(info.max)
    far = most ** (3 / 4), normal ** (3 / 4)  # squares overflow, and vanish
    values = {
        1: (0.0, least, 3 * least, normal, *far, *_KINKS, most, np.inf),
        2: (0.0, least, normal, far[0], *_FEW, most, np.inf),
        3: (0.0, 1.0, 2.5, most, np.inf),
    }[arity]
    return [grid.ravel().copy() for grid in np.meshgrid(*[both_signs(values, dtype)] * arity, indexing="ij")]


def integer_points(dtype: str, arity: int) -> list[Array]:
    """The ends of an integer dtype, what lies beside them, small numbers and the widths of integers, or all pairs."""
    info = np.iinfo(dtype)
    near = {info.min, info.min + 1, info.min // 2, info.max // 2 + 1, info.max - 1, info.max}
    small = {-64, -33, -32, -9, -8, -7, -3, -2, -1, 0, 1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 63, 64, 65}
    line = np.array(sorted(near | {value for value in small if info.min <= value <= info.max}), dtype)
    return [grid.ravel().copy() for grid in np.meshgrid(*[line] * arity, indexing="ij")]


@dataclass(frozen=True)
class Row:
    """A function at its points: its value and, where it is differentiable, its derivatives, in the list of results."""

    name: str
    arrays: list[Array]
    first: int
    count: int

    @property
    def results(self) -> Iterator[tuple[str, int]]:
        for place in range(self.count):
            yield (f"the derivative of {self.name} by argument {place}" if place else self.name), self.first + place

    def at(self, index: int) -> str:
        return ", ".join(str(array[index]) for array in self.arrays)


@dataclass(frozen=True)
class Points:
    """All functions that work element by element in a dtype, as one graph with the arrays of its inputs."""

    rows: list[Row]
    values: dict[Tensor, Array]
    results: list[Tensor]


def points(dtype: str) -> Points:
    """Every elementwise function of one to three arrays, at all its points; the derivatives in wide floats."""
    is_integer = np.dtype(dtype).kind in "iu"
    grids = {
        arity: (integer_points if is_integer else float_points)(dtype, arity) for arity in (1, 2, 3)[: 3 - is_integer]
    }
    inputs = {arity: [input_tensor(f"a{arity}{i}", grid) for i, grid in enumerate(grids[arity])] for arity in grids}
    rows: list[Row] = []
    results: list[Tensor] = []
    for name in sorted(FUNCTIONS):
        arity = elementwise_arity(name, dtype)
        if arity not in grids:
            continue
        arguments = inputs[arity]
        value = FUNCTIONS[name].build(*arguments)
        if is_integer and value.dtype.is_float:
            continue  # cast to float64 first
        found = [value]
        if FUNCTIONS[name].differentiable and dtype in WIDE_FLOAT and value.dtype.is_float:
            found += vjp([value], arguments, [np.ones(value.shape, value.dtype.numpy)])
        rows.append(Row(name, grids[arity], len(results), len(found)))
        results += found
    values = {tensor: grid for arity in grids for tensor, grid in zip(inputs[arity], grids[arity], strict=True)}
    return Points(rows, values, results)


def same(got: Array, expected: Array, relative: float, absolute: float = 0.0, signs: bool = True) -> Array:
    """Where two arrays agree: nan where nan is, infinities and signs of zeros alike, numbers within the tolerance.

    A number may also be off by the smallest subnormal of its dtype.
    """
    if got.dtype != expected.dtype:
        return np.zeros(got.shape, bool)
    if got.dtype.kind in "iub":
        return np.asarray(got == expected)
    least = float(ml_dtypes.finfo(got.dtype).smallest_subnormal) if relative else 0.0
    a, b = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        near = (a == b) | (np.isfinite(b) & (np.abs(a - b) <= relative * np.abs(b) + absolute + least))
    alike = (np.signbit(a) == np.signbit(b)) | (not signs) | (absolute > np.maximum(np.abs(a), np.abs(b)))
    return (np.isnan(a) & np.isnan(b)) | (near & alike)


def faults(name: str, row: Row, got: Array, expected: Array, close: Array) -> list[str]:
    """The first points at which the two differ."""
    wrong = np.flatnonzero(~close)
    return [f"{name} ({len(wrong)} points) at {row.at(i)}: {got[i]}, expected {expected[i]}" for i in wrong[:2]]
