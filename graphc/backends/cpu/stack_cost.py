"""What stacks of products cost, product by product and side by side, in cycles of a core with vectors of 32 bytes.

A large product multiplies and adds two vectors a cycle. What small ones cost besides was measured: a start, loads that
wait, lanes without work, elements that are brought into another place. A cycle's operations of a large product are
`cycle_of`.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cycle_of", "product_cycles", "stack_cycles"]

VECTOR_BYTES = 32
FIRST_CACHE = 32 << 10  # bytes
START, VECTOR_START, STACK_START = 70, 40, 60  # of a product, of one with a vector, of a vector of products
LATENCY = 4  # of a sum that waits for itself
COPIED = 1.0  # an element by itself from one place to another
SQUARE = 3.0  # a vector of elements, transposed by squares
NEAR, FAR = 0.55, 1.5  # multiplying and adding vectors that are loaded from the first cache, and from the second

Strides = tuple[int, int]


def cycle_of(itemsize: int) -> int:
    """Operations of a large product in a cycle."""
    return 4 * VECTOR_BYTES // itemsize


def product_cycles(rows: int, columns: int, depth: int, a: Strides, b: Strides, itemsize: int) -> float:
    """Of one product in the kernels of block.h, or of gemv.h where it is one with a vector."""
    lanes = VECTOR_BYTES // itemsize
    if min(rows, columns) == 1:
        x, along, line = (a[1], *b) if rows == 1 else (b[0], a[1], a[0])
        length = max(rows, columns)
        if line == 1 and length >= lanes:
            return VECTOR_START + _up(length, lanes) / lanes * depth / 2
        if along == 1 and x == 1:
            return VECTOR_START + _up(length, lanes) * (depth // lanes / 2 + 3 + depth % lanes)
    vectors = -(-columns // lanes)
    cycles = START + depth * max(rows * vectors / 2, LATENCY)
    if columns % (2 * lanes):
        cycles += rows * (columns % (2 * lanes)) * COPIED
    if b[1] != 1 or columns % (2 * lanes):
        by_squares = b[0] == 1 and depth >= lanes
        cycles += depth * vectors * SQUARE if by_squares else depth * columns * COPIED
    return cycles


def stack_cycles(
    extent: int, steps: Sequence[int], rows: int, columns: int, depth: int, strides: Sequence[Strides], itemsize: int
) -> float:
    """Of `extent` products in the kernels of across_real.h; `steps` are from one to the next in A, B and C."""
    lanes = VECTOR_BYTES // itemsize
    shapes = (rows, depth), (depth, columns), (rows, columns)
    each = NEAR if sum(m * n for m, n in shapes) * VECTOR_BYTES <= FIRST_CACHE else FAR
    cycles = STACK_START + rows * columns * depth * each
    for shape, own, step in zip(shapes, strides, steps, strict=True):
        if step != 1 or extent < lanes:
            cycles += _brought(shape, own, lanes)
    return -(-extent // lanes) * cycles


def _brought(shape: Strides, strides: Strides, lanes: int) -> float:
    """Cycles to bring a vector of matrices into scratch, or out of it."""
    (rows, columns), (row, column) = shape, strides
    length, run = (rows, column) if column != 1 and row == 1 else (columns, row)
    whole = run == length and 1 in strides
    dense = 1 in strides and (rows * columns if whole else length) >= lanes
    return rows * columns * (SQUARE if dense else lanes * COPIED)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
