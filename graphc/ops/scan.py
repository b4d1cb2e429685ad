"""Along one axis: positions of extremes, running sums and products.

`cumsum` is its own transpose with the direction reversed. The derivatives of `cumprod`, of any order, are linear
recurrences and products (Horner's scheme): none divides, and all are exact where factors are 0. Floats are summed and
multiplied in float64, which is also what `cumprod` and `recurrence` give: a product of floats that comes back into
their range may have left it on the way, in a derivative too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import DTYPES, DType, TensorType
from graphc.ops.build import apply, as_tensor, cast, normalize_axis, with_an_axis
from graphc.ops.elementwise import Errors
from graphc.ops.record import ALL, NO_GRADIENT, Arg, Jvp, Kind, Sample, call, function, primitive
from graphc.ops.reductions import FAR_APART, sum_dtype, with_ones
from graphc.ops.tensor import Tensor
from graphc.ops.views import narrow, pad_view, reshape_to

__all__ = ["argmax", "argmin", "cumprod", "cumsum"]


# Positions of extremes ----------------------------------------------------------------------------
def _declare_position(name: str, reference: Any) -> None:
    def infer(x: TensorType, *, axis: int) -> TensorType:
        if x.shape[axis] == 0:
            raise ShapeError(f"{name} of {x} over axis {axis}: there are no elements to choose from")
        return TensorType(DTYPES["int64"], x.shape[:axis] + x.shape[axis + 1 :])

    primitive(
        name, kind=Kind.LIBRARY, infer=infer, vjp=NO_GRADIENT, jvp=NO_GRADIENT,
        reference=lambda x, *, axis: reference(x, axis=axis),
    )  # fmt: skip


_declare_position("argmax", np.argmax)
_declare_position("argmin", np.argmin)

_POSITIONS = [
    Sample((Arg((4,)),)),
    Sample((Arg(()),)),
    Sample((Arg(()), 0)),
    Sample((Arg(()), -1, True)),
    Sample((Arg((2, 3)),)),
    Sample((Arg((2, 3)), 1)),
    Sample((Arg((2, 3)), -2, True)),
    Sample((Arg((2, 3)), None, True)),
    Sample((Arg((0, 3)), 1)),
    Sample((Arg((2, 1, 2, 1, 2, 3)), 4)),
    Sample((Arg((2, 3), values=(1, 3, 3, 2, 2, 2)), 1), why="ties"),
]
_BAD_POSITIONS: Errors = [
    (ShapeError, (Arg(()), 1), {}),
    (ShapeError, (Arg((2, 3)), 2), {}),
    (ShapeError, (Arg((0,)),), {}),
    (ShapeError, (Arg((2, 3)), (0, 1)), {}),
]


@function(
    formula=lambda x, axis=None, keepdims=False: np.argmax(x, axis=axis, keepdims=keepdims),
    samples=_POSITIONS,
    dtypes=ALL,
    differentiable=False,
    errors=_BAD_POSITIONS,
)
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the largest element along `axis` (in the flattened array by default), as int64.

    The first of equals; nan counts as largest. No gradient. Raises ShapeError, for no elements too.

    >>> evaluate(argmax([[1.0, 4.0], [3.0, 2.0]], axis=1))
    array([1, 0])
    """
    return _position("argmax", x, axis, keepdims)


