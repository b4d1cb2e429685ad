"""How an op's operand lies in memory when its kernel reads it."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.types import DType, TensorType

__all__ = ["OperandView", "ceil_div", "contiguous_strides", "type_tag"]

_TAGS = {
    "float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16", "int64": "i64", "int32": "i32",
    "int8": "i8", "uint32": "u32", "uint8": "u8", "bool": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class OperandView:
    """A tensor read through strides, counted in elements; where it starts is said by the launch's `Ref`."""

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @staticmethod
    def contiguous(type: TensorType) -> OperandView:
        """The view of a whole row-major tensor."""
        return OperandView(type.dtype, type.shape, contiguous_strides(type.shape))


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    strides: list[int] = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def type_tag(dtype: DType) -> str:
    """The suffix that kernels for `dtype` have in their names."""
    return _TAGS[dtype.name]


def ceil_div(a: int, b: int) -> int:
    """`a / b` rounded up."""
    return -(-a // b)
