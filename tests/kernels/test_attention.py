"""The attention kernels at every instruction set level: odd shapes, strides, masks, dtypes, cuts into tiles."""

import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.backends.cpu import attention as library_attention
from graphc.backends.cpu.library import library_call
from graphc.ir.types import DTYPES, TensorType, TupleType
from graphc.kernels import cpu
from graphc.ops.record import OPS
from tests.kernels.checking import run_several, view_of
from tests.kernels.launching import launch_several

LEVELS = cpu.supported_levels()
every_level = pytest.mark.parametrize("level", LEVELS)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 1e-5, "float16": 1e-5}  # all that is rounded is the input

#         batch, Tq, Tk, d, w
SHAPES = (
    ((), 1, 1, 1, 1),
    ((3,), 2, 5, 3, 7),
    ((2, 3), 33, 65, 17, 31),
    ((1, 2, 2), 64, 64, 64, 64),
    ((2,), 100, 300, 48, 80),
    ((1, 1), 300, 290, 20, 16),
    ((2,), 31, 1, 3, 3),
    ((5, 1), 257, 9, 130, 5),
)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(DTYPES[dtype].numpy)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same array through other strides: T before the heads, columns first, backwards and spread, or as it is."""
    if layout == "heads" and array.ndim > 3:
        return np.ascontiguousarray(array.swapaxes(-2, -3)).swapaxes(-2, -3)
    if layout == "columns":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "backwards":
        spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::-2]
        spread[...] = array
        return spread
    return array


def mask_of(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    """No mask, bools that hide whole rows too, numbers to add, or one row of bools for all queries."""
    if kind == "none":
        return []
    if kind == "row":
        return [np.broadcast_to(rng.random((*shape[:-2], 1, shape[-1])) < 0.7, shape)]
    seen = rng.random(shape) < 0.7
    seen[..., ::5, :] = False
    if kind == "bools":
        return [seen]
    return [np.where(seen, rng.standard_normal(shape), -np.inf).astype(DTYPES[dtype].numpy)]


def wide(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [a.astype(np.float32) if a.dtype in (ml_dtypes.bfloat16, np.float16) else a for a in arrays]


def check(op: str, level: str, inputs: list[np.ndarray], **attrs: Any) -> list[np.ndarray]:
    """The kernel's answers, which agree with the reference and do not depend on the order of tiles."""
    found = run_several(level, op, inputs, **attrs)
    wanted = OPS[op].reference(*wide(inputs), **attrs)
    finite = np.concatenate([np.abs(want[np.isfinite(want)]).ravel() for want in wanted])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[inputs[0].dtype.name] * scale)
    return found


def check_both(level: str, shape: Any, dtype: str, layout: str, mask: str, causal: bool) -> None:
    batch, rows, keys, depth, width = shape
    rng = np.random.default_rng(rows)
    attrs = {"causal": causal, "scale": depth**-0.5}
    real = "float64" if dtype == "float64" else "float32"
    q, k, v, g = (
        laid_out(numbers(rng, (*batch, *matrix), kind), layout)
        for *matrix, kind in ((rows, depth, dtype), (keys, depth, dtype), (keys, width, dtype), (rows, width, real))
    )
    masks = mask_of(rng, mask, (*batch, rows, keys), dtype)
    _, *of_rows = check("attention", level, [q, k, v, *masks], **attrs)
    check("attention_grad", level, [q, k, v, g, *of_rows, numbers(rng, (*batch, rows), real), *masks], **attrs)


@every_level
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_odd_shapes(level: str, shape: Any, causal: bool) -> None:
    for layout, mask in (("plain", "none"), ("heads", "bools"), ("columns", "numbers"), ("backwards", "row")):
        check_both(level, shape, "float32", layout, mask, causal)


@every_level
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes(level: str, dtype: str) -> None:
    for layout, mask in (("heads", "none"), ("columns", "numbers"), ("backwards", "bools")):
        check_both(level, ((2, 2), 37, 70, 18, 33), dtype, layout, mask, causal=True)


@every_level
def test_no_keys(level: str) -> None:
    check_both(level, ((2,), 3, 0, 4, 5), "float32", "plain", "none", causal=False)


@every_level
@pytest.mark.parametrize("causal", [False, True])
def test_few_large_batches_are_cut(level: str, causal: bool) -> None:
    """The gradient by parts of a batch is the same, to rounding, as by whole batches."""
    rng = np.random.default_rng(4)
    q, k, v, g = (numbers(rng, (1, 520, 40), "float32") for _ in range(4))
    attrs = {"causal": causal, "scale": 0.2}
    _, *of_rows = check("attention", level, [q, k, v], **attrs)
    inputs = [q, k, v, g, *of_rows, numbers(rng, (1, 520), "float32")]
    got = check("attention_grad", level, inputs, **attrs)
    real = DTYPES["float32"]
    result = TupleType(tuple(TensorType(real, part.shape) for part in got))
    call = library_call("attention_grad", attrs, [view_of(array) for array in inputs], result)
    types = [(part.shape, part.dtype) for part in got]
    assert call.tiles == 6
    params = (*call.params[:8], 520, 0, *call.params[10:])
    whole = type(call)(call.name, params, 1, call.scratch, call.work)
    for one, other in zip(launch_several(level, whole, inputs, types), got, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@every_level
def test_nan_stays_where_it_is_seen(level: str) -> None:
    rng = np.random.default_rng(5)
    q, k, v = (numbers(rng, (1, 40, 8), "float32") for _ in range(3))
    k[0, 20, 3] = np.nan
    got = run_several(level, "attention", [q, k, v], causal=True, scale=1.0)[0][0]
    assert np.isfinite(got[:20]).all()
    assert np.isnan(got[20:]).all()


@every_level
def test_large_scores_do_not_overflow(level: str) -> None:
    q = np.full((1, 3, 2), 100.0, np.float32)
    got = check(
        "attention", level, [q, q, numbers(np.random.default_rng(6), (1, 3, 2), "float32")], causal=False, scale=1.0
    )
    assert all(np.isfinite(part).all() for part in got)


def test_parameters() -> None:
    """Sizes, flags and the bits of the scale where the header says they are."""
    q = np.zeros((2, 3, 5, 4), np.float32)
    mask = np.zeros((2, 3, 5, 5), bool)
    views = [view_of(a) for a in (q, q, q, mask)]
    real = DTYPES["float32"]
    result = TupleType((TensorType(real, (2, 5, 3, 4)), *2 * (TensorType(real, (2, 3, 5)),)))
    call = library_attention.attention({"causal": True, "scale": 0.5}, views, result)
    (scale,) = struct.unpack("<q", struct.pack("<d", 0.5))
    assert call.params[:12] == (7, 5, 5, 4, 4, 6, 3, scale, 5, 0, 4, 2)
    assert call.name == "attention_f32"
    assert call.tiles == 6
