"""The words that CUDA kernels are written in, for Numba: types, and functions that are intrinsics of LLVM or PTX.

A kernel's text sees these names, `cuda`, `libdevice` and `math`, and nothing else (`NAMES`). Helpers must be
intrinsics: Numba compiles device functions only where there is a driver. Importing this module imports Numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda, types
from numba.cuda.extending import intrinsic

__all__ = ["NAMES", "TYPES", "pointer"]

TYPES = {
    "f32": types.float32, "f64": types.float64, "i8": types.int8, "i32": types.int32, "i64": types.int64,
    "u8": types.uint8, "u16": types.uint16, "u32": types.uint32, "u64": types.uint64,
}  # fmt: skip
_SHORT, _WORD, _LONG = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()
_BITS = {kind: int(kind[1:]) for kind in TYPES}
_LLVM = {kind: {"f32": _FLOAT, "f64": _DOUBLE}.get(kind, ir.IntType(_BITS[kind])) for kind in TYPES}
_SIZES = (2, 4, 8)  # elements that one access may have
_CONVERSIONS = {"from_bf16": None, "to_bf16": "cvt.rn.bf16.f32", "from_f16": "cvt.f32.f16", "to_f16": "cvt.rn.f16.f32"}
Build = Callable[[ir.IRBuilder, Any], Any]


def pointer(kind: str) -> Any:
    """The type of an operand whose elements are of this type."""
    return types.CPointer(TYPES[kind])


def _unary(source: str, target: str, build: Build) -> Any:
    """A function of one argument as an intrinsic, built of LLVM's instructions."""

    @intrinsic
    def function(context: Any, x: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return build(builder, args[0])

        return TYPES[target](TYPES[source]), generate

    return function


def _converted(step: str) -> Build:
    """A conversion from or to 16 bits: one instruction of PTX, and a shift for bfloat16."""

    def build(builder: ir.IRBuilder, x: Any) -> Any:
        instruction = _CONVERSIONS[step]
        if instruction is None:
            wide = builder.shl(builder.zext(x, _WORD), ir.Constant(_WORD, 16))
            return builder.bitcast(wide, _FLOAT)
        target, source, constraints = (_FLOAT, _SHORT, "=f,h") if step.startswith("from") else (_SHORT, _FLOAT, "=h,f")
        text = ir.InlineAsm(ir.FunctionType(target, [source]), f"{instruction} $0, $1;", constraints)
        return builder.call(text, [x])

    return build


def _rounded(name: str) -> Build:
    return lambda builder, x: _converted(f"from_{name}")(builder, _converted(f"to_{name}")(builder, x))


def _extreme(kind: str, operator: str) -> Any:
    """The larger or the smaller of two floats; nan if one is, and 0.0 above -0.0."""

    @intrinsic
    def extreme(context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            if kind == "f32":
                name = "max" if operator == ">" else "min"
                kinds = ir.FunctionType(_FLOAT, [_FLOAT, _FLOAT])
                return builder.call(ir.InlineAsm(kinds, f"{name}.NaN.f32 $0, $1, $2;", "=f,f,f"), args)
            return _of_doubles(builder, operator, *args)

        return TYPES[kind](TYPES[kind], TYPES[kind]), generate

    return extreme


def _of_doubles(builder: ir.IRBuilder, operator: str, a: Any, b: Any) -> Any:
    bits = [builder.bitcast(value, _LONG) for value in (a, b)]
    of_zeros = (builder.and_ if operator == ">" else builder.or_)(*bits)  # the sign of one, or of both
    first = builder.select(builder.fcmp_ordered(operator, a, b), a, b)
    equal = builder.select(builder.fcmp_ordered("==", a, b), builder.bitcast(of_zeros, _DOUBLE), first)
    return builder.select(builder.fcmp_unordered("uno", a, b), builder.fadd(a, b), equal)


def _either(kind: str) -> Any:
    """The second argument where the first is true, else the third."""

    @intrinsic
    def either(context: Any, choice: Any, yes: Any, no: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return builder.select(builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, 0)), args[1], args[2])

        return TYPES[kind](TYPES["u8"], TYPES[kind], TYPES[kind]), generate

    return either


def _whole(bits: int, kind: Any) -> Build:
    """A float to an integer; out of range, and NaN, to the smallest."""

    def build(builder: ir.IRBuilder, x: Any) -> Any:
        wide = builder.fpext(x, _DOUBLE) if kind is _FLOAT and bits == 32 else x
        real = _DOUBLE if kind is _FLOAT and bits == 32 else kind
        low, high = ir.Constant(real, -(2.0 ** (bits - 1))), ir.Constant(real, 2.0 ** (bits - 1))
        above = builder.fcmp_ordered(">", wide, ir.Constant(real, -(2.0**31) - 1)) if bits == 32 else (
            builder.fcmp_ordered(">=", wide, low)
        )  # fmt: skip
        inside = builder.and_(above, builder.fcmp_ordered("<", wide, high))
        return builder.fptosi(builder.select(inside, wide, low), ir.IntType(bits))

    return build


def _to_odd(builder: ir.IRBuilder, x: Any) -> Any:
    """float64 to float32, where inexact to the odd neighbour: rounding once more, to 16 bits, rounds x once."""
    nearest = builder.fptrunc(x, _FLOAT)
    bits, back = builder.bitcast(nearest, _WORD), builder.fpext(nearest, _DOUBLE)
    one = ir.Constant(_WORD, 1)
    magnitude = [builder.and_(builder.bitcast(value, _LONG), ir.Constant(_LONG, 2**63 - 1)) for value in (back, x)]
    outside = builder.icmp_unsigned(">", *magnitude)
    away = builder.select(outside, builder.sub(bits, one), builder.add(bits, one))
    exact = builder.or_(builder.fcmp_ordered("==", back, x), builder.fcmp_unordered("uno", x, x))
    keep = builder.or_(exact, builder.trunc(bits, ir.IntType(1)))
    return builder.select(keep, nearest, builder.bitcast(away, _FLOAT))


def _wide(kind: str, size: int) -> tuple[Any, Any]:
    """What an access of `size` elements moves, as LLVM sees it: words where elements are shorter, and the elements."""
    element = _LLVM[kind]
    bits = size * _BITS[kind]
    elements = ir.VectorType(element, size)
    return (ir.VectorType(_WORD, bits // 32) if _BITS[kind] < 32 <= bits else elements), elements


def _wide_place(builder: ir.IRBuilder, operand: Any, index: Any, moved: Any) -> Any:
    return builder.bitcast(builder.gep(operand, [index]), moved.as_pointer())


def _wide_load(kind: str, size: int) -> Any:
    """The elements from an index on, at a multiple of what they take, read with one instruction."""
    moved, elements = _wide(kind, size)

    @intrinsic
    def load(context: Any, operand: Any, index: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            found = builder.load(_wide_place(builder, *args, moved), align=size * _BITS[kind] // 8)
            vector = builder.bitcast(found, elements)
            values = [builder.extract_element(vector, ir.Constant(_WORD, k)) for k in range(size)]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(TYPES[kind], size)(operand, index), generate

    return load


def _wide_store(kind: str, size: int) -> Any:
    """Elements from an index on, at a multiple of what they take, written with one instruction."""
    moved, elements = _wide(kind, size)

    @intrinsic
    def store(context: Any, operand: Any, index: Any, values: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            vector = ir.Constant(elements, ir.Undefined)
            for k in range(size):
                vector = builder.insert_element(vector, builder.extract_value(args[2], k), ir.Constant(_WORD, k))
            place = _wide_place(builder, args[0], args[1], moved)
            builder.store(builder.bitcast(vector, moved), place, align=size * _BITS[kind] // 8)
            return context.get_dummy_value()

        return types.void(operand, index, values), generate

    return store


def _zeros(kind: str, size: int) -> Any:
    """Several elements in one local, all 0."""

    @intrinsic
    def zeros(context: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            zero = ir.Constant(_LLVM[kind], 0)
            return context.make_tuple(builder, signature.return_type, [zero] * size)

        return types.UniTuple(TYPES[kind], size)(), generate

    return zeros


def _gathered(builder: ir.IRBuilder, several: Any, kind: str, size: int) -> Any:
    vector = ir.Constant(ir.VectorType(_LLVM[kind], size), ir.Undefined)
    for k in range(size):
        vector = builder.insert_element(vector, builder.extract_value(several, k), ir.Constant(_WORD, k))
    return vector


def _pick(kind: str, size: int) -> Any:
    """One of several elements: in a loop that is unrolled it costs nothing."""

    @intrinsic
    def pick(context: Any, several: Any, number: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return builder.extract_element(_gathered(builder, args[0], kind, size), builder.trunc(args[1], _WORD))

        return TYPES[kind](several, types.int64), generate

    return pick


def _put(kind: str, size: int) -> Any:
    """Several elements, of which one is another."""

    @intrinsic
    def put(context: Any, several: Any, number: Any, value: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            vector = _gathered(builder, args[0], kind, size)
            vector = builder.insert_element(vector, args[2], builder.trunc(args[1], _WORD))
            values = [builder.extract_element(vector, ir.Constant(_WORD, k)) for k in range(size)]
            return context.make_tuple(builder, signature.return_type, values)

        return several(several, types.int64, TYPES[kind]), generate

    return put


_SEVERAL = {"load": _wide_load, "store": _wide_store, "zeros": _zeros, "pick": _pick, "put": _put}
NAMES: dict[str, Any] = {
    "cuda": cuda, "libdevice": cuda.libdevice, "math": math, **TYPES,
    **{step: _unary(*(("u16", "f32") if step.startswith("from") else ("f32", "u16")), _converted(step))
       for step in _CONVERSIONS},
    **{f"round_{name}": _unary("f32", "f32", _rounded(name)) for name in ("bf16", "f16")},
    "i32_of_f32": _unary("f32", "i32", _whole(32, _FLOAT)), "i64_of_f32": _unary("f32", "i64", _whole(64, _FLOAT)),
    "i32_of_f64": _unary("f64", "i32", _whole(32, _DOUBLE)), "i64_of_f64": _unary("f64", "i64", _whole(64, _DOUBLE)),
    "narrow_to_odd": _unary("f64", "f32", _to_odd),
    **{f"larger_{kind}": _extreme(kind, ">") for kind in ("f32", "f64")},
    **{f"smaller_{kind}": _extreme(kind, "<") for kind in ("f32", "f64")},
    **{f"either_{kind}": _either(kind) for kind in TYPES},
    **{f"{what}_{kind}x{size}": make(kind, size)
       for what, make in _SEVERAL.items() for kind in TYPES for size in _SIZES},
}  # fmt: skip
