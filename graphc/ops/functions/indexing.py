"""`x[...]` as NumPy has it, and its transposes: `getitem`, `index_add`, `index_update`.

A key is taken apart once, into a `Indexing`: slice the axes, drop those with an integer, move the axes with index
arrays together and merge them, `take` along the merged axis, put in new axes. Without arrays there is no `take` and
the result is a view. The block of axes that the arrays' common shape becomes stands where the arrays are, or in front
if a slice, an ellipsis or a new axis lies between them; integers beside arrays count as arrays, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError, shown, with_location
from graphc.ir.location import capture
from graphc.ir.types import DTYPES, promote
from graphc.ops import build
from graphc.ops.build import apply, as_tensor, broadcast_shapes, cast, constant
from graphc.ops.functions.gathering import as_index, checked_index, clamped, known_index
from graphc.ops.primitives.views import Ints, dtype_error, permute, reshape_to, shape_error, slice_view, unslice_view
from graphc.ops.record import ALL, NUMERIC, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["getitem", "index_add", "index_update"]


@dataclass(frozen=True)
class Indexing:
    """How a key picks elements from a tensor of shape `source`.

    `starts`, `sizes`, `steps` slice it; `kept` is that without the axes of integers; `order` brings the axes of index
    arrays together; `merged` has them as one axis, `axis`, indexed by `index` if there are any; `result` is the shape
    of the selection.
    """

    source: Ints
    starts: Ints
    sizes: Ints
    steps: Ints
    kept: Ints
    order: Ints
    merged: Ints
    axis: int
    index: Tensor | None
    result: Ints

    def select(self, x: Tensor) -> Tensor:
        """The selected elements of `x`."""
        x = reshape_to(slice_view(x, self.starts, self.sizes, self.steps), self.kept)
        x = reshape_to(permute(x, self.order), self.merged)
        if self.index is not None:
            x = apply("take", x, self.index, axis=self.axis)
        return reshape_to(x, self.result)

    def spread(self, values: Tensor) -> Tensor:
        """The transpose of `select`: zeros with each of `values` added where it was selected from."""
        if self.index is not None:
            block = self.merged[: self.axis] + self.index.shape + self.merged[self.axis + 1 :]
            zeros = build.full(self.merged, 0, values.dtype)
            values = apply("scatter_add", zeros, self.index, reshape_to(values, block), axis=self.axis)
        apart = reshape_to(values, tuple(self.kept[axis] for axis in self.order))
        back = permute(apart, tuple(self.order.index(axis) for axis in range(len(self.order))))
        return unslice_view(reshape_to(back, self.sizes), self.source, self.starts, self.steps)


# Keys ------------------------------------------------------------------------------------------------------------
_GAP = object()  # stands where an ellipsis was


@dataclass(frozen=True)
class _Mask:
    """One of the index arrays that a mask stands for, and the extent that its axis must have."""

    indices: Any
    extent: int


def _items(key: Any, x: Tensor) -> list[Any]:
    """The parts of a key, one for each axis of `x`, with None for new axes and `_GAP` where an ellipsis was."""
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        parts.extend(_plain(part))
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    if taken > x.ndim:
        raise shape_error(f"{x!r} has {x.ndim} axes; the key {_text(key)} indexes {taken}")
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise shape_error(f"a key holds at most one ellipsis, not {_text(key)}")
    place = dots[0] if dots else len(parts)
    return [*parts[:place], *([_GAP] * bool(dots)), *[slice(None)] * (x.ndim - taken), *parts[place + 1 :]]


def _plain(part: Any) -> Sequence[Any]:
    """A part of a key as None, an ellipsis, a slice, an int, an array of int64 or a tensor; a known mask as several."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return (part,)
    _check_kind(part)
    if isinstance(part, (int, np.integer)):
        return (int(part),)
    if not isinstance(part, Tensor) and np.ndim(part) and np.asarray(part).dtype == bool:
        return [_Mask(*pair) for pair in zip(np.nonzero(part), np.shape(part), strict=True)]
    known = known_index(part)
    if known is None:
        return (part,)
    return (known if known.ndim else int(known),)


