"""What is nearly the left side of a rewrite, and must stay: each row is one condition of a rule away from it.

A rule that forgets the condition rewrites the row. (`test_rewrites.py` has the other half: a rule that asks too much
does not carry out its own example.)
"""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cpu.split_reductions import split_reductions
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, broadcast_to, cast
from graphc.ops.primitives.views import join, narrow, pad_view, permute, reshape_to, slice_view
from graphc.passes import (
    fold_constants,
    gather_terms,
    merge_products,
    share_reciprocals,
    share_stacks,
    simplify,
    stabilise,
    transpose_products,
)

from .support import graph_of

F32 = DTYPES["float32"]
x, y, z = (gx.input(name, (9,)) for name in "xyz")
a, b = (gx.input(name, (8, 9)) for name in "ab")
c, d = gx.input("c", (2, 3, 4)), gx.input("d", (9, 7))
m, n = (gx.input(name, (9,), "bool") for name in "mn")
s, row = gx.input("s", (8, 1)), gx.input("row", (1, 9))
half, halves, sh = (
    gx.input("half", (8, 9), "bfloat16"),
    gx.input("halves", (9,), "float16"),
    gx.input("sh", (8, 1), "bfloat16"),
)
none = gx.input("none", (3, 0))
i, wide, u = gx.input("i", (9,), "int32"), gx.input("wide", (9,), "int64"), gx.input("u", (9,), "uint8")


def total(value, *axes):
    return apply("sum", value, axes=axes)


def over(value, divisor):
    return value / broadcast_to(divisor, value.shape)


def column(value):
    return reshape_to(value, (*value.shape, 1))


def rows(*numbers):
    return join([narrow(a, 0, number, 1) for number in numbers], 0)


