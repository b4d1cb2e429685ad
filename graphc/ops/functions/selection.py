"""Elementwise choices: `where`, `astype`, clipping, extremes beside nan, replacing special values, signs, closeness.

All are compositions of comparisons and `where`, the one way to choose: the derivative goes to what was chosen and is an
exact zero elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, as_tensor, broadcast_shapes, broadcast_to, cast, full_like, invoke, operands
from graphc.ops.elementwise import (
    PAIRS,
    TEXT,
    TRIPLES,
    UNBROADCAST,
    float_operands,
    floats,
    given,
    over,
    samples,
)
from graphc.ops.functions.sources import formula_dtype, located_dtype
from graphc.ops.primitives.arithmetic import constant_scalar
from graphc.ops.record import ALL, FLOAT, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["astype", "clip", "copysign", "fmax", "fmin", "heaviside", "isclose", "nan_to_num", "signbit", "where"]


@function(
    formula=np.where,
    samples=[
        *samples(over(dtype="bool"), over(), over(), shapes=TRIPLES),
        Sample((Arg((2, 3), dtype="bool"), Arg((2, 3)), 1)),
        Sample((Arg((3,), dtype="bool"), 0, Arg((3,)))),
        Sample((Arg((4,), values=(1.5, 0.0, -1.0, 0.0), dtype="float32", grad=False), Arg((4,)), Arg((4,)))),
    ],
    dtypes=ALL,
    convention="the branch that is not chosen gets an exact 0",
    errors=[
        (ShapeError, (Arg((2,), dtype="bool"), Arg((3,)), Arg((3,))), {}),
        (DTypeError, (Arg((2,), dtype="bool"), "text", Arg((2,))), {}),
    ],
)
def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """x1 where the condition holds, x2 elsewhere, in their promoted dtype.

    All three broadcast; the condition counts as true where it is not 0. Derivatives: 1 for the chosen branch, an
    exact 0 for the other even if that is nan or infinite there. Raises DTypeError, ShapeError.

    >>> evaluate(where([True, False], [1.0, 2.0], 0))
    array([1., 0.], dtype=float32)
    """
    a, b = operands(x1, x2)
    chosen = cast(as_tensor(condition), DTYPES["bool"])
    shape = broadcast_shapes(chosen.shape, a.shape)
    return apply("where", broadcast_to(chosen, shape), broadcast_to(a, shape), broadcast_to(b, shape))


@function(
    formula=lambda x, dtype: x.astype(formula_dtype(dtype)),
    samples=[
        *(
            Sample((Arg((2, 3), 0, 3), dtype), grad=dtype == "float64", why="differences lost in rounding")
            for dtype in ALL
        ),
        *(Sample((Arg(shape, 0, 3), "float64")) for shape in ((), (0, 2), (2, 1, 2, 1, 2, 3))),
    ],
    dtypes=ALL,
    convention="rounding is taken as the identity; to integers there is no gradient",
    errors=[(DTypeError, (Arg((2,)), "complex64"), {}), (DTypeError, (Arg((2,)), "int16"), {})],
)
def astype(x: Any, dtype: Any) -> Tensor:
    """x with another dtype: rounded to nearest even, to integers towards zero, to bool as x != 0.

    x: a tensor, array or scalar of any shape; dtype: a name or NumPy dtype. A float beyond the range of an integer
    dtype gives some value. Derivative: 1 between floats, none to or from other dtypes. Raises DTypeError.

    >>> evaluate(astype([1.5, -2.7], "int32"))
    array([ 1, -2], dtype=int32)
    """
    return cast(as_tensor(x), located_dtype(dtype))


@function(
    formula=lambda x, *bounds: np.clip(x, *(*bounds, None)[:2]) if bounds else x,
    samples=[
        *(Sample((*sample.args, -1, 1)) for sample in samples(over(-2, 2, -1.0, 1.0))),
        *(Sample((*sample.args, None, 1)) for sample in samples(over(-2, 2, 1.0), shapes=[((2, 3),)])),
        *(Sample((*sample.args, 0)) for sample in samples(over(-2, 2, 0.0), shapes=[((2, 3),)])),
        Sample((Arg((2, 3)),)),
        *samples(over(-3, 3), over(-2, -1), over(1, 2), shapes=TRIPLES),
        Sample((Arg((3,), values=(-1, 0, 1)), -1, 1), grad=False, why="at the bounds"),
        Sample((Arg((3,), values=(-2, 0, 2)), 1, -1), why="bounds the wrong way round: the upper one wins"),
        Sample((given(-2.0, 0.0, 0.5), given(-1.0, math.nan, 0.0), given(math.nan, 1.0, 1.0)), grad=False),
        *(Sample((given(-2.0, 0.0, 2.0), *bounds), grad=False) for bounds in ((math.nan,), (None, math.nan))),
    ],
    dtypes=(*FLOAT, "int64", "int32", "int8"),
    convention="the derivative at both bounds is 1 for x and 0 for the bound, and 0 for all of them beside a bound nan",
    errors=[(ShapeError, (Arg((2, 3)), Arg((4,)), 1.0), {})],
)
def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """x between min and max, the nearer bound outside; None is no bound. nan stays nan, and a bound nan gives nan.

    Bounds are scalars, arrays or tensors; shapes broadcast and dtypes are promoted. Derivatives: 1 for whichever is
    taken. Raises DTypeError, ShapeError.

    >>> evaluate(clip([-3.0, 0.5], -1, 1))
    array([-1. ,  0.5], dtype=float32)
    """
    bounds = [bound for bound in (min, max) if bound is not None]
    tensor, *limits = operands(as_tensor(x), *bounds)
    if min is not None:
        tensor = _unless_nan(limits[0], where(tensor < limits[0], limits[0], tensor))
    if max is not None:
        tensor = _unless_nan(limits[-1], where(tensor > limits[-1], limits[-1], tensor))
    return tensor


def _unless_nan(bound: Tensor, clipped: Tensor) -> Tensor:
    """nan, with derivative 0, where the bound is: a constant seldom is, and integers are not."""
    known = constant_scalar(bound)
    possible = bound.dtype.is_float if known is None else known != known
    return where(invoke("isnan", bound), math.nan, clipped) if possible else clipped


_ONE_NAN = Sample((given(1.0, math.nan, 2.0, math.nan), given(3.0, 1.0, math.nan, math.nan)), grad=False)


@function(
    formula=np.fmax, samples=[*samples(over(), over()), _ONE_NAN], dtypes=FLOAT,
    convention="on a tie each has half", errors=UNBROADCAST,
)  # fmt: skip
def fmax(x1: Any, x2: Any) -> Tensor:
    """The larger of x1 and x2; a number wins over nan. Shapes broadcast. Raises DTypeError, ShapeError.

    >>> evaluate(fmax([1.0, float("nan")], [2.0, 3.0]))
    array([2., 3.], dtype=float32)
    """
    return _beside_nan("maximum", x1, x2)


@function(
    formula=np.fmin, samples=[*samples(over(), over()), _ONE_NAN], dtypes=FLOAT,
    convention="on a tie each has half", errors=UNBROADCAST,
)  # fmt: skip
def fmin(x1: Any, x2: Any) -> Tensor:
    """The smaller of x1 and x2; a number wins over nan. Shapes broadcast. Raises DTypeError, ShapeError.

    >>> evaluate(fmin([1.0, float("nan")], [2.0, 3.0]))
    array([1., 3.], dtype=float32)
    """
    return _beside_nan("minimum", x1, x2)


def _beside_nan(op: str, x1: Any, x2: Any) -> Tensor:
    a, b = operands(x1, x2)
    if not a.dtype.is_float:
        return apply(op, a, b)
    return where(invoke("isnan", a), b, where(invoke("isnan", b), a, apply(op, a, b)))


def _nan_to_num_formula(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


_SPECIALS = given(1.0, math.nan, math.inf, -math.inf)


@function(
    formula=_nan_to_num_formula,
    samples=[
        *samples(over()),
        Sample((_SPECIALS,), grad=False, why="infinite"),
        Sample((_SPECIALS, 7.0, 8.0, -9.0), grad=False, why="infinite"),
    ],
    dtypes=("float64", "float32", "int32", "bool"),
    convention="the derivative at what is replaced is 0",
    errors=TEXT,
)
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """x with numbers for nan and the infinities: by default 0 and the largest and smallest finite of the dtype.

    x: any shape; integers and bools are left alone. Raises DTypeError.

    >>> evaluate(nan_to_num([1.0, float("nan"), float("inf")], posinf=9.0))
    array([1., 0., 9.], dtype=float32)
    """
    tensor = as_tensor(x)
    if not tensor.dtype.is_float:
        return tensor
    largest = float(ml_dtypes.finfo(tensor.dtype.numpy).max)  # type: ignore[no-untyped-call]
    high = largest if posinf is None else posinf
    low = -largest if neginf is None else neginf
    finite = where(tensor == math.inf, high, where(tensor == -math.inf, low, tensor))
    return where(invoke("isnan", tensor), nan, finite)


@function(
    formula=np.heaviside,
    samples=[*samples(over(-2, 2, 0.0), over()), Sample((given(0.0, -1.0, math.nan), Arg((3,))), grad=False)],
    dtypes=FLOAT,
    convention="the derivative by x1 is 0 everywhere",
    errors=UNBROADCAST,
)
def heaviside(x1: Any, x2: Any) -> Tensor:
    """0 for negative x1, 1 for positive, x2 where x1 is 0, nan for nan. Shapes broadcast.

    Integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(heaviside([-1.0, 0.0, 2.0], 0.5))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    step = where(a == 0, b, where(a < 0, 0, full_like(a, 1)))
    return where(invoke("isnan", a), math.nan, step)


