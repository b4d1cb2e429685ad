"""Scalar ops as machines do them: which type computes a dtype, which operation an op, which roundings follow.

16-bit floats are computed in float32 and int8 in int32; after a statement that may leave the dtype's values, they are
rounded or wrapped. bool is uint8 holding 0 or 1.
"""

from __future__ import annotations

import struct

import numpy as np

from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.scalar.ops import SCALARS

__all__ = [
    "bits_type",
    "cast_steps",
    "elementwise",
    "load_step",
    "machine_bits",
    "machine_type",
    "rounding",
    "store_step",
]

_MACHINE = {
    "float64": "f64", "float32": "f32", "bfloat16": "f32", "float16": "f32", "int64": "i64", "int32": "i32",
    "int8": "i32", "uint32": "u32", "uint8": "u8", "bool": "u8",
}  # fmt: skip
_NUMPY = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "u32": "<u4", "i64": "<i8", "u8": "u1"}
SIZES = {"u8": 1, "i8": 1, "u16": 2, "i32": 4, "u32": 4, "i64": 8, "f32": 4, "f64": 8}
_SHORT = {"bfloat16": "bf16", "float16": "f16"}


def machine_type(dtype: DType) -> str:
    """The type that computes `dtype`."""
    return _MACHINE[dtype.name]


def bits_type(size: int) -> str:
    """The type that stands for all of `size` bytes where bits alone matter."""
    return {1: "u8", 2: "u16", 4: "u32", 8: "i64"}[size]


def elementwise(op: str, source: DType) -> tuple[str, bool]:
    """The operation for `op` on `source` values, and whether it takes its one argument twice; "" is the identity."""
    before = SCALARS[op]
    if source.kind == "bool" and before.on_bool is not None:
        op = before.on_bool
    if not source.is_float and op and (other := SCALARS[op].on_integers) is not None:
        op = other
    return op, bool(op) and SCALARS[op].arity > before.arity


def rounding(op: str, dtype: DType) -> str:
    """The operation that brings what a scalar op or a reduction gives back to the values of `dtype`, or empty."""
    record = SCALARS.get(op)
    if dtype.name == "int8":
        return "wrap_i8" if record is not None and record.may_wrap else ""
    is_exact = record is not None and record.is_exact
    return f"round_{_SHORT[dtype.name]}" if dtype.name in _SHORT and not is_exact else ""


def load_step(dtype: DType) -> tuple[str, str] | None:
    """(operation, type) from the dtype in memory to its machine type, if they differ."""
    if dtype.name in _SHORT:
        return f"from_{_SHORT[dtype.name]}", "u16"
    return ("to_i32", "i8") if dtype.name == "int8" else None


def store_step(dtype: DType) -> tuple[str, str, int] | None:
    """(operation, type, size) from the machine type to the dtype in memory, if they differ. It rounds 16-bit floats."""
    if dtype.name in _SHORT:
        return f"to_{_SHORT[dtype.name]}", "f32", 2
    return ("to_i8", "i32", 1) if dtype.name == "int8" else None


def cast_steps(source: DType, target: DType) -> list[tuple[str, str, str]]:
    """(operation, type of its argument, type of its result) for each step of a cast."""
    kind, to = machine_type(source), machine_type(target)
    if source is target or (source.kind == "bool" and target.name == "uint8"):
        return []
    if target.kind == "bool":
        return [("to_bool", kind, "u8")]
    steps: list[tuple[str, str, str]] = []
    if target.name in _SHORT:
        if kind in ("i32", "u32", "i64") and source.name != "int8":
            steps.append(("to_f64", kind, "f64"))
            kind = "f64"
        if kind == "f64":
            steps.append(("to_odd", "f64", "f32"))
            kind = "f32"
    if kind != to:
        steps.append((f"to_{to}", kind, to))
    if target.name in _SHORT and source.kind != "bool":
        steps.append((f"round_{_SHORT[target.name]}", "f32", "f32"))
    if target.name == "int8" and source.kind != "bool":
        steps.append(("wrap_i8", "i32", "i32"))
    return steps


def machine_bits(number: Scalar) -> int:
    """The bits of a constant in its machine type, as a signed 64-bit word."""
    kind = machine_type(number.dtype)
    with np.errstate(all="ignore"):
        wide = number.element.astype(_NUMPY[kind])
    (word,) = struct.unpack("<q", wide.tobytes().ljust(8, b"\0"))
    return int(word)
