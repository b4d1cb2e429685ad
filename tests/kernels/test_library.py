"""Every library kernel, at every instruction set level, against NumPy: shapes, strides, dtypes, order of tiles."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.errors import InternalError
from graphc.ir.types import DTYPES, TensorType, dtype_of
from graphc.kernels import cpu
from graphc.lower.kernel import Compute, Index, Kernel, Load, Operand, Space, Store
from graphc.lower.library import OperandView, library_call
from tests.kernels.launching import Epilogue, launch, names

LEVELS = cpu.supported_levels()
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 1e-2, "float16": 2e-3}
every_level = pytest.mark.parametrize("level", LEVELS)


def view_of(array: np.ndarray) -> OperandView:
    return OperandView(dtype_of(array.dtype), array.shape, tuple(step // array.itemsize for step in array.strides))


def run(level: str, op: str, inputs: list[np.ndarray], shape: tuple[int, ...], dtype: str, **attrs: Any) -> np.ndarray:
    """The kernel's answer, computed with tiles forwards and backwards, which must give the same bits."""
    result = TensorType(DTYPES[dtype], shape)
    call = library_call(op, attrs, [view_of(array) for array in inputs], result)
    forward = launch(level, call, inputs, shape, result.dtype.numpy)
    backward = launch(level, call, inputs, shape, result.dtype.numpy, reversed(range(call.tiles)))
    assert forward.tobytes() == backward.tobytes()
    return forward


def wide(array: np.ndarray) -> np.ndarray:
    """16-bit floats as float32, anything else as it is."""
    return array.astype(np.float32) if array.dtype in (ml_dtypes.bfloat16, np.float16) else array


