"""Arithmetic: sums, products, quotients, powers, signs and rounding, as NumPy has them.

Integers wrap around; `x // 0` and `x % 0` are 0 for them, as in NumPy, without a trap. Gradient formulas are
elementary calculus; what happens at kinks, ties and poles is said in each function's convention.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, with_location
from graphc.ir.location import capture
from graphc.ops.build import apply, as_tensor, full_like, invoke, ones_like, operands, zeros_like
from graphc.ops.elementwise import Errors, binary, elementwise_rule, over, samples, unary
from graphc.ops.record import ALL, FLOAT, NUMERIC, SIGNED, ZERO, Arg, Jvp, Kind, Sample, function, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "abs", "add", "ceil", "constant_scalar", "divide", "floor", "floor_divide", "fmod", "multiply", "negative", "power",
    "remainder", "round", "sign", "subtract", "trunc",
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


@function(
    formula=np.abs,
    samples=samples(over(-2, 2, 0.0)),
    dtypes=ALL,
    convention="the derivative at 0 is 0",
    errors=[(DTypeError, ("text",), {})],
)
def abs(x: Any) -> Tensor:
    """The absolute value |x|, in the dtype of x; unsigned integers and bools are their own.

    x: a tensor, array or scalar of any shape. Derivative: sign(x), which is 0 at 0. Raises DTypeError.

    >>> evaluate(abs([1.5, -2.0]))
    array([1.5, 2. ], dtype=float32)
    """
    tensor = as_tensor(x)
    return tensor if tensor.dtype.kind in ("uint", "bool") else apply("abs", tensor)


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
    primitive(
        name, kind=Kind.ELEMENTWISE, infer=elementwise_rule(name, FLOAT), vjp=(ZERO,), jvp=Jvp.POINTWISE,
        reference=reference,
    )  # fmt: skip

    def build(x: Any) -> Tensor:
        tensor = as_tensor(x)
        return apply(name, tensor) if tensor.dtype.is_float else tensor

    code, _, value = example.partition("  # ")
    build.__doc__ = (
        f"{summary}\n\nx: a tensor, array or scalar of any shape. Returns the dtype of x; integers and bools are left "
        f"alone.\nDerivative: 0 everywhere, at the steps too. Raises DTypeError.\n\n>>> evaluate({code})\n{value}\n"
    )
    build.__name__ = build.__qualname__ = name
    build.__module__ = "graphc"
    return function(
        name=name,
        formula=lambda x: reference(x) if x.dtype.kind == "f" else x,
        samples=[*samples(over(-2, 2, *_STEPS)), Sample((_HALVES,))],
        dtypes=(*FLOAT, "int32", "bool"),
        differentiable=False,
        convention="the derivative is 0 everywhere, at the steps too",
        errors=[(DTypeError, ("text",), {})],
    )(build)


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


def _power_reference(a: Any, b: Any) -> Any:
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


def _power_formula(a: Any, b: Any) -> Any:
    dtype = np.result_type(a, b)
    return _power_reference(np.asarray(a, dtype), np.asarray(b, dtype))


primitive(
    "power", kind=Kind.ELEMENTWISE, infer=elementwise_rule("power", NUMERIC), vjp=(_power_by_base, _power_by_exponent),
    jvp=Jvp.POINTWISE, reference=_power_reference,
)  # fmt: skip


@function(
    formula=_power_formula,
    samples=[
        *samples(over(0.3, 2.5), over(-2.0, 2.5)),
        *(Sample((Arg((2, 3)), exponent)) for exponent in (0, 1, 2, 3, 4)),
        *(Sample((Arg((2, 3), 0.5, 2), exponent)) for exponent in (-1.0, -2.0)),
        *(Sample((Arg((3,), values=(-1.0, 0.0, 2.0)), exponent)) for exponent in (0, 1, 2, 3)),
        Sample((2, Arg((3,)))),
        Sample((Arg((3,), values=(0.0, 2.0, 0.5), grad=False), Arg((3,), 2.5, 4))),
        Sample((Arg((4,), values=(0.0, 1.0, 2.0, 3.0), grad=False), Arg((4,), values=(2.5, 0.0, 3.0, 2.0)))),
    ],
    dtypes=(*FLOAT, "int64", "int32", "uint8"),
    convention="x1**0 is 1 with derivative 0; the derivative by the exponent is 0 at base 0, nan at negative bases",
    errors=[
        (DTypeError, (Arg((2,), dtype="bool"), Arg((2,), dtype="bool")), {}),
        (DTypeError, (Arg((2,), dtype="int32"), -1), {}),
    ],
)
def power(x1: Any, x2: Any) -> Tensor:
    """x1 to the power x2, in the promoted dtype.

    x1, x2: tensors, arrays or scalars, not both bool; shapes broadcast. Derivatives: x2 * x1**(x2-1) and
    x1**x2 * log(x1). Constant exponents 1, 2 and -1 need no power at all, and whole exponents are differentiable at
    every base. An integer to a negative power is an error where the exponent is a constant; otherwise the
    fraction is dropped. Raises DTypeError, ShapeError.

    >>> evaluate(power([1.0, -2.0], 3))
    array([ 1., -8.], dtype=float32)
    """
    a, b = operands(x1, x2)
    exponent = constant_scalar(b)
    if exponent is not None and a.dtype.name in NUMERIC:
        if exponent == 0:
            return ones_like(a)
        if exponent == 1:
            return a
        if exponent == 2:
            return multiply(a, a)
        if exponent == -1 and a.dtype.is_float:
            return divide(full_like(a, 1), a)
        if a.dtype.is_integer and exponent < 0:
            message = (
                f"{a!r} to the power {exponent}: integers have no negative powers; cast the base with astype first"
            )
            raise with_location(DTypeError(message), capture())
    return apply("power", a, b)