def _check_kind(part: Any) -> None:
    """Raises DTypeError for what is no index."""
    if isinstance(part, (bool, np.bool_)):
        message = f"{part} is no index; use None for a new axis, or gx.where"
    elif isinstance(part, Tensor) and part.dtype.kind == "bool":
        message = (
            f"the mask {part!r} would give a shape that depends on data; use gx.where(mask, a, b), multiply by the "
            "mask, or index with a NumPy array of bools known while building"
        )
    elif not isinstance(part, (int, np.integer, Tensor, np.ndarray, list, tuple)):
        message = f"indices are integers, slices, ..., None and integer arrays; not {shown(part)}"
    else:
        return
    raise dtype_error(message)


def _text(key: Any) -> str:
    return repr(key) if len(repr(key)) < 60 else "given"


def _axis_slice(part: slice | int | Any, extent: int, what: str) -> tuple[int, int, int]:
    """Start, size and step along an axis. An array's axis is read whole."""
    if isinstance(part, int):
        return int(checked_index(np.asarray([part]), extent, what)[0]), 1, 1
    if not isinstance(part, slice):
        return 0, extent, 1
    for bound in (part.start, part.stop, part.step):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, (int, np.integer))):
            raise with_location(
                DTypeError(f"{what}: the bounds of a slice are integers known while building, not {shown(bound)}"),
                capture(),
            )
    if part.step == 0:
        raise shape_error(f"{what}: a slice cannot have step 0")
    steps = range(*part.indices(extent))
    return (steps.start if len(steps) else 0), len(steps), (steps.step if len(steps) > 1 else 1)


def selection(x: Tensor, key: Any) -> Indexing:
    """`key` taken apart for `x`. Raises ShapeError and DTypeError for what cannot index it."""
    items = _items(key, x)
    parts = [part for part in items if part is not None and part is not _GAP]
    whats = [f"{x!r} along axis {axis}" for axis in range(x.ndim)]
    pieces = [_axis_slice(part, extent, what) for part, extent, what in zip(parts, x.shape, whats, strict=True)]
    starts, sizes, steps = (tuple(piece[field] for piece in pieces) for field in range(3))
    axes = [axis for axis, part in enumerate(parts) if not isinstance(part, int)]  # of x, in the order of `kept`
    arrays = [place for place, axis in enumerate(axes) if not isinstance(parts[axis], slice)]
    kept = tuple(sizes[axis] for axis in axes)
    if not arrays:
        result = _placed(items, sizes, None, ())
        return Indexing(x.shape, starts, sizes, steps, kept, tuple(range(len(kept))), kept, 0, None, result)
    indices = [_index(parts[axes[place]], kept[place], whats[axes[place]]) for place in arrays]
    index = _merged_index(indices, [kept[place] for place in arrays])
    block = _block_place(items)
    front = arrays[0] if block is not None else 0
    rest = [place for place in range(len(kept)) if place not in arrays]
    order = (*rest[:front], *arrays, *rest[front:])
    whole = math.prod(kept[place] for place in arrays)
    merged = (*(kept[place] for place in rest[:front]), whole, *(kept[place] for place in rest[front:]))
    result = _placed(items, sizes, block, index.shape)
    return Indexing(x.shape, starts, sizes, steps, kept, order, merged, front, index, result)


def _index(part: Any, extent: int, what: str) -> Tensor:
    if not isinstance(part, _Mask):
        return as_index(part, extent, what)
    if part.extent != extent:
        raise shape_error(f"{what}: a mask of {part.extent} elements does not fit an extent of {extent}")
    return as_index(part.indices, extent, what)


def _is_advanced(item: Any) -> bool:
    return item is not None and item is not _GAP and not isinstance(item, slice)


def _block_place(items: Sequence[Any]) -> int | None:
    """The item at which the arrays' block stands, or None for the front: when something lies between the arrays."""
    places = [place for place, item in enumerate(items) if _is_advanced(item)]
    return places[0] if places[-1] - places[0] == len(places) - 1 else None


def _placed(items: Sequence[Any], sizes: Ints, block: int | None, shape: Ints) -> Ints:
    """The shape of the result: new axes and slices in the order of the key, and the arrays' block where it goes."""
    result: list[int] = [] if block is not None else list(shape)
    extents = iter(sizes)
    for place, item in enumerate(items):
        if item is _GAP:
            continue
        extent = 1 if item is None else next(extents)
        if place == block:
            result.extend(shape)
        elif not _is_advanced(item):
            result.append(extent)
    return tuple(result)