def check(got: np.ndarray, want: np.ndarray) -> None:
    """Floats close relative to the largest element, NaN and infinities alike; the rest equal."""
    assert got.shape == want.shape
    tolerance = TOLERANCE.get(got.dtype.name)
    if tolerance is None:
        np.testing.assert_array_equal(got, want)
        return
    got, want = wide(got), wide(want)
    finite = np.abs(want[np.isfinite(want)])
    scale = float(finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random elements: normal floats, integers over their whole range, bools."""
    kind = DTYPES[dtype]
    if kind.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.is_integer:
        info = np.iinfo(kind.numpy)
        return rng.integers(info.min, info.max, shape, kind.numpy, endpoint=True)
    return rng.standard_normal(shape).astype(kind.numpy)


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


# Convolutions ----------------------------------------------------------------------------------------------------
def convolution(
    x: np.ndarray, w: np.ndarray, grad: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The definition and its two transposes at `grad`, one position and group at a time over all images."""
    padded = np.pad(wide(x).astype(np.float64), ((0, 0), (0, 0), *padding))
    (outputs, channels, *kernel), share = w.shape, w.shape[0] // groups
    filters = wide(w).astype(np.float64).reshape(groups, share, channels * kernel[0] * kernel[1])
    grad = wide(grad).astype(np.float64)
    out, input_grad, weight_grad = np.zeros(grad.shape), np.zeros(padded.shape), np.zeros(filters.shape)
    for g, i, j in np.ndindex(groups, *grad.shape[2:]):
        rows = i * stride[0] + dilation[0] * np.arange(kernel[0])
        columns = j * stride[1] + dilation[1] * np.arange(kernel[1])
        where = np.ix_(np.arange(len(x)), g * channels + np.arange(channels), rows, columns)
        patches, part = padded[where].reshape(len(x), filters.shape[2]), grad[:, g * share : (g + 1) * share, i, j]
        out[:, g * share : (g + 1) * share, i, j] = patches @ filters[g].T
        input_grad[where] += (part @ filters[g]).reshape(len(x), channels, *kernel)
        weight_grad[g] += part.T @ patches
    (top, _), (left, _) = padding
    input_grad = input_grad[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return out, input_grad, weight_grad.reshape(outputs, channels, *kernel)


NO_PAD = ((0, 0), (0, 0))
#     x shape, filters, kernel, stride, padding, dilation, groups
CONVOLUTIONS = (
    ((2, 3, 8, 8), 4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 1, 1, 1), 1, (1, 1), (1, 1), NO_PAD, (1, 1), 1),
    ((3, 5, 6, 7), 3, (1, 1), (1, 1), NO_PAD, (1, 1), 1),
    ((2, 4, 9, 11), 6, (3, 2), (2, 3), ((0, 2), (1, 0)), (1, 2), 2),
    ((2, 6, 7, 20), 6, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 6),
    ((1, 4, 9, 70), 8, (2, 3), (2, 1), ((1, 0), (3, 1)), (3, 1), 4),
    ((2, 3, 5, 5), 2, (5, 5), (1, 1), ((4, 4), (4, 4)), (1, 1), 1),
    ((2, 2, 10, 3), 5, (1, 1), (3, 2), NO_PAD, (1, 1), 1),
    ((0, 3, 8, 8), 4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 0, 4, 4), 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 2, 4, 4), 0, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 2, 0, 3), 2, (2, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), 1),
    ((1, 40, 6, 40), 33, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 300, 3, 3), 2, (1, 2), (1, 1), NO_PAD, (1, 1), 1),
    ((1, 2, 1, 400), 300, (1, 4), (2, 2), ((0, 0), (1, 1)), (1, 1), 1),
    ((1, 3, 7, 9), 3, (2, 2), (4, 5), ((0, 0), (0, 0)), (1, 1), 1),
    # by squares: whole strips and odd ones, several slices, rows longer than a vector, groups, lopsided padding
    ((2, 32, 16, 16), 24, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 17, 9, 37), 19, (3, 3), (1, 1), ((2, 0), (0, 2)), (1, 1), 1),
    ((1, 70, 5, 4), 16, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 36, 12, 70), 48, (3, 3), (1, 1), ((0, 1), (2, 2)), (1, 1), 2),
    # by patches, for rows that fill no vector and where the input is read in place; strides
    ((2, 24, 14, 13), 40, (2, 3), (1, 1), ((1, 0), (1, 1)), (1, 1), 1),
    ((3, 40, 7, 7), 64, (1, 1), (1, 1), NO_PAD, (1, 1), 1),
    ((2, 20, 9, 9), 32, (1, 1), (2, 2), NO_PAD, (1, 1), 1),
    ((1, 5, 33, 35), 17, (7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
)


def out_shape(case: tuple[Any, ...]) -> tuple[int, ...]:
    shape, filters, kernel, stride, padding, dilation, _ = case
    reach = [spread * (taps - 1) + 1 for spread, taps in zip(dilation, kernel, strict=True)]
    counts = ((shape[a + 2] + sum(padding[a]) - reach[a]) // stride[a] + 1 for a in (0, 1))
    return (shape[0], filters, *counts)


def check_convolution(level: str, case: tuple[Any, ...], dtype: str) -> None:
    shape, filters, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(5)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, w = numbers(rng, shape, dtype), numbers(rng, (filters, shape[1] // groups, *kernel), dtype)
    grad = numbers(rng, out_shape(case), dtype)
    out, input_grad, weight_grad = (want.astype(x.dtype) for want in convolution(x, w, grad, **attrs))
    check(run(level, "conv2d", [x, w], grad.shape, dtype, **attrs), out)
    check(run(level, "conv2d_input_grad", [grad, w], x.shape, dtype, input_size=x.shape[2:], **attrs), input_grad)
    check(run(level, "conv2d_weight_grad", [x, grad], w.shape, dtype, kernel_size=w.shape[2:], **attrs), weight_grad)


@every_level
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: "-".join(map(str, case[0])))
def test_convolutions(level: str, case: tuple[Any, ...]) -> None:
    for dtype in ("float32", "float64") if np.prod(case[0]) > 2000 else ("float32", "float64", "bfloat16", "float16"):
        check_convolution(level, case, dtype)


@every_level
def test_convolutions_in_many_tiles(level: str) -> None:
    check_convolution(level, ((6, 12, 24, 40), 36, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2), "float32")
    check_convolution(level, ((1, 16, 64, 66), 20, (3, 3), (2, 2), ((1, 1), (0, 0)), (1, 1), 1), "float32")


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


# Pooling ---------------------------------------------------------------------------------------------------------
#     x shape, window, stride, padding, dilation
POOLINGS = (
    ((2, 3, 8, 8), (2, 2), (2, 2), NO_PAD, (1, 1)),
    ((1, 2, 9, 70), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((2, 2, 9, 11), (3, 2), (2, 3), ((1, 2), (1, 0)), (1, 1)),
    ((1, 3, 10, 12), (2, 3), (1, 2), ((0, 1), (2, 1)), (3, 2)),
    ((3, 1, 1, 1), (1, 1), (1, 1), NO_PAD, (1, 1)),
    ((1, 1, 5, 4), (5, 4), (1, 1), NO_PAD, (1, 1)),
    ((0, 3, 4, 4), (2, 2), (2, 2), NO_PAD, (1, 1)),
    ((40, 30, 12, 12), (2, 2), (2, 2), NO_PAD, (1, 1)),
    ((2, 2, 32, 34), (2, 2), (2, 2), NO_PAD, (1, 1)),
    ((1, 2, 57, 57), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ((1, 2, 40, 40), (2, 2), (2, 2), ((1, 1), (1, 1)), (2, 2)),
    ((2, 1, 20, 33), (3, 3), (3, 3), ((0, 1), (1, 0)), (1, 1)),
)
every_pooling = pytest.mark.parametrize("case", POOLINGS, ids=lambda case: "-".join(map(str, case[0])))
every_float = pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])


def windows(
    x: np.ndarray, window: Any, stride: Any, padding: Any, dilation: Any, fill: float
) -> tuple[np.ndarray, np.ndarray]:
    """Elements [N, C, OH, OW, taps] of every window, and their flat positions in the plane (-1 for padding)."""
    padded = np.pad(wide(x), ((0, 0), (0, 0), *padding), constant_values=fill)
    places = np.pad(np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:]), padding, constant_values=-1)
    size = [(places.shape[a] - dilation[a] * (window[a] - 1) - 1) // stride[a] + 1 for a in (0, 1)]
    grid = [stride[a] * np.arange(size[a])[:, None] + dilation[a] * np.arange(window[a]) for a in (0, 1)]
    where = grid[0][:, None, :, None], grid[1][None, :, None, :]
    taps = window[0] * window[1]
    return padded[:, :, *where].reshape(*x.shape[:2], *size, taps), places[where].reshape(*size, taps)


@every_level
@every_float
@every_pooling
def test_max_pooling(level: str, dtype: str, case: tuple[Any, ...]) -> None:
    shape, window, stride, padding, dilation = case
    attrs = {"window": window, "stride": stride, "padding": padding, "dilation": dilation}
    rng = np.random.default_rng(6)
    x = rng.integers(-9, 9, shape).astype(DTYPES[dtype].numpy)  # with ties
    x[rng.random(shape) < 0.02] = np.nan
    x[rng.random(shape) < 0.3] = -np.inf
    elements, places = windows(x, window, stride, padding, dilation, -np.inf)
    real = np.where(places < 0, -np.inf, elements)
    best = np.where(places < 0, 0, np.where(np.isnan(real), 3e38, np.maximum(real, -3e38)) + 0.0)
    best = np.where(places < 0, -np.inf, best).argmax(-1) if elements.size else np.zeros(elements.shape[:-1], int)
    positions = np.take_along_axis(np.broadcast_to(places, elements.shape), best[..., None], -1)[..., 0]
    check(run(level, "max_pool2d", [x], positions.shape, dtype, **attrs), real.max(-1).astype(x.dtype))
    got = run(level, "max_pool2d_argmax", [x], positions.shape, "int32", **attrs)
    np.testing.assert_array_equal(got, positions)

    grad, planes = numbers(rng, positions.shape, dtype), (shape[0], shape[1], -1)
    want = np.zeros((shape[0], shape[1], shape[2] * shape[3]), wide(x).dtype)
    for n, c in np.ndindex(*shape[:2]):
        np.add.at(want[n, c], positions[n, c].ravel(), wide(grad)[n, c].ravel())
    scattered = run(level, "max_pool2d_scatter", [grad, got], shape, dtype, size=shape[2:])
    check(scattered, want.reshape(shape).astype(x.dtype))
    gathered = run(level, "max_pool2d_gather", [x, got], positions.shape, dtype)
    if x.size:
        want = np.take_along_axis(x.reshape(planes), positions.reshape(planes), 2).reshape(positions.shape)
        check(gathered, want)


@every_level
@every_float
@every_pooling
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pooling(level: str, dtype: str, case: tuple[Any, ...], count_include_pad: bool) -> None:
    shape, window, stride, padding, _ = case
    attrs = {"window": window, "stride": stride, "padding": padding, "count_include_pad": count_include_pad}
    rng = np.random.default_rng(7)
    x = numbers(rng, shape, dtype)
    elements, places = windows(x, window, stride, padding, (1, 1), 0)
    counts = elements.shape[-1] if count_include_pad else (places >= 0).sum(-1)
    want = (elements.astype(np.float64).sum(-1) / counts).astype(x.dtype)
    check(run(level, "avg_pool2d", [x], want.shape, dtype, **attrs), want)

    grad = numbers(rng, want.shape, dtype)
    share = np.broadcast_to((wide(grad) / counts)[..., None], elements.shape)
    planes = np.zeros((*shape[:2], shape[2] * shape[3] + 1))
    for n, c in np.ndindex(*shape[:2]):
        np.add.at(planes[n, c], places.ravel(), share[n, c].ravel())
    want = planes[..., :-1].reshape(shape).astype(x.dtype)
    check(run(level, "avg_pool2d_grad", [grad], shape, dtype, size=shape[2:], **attrs), want)


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
            want = np.cumsum(turned, axis, dtype=turned.dtype)
            want = (np.flip(want, axis) if reverse else want).astype(x.dtype)
            check(run(level, "cumsum", [x], shape, dtype, axis=axis, reverse=reverse), want)


# The table -------------------------------------------------------------------------------------------------------
@every_level
def test_every_level_has_the_same_kernels(level: str) -> None:
    assert names(level) == names(LEVELS[0])
    assert len(set(names(level))) == len(names(level))


def test_an_op_without_a_kernel_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="no library kernel"):
        library_call("exp", {}, [], TensorType(DTYPES["float32"], ()))
