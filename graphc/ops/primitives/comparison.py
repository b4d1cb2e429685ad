"""Comparisons, logic, bits, tests for special values; and `where` and `cast`.

Comparisons and logic answer with bool and have no gradient. `where` is the one way to choose: its gradient flows to
the chosen branch alone, as an exact zero to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.build import as_tensor, broadcast_shapes, broadcast_to, cast, full
from graphc.ops.elementwise import Errors, binary, over, unary
from graphc.ops.record import ALL, FLOAT, INTEGER, NO_GRADIENT, Arg, Jvp, Kind, Sample, call, primitive
from graphc.ops.tensor import Tensor

__all__ = [
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "equal",
    "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not",
    "logical_or", "logical_xor", "not_equal",
]  # fmt: skip

_BITS = (*INTEGER, "bool")
_FLOAT_OPERAND: Errors = [(DTypeError, (Arg((2,), dtype="float32"),), {})]
_FLOAT_OPERANDS: Errors = [(DTypeError, (Arg((2,), dtype="float32"), Arg((2,), dtype="float32")), {})]
_TIES = Arg((4,), values=(0, 1, 1, 0))
_OTHER_TIES = Arg((4,), values=(0, 1, 0, 1))


def _comparison(name: str, sign: str, reference: Any, value: str) -> Any:
    """A comparison of numbers or bools."""
    return binary(
        name, f"Whether x1 {sign} x2; nan compares as unequal to everything.",
        derivative="", vjp=NO_GRADIENT, reference=reference, accepts=ALL, result="bool", scalar=1,
        more=[Sample((_TIES, _OTHER_TIES))], example=f"{name}([1.0, 2.0], 2)  # {value}",
    )  # fmt: skip


equal = _comparison("equal", "==", np.equal, "array([False,  True])")
not_equal = _comparison("not_equal", "!=", np.not_equal, "array([ True, False])")
less = _comparison("less", "<", np.less, "array([ True, False])")
less_equal = _comparison("less_equal", "<=", np.less_equal, "array([ True,  True])")
greater = _comparison("greater", ">", np.greater, "array([False, False])")
greater_equal = _comparison("greater_equal", ">=", np.greater_equal, "array([False,  True])")


def _as_bool(*values: Any) -> tuple[Tensor, ...]:
    """Values as bools (x != 0), broadcast."""
    tensors = [cast(as_tensor(value), DTYPES["bool"]) for value in values]
    shape = broadcast_shapes(*(tensor.shape for tensor in tensors))
    return tuple(broadcast_to(tensor, shape) for tensor in tensors)


def _logical(name: str, summary: str, reference: Any, value: str) -> Any:
    """A connective of truth values."""
    return binary(
        name, f"{summary}; numbers are true where they are not 0.",
        derivative="", vjp=NO_GRADIENT, reference=reference, accepts=("bool",), result="bool", coerce=_as_bool,
        dtypes=ALL, scalar=True, more=[Sample((_TIES, _OTHER_TIES))],
        example=f"{name}([True, False], True)  # {value}",
    )  # fmt: skip


logical_and = _logical("logical_and", "Whether both hold", np.logical_and, "array([ True, False])")
logical_or = _logical("logical_or", "Whether either holds", np.logical_or, "array([ True,  True])")
logical_xor = _logical("logical_xor", "Whether exactly one holds", np.logical_xor, "array([False,  True])")
logical_not = unary(
    "logical_not", "Whether x does not hold; numbers are true where they are not 0.",
    derivative="", vjp=NO_GRADIENT, reference=np.logical_not, accepts=("bool",), result="bool", dtypes=ALL,
    coerce=lambda x: _as_bool(x)[0], more=[Sample((_TIES,))],
    example="logical_not([True, False])  # array([False,  True])",
)  # fmt: skip

bitwise_invert = unary(
    "bitwise_invert", "Every bit flipped; on bools, not.",
    derivative="", vjp=NO_GRADIENT, reference=np.bitwise_invert, accepts=_BITS, errors=_FLOAT_OPERAND,
    example="bitwise_invert([0, 5])  # array([-1, -6])",
)  # fmt: skip
bitwise_and = binary(
    "bitwise_and", "The bits set in both.",
    derivative="", vjp=NO_GRADIENT, reference=np.bitwise_and, accepts=_BITS, errors=_FLOAT_OPERANDS, scalar=1,
    templates=(over(-9, 9), over(-9, 9)), example="bitwise_and([5, 6], 3)  # array([1, 2])",
)  # fmt: skip
bitwise_or = binary(
    "bitwise_or", "The bits set in either.",
    derivative="", vjp=NO_GRADIENT, reference=np.bitwise_or, accepts=_BITS, errors=_FLOAT_OPERANDS, scalar=1,
    templates=(over(-9, 9), over(-9, 9)), example="bitwise_or([5, 6], 3)  # array([7, 7])",
)  # fmt: skip
bitwise_xor = binary(
    "bitwise_xor", "The bits set in exactly one.",
    derivative="", vjp=NO_GRADIENT, reference=np.bitwise_xor, accepts=_BITS, errors=_FLOAT_OPERANDS, scalar=1,
    templates=(over(-9, 9), over(-9, 9)), example="bitwise_xor([5, 6], 3)  # array([6, 5])",
)  # fmt: skip
bitwise_left_shift = binary(
    "bitwise_left_shift", "x1 * 2**x2, wrapping; 0 where x2 is negative or no smaller than the number of bits.",
    derivative="", vjp=NO_GRADIENT, reference=np.left_shift, accepts=INTEGER, errors=_FLOAT_OPERANDS, scalar=1,
    templates=(over(-9, 9), over(0, 5)), more=[Sample((Arg((3,), values=(3, 3, 3)), Arg((3,), values=(7, 31, 70))))],
    example="bitwise_left_shift([5, 6], 2)  # array([20, 24])",
)  # fmt: skip
bitwise_right_shift = binary(
    "bitwise_right_shift",
    "x1 / 2**x2 rounded down; 0 or -1 where x2 is negative or no smaller than the number of bits.",
    derivative="", vjp=NO_GRADIENT, reference=np.right_shift, accepts=INTEGER, errors=_FLOAT_OPERANDS, scalar=1,
    templates=(over(-9, 9), over(0, 5)), more=[Sample((Arg((3,), values=(-3, 3, 99)), Arg((3,), values=(7, 31, 70))))],
    example="bitwise_right_shift([5, -6], 2)  # array([ 1, -2])",
)  # fmt: skip


def _special(name: str, summary: str, reference: Any, of_integers: bool, value: str) -> Any:
    """A test for special values of floats; integers have none."""
    specials = Arg((5,), values=(1.0, float("nan"), float("inf"), -float("inf"), -0.0))
    build: Any = unary(
        name, summary, derivative="", vjp=NO_GRADIENT, reference=reference, example="", result="bool",
        formula=lambda x: reference(x) if x.dtype.kind == "f" else np.full(x.shape, of_integers), coerce=as_tensor,
        others=lambda x: full(x.shape, of_integers, DTYPES["bool"]), dtypes=(*FLOAT, "int32", "bool"),
        more=[Sample((specials,))],
    )  # fmt: skip
    build.__doc__ = (
        f"{summary}, as bool; integers and bools are all finite.\n\n"
        "x: a tensor, array or scalar of any shape. No gradient. Raises DTypeError.\n\n"
        f">>> evaluate({name}([1.0, float('inf'), float('nan')]))\n{value}\n"
    )
    return build


isnan = _special("isnan", "Whether x is nan", np.isnan, False, "array([False, False,  True])")
isinf = _special("isinf", "Whether x is infinite", np.isinf, False, "array([False,  True, False])")
isfinite = _special(
    "isfinite", "Whether x is neither nan nor infinite", np.isfinite, True, "array([ True, False, False])"
)


# Choices ------------------------------------------------------------------------------------------
def _infer_where(condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
    if condition.dtype.name != "bool":
        raise DTypeError(f"where chooses by bool, got {condition}")
    if not condition.shape == a.shape == b.shape:
        raise ShapeError(f"where combines equal shapes, got {condition}, {a} and {b}")
    if a.dtype is not b.dtype:
        raise DTypeError(f"where chooses between equal dtypes, got {a} and {b}")
    return a


primitive(
    "where",
    kind=Kind.ELEMENTWISE,
    infer=_infer_where,
    vjp=(
        NO_GRADIENT,
        lambda g, y, condition, a, b: call("where", condition, g, 0),
        lambda g, y, condition, a, b: call("where", condition, 0, g),
    ),
    jvp=Jvp.POINTWISE,
    reference=np.where,
)


primitive(
    "cast",
    kind=Kind.ELEMENTWISE,
    infer=lambda x, *, dtype: x.with_dtype(dtype),
    vjp=(lambda g, y, x, *, dtype: cast(g, x.dtype),),
    jvp=Jvp.LINEAR,
    reference=lambda x, *, dtype: x.astype(dtype.numpy),
)