def _merged_index(indices: Sequence[Tensor], extents: Sequence[int]) -> Tensor:
    """One index into the merged axes: what the indices, broadcast together, pick in row-major order."""
    shape: Ints = broadcast_shapes(*(index.shape for index in indices))
    if len(indices) == 1:
        return indices[0]
    if 0 in extents and 0 not in shape:
        raise shape_error(f"there is nothing to index in axes of extents {tuple(extents)}")
    if all(index.op == "constant" for index in indices):
        arrays = [np.broadcast_to(index.attrs["value"].array, shape) for index in indices]
        return constant(np.ravel_multi_index(arrays, tuple(extents)) if arrays[0].size else arrays[0])
    position = build.full(shape, 0, DTYPES["int64"])
    for index, extent in zip(indices, extents, strict=True):
        position = position * extent + build.broadcast_to(clamped(index, extent), shape)
    return position


# Functions -------------------------------------------------------------------------------------------------------
def _sample(shape: Ints, *key: Any) -> Sample:
    return Sample((Arg(shape), key[0] if len(key) == 1 else key))


@function(
    formula=lambda x, key: x[key],
    samples=(
        _sample((4, 3), 1),
        _sample((4, 3), -1, slice(None, None, -1)),
        _sample((5, 4), slice(1, 4), slice(None, None, 2)),
        _sample((7,), slice(5, None, -2)),
        _sample((4, 3), slice(3, 1), 0),
        _sample((2, 3, 4), Ellipsis, 1),
        _sample((2, 3), None, slice(None), None, 2),
        _sample((2, 3, 4), 1, Ellipsis, slice(-2, None)),
        _sample((2, 3), ()),
        _sample((), Ellipsis, None),
        _sample((4, 3), [0, 3, 0]),
        _sample((4, 3), slice(None), np.array([[2, 0], [1, -1]])),
        _sample((4, 3), [0, 2], [1, 1]),
        _sample((2, 3, 4), [0, 1], slice(None), [3, 0]),
        _sample((2, 3, 4), slice(None), [[0], [2]], [1, 3]),
        _sample((2, 3, 4), 0, slice(1, None), [3, 0, 0]),
        _sample((2, 3, 4), slice(None), 1, [3, 0]),
        _sample((2, 3, 4), [1, 0], None, 2),
        _sample((2, 3, 4), [0], Ellipsis),
        _sample((3, 4), []),
        _sample((2, 3), np.array([[True, False, True], [False, True, False]])),
        _sample((0, 3), slice(None), [1, 1]),
        _sample((2, 1, 3, 1, 2, 2), [1, 0], Ellipsis, slice(None, None, -1), [0, 1]),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((2, 3)), (0, 0, 0)), {}),
        (ShapeError, (Arg((2, 3)), 2), {}),
        (ShapeError, (Arg((2, 3)), (0, -4)), {}),
        (ShapeError, (Arg((2, 3)), [0, 2]), {}),
        (ShapeError, (Arg((2, 3)), (Ellipsis, 0, Ellipsis)), {}),
        (ShapeError, (Arg((4, 3)), ([0, 1], [0, 1, 2])), {}),
        (ShapeError, (Arg((4, 3)), slice(None, None, 0)), {}),
        (ShapeError, (Arg((4, 3)), np.array([True, False, True])), {}),
        (DTypeError, (Arg((2, 3)), 0.5), {}),
        (DTypeError, (Arg((2, 3)), [0.5]), {}),
        (DTypeError, (Arg((2, 3)), True), {}),
        (DTypeError, (Arg((2, 3)), "a"), {}),
        (DTypeError, (Arg((2, 3)), slice(0, 1.5)), {}),
    ),
)
def getitem(x: Any, key: Any) -> Tensor:
    """`x[key]` as in NumPy: integers, slices with any step, `...`, None, integer arrays and tensors, known masks.

    An integer or array that is out of range is a ShapeError, an index tensor that is an input an InputError of the
    call; an index that is computed is clamped to the nearest end. A mask known while building is as good as the
    indices of its True elements; a symbolic one is a DTypeError, since the shape would depend on data. The gradient of
    an element picked several times is the sum.

    >>> getitem(np.zeros((4, 5)), (slice(1, None, 2), [0, 0, 3])).shape
    (2, 3)
    """
    x = as_tensor(x)
    return selection(x, key).select(x)


def _values(x: Tensor, key: Any, values: Any, what: str) -> tuple[Indexing, Tensor]:
    """The selection, and `values` as elements for it."""
    chosen = selection(x, key)
    values = as_tensor(values, x.dtype)
    if promote(x.dtype, values.dtype) is not x.dtype:
        raise with_location(
            DTypeError(f"{what} of {x.type} takes values that promote to {x.dtype}, not {values.type}; cast them"),
            capture(),
        )
    return chosen, build.broadcast_to(cast(values, x.dtype), chosen.result)