@function(
    formula=lambda x: np.signbit(x),
    samples=[*samples(over()), Sample((given(0.0, -0.0, -math.inf, math.inf),))],
    dtypes=FLOAT,
    differentiable=False,
    errors=TEXT,
)
def signbit(x: Any) -> Tensor:
    """Whether x is negative, -0.0 counted in, as bool; False for every nan. Any shape. Raises DTypeError.

    >>> evaluate(signbit([-0.0, 0.0, -2.0]))
    array([ True, False,  True])
    """
    tensor = as_tensor(x)
    if not tensor.dtype.is_float:
        return tensor < 0 if tensor.dtype.kind == "int" else cast(full_like(tensor, 0), DTYPES["bool"])
    return 1 / where(tensor == 0, tensor, math.inf) + where(tensor == 0, 0, tensor) < 0


@function(
    formula=floats(np.copysign),
    samples=[
        *samples(over(-2, 2, 0.0), over(-2, 2, 0.0)),
        Sample((given(1.0, -2.0, 3.0), given(-0.0, 0.0, -math.inf)), grad=False),
    ],
    dtypes=FLOAT,
    convention="the derivative at x1 = 0 is 0, that by x2 is 0 everywhere",
    errors=UNBROADCAST,
)
def copysign(x1: Any, x2: Any) -> Tensor:
    """|x1| with the sign of x2, that of -0.0 counted in; a nan x2 is positive. Shapes broadcast.

    Integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(copysign([1.0, 2.0], [-0.0, 3.0]))
    array([-1.,  2.], dtype=float32)
    """
    a, b = float_operands(x1, x2)
    size = invoke("abs", a)
    return where(signbit(b), -size, size)


def _isclose_formula(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return np.isclose(x1, x2, rtol, atol, equal_nan)


@function(
    formula=_isclose_formula,
    samples=[
        *samples(over(), over(), shapes=PAIRS),
        Sample((given(1.0, 2.0, math.nan, math.inf), given(1.0, 2.000001, math.nan, math.inf))),
        Sample((given(1.0, math.nan, math.inf), given(1.2, math.nan, -math.inf), 0.0, 0.5, True)),
    ],
    dtypes=("float64", "float32"),
    differentiable=False,
    errors=UNBROADCAST,
)
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |x1 - x2| <= atol + rtol |x2|, as bool; infinities are close to themselves, nan only if asked.

    Shapes broadcast; integers and bools become float64. Raises DTypeError, ShapeError.

    >>> evaluate(isclose([1.0, 2.0], [1.0, 2.1]))
    array([ True, False])
    """
    a, b = float_operands(x1, x2)
    near = invoke("abs", a - b) <= atol + rtol * invoke("abs", b)
    close = invoke("logical_or", a == b, invoke("logical_and", near, invoke("isfinite", b)))
    if not equal_nan:
        return close
    return invoke("logical_or", close, invoke("logical_and", invoke("isnan", a), invoke("isnan", b)))
