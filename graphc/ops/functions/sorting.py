"""Sorting along an axis, the first of an order with their places, and searching in what is sorted.

All is done by the primitives `sort` and `searchsorted`, whose order is told in primitives/sorting.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import ShapeError, shown
from graphc.ops.build import apply, apply_several, as_tensor, invoke, normalize_axis, promoted, with_an_axis
from graphc.ops.elementwise import Errors
from graphc.ops.primitives.reductions import with_ones
from graphc.ops.primitives.sorting import order_of, search_reference
from graphc.ops.primitives.views import dtype_error, reshape_to, shape_error
from graphc.ops.record import ALL, NUMERIC, Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["argsort", "max_with_index", "min_with_index", "searchsorted", "sort", "topk"]


def _sorted(x: Any, axis: int | None, count: int | None, descending: bool, nan_first: bool) -> tuple[Tensor, ...]:
    """The values and positions, along `axis` as before; of the flattened array where it is None."""
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = reshape_to(tensor, (tensor.size,)), 0
    line = with_an_axis(tensor)
    place = normalize_axis(axis, line.ndim)
    wanted = line.shape[place] if count is None else count
    found = apply_several(
        "sort", invoke("moveaxis", line, place, -1), count=wanted, descending=descending, nan_first=nan_first
    )
    return tuple(invoke("moveaxis", part, -1, place) for part in found)


_SAMPLES = (
    Sample((Arg((5,), distinct=True),)),
    Sample((Arg(()),)),
    Sample((Arg((3, 4), distinct=True), 0)),
    Sample((Arg((2, 3, 4), distinct=True), 1), (("descending", True),)),
    Sample((Arg((2, 70), distinct=True),)),
    Sample((Arg((3, 4), distinct=True), None)),
    Sample((Arg((6,), values=(2, 1, 2, 1, 1, 2)),), grad=False, why="equals"),
    Sample((Arg((6,), values=(2, 1, 2, 1, 1, 2)),), (("descending", True),), grad=False, why="equals"),
    Sample((Arg((0, 3)), 0)),
)
_WRONG: Errors = [(ShapeError, (Arg((2, 3)), 2), {}), (ShapeError, (Arg((2, 3)), (0, 1)), {})]


def _ordered(x: Array, axis: int | None, descending: bool) -> tuple[Array, Array, int]:
    """For formulas: the array, the positions in order, and the axis."""
    x, place = (x.ravel(), 0) if axis is None else (np.atleast_1d(x), axis)
    order = np.moveaxis(order_of(np.moveaxis(x, place, -1), descending, descending), -1, place)
    return x, order, place


def _sort_formula(x: Array, axis: int | None = -1, descending: bool = False) -> Array:
    x, order, place = _ordered(x, axis, descending)
    return np.take_along_axis(x, order, place)


@function(formula=_sort_formula, samples=_SAMPLES, dtypes=ALL, errors=_WRONG)
def sort(x: Any, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The elements along `axis` in rising order, or falling; of the flattened array for None. Equals stay in order.

    nan comes last, with `descending` first, as in PyTorch. A 0-d tensor is sorted as one element in one axis. The
    gradient of an element goes to where it stood. Raises ShapeError.

    >>> evaluate(sort([3.0, 1.0, 2.0]))
    array([1., 2., 3.], dtype=float32)
    """
    return _sorted(x, axis, None, bool(descending), bool(descending))[0]


@function(
    formula=lambda x, axis=-1, descending=False: _ordered(x, axis, descending)[1],
    samples=_SAMPLES, dtypes=ALL, differentiable=False, errors=_WRONG,
)  # fmt: skip
def argsort(x: Any, axis: int | None = -1, descending: bool = False) -> Tensor:
    """Where the elements of `sort(x, axis, descending)` stood, as int64. Raises ShapeError.

    >>> evaluate(argsort([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """
    return _sorted(x, axis, None, bool(descending), bool(descending))[1]


def _topk_formula(x: Array, k: int, axis: int = -1, largest: bool = True) -> tuple[Array, Array]:
    x, order, place = _ordered(x, axis, largest)
    first = np.take(order, range(k), axis=place)
    return np.take_along_axis(x, first, place), first