def _index_add_formula(x: Any, key: Any, values: Any) -> Any:
    result = np.array(x)
    np.add.at(result, key, values)
    return result


@function(
    formula=_index_add_formula,
    samples=(
        Sample((Arg((4, 3)), 1, Arg((3,)))),
        Sample((Arg((4, 3)), (slice(None, None, 2), slice(2, None, -1)), Arg((2, 3)))),
        Sample((Arg((4, 3)), [0, 3, 0], Arg((3, 3)))),
        Sample((Arg((2, 3, 4)), ([0, 1], slice(1, None), [3, 0]), Arg((2, 2)))),
        Sample((Arg((4,)), [], Arg((0,)))),
    ),
    dtypes=NUMERIC,
    errors=(
        (ShapeError, (Arg((4, 3)), 1, Arg((2,))), {}),
        (ShapeError, (Arg((4, 3)), 4, Arg((3,))), {}),
        (DTypeError, (Arg((4,), dtype="int32"), 1, Arg((), dtype="float32")), {}),
        (DTypeError, (Arg((4,), dtype="bool"), 1, Arg((), dtype="bool")), {}),
    ),
)
def index_add(x: Any, key: Any, values: Any) -> Tensor:
    """`x` with `values` added at `x[key]`, once for each time that an element is named (NumPy's `add.at`).

    `values` broadcasts to the shape of `x[key]` and promotes to the dtype of `x`.

    >>> index_add(np.zeros(3), [0, 0], 1.0).shape
    (3,)
    """
    x = as_tensor(x)
    if x.dtype.kind == "bool":
        raise dtype_error(f"index_add takes a numeric tensor, not {x.type}")
    chosen, values = _values(x, key, values, "index_add")
    return apply("add", x, chosen.spread(values))


def _index_update_formula(x: Any, key: Any, values: Any) -> Any:
    result = np.array(x)
    result[key] = values
    return result


@function(
    formula=_index_update_formula,
    samples=(
        Sample((Arg((4, 3)), 1, Arg((3,)))),
        Sample((Arg((4, 3)), (slice(None, None, 2), slice(2, None, -1)), Arg((2, 3)))),
        Sample((Arg((4, 3)), [0, 3], Arg((3,)))),
        Sample((Arg((2, 3, 4)), ([0, 1], slice(1, None), [3, 0]), Arg((2, 2)))),
        Sample((Arg((4,)), [], Arg((0,)))),
        Sample((Arg((2, 2)), (0, Ellipsis), True)),
    ),
    dtypes=ALL,
    errors=(
        (ShapeError, (Arg((4, 3)), 1, Arg((2,))), {}),
        (ShapeError, (Arg((4, 3)), -5, Arg((3,))), {}),
        (ShapeError, (Arg((4, 3)), [0, 0], Arg((2, 3))), {}),
        (DTypeError, (Arg((4,), dtype="int32"), 1, Arg((), dtype="float32")), {}),
    ),
)
def index_update(x: Any, key: Any, values: Any) -> Tensor:
    """`x` with `x[key]` replaced by `values`: what `x[key] = values` does to an array, as a new tensor.

    Each element must be named at most once: index arrays known while building are checked (ShapeError), an index tensor
    must hold a single index (GraphError); to combine values that meet, use `index_add`.
    """
    x = as_tensor(x)
    chosen, values = _values(x, key, values, "index_update")
    if chosen.index is None:
        new, named = chosen.spread(values), chosen.spread(build.full(chosen.result, True, DTYPES["bool"]))
        return apply("where", named, new, x)
    if math.prod(chosen.result):
        _check_distinct(chosen.index)
    int32 = DTYPES["int32"]
    count = chosen.spread(build.full(chosen.result, 1, int32))
    new = chosen.spread(cast(values, int32) if x.dtype.kind == "bool" else values)
    return apply("where", apply("not_equal", count, build.zeros_like(count)), cast(new, x.dtype), x)


def _check_distinct(index: Tensor) -> None:
    if index.size < 2:
        return
    if index.op != "constant":
        raise with_location(
            GraphError(f"index_update cannot know that {index!r} names no element twice; use index_add"), capture()
        )
    times = np.unique(index.attrs["value"].array, return_counts=True)[1].max()
    if times > 1:
        raise shape_error(f"index_update names an element {times} times; use index_add to combine values")
