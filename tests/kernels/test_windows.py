"""Convolutions and pooling, at every instruction set level, against NumPy: every shape of window, every dtype."""

import functools
from typing import Any

import numpy as np
import pytest

from graphc.ir.types import DTYPES
from tests.kernels.checking import check, every_level, numbers, run, run_several, wide


# Convolutions ----------------------------------------------------------------------------------------------------
def convolution(
    x: np.ndarray, w: np.ndarray, grad: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The definition and its two transposes at `grad`, one group and tap at a time over all images and positions."""
    padded = np.pad(wide(x).astype(np.float64), ((0, 0), (0, 0), *padding))
    w, grad = wide(w).astype(np.float64), wide(grad).astype(np.float64)
    out, input_grad, weight_grad = np.zeros(grad.shape), np.zeros(padded.shape), np.zeros(w.shape)
    (_, channels, *kernel), share = w.shape, w.shape[0] // groups
    for g, i, j in np.ndindex(groups, *kernel):
        rows = i * dilation[0] + stride[0] * np.arange(grad.shape[2])
        columns = j * dilation[1] + stride[1] * np.arange(grad.shape[3])
        where = np.ix_(np.arange(len(x)), g * channels + np.arange(channels), rows, columns)
        filters = slice(g * share, (g + 1) * share)
        seen, tap, part = padded[where], w[filters, :, i, j], grad[:, filters]
        out[:, filters] += np.einsum("nchw,oc->nohw", seen, tap, optimize=True)
        input_grad[where] += np.einsum("nohw,oc->nchw", part, tap, optimize=True)
        weight_grad[filters, :, i, j] = np.einsum("nohw,nchw->oc", part, seen, optimize=True)
    (top, _), (left, _) = padding
    return out, input_grad[:, :, top : top + x.shape[2], left : left + x.shape[3]], weight_grad


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
    # two rows of squares to a vector, of which the last has one, or neither is full; for vectors of each length
    ((2, 33, 10, 16), 40, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 16, 13, 14), 35, (3, 3), (1, 1), ((2, 0), (0, 1)), (1, 1), 1),
    ((2, 16, 9, 11), 32, (3, 3), (1, 1), ((0, 0), (1, 1)), (1, 1), 1),
    ((2, 32, 7, 7), 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),
    ((1, 80, 8, 8), 33, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    # few weights and whole vectors along the rows; several bands of rows
    ((3, 3, 17, 32), 10, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 4, 20, 33), 10, (5, 3), (2, 2), ((0, 1), (1, 0)), (1, 1), 2),
    ((1, 3, 160, 224), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
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


@functools.lru_cache(maxsize=8)
def operands_and_results(case: tuple[Any, ...], dtype: str) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Input, weights and gradient of a case, and what the definition says of them: the same for every level."""
    shape, filters, kernel, *attrs, groups = case
    rng = np.random.default_rng(5)
    x, w = numbers(rng, shape, dtype), numbers(rng, (filters, shape[1] // groups, *kernel), dtype)
    grad = numbers(rng, out_shape(case), dtype)
    return (x, w, grad), tuple(want.astype(x.dtype) for want in convolution(x, w, grad, *attrs, groups))


def check_convolution(level: str, case: tuple[Any, ...], dtype: str) -> None:
    *_, stride, padding, dilation, groups = case
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    (x, w, grad), (out, input_grad, weight_grad) = operands_and_results(case, dtype)
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
    ((2, 3, 6, 64), (2, 2), (2, 2), NO_PAD, (1, 1)),
    ((2, 3, 32, 16), (3, 3), (2, 2), ((1, 0), (1, 0)), (1, 1)),
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
    maxima, found = run_several(level, "max_pool2d_both", [x], **attrs)
    check(maxima, real.max(-1).astype(x.dtype))
    np.testing.assert_array_equal(found, positions)

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
