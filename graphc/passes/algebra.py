"""Rules for elementwise arithmetic, each under the equations that it carries out. c and d are constants.

Nearly all keep every bit, NaN, infinities and signed zeros included. Powers become products and roots, which differ
from pow by a few units in the last place; they agree with it where the base is infinite or a zero of either sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from graphc.ir.types import DTYPES, DType
from graphc.ops.build import apply, broadcast_shapes, broadcast_to, cast, full_like
from graphc.ops.primitives.arithmetic import constant_scalar
from graphc.ops.primitives.views import reshape_to
from graphc.ops.record import ALL, INTEGER, NUMERIC, OPS, SIGNED, Kind
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook

__all__ = ["ALGEBRA", "is_constant", "product_constant"]

ALGEBRA = Rulebook()
BITS, ROUNDING = Keeps.BITS, Keeps.ROUNDING


def is_constant(x: Tensor, value: float) -> bool:
    """Whether `x` repeats the constant `value` (0.0 and -0.0 are told apart)."""
    found = constant_scalar(x)
    return found is not None and found == value and math.copysign(1, found) == math.copysign(1, value)


def product_constant(x: Tensor) -> tuple[Tensor, float] | None:
    """`(y, c)` for a product y * c with a broadcast constant, in either order."""
    if x.op == "multiply":
        for this, other in ((0, 1), (1, 0)):
            factor = constant_scalar(x.inputs[other])
            if factor is not None:
                return x.inputs[this], factor
    return None


# Sums --------------------------------------------------------------------------------------------------------------
@ALGEBRA.rule(
    "add",
    Rewrite("x + x", "x * 2", BITS, lambda x: x + x, dtypes=NUMERIC),
    Rewrite("x + -0.0", "x", BITS, lambda x: x + -0.0),
    Rewrite("x + 0", "x", BITS, lambda x: 0 + x, "of floats, -0.0 + 0.0 is 0.0", dtypes=INTEGER),
    Rewrite("x + -y", "x - y", BITS, lambda x, y: x + -y, dtypes=SIGNED),
    Rewrite("x + broadcast(-s)", "x - broadcast(s)", BITS, lambda a, s: a + broadcast_to(-s, a.shape), dtypes=SIGNED),
)
def _add(node: Tensor) -> Tensor | None:
    if node.inputs[0] is node.inputs[1] and node.dtype.name != "bool":
        return apply("multiply", node.inputs[0], full_like(node, 2))
    for x, y in (node.inputs, node.inputs[::-1]):
        if (is_constant(y, -0.0) and node.dtype.is_float) or (is_constant(y, 0) and node.dtype.is_integer):
            return x
        if (positive := _negated(y)) is not None:
            return apply("subtract", x, positive)
    return None


@ALGEBRA.rule(
    "subtract",
    Rewrite("x - 0", "x", BITS, lambda x: x - 0, dtypes=NUMERIC),
    Rewrite("x - -y", "x + y", BITS, lambda x, y: x - -y, dtypes=SIGNED),
)
def _subtract(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    if is_constant(y, 0):
        return x
    positive = _negated(y)
    return None if positive is None else apply("add", x, positive)


def _negated(x: Tensor) -> Tensor | None:
    """y where `x` is -y, or a broadcast of such a value."""
    if x.op == "negative":
        return x.inputs[0]
    source = x.inputs[0] if x.op == "broadcast_to" else x
    row = source.inputs[0] if source.op == "reshape" else source
    if x is source or row.op != "negative":
        return None
    return broadcast_to(reshape_to(row.inputs[0], source.shape), x.shape)


@ALGEBRA.rule(
    "negative",
    Rewrite("-(-x)", "x", BITS, lambda x: apply("negative", -x), dtypes=SIGNED),
    Rewrite("-(x * c)", "x * -c", BITS, lambda x: -(x * 3)),
)
def _negative(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "negative":
        return x.inputs[0]
    scaled = product_constant(x) if node.dtype.is_float else None
    return None if scaled is None else apply("multiply", scaled[0], full_like(x, -scaled[1]))


# Products ----------------------------------------------------------------------------------------------------------
@ALGEBRA.rule(
    "multiply",
    Rewrite("x * 1", "x", BITS, lambda x: 1 * x, dtypes=NUMERIC),
    Rewrite("m * True", "m", BITS, lambda m: m * True, dtypes=("bool",)),
    Rewrite("x * 0", "0", BITS, lambda x: x * 0, "of floats, NaN and infinities have other products", dtypes=INTEGER),
    Rewrite("x * -1", "-x", BITS, lambda x: x * -1, dtypes=SIGNED),
    Rewrite("-x * -y", "x * y", BITS, lambda x, y: -x * -y, dtypes=SIGNED),
)
def _multiply(node: Tensor) -> Tensor | None:
    a, b = node.inputs
    for x, y in ((a, b), (b, a)):
        factor = constant_scalar(y)
        if factor is None:
            continue
        if factor == 1:
            return x
        if factor == 0 and node.dtype.is_integer:
            return y if y.shape == node.shape else broadcast_to(y, node.shape)
        if factor == -1 and node.dtype.name != "bool":
            return apply("negative", x)
    if a.op == "negative" and b.op == "negative":
        return apply("multiply", a.inputs[0], b.inputs[0])
    return None


@ALGEBRA.rule(
    "multiply",
    Rewrite("-x * c", "x * -c", BITS, lambda x: -x * 3),
    Rewrite(
        "(x * c) * d", "x * (c * d)", BITS, lambda x: (x * 4) * 3,
        "c a power of two from 1 on, abs(d) at least 1, c * d in range: other constants may round, overflow or "
        "underflow on the way",
    ),
)  # fmt: skip
def _scale(node: Tensor) -> Tensor | None:
    """Signs into constant factors, and two factors into one."""
    scaled = product_constant(node) if node.dtype.is_float else None
    if scaled is None:
        return None
    x, factor = scaled
    if x.op == "negative":
        return apply("multiply", x.inputs[0], full_like(node, -factor))
    inner = product_constant(x)
    if inner is None or not _is_exact(inner[1], factor, node.dtype):
        return None
    return apply("multiply", inner[0], full_like(node, inner[1] * factor))


def _is_exact(c: float, d: float, dtype: DType) -> bool:
    """Whether (x * c) * d is x * (c * d) to the bit for every x.

    x * c has then the digits of x or overflows, as does x * (c * d), which is larger; and c * d has the digits of d.
    """
    return abs(c) >= 1 and _is_power_of_two(c) and abs(d) >= 1 and _holds(dtype, c * d)


def _is_power_of_two(value: float) -> bool:
    return math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5


def _holds(dtype: DType, value: float) -> bool:
    """Whether a finite `value` is one of `dtype`."""
    with np.errstate(all="ignore"):
        return math.isfinite(value) and float(dtype.numpy.type(value)) == value


def _smallest_normal(dtype: DType) -> float:
    return {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}[dtype.name]


@ALGEBRA.rule(
    "divide",
    Rewrite("x / 1", "x", BITS, lambda x: x / 1),
    Rewrite("x / -1", "-x", BITS, lambda x: x / -1),
    Rewrite("x / c", "x * (1 / c)", BITS, lambda x: x / 8, "c a power of two"),
)
def _divide(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    value = constant_scalar(y)
    if value is None or not _is_power_of_two(value):
        return None
    if abs(value) == 1:
        return x if value == 1 else apply("negative", x)
    normal = abs(1 / value) >= _smallest_normal(node.dtype)
    return apply("multiply", x, full_like(x, 1 / value)) if normal and _holds(node.dtype, 1 / value) else None


# Powers ------------------------------------------------------------------------------------------------------------
def _one_over(x: Tensor) -> Tensor:
    return apply("divide", full_like(x, 1), x)


def _as_base(x: Tensor) -> Tensor:
    """`x` as the base of a fractional power, for which -inf counts as inf, and -0.0 as 0.0."""
    return apply("where", apply("equal", x, full_like(x, -math.inf)), full_like(x, math.inf), x) + 0.0


def _square(x: Tensor) -> Tensor:
    return apply("multiply", x, x)


def _root(x: Tensor) -> Tensor:
    return apply("sqrt", _as_base(x))


_WHOLE_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    0: lambda x: full_like(x, 1),
    1: lambda x: x,
    2: _square,
    3: lambda x: apply("multiply", _square(x), x),
    4: lambda x: _square(_square(x)),
}
_FLOAT_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    -1: _one_over,
    -2: lambda x: _square(_one_over(x)),
    0.5: _root,
    -0.5: lambda x: _one_over(_root(x)),
    1.5: lambda x: apply("multiply", _as_base(x), _root(x)),
}


def _to_the(exponent: float) -> Callable[[Tensor], Tensor]:
    """An example: `x` to a constant power, before `gx.power` sees to it."""
    return lambda x: apply("power", x, full_like(x, exponent))


@ALGEBRA.rule(
    "power",
    Rewrite("x**0", "1", BITS, _to_the(0), dtypes=NUMERIC),
    Rewrite("x**1", "x", BITS, _to_the(1), dtypes=NUMERIC),
    Rewrite("x**2", "x * x", BITS, _to_the(2), dtypes=NUMERIC),
    Rewrite("x**3, x**4", "products", BITS, _to_the(3), dtypes=INTEGER),
    Rewrite("x**3", "(x * x) * x", ROUNDING, _to_the(3)),
    Rewrite("x**4", "(x * x) * (x * x)", ROUNDING, _to_the(4)),
    Rewrite("x**-1", "1 / x", BITS, _to_the(-1)),
    Rewrite("x**-2", "(1 / x) * (1 / x)", ROUNDING, _to_the(-2)),
    Rewrite("x**0.5", "sqrt(x)", ROUNDING, _to_the(0.5), "x with inf for -inf and 0.0 for -0.0, as in pow"),
    Rewrite("x**-0.5", "1 / sqrt(x)", ROUNDING, _to_the(-0.5), "the same"),
    Rewrite("x**1.5", "x * sqrt(x)", ROUNDING, _to_the(1.5), "the same"),
)
def _power(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    exponent = constant_scalar(y)
    if exponent is None:
        return None
    build = _WHOLE_POWERS.get(exponent) or (_FLOAT_POWERS.get(exponent) if node.dtype.is_float else None)
    if build is None:
        return None
    if node.dtype.is_low_precision and exponent not in (0, 1):  # a power is rounded once
        return cast(build(cast(x, DTYPES["float32"])), node.dtype)
    return build(x)


# Choices and signs -------------------------------------------------------------------------------------------------
@ALGEBRA.rule(
    "where",
    Rewrite("where(True, x, y)", "x", BITS, lambda x, y: apply("where", full_like(x > y, True), x, y), dtypes=ALL),
    Rewrite("where(False, x, y)", "y", BITS, lambda x, y: apply("where", full_like(x > y, False), x, y), dtypes=ALL),
    Rewrite("where(m, x, x)", "x", BITS, lambda m, x: apply("where", m, x, x), dtypes=ALL),
    Rewrite(
        "where(not m, x, y)", "where(m, y, x)", BITS,
        lambda m, x, y: apply("where", apply("logical_not", m), x, y), dtypes=ALL,
    ),
)  # fmt: skip
def _where(node: Tensor) -> Tensor | None:
    condition, a, b = node.inputs
    known = constant_scalar(condition)
    if known is not None or a is b:
        return a if known is None or known else b
    return apply("where", condition.inputs[0], b, a) if condition.op == "logical_not" else None


@ALGEBRA.rule(
    "maximum",
    Rewrite("maximum(x, x)", "x", BITS, lambda x: apply("maximum", x, x), dtypes=ALL),
    Rewrite("maximum(x, 0.0)", "relu(x)", BITS, lambda x: apply("maximum", full_like(x, 0), x)),
)
def _maximum(node: Tensor) -> Tensor | None:
    a, b = node.inputs
    if a is b:
        return a
    for x, y in ((a, b), (b, a)):
        if node.dtype.is_float and is_constant(y, 0.0):
            return apply("relu", x)
    return None


@ALGEBRA.rule("minimum", Rewrite("minimum(x, x)", "x", BITS, lambda x: apply("minimum", x, x), dtypes=ALL))
def _minimum(node: Tensor) -> Tensor | None:
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


@ALGEBRA.rule(
    "abs",
    Rewrite("abs(abs(x))", "abs(x)", BITS, lambda x: apply("abs", apply("abs", x)), dtypes=SIGNED),
    Rewrite("abs(-x)", "abs(x)", BITS, lambda x: apply("abs", -x), dtypes=SIGNED),
)
def _abs(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "abs":
        return x
    return apply("abs", x.inputs[0]) if x.op == "negative" else None


def _twice(*ops: str) -> Callable[..., Tensor]:
    """An example: the ops one after the other, each done twice."""

    def example(x: Tensor) -> Tensor:
        for op in ops:
            x = apply(op, apply(op, x))
        return x

    return example


@ALGEBRA.rule(
    ("logical_not", "bitwise_invert"),
    Rewrite("not not m", "m", BITS, lambda m: _twice("logical_not")(m), dtypes=("bool",)),
    Rewrite("~~x", "x", BITS, _twice("bitwise_invert"), dtypes=(*INTEGER, "bool")),
)
def _itself_twice(node: Tensor) -> Tensor | None:
    """f(f(x)) = x"""
    return node.inputs[0].inputs[0] if node.inputs[0].op == node.op else None


@ALGEBRA.rule(
    ("relu", "sign", "floor", "ceil", "round", "trunc"),
    Rewrite("f(f(x))", "f(x)", BITS, _twice("relu", "sign", "floor", "ceil", "round", "trunc"), "f one of these"),
)
def _once(node: Tensor) -> Tensor | None:
    """f(f(x)) = f(x)"""
    return node.inputs[0] if node.inputs[0].op == node.op else None


# Casts -------------------------------------------------------------------------------------------------------------
_BITS = {
    "float64": 53, "float32": 24, "float16": 11, "bfloat16": 8,
    "int64": 63, "int32": 31, "int8": 7, "uint32": 32, "uint8": 8, "bool": 1,
}  # fmt: skip


def is_lossless(source: DType, target: DType) -> bool:
    """Whether every value of `source` is a value of `target`."""
    if source is target:
        return True
    if source.is_float:
        return target.is_float and target.itemsize > source.itemsize
    if target.kind == "bool" or (source.kind == "int" and target.kind == "uint"):
        return False
    return _BITS[source.name] <= _BITS[target.name]


@ALGEBRA.rule(
    "cast",
    Rewrite(
        "cast(cast(x, wide), d)", "cast(x, d)", BITS, lambda x: cast(cast(x, DTYPES["float64"]), DTYPES["float32"]),
        "wide holds every value of x's dtype", dtypes=("float32", "bfloat16", "float16", "int32", "uint8", "bool"),
    ),
)  # fmt: skip
def _cast(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.dtype is node.dtype:
        return x
    if x.op == "cast" and is_lossless(x.inputs[0].dtype, x.dtype):
        return cast(x.inputs[0], node.dtype)
    return None


# Broadcasts --------------------------------------------------------------------------------------------------------
@ALGEBRA.rule(
    [name for name, op in OPS.items() if op.kind is Kind.ELEMENTWISE],
    Rewrite(
        "f(broadcast(s), broadcast(t))", "broadcast(f(s, t))", BITS,
        lambda s, t: broadcast_to(s, (8, 9)) * broadcast_to(t, (8, 9)), "f elementwise", dtypes=ALL,
    ),
)  # fmt: skip
def _under_broadcast(node: Tensor) -> Tensor | None:
    """Compute once what is the same in every copy."""
    if any(x.op != "broadcast_to" for x in node.inputs):
        return None
    sources = [x.inputs[0] for x in node.inputs]
    shape = broadcast_shapes(*(source.shape for source in sources))
    if math.prod(shape) >= node.size:
        return None
    return broadcast_to(apply(node.op, *(broadcast_to(s, shape) for s in sources), **node.attrs), node.shape)
