"""Rules for elementwise arithmetic. c is a constant, T and F are true and false.

Exact, NaN, infinities and signed zeros included:
    x + -0.0 = x - 0.0 = x * 1 = x / 1 = x          --x = x               x + -y = x - y        x - -y = x + y
    also where -y is broadcast
    x + x = x * 2             x * -1 = x / -1 = -x      -x * -y = x * y       -x * c = x * -c       -(x * c) = x * -c
    |-x| = ||x|| = |x|
    x / c = x * (1/c) = x * c'                      c a power of two      where(T, a, b) = where(c, a, a) = a
    where(not m, a, b) = where(m, b, a)             not not m = m         maximum(x, x) = minimum(x, x) = x
    maximum(x, 0) = relu(x)
    cast(cast(x, wide), d) = cast(x, d)             wide holds every value of x's dtype
    f(broadcast(x), broadcast(y)) = broadcast(f(x, y))
Integers only (floats differ for NaN, infinities or -0.0):  x + 0 = x,  x * 0 = 0
Rounded once instead of twice:                              (x * c) * d = x * (c * d)
Products and roots, a few ulp from pow (NumPy's operator `**` does the same for 2, 0.5 and -1; -0.0**0.5 is -0.0 here):
    x**0, x**1, x**2, x**3, x**4, x**-1, x**-2, x**0.5, x**-0.5, x**1.5
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from graphc.ir.types import DType
from graphc.ops.arithmetic import constant_scalar
from graphc.ops.build import apply, broadcast_shapes, broadcast_to, cast, full_like
from graphc.ops.record import OPS, Kind
from graphc.ops.tensor import Tensor
from graphc.ops.views import reshape_to
from graphc.passes.rewriting import Rule, Rules, merged

__all__ = ["ALGEBRA_RULES", "is_constant", "product_constant"]


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
def _add(node: Tensor) -> Tensor | None:
    if node.inputs[0] is node.inputs[1] and node.dtype.name != "bool":
        return apply("multiply", node.inputs[0], full_like(node, 2))
    for x, y in (node.inputs, node.inputs[::-1]):
        if (is_constant(y, -0.0) and node.dtype.is_float) or (is_constant(y, 0) and node.dtype.is_integer):
            return x
        if (positive := _negated(y)) is not None:
            return apply("subtract", x, positive)
    return None


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


def _negative(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "negative":
        return x.inputs[0]
    scaled = product_constant(x) if node.dtype.is_float else None
    return None if scaled is None else apply("multiply", scaled[0], full_like(x, -scaled[1]))


# Products ----------------------------------------------------------------------------------------------------------
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
    return _scale(node) if node.dtype.is_float else None


def _scale(node: Tensor) -> Tensor | None:
    """Gather constant factors, and signs into them."""
    scaled = product_constant(node)
    if scaled is None:
        return None
    x, factor = scaled
    if x.op == "negative":
        return apply("multiply", x.inputs[0], full_like(node, -factor))
    inner = product_constant(x)
    if inner is None:
        return None
    with np.errstate(all="ignore"):
        both = node.dtype.numpy.type(inner[1] * factor)
    # A product of constants that leaves the normal range would lose what the two steps keep.
    usual = factor == 0 or inner[1] == 0 or abs(float(both)) >= _smallest_normal(node.dtype)
    return apply("multiply", inner[0], full_like(node, float(both))) if np.isfinite(both) and usual else None


def _smallest_normal(dtype: DType) -> float:
    return {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}[dtype.name]


def _divide(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    value = constant_scalar(y)
    if value is None or not math.isfinite(value) or value == 0:
        return None
    if abs(value) == 1:
        return x if value == 1 else apply("negative", x)
    exact = abs(math.frexp(value)[0]) == 0.5 and abs(1 / value) >= _smallest_normal(node.dtype)
    return apply("multiply", x, full_like(x, 1 / value)) if exact and _holds(node.dtype, 1 / value) else None


def _holds(dtype: DType, value: float) -> bool:
    with np.errstate(all="ignore"):
        return float(dtype.numpy.type(value)) == value


# Powers ------------------------------------------------------------------------------------------------------------
_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    0: lambda x: full_like(x, 1),
    1: lambda x: x,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x),
}
_FLOAT_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    -1: lambda x: apply("divide", full_like(x, 1), x),
    -2: lambda x: apply("divide", full_like(x, 1), x * x),
    0.5: lambda x: apply("sqrt", x),
    -0.5: lambda x: apply("divide", full_like(x, 1), apply("sqrt", x)),
    1.5: lambda x: x * apply("sqrt", x),
}


def _power(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    exponent = constant_scalar(y)
    if exponent is None:
        return None
    build = _POWERS.get(exponent) or (_FLOAT_POWERS.get(exponent) if node.dtype.is_float else None)
    return None if build is None else build(x)


# Choices and signs -------------------------------------------------------------------------------------------------
def _where(node: Tensor) -> Tensor | None:
    condition, a, b = node.inputs
    known = constant_scalar(condition)
    if known is not None or a is b:
        return a if known is None or known else b
    return apply("where", condition.inputs[0], b, a) if condition.op == "logical_not" else None


def _maximum(node: Tensor) -> Tensor | None:
    a, b = node.inputs
    if a is b:
        return a
    for x, y in ((a, b), (b, a)):
        if node.dtype.is_float and is_constant(y, 0.0):
            return apply("relu", x)
    return None


def _minimum(node: Tensor) -> Tensor | None:
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


def _abs(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "abs":
        return x
    return apply("abs", x.inputs[0]) if x.op == "negative" else None


def _itself_twice(node: Tensor) -> Tensor | None:
    """f(f(x)) = x"""
    return node.inputs[0].inputs[0] if node.inputs[0].op == node.op else None


def _once(node: Tensor) -> Tensor | None:
    """f(f(x)) = f(x)"""
    return node.inputs[0] if node.inputs[0].op == node.op else None


# Casts -------------------------------------------------------------------------------------------------------------
_BITS = {
    "float64": 53, "float32": 24, "float16": 11, "bfloat16": 8,
    "int64": 63, "int32": 31, "int8": 7, "uint32": 32, "uint8": 8, "bool": 1,
}  # fmt: skip


def _is_lossless(source: DType, target: DType) -> bool:
    """Whether every value of `source` is a value of `target`."""
    if source is target:
        return True
    if source.is_float:
        return target.is_float and target.itemsize > source.itemsize
    if target.kind == "bool" or (source.kind == "int" and target.kind == "uint"):
        return False
    return _BITS[source.name] <= _BITS[target.name]


def _cast(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.dtype is node.dtype:
        return x
    if x.op == "cast" and _is_lossless(x.inputs[0].dtype, x.dtype):
        return cast(x.inputs[0], node.dtype)
    return None


# Broadcasts --------------------------------------------------------------------------------------------------------
def _under_broadcast(node: Tensor) -> Tensor | None:
    """Compute once what is the same in every copy."""
    if any(x.op != "broadcast_to" and x.shape != () for x in node.inputs) or not node.shape:
        return None
    sources = [x.inputs[0] for x in node.inputs]
    shape = broadcast_shapes(*(source.shape for source in sources))
    if math.prod(shape) >= node.size:
        return None
    return broadcast_to(apply(node.op, *(broadcast_to(s, shape) for s in sources), **node.attrs), node.shape)


_SPECIFIC: Rules = {
    "add": (_add,),
    "subtract": (_subtract,),
    "negative": (_negative,),
    "multiply": (_multiply,),
    "divide": (_divide,),
    "power": (_power,),
    "where": (_where,),
    "maximum": (_maximum,),
    "minimum": (_minimum,),
    "abs": (_abs,),
    "cast": (_cast,),
    **dict.fromkeys(("logical_not", "bitwise_invert"), (_itself_twice,)),
    **dict.fromkeys(("relu", "sign", "floor", "ceil", "round", "trunc"), (_once,)),
}
_ELEMENTWISE: tuple[Rule, ...] = (_under_broadcast,)
ALGEBRA_RULES: Rules = merged(
    _SPECIFIC, {name: _ELEMENTWISE for name, op in OPS.items() if op.kind is Kind.ELEMENTWISE}
)