@function(
    formula=_topk_formula,
    samples=(
        Sample((Arg((6,), distinct=True), 2)),
        Sample((Arg((2, 5), distinct=True), 3, 1, False)),
        Sample((Arg((5, 2), distinct=True), 2, 0)),
        Sample((Arg((2, 60), distinct=True), 50)),
        Sample((Arg((3,), distinct=True), 0)),
        Sample((Arg((5,), values=(1, 2, 2, 2, 1)), 2), grad=False, why="equals"),
    ),
    dtypes=ALL,
    errors=((ShapeError, (Arg((3,)), 4), {}), (ShapeError, (Arg((3,)), -1), {}), (ShapeError, (Arg((3,)), 1, 1), {})),
)
def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest elements along `axis`, or smallest, in order, and where they stood, as int64.

    Of equals the first ones. nan counts as largest. Raises ShapeError for a `k` that is no integer from 0 to the
    extent.

    >>> values, places = topk([1.0, 5.0, 3.0], 2)
    >>> evaluate(values)
    array([5., 3.], dtype=float32)
    """
    extent = (line := with_an_axis(as_tensor(x))).shape[normalize_axis(axis, line.ndim)]
    if isinstance(k, (bool, np.bool_)) or not isinstance(k, (int, np.integer)) or not 0 <= k <= extent:
        raise shape_error(f"topk takes k from 0 to the {extent} elements along the axis, not {shown(k)}")
    values, places = _sorted(line, axis, int(k), bool(largest), bool(largest))
    return values, places


def _extreme(x: Any, axis: int | None, keepdims: bool, largest: bool) -> tuple[Tensor, Tensor]:
    """The first largest or smallest element and its position; nan is more extreme than any number."""
    tensor = as_tensor(x)
    line = with_an_axis(tensor) if axis is not None else reshape_to(tensor, (tensor.size,))
    place = normalize_axis(0 if axis is None else axis, line.ndim)
    if not line.shape[place]:
        raise shape_error(f"{tensor.type} has no elements to choose from along axis {place}")
    axes = tuple(range(tensor.ndim)) if axis is None else (place,)
    shape = with_ones(tensor.shape, axes) if keepdims else tuple(n for d, n in enumerate(tensor.shape) if d not in axes)
    value, index = (reshape_to(part, shape) for part in _sorted(line, place, 1, largest, True))
    return value, index


def _extreme_formula(name: str) -> Any:
    choose, reduce = (np.argmax, np.max) if name == "max" else (np.argmin, np.min)

    def formula(x: Array, axis: int | None = None, keepdims: bool = False) -> tuple[Array, Array]:
        return reduce(x, axis=axis, keepdims=keepdims), choose(x, axis=axis, keepdims=keepdims)

    return formula


_EXTREMES = (
    Sample((Arg((5,), distinct=True),)),
    Sample((Arg((2, 3), distinct=True), 1)),
    Sample((Arg((3, 2, 2), distinct=True), 0, True)),
    Sample((Arg((2, 3), distinct=True), None, True)),
    Sample((Arg(()),)),
    Sample((Arg((2, 3), values=(1, 3, 3, 2, 2, 2)), 1), grad=False, why="ties"),
)
_NOTHING: Errors = [(ShapeError, (Arg((0,)),), {}), (ShapeError, (Arg((2, 3)), 2), {})]


@function(formula=_extreme_formula("max"), samples=_EXTREMES, dtypes=ALL, errors=_NOTHING)
def max_with_index(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The largest element along `axis` (of all by default) and its position, as int64, in one pass.

    Of equals the first, to which alone the gradient goes (that of `max` is shared among them); nan counts as largest.
    Raises ShapeError, for no elements too.

    >>> value, place = max_with_index([[1.0, 4.0], [3.0, 2.0]], axis=1)
    >>> evaluate([value, place])
    [array([4., 3.], dtype=float32), array([1, 0])]
    """
    return _extreme(x, axis, keepdims, True)


@function(formula=_extreme_formula("min"), samples=_EXTREMES, dtypes=ALL, errors=_NOTHING)
def min_with_index(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest element along `axis` (of all by default) and its position, as `max_with_index`.

    nan counts as smallest, as in `min`. Raises ShapeError.
    """
    return _extreme(x, axis, keepdims, False)


def _search_formula(sorted_sequence: Array, values: Array, side: str = "left") -> Array:
    if sorted_sequence.ndim == 1:
        return np.searchsorted(sorted_sequence, values, side)  # type: ignore[call-overload,no-any-return]
    return search_reference(sorted_sequence, values, right=side == "right")


_LINE = Arg((5,), values=(-1, 0, 0, 1, 2), grad=False)


@function(
    formula=_search_formula,
    samples=(
        Sample((_LINE, Arg((2, 3), values=(0, 1, 5, -2, 2, 0)))),
        Sample((_LINE, Arg((), values=(0,)), "right")),
        Sample((Arg((2, 3), values=(0, 1, 2, 3, 3, 4)), Arg((2, 2), values=(1, 3, 3, 5)), "right")),
        Sample((Arg((0,)), Arg((2,)))),
    ),
    dtypes=NUMERIC,
    differentiable=False,
    errors=(
        (ShapeError, (Arg(()), Arg((2,))), {}),
        (ShapeError, (Arg((2, 3)), Arg((3, 2))), {}),
        (ShapeError, (Arg((3,)), Arg((2,)), "middle"), {}),
    ),
)
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    """How many elements of a sorted sequence lie before each of `values`: where it would be put in, as int64.

    `side` says whether equals count as before ("right") or not ("left"). A sequence of more than one axis is searched
    row by row, for values with the same leading axes, as in PyTorch. nan lies behind all numbers. No gradient. Raises
    ShapeError, DTypeError.

    >>> evaluate(searchsorted([1.0, 2.0, 2.0, 3.0], [2.0, 5.0]))
    array([1, 4])
    """
    line, wanted = promoted(sorted_sequence, values)
    if side not in ("left", "right"):
        raise shape_error(f"side is 'left' or 'right', not {shown(side)}")
    if line.dtype.kind == "bool":
        raise dtype_error("searchsorted takes numbers; cast bools first")
    if not line.ndim:
        raise shape_error(f"searchsorted takes a sequence, not {line.type}")
    flat = reshape_to(wanted, (wanted.size,)) if line.ndim == 1 else wanted
    if flat.ndim != line.ndim or flat.shape[:-1] != line.shape[:-1]:
        raise shape_error(f"searchsorted takes values with the leading axes of {line.type}, not {wanted.type}")
    return reshape_to(apply("searchsorted", line, flat, right=side == "right"), wanted.shape)
