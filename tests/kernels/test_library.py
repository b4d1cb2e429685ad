"""Products, indexing, scans and epilogues, at every instruction set level, against NumPy: shapes, strides, dtypes."""

import itertools
from typing import Any

import numpy as np
import pytest

from graphc.backends.cpu.library import library_call
from graphc.backends.cpu.matmul import can_turn
from graphc.errors import InternalError
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.ir import Compute, Index, Kernel, Load, Operand, Space, Store
from graphc.kernel.operand import OperandView
from graphc.ops.record import OPS
from tests.kernels.checking import LEVELS, check, every_level, numbers, run, view_of, wide
from tests.kernels.launching import Epilogue, launch, names

# Matrix products -------------------------------------------------------------------------------------------------
EXTENTS = (0, 1, 2, 5, 13, 14, 15, 16, 17, 31, 33, 64)
LAYOUTS = ("plain", "transposed", "sliced", "backwards")


def matrix(
    rng: np.random.Generator, rows: int, columns: int, layout: str, dtype: str, batch: tuple[int, ...] = ()
) -> np.ndarray:
    """Random (*batch, rows, columns), laid out in one of four ways."""
    if layout == "plain":
        return numbers(rng, (*batch, rows, columns), dtype)
    if layout == "transposed":
        return numbers(rng, (*batch, columns, rows), dtype).swapaxes(-1, -2)
    if layout == "sliced":
        return numbers(rng, (*batch, 2 * rows, 3 * columns), dtype)[..., ::2, 1::3]
    return numbers(rng, (*batch, rows, columns), dtype)[..., ::-1, ::-1]


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.matmul(wide(a), wide(b)).astype(a.dtype)


