"""Scalar ops as lines of a CUDA kernel: expressions over locals in their machine types (kernel/machine.py).

16-bit floats are unsigned integers of 16 bits in memory and float32 in locals; int8 is int32, bool is uint8.
"""

from __future__ import annotations

import math

from graphc.errors import BackendError
from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.machine import cast_steps, elementwise, load_step, machine_bits, machine_type, rounding, store_step
from graphc.scalar.cuda import CUDA_FLOATS, CUDA_INTEGERS

__all__ = ["call", "cast", "from_memory", "literal", "loaded", "memory_type", "rounded", "stored", "to_memory", "whole"]

_WIDTH = {"i32": 32, "i64": 64, "u32": 32, "u8": 8}


def memory_type(dtype: DType) -> str:
    """The type of an element in memory."""
    step = load_step(dtype)
    return step[1] if step else machine_type(dtype)


def loaded(dtype: DType, element: str) -> str:
    """The value of an element in memory."""
    step = load_step(dtype)
    return element if step is None else f"i32({element})" if step[1] == "i8" else f"{step[0]}({element})"


def stored(dtype: DType, value: str) -> str:
    """The element in memory that stands for a value."""
    step = store_step(dtype)
    return value if step is None else f"i8({value})" if step[0] == "to_i8" else f"{step[0]}({value})"


def from_memory(dtype: DType) -> str:
    """The function that makes a value of an element in memory."""
    step = load_step(dtype)
    return machine_type(dtype) if step is None or step[1] == "i8" else step[0]


def to_memory(dtype: DType) -> str:
    """The function that makes an element in memory of a value."""
    step = store_step(dtype)
    return machine_type(dtype) if step is None else "i8" if step[0] == "to_i8" else step[0]


def rounded(op: str, dtype: DType, value: str) -> str:
    """The result of `op` brought back to the values of `dtype`."""
    return _step(rounding(op, dtype), value)


def _step(step: str, value: str) -> str:
    return f"i32(i8({value}))" if step == "wrap_i8" else f"{step}({value})" if step else value


def call(op: str, source: DType, args: list[str], result: str) -> list[str]:
    """The lines of a scalar op on values of `source`, the last of them its value, not yet rounded.

    `result` is the local that it is for.
    """
    kind = machine_type(source)
    if op != "where":
        op, twice = elementwise(op, source)
        if not op:
            return [args[0]]
        args = args * 2 if twice else args
    is_float = source.is_float if op != "where" else kind in ("f32", "f64")
    text = (CUDA_FLOATS if is_float else CUDA_INTEGERS).get(op)
    if text is None:
        raise BackendError(f"the scalar op {op!r} has no spelling in CUDA kernels: it wants one in scalar/cuda.py")
    a, b, c = (*args, "", "")[:3]
    single = kind == "f32"
    filled = text.format(
        a=a, b=b, c=c, t=kind, r=result, f="f" if single else "", s="f" if single else "d", w=_WIDTH.get(kind, 0)
    )
    return filled.split("\n")


def cast(source: DType, target: DType, value: str) -> str:
    """`value` of `source` as `target`."""
    for step, kind, to in cast_steps(source, target):
        if step == "to_bool":
            value = f"u8({value} != {kind}(0))"
        elif step == "to_odd":
            value = f"narrow_to_odd({value})"
        elif step.startswith(("round_", "wrap_")):
            value = _step(step, value)
        elif kind in ("f32", "f64") and to in ("u8", "i32", "u32", "i64"):
            wide = "i64" if to in ("u32", "i64") else "i32"
            value = f"{wide}_of_{kind}({value})"
            value = value if wide == to else f"{to}({value})"
        else:
            value = f"{to}({value})"
    return value


def literal(number: Scalar) -> str:
    """A constant with exactly the value's bits."""
    kind, value = machine_type(number.dtype), number.value
    if isinstance(value, int):
        return whole(kind, int(value))
    if math.isnan(value):
        bits = machine_bits(number)
        single = f"libdevice.int_as_float(i32({_signed(bits, 32)}))"
        return single if kind == "f32" else f"libdevice.longlong_as_double(i64({bits}))"
    return f"{kind}({_float(value)})"


def whole(kind: str, number: int) -> str:
    """An integer of a type. The smallest has no literal: its opposite does not fit."""
    return f"{kind}({number + 1} - 1)" if number == -(1 << 63) else f"{kind}({number})"


def _signed(bits: int, width: int) -> int:
    low = bits & ((1 << width) - 1)
    return low - (1 << width) if low >> (width - 1) else low


def _float(number: float) -> str:
    return f"{'-' if number < 0 else ''}math.inf" if math.isinf(number) else repr(number)
