"""What the tests of library kernels share: the levels, running a kernel through its tiles, how close is right."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.backends.cpu.library import OperandView, library_call
from graphc.ir.types import DTYPES, TensorType, TupleType, dtype_of
from graphc.kernels import cpu
from graphc.ops.record import OPS
from tests.kernels.launching import launch, launch_several

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


def run_several(level: str, op: str, inputs: list[np.ndarray], **attrs: Any) -> list[np.ndarray]:
    """The same for an op of several results, whose types are those of its rule."""
    views = [view_of(array) for array in inputs]
    result = OPS[op].infer(*(TensorType(view.dtype, view.shape) for view in views), **attrs)
    assert isinstance(result, TupleType)
    call, types = library_call(op, attrs, views, result), [(part.shape, part.dtype.numpy) for part in result.parts]
    forward = launch_several(level, call, inputs, types)
    backward = launch_several(level, call, inputs, types, reversed(range(call.tiles)))
    assert [part.tobytes() for part in forward] == [part.tobytes() for part in backward]
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