@function(
    formula=lambda x, axis=None, keepdims=False: np.argmin(x, axis=axis, keepdims=keepdims),
    samples=_POSITIONS,
    dtypes=ALL,
    differentiable=False,
    errors=_BAD_POSITIONS,
)
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the smallest element along `axis` (in the flattened array by default), as int64.

    The first of equals; nan counts as smallest. No gradient. Raises ShapeError, for no elements too.

    >>> evaluate(argmin([[1.0, 4.0], [3.0, 2.0]], axis=1))
    array([0, 1])
    """
    return _position("argmin", x, axis, keepdims)


def _position(op: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    if axis is None:
        result = apply(op, reshape_to(tensor, (tensor.size,)), axis=0)
        return reshape_to(result, (1,) * tensor.ndim) if keepdims else result
    line = with_an_axis(tensor)
    place = normalize_axis(axis, line.ndim)
    result = apply(op, line, axis=place)
    return reshape_to(result, with_ones(tensor.shape, (place,))) if keepdims else result


# Running sums and products ------------------------------------------------------------------------
def _infer_cumsum(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
    if x.dtype.kind == "bool":
        raise DTypeError(f"cumsum does not take {x}; cast it to a number first")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"cumsum of {x} runs along one of its axes, not {axis}")
    return x


def _wide(dtype: DType) -> DType:
    """The type in which elements of `dtype` are summed and multiplied."""
    return DTYPES["float64"] if dtype.is_float else dtype


def _cumsum_reference(x: Any, *, axis: int, reverse: bool) -> Any:
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    turned = np.flip(x, axis) if reverse else x
    run = np.cumsum(turned, axis=axis, dtype=wide)
    return np.flip(run, axis) if reverse else run


primitive(
    "cumsum",
    kind=Kind.LIBRARY,
    infer=_infer_cumsum,
    vjp=(lambda g, y, x, *, axis, reverse: apply("cumsum", g, axis=axis, reverse=not reverse),),
    jvp=Jvp.LINEAR,
    reference=_cumsum_reference,
)


def _infer_cumprod(x: TensorType, *, axis: int) -> TensorType:
    if not (x.dtype.is_float or x.dtype.name == "int64"):
        raise DTypeError(f"cumprod does not take {x}; cast it to a float or to int64 first")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"cumprod of {x} runs along one of its axes, not {axis}")
    return TensorType(_wide(x.dtype), x.shape)


def _infer_recurrence(a: TensorType, b: TensorType, *, axis: int, reverse: bool) -> TensorType:
    if not a.dtype.is_float or b.dtype.name != "float64":
        raise DTypeError(f"recurrence takes float factors and float64 addends, not {a} and {b}")
    if a.shape != b.shape or not 0 <= axis < a.ndim:
        raise ShapeError(f"recurrence takes two tensors of one shape and one of their axes, not {a}, {b} and {axis}")
    return b


def _recurrence_reference(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    factors, out = np.moveaxis(a, axis, -1), np.moveaxis(b.copy(), axis, -1)
    turn = slice(None, None, -1 if reverse else 1)
    for place in np.ndindex(out.shape[:-1]):
        run, total = list[float](), 0.0
        links = factors[place][turn].tolist()
        for link, addend in zip(links[-1:] + links if reverse else links, out[place][turn].tolist(), strict=False):
            total = addend + link * total if link and run else addend
            run.append(total)
        out[place] = run[turn]
    return np.moveaxis(out, -1, axis)


def before(x: Tensor, axis: int, first: float, *, behind: bool = False) -> Tensor:
    """The element before each along `axis`, `first` before the first; or the one behind each, and behind the last."""
    size = x.shape[axis]
    if not size:
        return x
    one = tuple(int(place == axis) for place in range(x.ndim))
    none = (0,) * x.ndim
    kept = narrow(x, axis, int(behind), size - 1)
    return pad_view(kept, none if behind else one, one if behind else none, first)


def _met(a: Tensor, b: Tensor) -> Tensor:
    """a b, and 0 where one is 0 and the other infinite: what comes before and behind a place, where one overflowed."""
    a, b = (call("where", call("logical_and", y == 0, call("isinf", x)), 0.0, x) for x, y in ((a, b), (b, a)))
    return a * b


def _cumprod_rule(g: Tensor, y: Tensor, x: Tensor, *, axis: int) -> Tensor:
    return cast(_met(before(y, axis, 1.0), apply("recurrence", x, g, axis=axis, reverse=True)), x.dtype)


def _cumprod_tangent(tangents: tuple[Tensor | None, ...], y: Tensor, x: Tensor, *, axis: int) -> Tensor | None:
    (tangent,) = tangents
    if tangent is None:
        return None
    return apply("recurrence", x, _met(cast(tangent, y.dtype), before(y, axis, 1.0)), axis=axis, reverse=False)


primitive(
    "cumprod",
    kind=Kind.LIBRARY,
    infer=_infer_cumprod,
    vjp=(_cumprod_rule,),
    jvp=_cumprod_tangent,
    reference=lambda x, *, axis: np.cumprod(x, axis=axis, dtype=np.float64 if x.dtype.kind == "f" else x.dtype),
)


# out[t] = b[t] + a[t] out[t - 1], reversed out[t] = b[t] + a[t + 1] out[t + 1]: a[t] links t - 1 and t either way, so
# the transpose is the recurrence of the same factors in the other direction. a[0] links nothing, and a factor 0 lets
# nothing over: an overflow beyond it counts no more than any other number would.
def _factor_rule(g: Tensor, y: Tensor, a: Tensor, b: Tensor, *, axis: int, reverse: bool) -> Tensor:
    c = apply("recurrence", a, g, axis=axis, reverse=not reverse)
    return cast(_met(before(c, axis, 0.0), y) if reverse else _met(c, before(y, axis, 0.0)), a.dtype)


def _recurrence_tangent(
    tangents: tuple[Tensor | None, ...], y: Tensor, a: Tensor, b: Tensor, *, axis: int, reverse: bool
) -> Tensor | None:
    da, db = tangents
    if da is not None:
        moved = _met(cast(da, y.dtype), y if reverse else before(y, axis, 0.0))
        moved = before(moved, axis, 0.0, behind=True) if reverse else moved
        db = moved if db is None else db + moved
    return None if db is None else apply("recurrence", a, db, axis=axis, reverse=reverse)


primitive(
    "recurrence",
    kind=Kind.LIBRARY,
    infer=_infer_recurrence,
    vjp=(
        _factor_rule,
        lambda g, y, a, b, *, axis, reverse: apply("recurrence", a, g, axis=axis, reverse=not reverse),
    ),
    jvp=_recurrence_tangent,
    reference=_recurrence_reference,
)

_RUNS = [
    Sample((Arg((4,)),)),
    Sample((Arg((2, 3)),)),
    Sample((Arg((2, 3)), 0)),
    Sample((Arg((2, 3)), -1)),
    Sample((Arg((1,)), 0)),
    Sample((Arg((0, 3)), 0)),
    Sample((Arg((2, 1, 2, 1, 2, 3)), 4)),
    Sample((Arg(()),)),
    Sample((Arg(()), 0)),
    Sample((Arg(()), -1)),
]
_BAD_RUNS: Errors = [
    (ShapeError, (Arg(()), 1), {}),
    (ShapeError, (Arg((2, 3)), 2), {}),
    (ShapeError, (Arg((2, 3)), (0, 1)), {}),
]


def _sum_dtype(x: Any) -> Any:
    return np.int64 if x.dtype.kind in "uib" else x.dtype


def _wide_run(run: Any, x: Any, axis: int | None = None) -> Any:
    """NumPy's running sums or products, of floats in float64."""
    with np.errstate(all="ignore"):
        return run(x, axis=axis, dtype=_sum_dtype(x) if x.dtype.kind != "f" else np.float64).astype(_sum_dtype(x))


