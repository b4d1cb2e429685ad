"""A call of `matmul` as a product that libraries know: of matrices in column-major order, one stack of each.

A matrix in row-major order is its transpose in column-major order; so a result in row-major order is computed as the
transpose of its product, from the same memory: c' = b' a'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.cuda.calls.numbers import dtype_of
from graphc.backends.cuda.calls.products import Matmul
from graphc.backends.cuda.vendor.library import FLOATS, MOST

__all__ = ["Factor", "Matrix", "Product", "product_of"]


@dataclass(frozen=True)
class Matrix:
    """`rows` elements lie side by side, the next column begins `ld` further on, the next matrix of the stack `step`."""

    rows: int
    columns: int
    ld: int
    step: int


@dataclass(frozen=True)
class Factor:
    """A factor: a matrix, or its transpose where it `is_turned`, which is this operand of the call."""

    matrix: Matrix
    is_turned: bool
    operand: int


@dataclass(frozen=True)
class Product:
    """`result` = `first` times `second`, for each of the stack; `depth` elements are added up."""

    dtype: str
    first: Factor
    second: Factor
    result: Matrix
    depth: int
    batches: int

    def __str__(self) -> str:
        times = f"{self.batches} times " if self.batches > 1 else ""
        return f"a product of {self.dtype}, {times}{self.result.rows} x {self.depth} x {self.result.columns}"


def product_of(params: Sequence[int]) -> Product | None:
    """The product that a call computes, None for what no library takes: other dtypes, strides or stacks."""
    call = Matmul.of(params)
    stack = _stack(call.dims)
    extents = (call.rows, call.columns, call.depth)
    dtype = dtype_of(call.number).name
    if stack is None or dtype not in FLOATS or not 0 < min(extents) <= max(extents) <= MOST:
        return None
    batches, *steps = stack
    a = (call.rows, call.depth, call.a_m, call.a_k)
    b = (call.depth, call.columns, call.b_k, call.b_n)
    c = (call.rows, call.columns, call.c_m, call.c_n)
    for result, first, second, order in ((_turned(c), _turned(b), _turned(a), (1, 0)), (c, a, b, (0, 1))):
        found = _matrix(*result, steps[2])
        factors = [_factor(*view, steps[at], at) for view, at in zip((first, second), order, strict=True)]
        if found is not None and factors[0] is not None and factors[1] is not None:
            return Product(dtype, factors[0], factors[1], found, call.depth, batches)
    return None


def _turned(view: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    rows, columns, row_stride, column_stride = view
    return columns, rows, column_stride, row_stride


def _matrix(rows: int, columns: int, row_stride: int, column_stride: int, step: int) -> Matrix | None:
    """The matrix whose elements of a column lie side by side; strides of axes that have one element do not matter."""
    ld = column_stride if columns > 1 else rows
    is_one = (rows == 1 or row_stride == 1) and rows <= ld <= MOST
    return Matrix(rows, columns, ld, step) if is_one else None


def _factor(rows: int, columns: int, row_stride: int, column_stride: int, step: int, operand: int) -> Factor | None:
    straight = _matrix(rows, columns, row_stride, column_stride, step)
    if straight is not None:
        return Factor(straight, False, operand)
    turned = _matrix(columns, rows, column_stride, row_stride, step)
    return None if turned is None else Factor(turned, True, operand)


def _stack(dims: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The extent of a stack and the steps of the three matrices, of all its axes in one, if they lie so."""
    merged: tuple[int, ...] = (1, 0, 0, 0)
    for extent, *strides in reversed(dims):
        if merged[0] == 1:
            merged = (extent, *strides)
        elif [*strides] == [step * merged[0] for step in merged[1:]]:
            merged = (merged[0] * extent, *merged[1:])
        else:
            return None
    return merged if min(merged) >= 0 and merged[0] <= MOST else None
