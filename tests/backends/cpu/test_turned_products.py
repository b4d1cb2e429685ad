"""Contractions whose axes are interleaved run as one launch each, with their values and gradients, on every engine.

A table of einsums: the batch in front, in the middle and at the end of operands and result; extents that leave lanes of
vectors over, and batches that are no multiple of them.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cpu.matmul import SIDE_BY_SIDE, Gemm, can_turn, matmul, matmul_turned
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.operand import OperandView
from tests.ops.helpers import difference
from tests.runtime.support import needs_compiler

BACKENDS = ["cython", pytest.param("c", marks=needs_compiler)]
EXTENTS = (
    {"b": 21, "i": 2, "j": 3, "k": 2},
    {"b": 9, "i": 4, "j": 5, "k": 9},
    {"b": 3, "i": 33, "j": 17, "k": 20},
    {"b": 130, "i": 1, "j": 6, "k": 5},
)
EINSUMS = (
    "ibj,kbj->kib", "bij,kbj->kbi", "ibj,bjk->ibk", "bij,bjk->bki", "ijb,jkb->ikb", "ijb,bjk->kbi", "jbi,kjb->bik",
    "bij,bkj->ibk", "jib,bjk->kib", "ijb,jb->ib", "bj,kjb->kb",
)  # fmt: skip


def built(subscripts: str, extents: dict[str, int], dtype: str) -> tuple[list[gx.Tensor], gx.Tensor]:
    """Inputs and result of an einsum."""
    left, _ = subscripts.split("->")
    shapes = [tuple(extents[label] for label in term) for term in left.split(",")]
    inputs = [gx.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    return inputs, gx.einsum(subscripts, *inputs)


def arrays(inputs: list[gx.Tensor]) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    return [rng.uniform(-1, 1, x.shape).astype(x.dtype.numpy) for x in inputs]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_values_and_gradients(dtype: str, backend: str) -> None:
    """All of the table in one program, with what follows a product in its epilogue or not."""
    inputs, outputs = list[gx.Tensor](), list[gx.Tensor]()
    for number, extents in enumerate(EXTENTS):
        for subscripts in EINSUMS:
            own, y = built(subscripts, extents, dtype)
            own = [gx.input(f"{subscripts} {number} {i}", x.shape, dtype) for i, x in enumerate(own)]
            y = gx.einsum(subscripts, *own)
            inputs += own
            outputs += [y, gx.tanh(y) + 1, *gx.grad(gx.sum(gx.sin(y)), own)]
    values = arrays(inputs)
    expected = gx.compile(inputs, outputs, backend="numpy")(*values)
    for threads in (1, 2):
        got = gx.compile(inputs, outputs, backend=backend, threads=threads)(*values)
        found = [difference(np.asarray(a), b, dtype) for a, b in zip(got, expected, strict=True)]
        assert [fault for fault in found if fault] == []


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_nothing_is_copied(subscripts: str) -> None:
    """One launch, and no memory beside operands and result; of each gradient one more."""
    inputs, y = built(subscripts, EXTENTS[0], "float32")
    program = gx.compile(inputs, [y], backend="cython", threads=1)
    assert len(program.plan.launches) == 1
    assert program.plan.arena_bytes == 0
    cotangent = gx.input("g", y.shape)
    slopes = gx.compile([*inputs, cotangent], gx.vjp([y], inputs, [cotangent]), backend="cython", threads=1)
    assert len(slopes.plan.launches) == 2
    assert slopes.plan.arena_bytes == 0


def test_a_diagonal_of_neighbouring_axes_is_read_where_it_lies() -> None:
    x, w = gx.input("x", (8, 8, 6)), gx.input("w", (6, 5))
    program = gx.compile([x, w], gx.einsum("iij,jk->ik", x, w), backend="cython")
    assert [launch.label for launch in program.plan.launches] == ["matmul"]
    values = arrays([x, w])
    np.testing.assert_allclose(program(*values), np.einsum("iij,jk->ik", *values), rtol=1e-5)


def test_a_sum_runs_along_what_lies_densely_in_memory() -> None:
    """And not along what lies densely in an intermediate value, which lies nowhere."""
    x, y, g = gx.input("x", (32, 64)), gx.input("y", (16, 64)), gx.input("g", (16, 32, 64))
    slopes = gx.vjp([gx.einsum("ib,jb->jib", x, y)], [x, y], [g])
    program = gx.compile([x, y, g], slopes, backend="cython")
    assert re.findall(r"store o2\[(.*)\]", program.source) == ["64*i1 + i2", "64*i0 + i2"]


# Choosing ------------------------------------------------------------------------------------------------------------
def views(batch: int, rows: int, depth: int, columns: int, dtype: str, dense: bool = False) -> list[OperandView]:
    """Operands with the batch in front, or with it at the end."""
    kind, found = DTYPES[dtype], []
    for m, n in ((rows, depth), (depth, columns)):
        strides = (1, n * batch, batch) if dense else (m * n, n, 1)
        found.append(OperandView(kind, (batch, m, n), strides))
    return found


def result(shape: tuple[int, ...], dtype: str = "float32") -> OperandView:
    return OperandView.contiguous(TensorType(DTYPES[dtype], shape))


def order(batch: int, m: int, k: int, n: int, dtype: str = "float32", dense: bool = False) -> int:
    call = matmul(views(batch, m, k, n, dtype, dense), result((batch, m, n), dtype), 1)
    return Gemm.of(call).order


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_products_go_side_by_side(dtype: str) -> None:
    assert order(1000, 2, 2, 2, dtype) == order(1000, 4, 4, 4, dtype) == SIDE_BY_SIDE
    assert order(1000, 8, 8, 8, dtype, dense=True) == SIDE_BY_SIDE
    assert SIDE_BY_SIDE not in (order(16, 128, 128, 128, dtype), order(1, 2, 2, 2, dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "int32", "int8"])
def test_others_go_one_by_one(dtype: str) -> None:
    assert order(1000, 2, 2, 2, dtype) != SIDE_BY_SIDE
    assert not can_turn(views(1000, 2, 2, 2, dtype), result((2, 2, 1000), dtype), (1, 2, 0))
    assert can_turn(views(1000, 2, 2, 2, dtype), result((2, 1000, 2), dtype), (1, 0, 2))


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_tiles_share_a_stack(threads: int) -> None:
    """Each of as many products as fill every vector."""
    call = matmul_turned(views(200000, 4, 4, 4, "float32"), result((4, 200000, 4)), threads, (1, 0, 2))
    assert Gemm.of(call).order == SIDE_BY_SIDE
    assert call.tiles == -(-200000 // Gemm.of(call).tile_batches)
    assert call.tiles == 1 if threads == 1 else call.tiles >= 2 and Gemm.of(call).tile_batches % 16 == 0