def _cumsum_formula(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    run = _wide_run(np.cumsum, np.flip(x, axis) if reverse else x, axis)
    return np.flip(run, axis) if reverse else run


@function(
    formula=_cumsum_formula,
    samples=[*_RUNS, Sample((Arg((2, 3)), 1, True)), Sample((Arg((4,)), 0), (("reverse", True),))],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Tensor:
    """The running sum along `axis` (of the flattened array by default), from the end with `reverse`.

    Floats keep their dtype, integers and bools become int64; floats are summed in float64. Derivative: the running sum
    of the cotangent in the other direction. Raises ShapeError.

    >>> evaluate(cumsum([1.0, 2.0, 3.0]))
    array([1., 3., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    return apply("cumsum", tensor, axis=place, reverse=bool(reverse))


@function(
    formula=lambda x, axis=None: _wide_run(np.cumprod, x, axis),
    samples=[
        *_RUNS,
        Sample((Arg((11, 3)), -1)),
        Sample((Arg((2, 4), values=(0, 2, 3, 1, 1, 0, 2, 0)), 1), why="zeros among the factors"),
        FAR_APART,
    ],
    dtypes=ALL,
    errors=_BAD_RUNS,
)
def cumprod(x: Any, axis: int | None = None) -> Tensor:
    """The running product along `axis` (of the flattened array by default).

    Floats keep their dtype, integers and bools become int64; floats are multiplied in float64, one after the other.
    Derivatives are exact at factors 0. Raises ShapeError.

    >>> evaluate(cumprod([1.0, 2.0, 3.0]))
    array([1., 2., 6.], dtype=float32)
    """
    tensor, place = _along(x, axis)
    return cast(apply("cumprod", tensor, axis=place), tensor.dtype)


def _along(x: Any, axis: int | None) -> tuple[Tensor, int]:
    """x as numbers, flattened where there is no axis, and the axis counted from the front."""
    tensor = as_tensor(x)
    tensor = cast(tensor, sum_dtype(tensor.dtype))
    if axis is None:
        return reshape_to(tensor, (tensor.size,)), 0
    tensor = with_an_axis(tensor)
    return tensor, normalize_axis(axis, tensor.ndim)