@every_level
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul_of_odd_shapes(level: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    shapes = [rng.choice(EXTENTS, 3) for _ in range(80)]
    shapes += [(64, 10, 32), (64, 32, 1), (1, 300, 70), (300, 1, 1), (1, 1, 1), (40, 600, 40), (1, 600, 3)]
    shapes += [(5, 0, 7), (50, 512, 70)]
    for rows, depth, columns in shapes:
        for layout_a, layout_b in rng.choice(LAYOUTS, (3, 2)):
            a, b = matrix(rng, rows, depth, layout_a, dtype), matrix(rng, depth, columns, layout_b, dtype)
            check(run(level, "matmul", [a, b], (int(rows), int(columns)), dtype), product(a, b))


@every_level
@pytest.mark.parametrize("dtype", [name for name in DTYPES if name not in ("float32", "float64")])
def test_matmul_of_other_dtypes(level: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for (rows, depth, columns), layout in itertools.product([(3, 5, 2), (17, 70, 33), (4, 300, 9), (2, 0, 3)], LAYOUTS):
        a, b = matrix(rng, rows, depth, layout, dtype), matrix(rng, depth, columns, layout, dtype)
        check(run(level, "matmul", [a, b], (rows, columns), dtype), product(a, b))


@every_level
@pytest.mark.parametrize("batch", [(3,), (2, 3), (0,), (2, 1, 2)], ids=str)
def test_matmul_of_stacks(level: str, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    for rows, depth, columns in [(4, 5, 6), (1, 7, 3), (6, 4, 1), (33, 20, 17)]:
        a = matrix(rng, rows, depth, "plain", "float32", batch)
        b = matrix(rng, depth, columns, "transposed", "float32", batch)
        shared_a, shared_b = (np.broadcast_to(x[(0,) * len(batch)], x.shape) if x.size else x for x in (a, b))
        for left, right in [(a, b), (a, shared_b), (shared_a, b), (shared_a, shared_b), (a.swapaxes(0, -3), b)]:
            if left.shape[:-2] == right.shape[:-2]:
                check(run(level, "matmul", [left, right], (*batch, rows, columns), "float32"), product(left, right))


@every_level
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32"])
def test_matmul_in_any_order(level: str, dtype: str) -> None:
    """Stacks of small and of large products, with operands and results in every order of their axes."""
    rng, orders = np.random.default_rng(5), list(itertools.permutations(range(3)))
    for batch, rows, depth, columns in [(50, 2, 3, 2), (21, 4, 4, 5), (16, 1, 9, 3), (3, 20, 1, 33), (7, 6, 900, 2)]:
        for axes in orders:
            left, right = (tuple(np.argsort(orders[i])) for i in rng.integers(0, 6, 2))
            a, b = (batch, rows, depth), (batch, depth, columns)
            a, b = (
                numbers(rng, tuple(shape[axis] for axis in np.argsort(order)), dtype).transpose(order)
                for shape, order in ((a, left), (b, right))
            )
            want = product(a, b).transpose(axes)
            result = OperandView.contiguous(TensorType(DTYPES[dtype], want.shape))
            if can_turn([view_of(a), view_of(b)], result, axes):
                check(run(level, "matmul_turned", [a, b], want.shape, dtype, axes=axes), want)
            check(run(level, "matmul", [a, b], (batch, rows, columns), dtype), product(a, b))


@every_level
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul_by_panels(level: str, dtype: str) -> None:
    rng = np.random.default_rng(4)
    for rows, depth, columns in [
        (1, 40, 64),
        (32, 256, 1024),
        (33, 70, 96),
        (64, 1100, 320),
        (400, 30, 64),
        (5, 0, 64),
    ]:
        for layout in LAYOUTS:
            a, b = matrix(rng, rows, depth, layout, dtype), matrix(rng, depth, columns, "plain", dtype)
            panels = np.ascontiguousarray(b.reshape(depth, columns // 32, 32).transpose(1, 0, 2))
            check(run(level, "matmul_panels", [a, panels], (rows, columns), dtype), product(a, b))


@every_level
@pytest.mark.parametrize(
    "shape", [(300, 260, 500), (1000, 300, 33), (40, 300, 1500), (20000, 64, 1), (1, 700, 9000)], ids=str
)
def test_matmul_in_many_tiles(level: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    rows, depth, columns = shape
    for layout in ("plain", "transposed"):
        a, b = matrix(rng, rows, depth, layout, "float32"), matrix(rng, depth, columns, layout, "float32")
        call = library_call("matmul", {}, [view_of(a), view_of(b)], TensorType(DTYPES["float32"], (rows, columns)))
        assert call.tiles > 1
        check(run(level, "matmul", [a, b], (rows, columns), "float32"), product(a, b))


@every_level
def test_matmul_carries_nan_and_infinity(level: str) -> None:
    a, b = np.ones((20, 40), np.float32), np.ones((40, 20), np.float32)
    a[3, 7], a[5, 0], b[2, 19] = np.nan, np.inf, -np.inf
    check(run(level, "matmul", [a, b], (20, 20), "float32"), product(a, b))


# Epilogues -------------------------------------------------------------------------------------------------------
def bias_and_relu(outer: int, inner: int, per_row: bool, bias: int) -> Epilogue:
    """relu(out + b) in place, with a bias for each row or each column: operand `bias` of the call."""
    types = [DTYPES["float32"]] * 3
    operands = tuple(map(Operand, types, ("read", "read", "write")))
    place, index = Index(0, (inner, 1)), Index(0, (1, 0) if per_row else (0, 1))
    body = (
        Load(0, types[0], place), Load(1, types[0], index), Compute("add", types[0], (0, 1)),
        Compute("relu", types[0], (2,)), Store(2, place, 3),
    )  # fmt: skip
    return Epilogue(Kernel(operands, Space((outer,), (), (inner,)), body), (-1, bias, -1))


def check_epilogue(
    level: str, op: str, inputs: list[np.ndarray], shape: tuple[int, ...], per_row: bool, **attrs: Any
) -> None:
    """`op` with an epilogue against the same without it, finished by NumPy: the same bits."""
    rng = np.random.default_rng(11)
    outer, inner = int(np.prod(shape[:2])), int(np.prod(shape[2:]))
    if op == "matmul":
        outer, inner = int(np.prod(shape[:-1])), shape[-1]
    bias = numbers(rng, (outer if per_row else inner,), "float32")
    result = TensorType(DTYPES["float32"], shape)
    call = library_call(op, attrs, [view_of(array) for array in inputs], result)
    plain = launch(level, call, inputs, shape, result.dtype.numpy).reshape(outer, inner)
    epilogue = bias_and_relu(outer, inner, per_row, len(inputs))
    epilogue = Epilogue(epilogue.kernel, epilogue.operands, (bias,))
    got = launch(level, call, inputs, shape, result.dtype.numpy, epilogue=epilogue)
    want = np.maximum(plain + (bias[:, None] if per_row else bias), 0)
    np.testing.assert_array_equal(got.reshape(outer, inner), want)


@every_level
@pytest.mark.parametrize("shape", [(64, 10, 32), (64, 32, 1), (300, 260, 500), (7, 5, 3), (2000, 90, 40)], ids=str)
def test_matmul_with_an_epilogue(level: str, shape: tuple[int, int, int]) -> None:
    rng, (rows, depth, columns) = np.random.default_rng(12), shape
    a, b = numbers(rng, (rows, depth), "float32"), numbers(rng, (depth, columns), "float32")
    check_epilogue(level, "matmul", [a, b], (rows, columns), False)


@every_level
def test_stacks_with_an_epilogue(level: str) -> None:
    rng = np.random.default_rng(13)
    for batch, rows, depth, columns in [(50, 40, 30, 60), (3, 200, 90, 260)]:
        a, b = numbers(rng, (batch, rows, depth), "float32"), numbers(rng, (batch, depth, columns), "float32")
        check_epilogue(level, "matmul", [a, b], (batch, rows, columns), True)


@every_level
def test_convolution_with_an_epilogue(level: str) -> None:
    rng = np.random.default_rng(14)
    for shape, groups in [((6, 12, 24, 40), 2), ((1, 16, 64, 64), 1), ((3, 8, 9, 33), 8)]:
        x, w = numbers(rng, shape, "float32"), numbers(rng, (24, shape[1] // groups, 3, 3), "float32")
        attrs = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": groups}
        check_epilogue(level, "conv2d", [x, w], (shape[0], 24, *shape[2:]), True, **attrs)


@every_level
@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
def test_pooling_with_an_epilogue(level: str, op: str) -> None:
    more: dict[str, Any] = {"dilation": (1, 1)} if op == "max_pool2d" else {"count_include_pad": True}
    for shape in [(6, 12, 24, 40), (70, 30, 8, 6)]:
        attrs = {"window": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), **more}
        pooled = (*shape[:2], shape[2] // 2, shape[3] // 2)
        check_epilogue(level, op, [numbers(np.random.default_rng(15), shape, "float32")], pooled, True, **attrs)


# Indexing and scans ----------------------------------------------------------------------------------------------
#     x shape, axis, shape of the indices
INDEXINGS = (
    ((5, 3), 0, (4,)),
    ((5, 3), 1, (2, 3)),
    ((7,), 0, ()),
    ((2, 3, 4), 1, (5,)),
    ((4, 3), 0, (0,)),
    ((0, 3), 1, (2,)),
    ((3, 2, 0), 0, (2,)),
    ((300, 130), 0, (700,)),
    ((3, 50, 257), 1, (33,)),
    ((9000, 2), 1, (6,)),
)
AXES = [((5,), 0), ((4, 3), 0), ((4, 3), 1), ((2, 7, 5), 1), ((70, 9, 130), 1), ((900, 60), 0), ((90, 600), 1)]
every_indexing = pytest.mark.parametrize("case", INDEXINGS, ids=lambda case: "-".join(map(str, case[0])))


@every_level
@every_indexing
@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
def test_take_and_scatter_add(level: str, case: tuple[Any, ...], index_dtype: str) -> None:
    shape, axis, count = case
    rng = np.random.default_rng(8)
    extent = shape[axis]
    indices = rng.integers(-2 * extent - 1, 2 * extent + 1, count, index_dtype)
    places = np.clip(np.where(indices < 0, indices + extent, indices), 0, extent - 1)
    for dtype in DTYPES:
        x = numbers(rng, shape, dtype)
        want = np.take(x, places, axis)
        np.testing.assert_array_equal(run(level, "take", [x, indices], want.shape, dtype, axis=axis), want)
        if dtype == "bool":
            continue
        updates, sums = numbers(rng, want.shape, dtype), wide(x).copy()
        np.add.at(sums, (slice(None),) * axis + (places,), wide(updates))
        check(run(level, "scatter_add", [x, indices, updates], shape, dtype, axis=axis), sums.astype(x.dtype))


@every_level
@pytest.mark.parametrize("dtype", DTYPES)
def test_positions_of_extremes(level: str, dtype: str) -> None:
    rng = np.random.default_rng(9)
    for shape, axis in [*AXES, ((0, 3), 1), ((3, 4, 0), 1)]:
        x = numbers(rng, shape, dtype)
        if DTYPES[dtype].is_float:
            x = np.round(wide(x)).astype(x.dtype)  # with ties
            x[rng.random(shape) < 0.03] = np.nan
        out = shape[:axis] + shape[axis + 1 :]
        for op, reference in (("argmax", np.argmax), ("argmin", np.argmin)):
            np.testing.assert_array_equal(run(level, op, [x], out, "int64", axis=axis), reference(wide(x), axis))


@every_level
@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bool"])
def test_running_sums(level: str, dtype: str) -> None:
    rng = np.random.default_rng(10)
    for shape, axis in [*AXES, ((0, 3), 0), ((3, 0), 0)]:
        x = numbers(rng, shape, dtype)
        for reverse in (False, True):
            turned = np.flip(wide(x), axis) if reverse else wide(x)
            want = np.cumsum(turned, axis, dtype="float64" if DTYPES[dtype].is_float else turned.dtype)
            want = (np.flip(want, axis) if reverse else want).astype(x.dtype)
            check(run(level, "cumsum", [x], shape, dtype, axis=axis, reverse=reverse), want)


@every_level
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64"])
def test_running_products_and_recurrences(level: str, dtype: str) -> None:
    rng = np.random.default_rng(11)
    for shape, axis in [*AXES, ((0, 3), 0), ((3, 0), 0), ((21, 5), 1)]:
        x, result = numbers(rng, shape, dtype), dtype if dtype == "int64" else "float64"
        want = OPS["cumprod"].reference(wide(x), axis=axis)
        check(run(level, "cumprod", [x], shape, result, axis=axis), want)
        for reverse in (False, True) if result == "float64" else ():
            b = numbers(rng, shape, "float64")
            want = OPS["recurrence"].reference(wide(x), b, axis=axis, reverse=reverse)
            check(run(level, "recurrence", [x, b], shape, "float64", axis=axis, reverse=reverse), want)


@every_level
def test_many_updates_of_few_elements(level: str) -> None:
    """Sums are formed in float64: a float32 that a million numbers are added to is wrong in the third digit."""
    indices = np.random.default_rng(12).integers(0, 3, 10**6, "int32")
    x, updates = np.zeros((3, 2), np.float32), np.full((10**6, 2), 0.1, np.float32)
    want = np.bincount(indices)[:, None] * np.float64(np.float32(0.1)) * np.ones((3, 2))
    got = run(level, "scatter_add", [x, indices, updates], x.shape, "float32", axis=0)
    np.testing.assert_allclose(got, want, rtol=1e-7)


# The table -------------------------------------------------------------------------------------------------------
@every_level
def test_every_level_has_the_same_kernels(level: str) -> None:
    assert names(level) == names(LEVELS[0])
    assert len(set(names(level))) == len(names(level))


def test_an_op_without_a_kernel_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="no library kernel"):
        library_call("exp", {}, [], TensorType(DTYPES["float32"], ()))
