"""One record per scalar op: all that passes, kernel IR, its printers and the tile machine ask about it.

A scalar op computes one element. The op of the tensor graph that is elementwise has the same name, and takes its cost
from here. Values of 16-bit floats are computed in float32, of int8 in int32, bool is 0 or 1 in a byte; `is_exact` and
`may_wrap` say what has to follow then. `domain` and `gives_bool` are the types that kernel IR lets it have. The tile
machine has a loop over values for each op with `loops`; `setup.py` makes its lists in C of these records (`tile.py`),
and the loops call `gc_op_NAME_TYPE` of `scalar.h`, or `gc_NAME_TYPE` of `vmath.h` for `is_elementary` ops on floats:
without that function nothing is built.

Nothing but the standard library is imported here: setup.py reads this before there is a package.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SCALARS", "ArgumentTypes", "LoopKind", "Parity", "ScalarOp"]


class ArgumentTypes(enum.Enum):
    """The dtypes that an op takes; all its arguments have one, but for those of `where` and `cast`."""

    ANY = "any"
    NUMBERS = "all but bool"
    FLOATS = "floats"
    INTEGERS = "integers"
    BITS = "integers and bool"
    BOOLS = "bool"


class LoopKind(enum.Enum):
    """The lists of the tile machine: ops of one list have loops for the same types and forms (tile_loops.h)."""

    NUMBER = "of one argument, for every type"
    ROUNDING = "of one argument, for floats, in scalar.h"
    TEST = "of one float, to bool"
    ELEMENTARY = "of one argument, for floats, in vmath.h"
    TURNING = "of one argument, for floats, where large ones take long"
    INVERT = "of one argument, for integers"
    NOT = "of one bool"
    RING = "of two arguments, which may be exchanged"
    DIFFERENCE = "of two arguments, for every type, one of which may be a row value"
    QUOTIENT = "of two floats, one of which may be a row value"
    FLOOR = "of two arguments, for every type"
    ANGLE = "of two floats, in vmath.h"
    BIT = "of two integers"
    COMPARE = "of two arguments, to bool, which may be exchanged"
    CHOICE = "of a bool and the bits of two values"
    NONE = "none: it is another op on each type"


class Parity(enum.Enum):
    """f(-x) = -f(x), f(-x) = f(x), or neither: to the bit, signs of zeros included."""

    ODD = -1
    EVEN = 1
    NONE = 0


@dataclass(frozen=True)
class ScalarOp:
    """A scalar op. `cost` counts simple operations of float32, of which a vector is done at a time.

    `gives_bool`: the result is bool, else of the arguments' dtype. `is_exact`: of 16-bit floats, the result is one.
    `may_wrap`: of int8, the result may not be one. `is_positive`: the result is above 0 for every argument that is no
    NaN, up to underflow. `operator`: C's, where it does the same on every type, or, if `of_floats_alone`, on floats.
    `mirror`: the op with its arguments exchanged. `on_bool`, `on_integers`: the op that is the same there, "" for the
    identity, None where it is itself.
    """

    name: str
    arity: int
    domain: ArgumentTypes
    loops: LoopKind
    cost: int = 1
    gives_bool: bool = False
    is_exact: bool = False
    may_wrap: bool = False
    parity: Parity = Parity.NONE
    is_positive: bool = False
    is_elementary: bool = False
    operator: str = ""
    of_floats_alone: bool = False
    mirror: str = ""
    on_bool: str | None = None
    on_integers: str | None = None


_ANY, _NUMBERS, _FLOATS, _INTEGERS, _BITS, _BOOLS = ArgumentTypes
_ODD, _EVEN, _NEITHER = Parity


def _elementary(
    name: str, cost: int, parity: Parity = _NEITHER, *, positive: bool = False, loops: LoopKind = LoopKind.ELEMENTARY
) -> ScalarOp:
    return ScalarOp(name, 1, _FLOATS, loops, cost, parity=parity, is_positive=positive, is_elementary=True)


def _rounding(name: str, parity: Parity = _NEITHER) -> ScalarOp:
    return ScalarOp(name, 1, _ANY, LoopKind.ROUNDING, 4, is_exact=True, parity=parity, on_integers="")


def _test(name: str, on_integers: str) -> ScalarOp:
    return ScalarOp(name, 1, _ANY, LoopKind.TEST, gives_bool=True, parity=_EVEN, on_integers=on_integers)


def _compare(name: str, operator: str, mirror: str) -> ScalarOp:
    return ScalarOp(name, 2, _ANY, LoopKind.COMPARE, gives_bool=True, operator=operator, mirror=mirror)


def _logical(name: str, on_bool: str) -> ScalarOp:
    return ScalarOp(name, 2, _BOOLS, LoopKind.NONE, gives_bool=True, mirror=name, on_bool=on_bool)


def _bits(name: str, operator: str) -> ScalarOp:
    return ScalarOp(name, 2, _BITS, LoopKind.BIT, is_exact=True, operator=operator, mirror=name)


SCALARS: Mapping[str, ScalarOp] = {
    op.name: op
    for op in (
        ScalarOp(
            "negative", 1, _NUMBERS, LoopKind.NUMBER, is_exact=True, may_wrap=True, parity=_ODD, operator="-",
            of_floats_alone=True,
        ),
        ScalarOp("abs", 1, _ANY, LoopKind.NUMBER, is_exact=True, may_wrap=True, parity=_EVEN, on_bool=""),
        ScalarOp("sign", 1, _NUMBERS, LoopKind.NUMBER, is_exact=True),  # not odd: sign(-0.0) is 0.0, as in NumPy
        ScalarOp("relu", 1, _NUMBERS, LoopKind.NUMBER, is_exact=True),
        _rounding("floor"),
        _rounding("ceil"),
        _rounding("round", _ODD),
        _rounding("trunc", _ODD),
        ScalarOp("sqrt", 1, _FLOATS, LoopKind.ROUNDING, 4),
        _test("isnan", "not_equal"),
        _test("isinf", "not_equal"),
        _test("isfinite", "equal"),
        _elementary("exp", 12, positive=True),
        _elementary("exp2", 12, positive=True),
        _elementary("expm1", 30),
        _elementary("log", 12),
        _elementary("log2", 30),
        _elementary("log10", 30),
        _elementary("log1p", 30),
        _elementary("sin", 12, _ODD, loops=LoopKind.TURNING),
        _elementary("cos", 12, _EVEN, loops=LoopKind.TURNING),
        _elementary("tan", 30, _ODD, loops=LoopKind.TURNING),
        _elementary("asin", 30, _ODD),
        _elementary("acos", 30),
        _elementary("atan", 30, _ODD),
        _elementary("sinh", 30, _ODD),
        _elementary("cosh", 30, _EVEN, positive=True),
        _elementary("tanh", 12, _ODD),
        _elementary("asinh", 30, _ODD),
        _elementary("acosh", 30),
        _elementary("atanh", 30, _ODD),
        _elementary("erf", 12, _ODD),
        _elementary("erfc", 30, positive=True),
        _elementary("sigmoid", 12, positive=True),
        _elementary("softplus", 30, positive=True),
        ScalarOp("bitwise_invert", 1, _BITS, LoopKind.INVERT, is_exact=True, on_bool="logical_not"),
        ScalarOp("logical_not", 1, _BOOLS, LoopKind.NOT, gives_bool=True, is_exact=True, operator="!"),
        ScalarOp(
            "add", 2, _ANY, LoopKind.RING, may_wrap=True, operator="+", of_floats_alone=True, mirror="add",
            on_bool="bitwise_or",
        ),
        ScalarOp("subtract", 2, _NUMBERS, LoopKind.DIFFERENCE, may_wrap=True, operator="-", of_floats_alone=True),
        ScalarOp(
            "multiply", 2, _ANY, LoopKind.RING, may_wrap=True, operator="*", of_floats_alone=True, mirror="multiply",
            on_bool="bitwise_and",
        ),
        ScalarOp("divide", 2, _FLOATS, LoopKind.QUOTIENT, 4, operator="/", of_floats_alone=True),
        ScalarOp("floor_divide", 2, _NUMBERS, LoopKind.FLOOR, 60, may_wrap=True),
        ScalarOp("remainder", 2, _NUMBERS, LoopKind.FLOOR, 60),
        ScalarOp("fmod", 2, _NUMBERS, LoopKind.FLOOR, 60),
        ScalarOp("power", 2, _NUMBERS, LoopKind.FLOOR, 60, may_wrap=True, is_elementary=True),
        ScalarOp("maximum", 2, _ANY, LoopKind.RING, is_exact=True, mirror="maximum", on_bool="bitwise_or"),
        ScalarOp("minimum", 2, _ANY, LoopKind.RING, is_exact=True, mirror="minimum", on_bool="bitwise_and"),
        ScalarOp("atan2", 2, _FLOATS, LoopKind.ANGLE, 60, is_elementary=True),
        _bits("bitwise_and", "&"),
        _bits("bitwise_or", "|"),
        _bits("bitwise_xor", "^"),
        ScalarOp("bitwise_left_shift", 2, _INTEGERS, LoopKind.BIT, may_wrap=True),
        ScalarOp("bitwise_right_shift", 2, _INTEGERS, LoopKind.BIT, is_exact=True),
        _compare("equal", "==", "equal"),
        _compare("not_equal", "!=", "not_equal"),
        _compare("less", "<", "greater"),
        _compare("less_equal", "<=", "greater_equal"),
        _compare("greater", ">", "less"),
        _compare("greater_equal", ">=", "less_equal"),
        ScalarOp("where", 3, _ANY, LoopKind.CHOICE, is_exact=True),
        _logical("logical_and", "bitwise_and"),
        _logical("logical_or", "bitwise_or"),
        _logical("logical_xor", "bitwise_xor"),
        ScalarOp("cast", 1, _ANY, LoopKind.NONE),
    )
}  # fmt: skip