STABILITY = [
    gx.log(2 + x), gx.log(x + y), gx.log(2 - x), gx.log(x - 1), gx.log(1 / gx.sin(x)),
    gx.log(gx.sin(x) / y), gx.log(reshape_to(x, (3, 3))), gx.log(column(apply("max", a, axes=(1,)))),
    gx.log(total(gx.sin(a), 1)), gx.log(gx.tanh(x)), gx.log(gx.exp(x) * y), gx.log1p(gx.sin(x)), gx.log1p(-gx.sin(x)),
    gx.log1p(gx.sigmoid(x)), gx.log1p(-x), gx.exp(x) - 2, gx.sin(x) - 1, gx.exp(x) + 1, gx.sin(x) + -1, 1 - gx.exp(x),
    1 / (2 + gx.exp(x)), 2 / (1 + gx.exp(x)), gx.exp(y) / (1 + gx.exp(x)), 1 / (1 + gx.sin(x)), 1 / (1 - gx.exp(x)),
    gx.exp(x) / (2 + gx.exp(x)), gx.exp(x) / (1 - gx.exp(x)),
]  # fmt: skip
QUOTIENTS = [
    (x / y) * y, x / gx.sin(y) * gx.sin(y), x / gx.exp(y) * gx.exp(z), x / (gx.exp(y) - 1.5) * (gx.exp(y) - 1.5),
    x / (gx.exp(y) + z) * (gx.exp(y) + z), gx.sin(y) * (x / gx.sin(y) + z), gx.exp(y) * (x / gx.exp(z) + z),
    x * (1 - y) - (1 - x) * z, x * (1 - y) + (1 - x) * y, (2 * x) * (1 - y) - (1 - x) * y, x * (2 - y) - (2 - x) * y,
    x * (1 - y) - (1 - z) * y, (x * z) * (1 - y) - (1 - x) * y, x * (1 - y) / z - (1 - x) * y,
    total(a * 0.3, 1), total(a * broadcast_to(row, a.shape), 1), total(broadcast_to(s, a.shape) / a, 1),
    total(half * broadcast_to(sh, half.shape), 1), total(a * b, 1), total(a * broadcast_to(s, a.shape), 0),
    over(gx.exp(a), column(total(gx.exp(b), 1))), over(gx.exp(a), column(total(gx.sin(a), 1))),
    over(gx.sin(a), column(total(gx.exp(a), 1))), over(gx.exp(a), column(apply("max", gx.exp(a), axes=(1,)))),
    x / gx.minimum(gx.exp(y), 0.0) * gx.minimum(gx.exp(y), 0.0),
    over(gx.exp(none), column(total(gx.exp(none), 1))), gx.log(total(gx.exp(none), 1)),
]  # fmt: skip
SIMPLIFICATION = [
    # reductions
    apply("max", total(a, 0), axes=(0,)), total(apply("max", a, axes=(0,)), 0), total(total(half, 0), 0),
    apply("max", apply("min", a, axes=(0,)), axes=(0,)), total(broadcast_to(sh, half.shape), 1),
    apply("max", -a, axes=(0,)),
    apply("max", reshape_to(c, (6, 4)), axes=(0,)), total(broadcast_to(s, a.shape), 0), total(a, 0, 1), total(a - b, 0),
    total(broadcast_to(row, ((1 << 24) + 1, 9)), 0),
    total(broadcast_to(u, (4, 9)), 0), apply("max", broadcast_to(x, (4, 9)) * a[:4], axes=(0,)),
    # views
    pad_view(pad_view(x, (1,), (0,), 0.0), (1,), (2,), -0.0), pad_view(pad_view(x, (1,), (0,), 1.0), (1,), (2,)),
    join([join([a, b], 1), join([a, b], 1)], 0), join([x, y], 0),
    join([narrow(x, 0, 0, 3), narrow(y, 0, 3, 3)], 0), join([narrow(x, 0, 0, 3), narrow(x, 0, 4, 3)], 0),
    join([narrow(x, 0, 3, 3), narrow(x, 0, 0, 3)], 0), join([narrow(x, 0, 0, 3), gx.sin(narrow(x, 0, 3, 3))], 0),
    join([slice_view(a, (0, 0), (2, 3)), slice_view(a, (2, 1), (2, 3))], 0), join([x[0:4:2], x[4:7]], 0),
    join([x[0:3], x[5:2:-1]], 0),
    join([x[0:6:2], x[6:9]], 0), reshape_to(a, (9, 8)), permute(c, (1, 2, 0)), permute(reshape_to(x, (3, 3)), (1, 0)),
    broadcast_to(reshape_to(x, (9, 1)), (9, 4)), broadcast_to(reshape_to(a, (1, 8, 9, 1)), (2, 8, 9, 2)),
    slice_view(x, (8,), (9,), (-1,)),
    narrow(pad_view(x, (2,), (3,)), 0, 1, 4), narrow(pad_view(x, (2,), (3,)), 0, 9, 4),
    narrow(join([x, y], 0), 0, 8, 2),
    slice_view(pad_view(x, (2,), (3,)), (3,), (3,), (-1,)), slice_view(pad_view(x, (2,), (3,)), (11,), (3,), (-1,)),
    slice_view(join([x, y], 0), (10,), (5,), (-1,)),
    # arithmetic
    gx.where(m, x, y), gx.where(gx.logical_and(m, n), x, y), gx.abs(gx.sin(x)), -gx.sin(x), -(x * y), -x * y, x * -y,
    x + x * 1.5,
    gx.relu(gx.sin(x)), gx.floor(gx.ceil(x)), gx.maximum(x, 1.0), gx.minimum(x, 0.0), gx.maximum(i, 0), x + 0.0,
    0.0 - x,
    x * 0.0, x / 0.0, x / 2.0**127, halves / 2.0**15, x * 2.0**100 * 2.0**100, x ** 2.5, y ** x, i + 1, i * 3, m + n,
    m + m * n,
    x / broadcast_to(x[:1], (9,)), 2.0 - x, gx.sin(x) * gx.cos(x), broadcast_to(x, (4, 9)) + a[:4],
    gx.logical_not(gx.logical_and(m, n)),
    cast(cast(halves, DTYPES["bfloat16"]), F32), cast(cast(half, DTYPES["float16"]), F32),
    cast(cast(x, DTYPES["float16"]), F32),
    cast(cast(wide, F32), DTYPES["int64"]), cast(cast(i, DTYPES["uint32"]), DTYPES["int64"]),
    cast(cast(i, DTYPES["int8"]), DTYPES["int32"]),
    cast(cast(i, DTYPES["bool"]), DTYPES["int32"]), cast(cast(i, F32), DTYPES["int32"]),
    cast(cast(u, DTYPES["int8"]), DTYPES["int32"]),
    cast(i, F32), cast(x, DTYPES["float16"]), cast(m, F32),
]  # fmt: skip
SUMS = [
    pad_view(x, (0,), (9,), -0.0) + pad_view(y, (9,), (0,), -0.0),
    pad_view(x, (0,), (9,)) * 1.0 + pad_view(y, (5,), (4,)),
    pad_view(m, (0,), (9,), True) + pad_view(n, (9,), (0,), True),
    half[:, :8].T @ half[:8] + half[:, 1:].T @ half[:8],
    gx.matmul(c, c.transpose(0, 2, 1)) + gx.matmul(c * 2, c.transpose(0, 2, 1)), a.T @ b - a.T @ (b * 2),
    total(a, 0) + total(b, 0) + x,
    total(a[:4], 0) + total(a[4:], 0) + total(b[:4], 0) + total(b[4:], 0) + total(b[1:5], 0),
]  # fmt: skip
RECIPROCALS = [
    over(a, s), over(a, gx.exp(s)), a / gx.sqrt(b), over(half, gx.sqrt(sh)),
    over(a[:, :7], gx.sqrt(s)), over(a, column(total(gx.exp(a), 1))), over(a, column(total(gx.sin(a), 1))),
]  # fmt: skip
OTHERS = [
    (merge_products, join([narrow(a, 0, r, 1) @ d for r in range(4)], 0)),
    (merge_products, join([narrow(a, 0, r, 1) @ (d * float(r)) for r in range(1, 6)], 0)),
    *((fold_constants, gx.constant(np.array([value, -value], dtype))) for value, dtype in ((0.0, "f4"), (1.0, "f8"))),
    (share_stacks, rows(3, 5, 0, 4) + rows(6, 5, 0, 4)),
    (share_stacks, rows(3, 5, 0) + rows(5, 0, 1)),
    (transpose_products, permute(a @ d, (1, 0)) + (a @ d).T.reshape(7, 8) * (a @ d).sum()),
    (transpose_products, permute(a + b, (1, 0))),
    (transpose_products, permute(gx.matmul(c, c.transpose(0, 2, 1)), (1, 0, 2))),
    (split_reductions, total(broadcast_to(x, (1 << 10, 9)), 0)),
    (split_reductions, total(broadcast_to(x, (1 << 12, 9)), 0, 1)),
]  # fmt: skip
ROWS = [
    *((stabilise, written) for written in STABILITY + QUOTIENTS),
    *((simplify, written) for written in SIMPLIFICATION),
    *((gather_terms, written) for written in SUMS),
    *((share_reciprocals, written) for written in RECIPROCALS),
    *OTHERS,
]


@pytest.mark.parametrize(("run", "written"), ROWS, ids=[f"{run.__name__}-{at}" for at, (run, _) in enumerate(ROWS)])
def test_what_must_stay(run, written) -> None:
    assert run(graph_of(written)).outputs[0] is written
