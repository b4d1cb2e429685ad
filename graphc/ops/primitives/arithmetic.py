"""Arithmetic: sums, products, quotients, powers, signs and rounding, as NumPy has them.

Integers wrap around; `x // 0` and `x % 0` are 0 for them, as in NumPy, without a trap. Gradient formulas are
elementary calculus; what happens at kinks, ties and poles is said in each function's convention.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError
from graphc.ops.build import as_tensor, invoke, zeros_like
from graphc.ops.elementwise import Errors, binary, elementwise_rule, over, unary
from graphc.ops.record import ALL, FLOAT, NUMERIC, SIGNED, ZERO, Arg, Jvp, Kind, Sample, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "add", "ceil", "constant_scalar", "divide", "floor", "floor_divide", "fmod", "multiply", "negative",
    "power_reference", "remainder", "round", "sign", "subtract", "trunc",
]  # fmt: skip

_BOOL_OPERAND: Errors = [(DTypeError, (Arg((2,), dtype="bool"),), {})]
_BOOL_OPERANDS: Errors = [(DTypeError, (Arg((2,), dtype="bool"), Arg((2,), dtype="bool")), {})]

negative = unary(
    "negative", "The numerical negative -x; unsigned integers wrap around.",
    derivative="-1", vjp=lambda g, y, x: -g, reference=np.negative, accepts=NUMERIC, errors=_BOOL_OPERAND,
    example="negative([1.0, -2.0])  # array([-1.,  2.], dtype=float32)",
)  # fmt: skip


primitive(
    "abs", kind=Kind.ELEMENTWISE, infer=elementwise_rule("abs", SIGNED), jvp=Jvp.POINTWISE, reference=np.abs,
    vjp=(lambda g, y, x: g * invoke("sign", x),),
)  # fmt: skip


sign = unary(
    "sign", "The sign of x: -1, 0 or 1, and nan for nan.",
    derivative="0", vjp=ZERO, reference=np.sign, accepts=NUMERIC, template=over(-2, 2, 0.0), errors=_BOOL_OPERAND,
    convention="the derivative is 0 everywhere, at the step too",
    example="sign([3.0, -0.5, 0.0])  # array([ 1., -1.,  0.], dtype=float32)",
)  # fmt: skip

_STEPS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
_HALVES = Arg((5,), values=(-1.5, -0.5, 0.5, 1.5, 2.5), grad=False)


def _rounding(name: str, summary: str, reference: Any, example: str) -> Any:
    """A function that rounds floats and leaves integers and bools as they are."""
    code, _, value = example.partition("  # ")
    build: Any = unary(
        name, summary, derivative="0", vjp=ZERO, reference=reference, example=example, template=over(-2, 2, *_STEPS),
        formula=lambda x: reference(x) if x.dtype.kind == "f" else x, coerce=as_tensor, others=lambda x: x,
        dtypes=(*FLOAT, "int32", "bool"), more=[Sample((_HALVES,))],
        convention="the derivative is 0 everywhere, at the steps too",
    )  # fmt: skip
    build.__doc__ = (
        f"{summary}\n\nx: a tensor, array or scalar of any shape. Returns the dtype of x; integers and bools are left "
        f"alone.\nDerivative: 0 everywhere, at the steps too. Raises DTypeError.\n\n>>> evaluate({code})\n{value}\n"
    )
    return build


floor = _rounding(
    "floor", "The largest integer not above x.", np.floor,
    "floor([1.5, -1.5])  # array([ 1., -2.], dtype=float32)",
)  # fmt: skip
ceil = _rounding(
    "ceil", "The smallest integer not below x.", np.ceil, "ceil([1.5, -1.5])  # array([ 2., -1.], dtype=float32)"
)
trunc = _rounding(
    "trunc", "x without its fraction: rounded towards zero.", np.trunc,
    "trunc([1.5, -1.5])  # array([ 1., -1.], dtype=float32)",
)  # fmt: skip
round = _rounding(
    "round", "The nearest integer; halves go to the even one.", np.round,
    "round([0.5, 1.5, 2.6])  # array([0., 2., 3.], dtype=float32)",
)  # fmt: skip

add = binary(
    "add", "The sum x1 + x2; on bools, or.",
    derivative="1 and 1", vjp=(lambda g, y, a, b: g, lambda g, y, a, b: g), reference=np.add, accepts=ALL,
    example="add([1.0, 2.0], 3)  # array([4., 5.], dtype=float32)",
)  # fmt: skip

subtract = binary(
    "subtract", "The difference x1 - x2.",
    derivative="1 and -1", vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g), reference=np.subtract, accepts=NUMERIC,
    errors=_BOOL_OPERANDS, example="subtract([1.0, 2.0], 3)  # array([-2., -1.], dtype=float32)",
)  # fmt: skip

multiply = binary(
    "multiply", "The product x1 * x2; on bools, and.",
    derivative="x2 and x1", vjp=(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a), reference=np.multiply,
    accepts=ALL,
    example="multiply([1.0, 2.0], 3)  # array([3., 6.], dtype=float32)",
)  # fmt: skip

divide = binary(
    "divide", "The quotient x1 / x2.",
    derivative="1/x2 and -x1/x2**2", vjp=(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g / b) * y),
    reference=np.divide, templates=(over(), over(0.5, 3)),
    example="divide([1.0, 2.0], 4)  # array([0.25, 0.5 ], dtype=float32)",
)  # fmt: skip

floor_divide = binary(
    "floor_divide", "The quotient rounded down; an integer by 0 is 0.",
    derivative="0", vjp=(ZERO, ZERO), reference=np.floor_divide, accepts=NUMERIC,
    templates=(over(-9, 9), over(-4, 4, 0.0)), errors=_BOOL_OPERANDS,
    convention="the derivative is 0 everywhere, at the steps too",
    more=[Sample((Arg((3,), values=(-7, 0, 7)), Arg((3,), values=(0, 0, 0))), grad=False, why="division by zero")],
    example="floor_divide([7.0, -7.0], 2)  # array([ 3., -4.], dtype=float32)",
)  # fmt: skip

remainder = binary(
    "remainder", "What floor_divide leaves over, with the sign of x2; an integer by 0 leaves 0.",
    derivative="1 and -floor(x1/x2)",
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g * invoke("floor_divide", a, b)),
    reference=np.remainder, accepts=NUMERIC, templates=(over(0.4, 0.9), over(1.1, 1.9)), scalar=None,
    errors=_BOOL_OPERANDS, convention="at the jumps the derivative is that of the branch from above",
    more=[
        Sample((Arg((4,), values=(-7, 7, -7, 5)), Arg((4,), values=(3, -3, -2, 2))), grad=False, why="at the jumps"),
        Sample((Arg((4,), values=(7.5, 8.5, 9.5, 10.5)), 3)),
        Sample((Arg((2,), values=(-7, 7)), Arg((2,), values=(0, 0))), grad=False, why="division by zero"),
    ],
    example="remainder([7.0, -7.0], 3)  # array([1., 2.], dtype=float32)",
)  # fmt: skip

fmod = binary(
    "fmod", "What x1 / x2 rounded towards zero leaves over, with the sign of x1; an integer by 0 leaves 0.",
    derivative="1 and -trunc(x1/x2)",
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g * invoke("trunc", a / b)),
    reference=np.fmod, accepts=NUMERIC, templates=(over(0.4, 0.9), over(1.1, 1.9)), scalar=None,
    errors=_BOOL_OPERANDS, convention="at the jumps the derivative is that of the branch away from 0",
    more=[
        Sample((Arg((4,), values=(-7.5, 7.5, -8.5, 8.5)), Arg((4,), values=(3.0, -3.0, -2.5, 2.5)))),
        Sample((Arg((3,), values=(-7, 7, 0)), 3), grad=False, why="at the jumps"),
        Sample((Arg((2,), values=(-7, 7)), Arg((2,), values=(0, 0))), grad=False, why="division by zero"),
    ],
    example="fmod([7.0, -7.0], 3)  # array([ 1., -1.], dtype=float32)",
)  # fmt: skip


# Powers -------------------------------------------------------------------------------------------
def constant_scalar(x: Tensor) -> int | float | None:
    """The one value that a broadcast constant repeats, as a Python number; None for anything else."""
    while x.op in ("broadcast_to", "reshape"):
        x = x.inputs[0]
    return x.attrs["value"].array.item() if x.op == "constant" and x.size == 1 else None


def _power_by_base(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """g * b * a**(b - 1), and 0 where b is 0. The masked branch stays finite, so its own derivatives do too."""
    exponent = constant_scalar(b)
    if exponent is not None:
        return zeros_like(g) if exponent == 0 else g * exponent * invoke("power", a, exponent - 1)
    safe = invoke("where", b == 0, 1, b)
    return invoke("where", b == 0, 0, g * safe * invoke("power", a, safe - 1))


def _power_by_exponent(g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """g * y * log(a), and 0 where a is 0 and b is not negative (the limit)."""
    safe = invoke("where", invoke("logical_and", a == 0, b >= 0), 1, a)
    return g * y * invoke("log", safe)


def power_reference(a: Any, b: Any) -> Any:
    """NumPy's power, with an answer for negative integer exponents: 1/a**|b| without its fraction, 0 for a = 0."""
    if a.dtype.kind not in "iu":
        return _pow(a, b)
    positive = np.power(a, np.maximum(b, 0))
    inverse = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0)).astype(positive.dtype)
    return np.where(b < 0, inverse, positive)


def _pow(a: Any, b: Any) -> Any:
    """C's pow, element by element: where an exponent of 0.5 is repeated, NumPy's power would be sqrt, nan at -inf."""
    a, b = np.broadcast_arrays(a, b)
    return np.power(a.flatten(), b.flatten()).reshape(a.shape)


primitive(
    "power", kind=Kind.ELEMENTWISE, infer=elementwise_rule("power", NUMERIC), vjp=(_power_by_base, _power_by_exponent),
    jvp=Jvp.POINTWISE, reference=power_reference,
)  # fmt: skip
