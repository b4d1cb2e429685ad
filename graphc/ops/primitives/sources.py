"""Where values come from: `input` and `parameter`, built by the DSL, which knows their storage; and `iota`."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, InternalError, ShapeError
from graphc.ir.types import DType, TensorType, tensor_type
from graphc.ops.record import NO_GRADIENT, NUMERIC, Kind, primitive


def _has_no_reference(**attrs: Any) -> Any:
    raise InternalError("inputs and parameters are given, not computed")


primitive(
    "input", kind=Kind.SOURCE, infer=lambda *, name, shape, dtype: tensor_type(shape, dtype), vjp=(), jvp=NO_GRADIENT,
    reference=_has_no_reference, cost=0,
)  # fmt: skip
primitive(
    "parameter", kind=Kind.SOURCE, infer=lambda *, name, uid, shape, dtype: tensor_type(shape, dtype), vjp=(),
    jvp=NO_GRADIENT, reference=_has_no_reference, cost=0,
)  # fmt: skip


# Index tables -------------------------------------------------------------------------------------
def _infer_iota(*, shape: tuple[int, ...], axis: int, dtype: DType) -> TensorType:
    if not 0 <= axis < len(shape):
        raise ShapeError(f"iota counts along an axis of its shape {shape}, not {axis}")
    if dtype.name not in NUMERIC:
        raise DTypeError(f"iota counts in numbers, not in {dtype}")
    return TensorType(dtype, shape)


def _iota_reference(*, shape: tuple[int, ...], axis: int, dtype: DType) -> Any:
    line = np.arange(shape[axis]).astype(dtype.numpy)
    return np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)


primitive("iota", kind=Kind.GENERATED, infer=_infer_iota, vjp=(), jvp=NO_GRADIENT, reference=_iota_reference)
