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
from graphc.ops.build import apply, cast
from graphc.ops.primitives.views import narrow, pad_view
from graphc.ops.record import NO_GRADIENT, Jvp, Kind, call, primitive
from graphc.ops.tensor import Tensor


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
