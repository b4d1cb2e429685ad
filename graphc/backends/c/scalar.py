"""Scalar ops as C expressions over locals: plain operators where C's are right, functions of the headers elsewhere.

A value is held in its machine type (kernel/machine.py): 16-bit floats in float, int8 in int32_t, bool in uint8_t as 0
or 1. Each statement's result is rounded or wrapped to its dtype, as in the tile machine.
"""

from __future__ import annotations

import math

from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.machine import (
    cast_steps,
    elementwise,
    load_step,
    machine_bits,
    machine_type,
    rounding,
    store_step,
)  # fmt: skip
from graphc.scalar.ops import SCALARS

__all__ = ["C_TYPES", "call", "cast", "literal", "loaded", "memory_type", "rounded", "stored", "value_type"]

C_TYPES = {
    "f32": "float", "f64": "double", "i32": "int32_t", "i64": "int64_t", "u32": "uint32_t", "u8": "uint8_t",
    "i8": "int8_t", "u16": "uint16_t",
}  # fmt: skip
_ONE_OR_NONE = {"f32": "1.0f : 0.0f", "f64": "1.0 : 0.0"}
_TO_INTEGER = {
    ("f32", "u8"): "(uint8_t)gc_f32_to_i32", ("f64", "u8"): "(uint8_t)gc_f64_to_i32",
    ("f32", "i32"): "gc_f32_to_i32", ("f64", "i32"): "gc_f64_to_i32",
    ("f32", "u32"): "(uint32_t)gc_f32_to_i64", ("f64", "u32"): "(uint32_t)gc_f64_to_i64",
    ("f32", "i64"): "gc_f32_to_i64", ("f64", "i64"): "gc_f64_to_i64",
}  # fmt: skip


def value_type(dtype: DType) -> str:
    """The C type of a local that holds a value of `dtype`."""
    return C_TYPES[machine_type(dtype)]


def memory_type(dtype: DType) -> str:
    """The C type of an element of `dtype` in memory."""
    step = load_step(dtype)
    return C_TYPES[step[1] if step else machine_type(dtype)]


def loaded(dtype: DType, element: str) -> str:
    """The value of an element in memory."""
    step = load_step(dtype)
    return f"gc_{step[0]}({element})" if step and step[1] == "u16" else element


def stored(dtype: DType, value: str) -> str:
    """The element in memory that stands for a value."""
    step = store_step(dtype)
    return value if step is None else f"(int8_t){value}" if step[0] == "to_i8" else f"gc_{step[0]}({value})"


def rounded(op: str, dtype: DType, value: str) -> str:
    """The result of `op` brought back to the values of `dtype`."""
    return _step(rounding(op, dtype), value)


def _step(step: str, value: str) -> str:
    return f"(int8_t)({value})" if step == "wrap_i8" else f"gc_{step}({value})" if step else value


def call(op: str, source: DType, args: list[str]) -> str:
    """A scalar op on values of `source`, not yet rounded; sines of any argument."""
    if op == "where":
        return f"{args[0]} ? {args[1]} : {args[2]}"
    op, twice = elementwise(op, source)
    if not op:
        return args[0]
    record, args = SCALARS[op], args * 2 if twice else args
    if record.operator and (source.is_float or not record.of_floats_alone):
        return f" {record.operator} ".join(args) if record.arity == 2 else f"{record.operator}{args[0]}"
    prefix = "gc" if record.is_elementary and source.is_float else "gc_op"
    return f"{prefix}_{op}_{machine_type(source)}({', '.join(args)})"


def cast(source: DType, target: DType, value: str, *, skip_rounding: bool) -> str:
    """`value` of `source` as `target`; `skip_rounding` leaves the last rounding to the store."""
    steps = cast_steps(source, target)
    if skip_rounding and steps and steps[-1][0].startswith("round_"):
        steps = steps[:-1]
    for step, kind, to in steps:
        if step == "to_bool":
            value = f"{value} != 0"
        elif step == "to_odd":
            value = f"gc_narrow_to_odd({value})"
        elif step.startswith(("round_", "wrap_")):
            value = _step(step, value)
        elif source.kind == "bool" and to in _ONE_OR_NONE:  # a select of constants, which compilers keep in vectors
            value = f"({value} ? {_ONE_OR_NONE[to]})"
        elif (kind, to) in _TO_INTEGER:
            value = f"{_TO_INTEGER[kind, to]}({value})"
        else:
            value = f"({C_TYPES[to]}){value}"
    return value


def literal(number: Scalar) -> str:
    """A constant as C text with exactly the value's bits, and its decimal form as a comment where they differ."""
    bits, kind, value = machine_bits(number), machine_type(number.dtype), number.value
    if kind == "f32":
        return _float(value, "f", f"gc_float_f32({bits & 0xFFFFFFFF:#x}u)")
    if kind == "f64":
        return _float(value, "", f"gc_float_f64(UINT64_C({bits & 0xFFFFFFFFFFFFFFFF:#x}))")
    if kind == "u32":
        return f"{value}u"
    if kind == "i64":
        return "INT64_MIN" if value == -(2**63) else f"INT64_C({value})"
    return "INT32_MIN" if value == -(2**31) else str(int(value))


def _float(number: float, suffix: str, nan: str) -> str:
    if math.isnan(number):
        return nan
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    short = f"{number:.4g}"
    if float(short) == number and "e" not in short:
        return f"{short if '.' in short else short + '.0'}{suffix}"
    mantissa, exponent = number.hex().split("p")
    mantissa = mantissa.rstrip("0") if "." in mantissa else mantissa
    return f"{mantissa.rstrip('.')}p{exponent}{suffix} /* {_shortest(number)} */"


def _shortest(number: float) -> str:
    """A decimal number that is close: a comment for people."""
    for digits in (4, 6):
        text = f"{number:.{digits}g}"
        if abs(float(text) - number) <= abs(number) * 1e-7:
            return text
    return f"{number:.6g}"
