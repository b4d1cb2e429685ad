"""Indices that come from inputs: the mark that says what a use of an index allows, and the ranges derived from marks.

`bounded` marks an index where a function uses it; the mark changes nothing and leaves the graph when it is compiled.
`index_ranges` follows each mark through views and casts down to an input: what a call gives there is checked. An
index that is computed, read from a parameter, or joined from several tensors is not: kernels clamp it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.ir.node import Node
from graphc.ir.ranges import IndexRange
from graphc.ops.build import apply
from graphc.ops.primitives.marks import ENTER, INDEX_WITHIN, LEAVE
from graphc.ops.primitives.views import shape_error
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor

__all__ = ["bounded", "index_ranges"]

_VIEWS = ("broadcast_to", "reshape", "slice", "transpose", ENTER, LEAVE)


def bounded(index: Tensor, low: int, high: int, what: str, ignored: tuple[int, ...] = ()) -> Tensor:
    """An integer tensor whose values are to lie in [`low`, `high`) or to be `ignored`; `what` is what takes them.

    Raises ShapeError for a constant that does not.
    """
    limits = np.iinfo(index.dtype.numpy)
    if low <= limits.min and limits.max < high:
        return index
    if index.op != "constant":
        return apply(INDEX_WITHIN, index, low=low, high=high, ignored=ignored, what=what)
    values = index.attrs["value"].array
    wrong = values[((values < low) | (values >= high)) & ~np.isin(values, ignored)]
    if wrong.size:
        raise shape_error(f"{what} takes {low} to {high - 1}, not {wrong.flat[0]}")
    return index


def index_ranges(nodes: Iterable[Node], inputs: Sequence[Node]) -> tuple[IndexRange, ...]:
    """The ranges of `inputs` that the marks among `nodes` ask for, those for the same elements as one."""
    positions = {node: position for position, node in enumerate(inputs)}
    found: dict[tuple[Any, ...], IndexRange] = {}
    for node in nodes:
        if node.op != INDEX_WITHIN:
            continue
        path = _path(node)
        place = positions.get(path[-1])
        part = None if place is None else _elements(path)
        if place is None or part is None:
            continue
        new = IndexRange(place, *part, location=str(node.location or ""), **node.attrs)
        key = (place, part, new.ignored)
        found[key] = _both(found[key], new) if key in found else new
    return tuple(sorted(found.values(), key=lambda r: (r.input, r.offset, r.counts, r.low, r.high)))


def _both(a: IndexRange, b: IndexRange) -> IndexRange:
    """What both allow, told as the narrower of the two."""
    told = a if a.high - a.low <= b.high - b.low else b
    return replace(told, low=max(a.low, b.low), high=min(a.high, b.high))


def _path(mark: Node) -> list[Node]:
    """From a mark down through what only views its values or converts integers, to where they come from."""
    path = [mark]
    while path[-1].op in ("cast", "copy", *_VIEWS) or op_of(path[-1]).kind is Kind.MARK:
        source = path[-1].inputs[0]
        if not source.dtype.is_integer:
            break  # of floats and bools
        path.append(source)
    return path


def _elements(path: Sequence[Node]) -> tuple[int, tuple[int, ...], tuple[int, ...]] | None:
    """Offset, counts and strides of the elements of the last node of `path` that the first one holds.

    NumPy's own views tell. None where they are no regular part, or where there are none.
    """
    whole = np.empty(path[-1].shape, np.uint8)
    if not whole.size:
        return None
    view, in_order = whole, True
    for node in reversed(path[:-1]):
        if in_order and node.op in _VIEWS:
            new = op_of(node).reference(view, **node.attrs)
            if not new.size:
                return None
            in_order = np.may_share_memory(new, whole)  # a reshape that NumPy copies for: the elements are the same
            view = new if in_order else view
        elif node.op == "slice" and node.size != node.inputs[0].size:
            return None
    offset = view.ctypes.data - whole.ctypes.data
    axes = [(count, stride) for count, stride in zip(view.shape, view.strides, strict=True) if count > 1 and stride]
    offset += sum((count - 1) * stride for count, stride in axes if stride < 0)
    axes = sorted(((count, abs(stride)) for count, stride in axes), key=lambda axis: -axis[1])
    merged: list[tuple[int, int]] = []
    for count, stride in axes:
        if merged and merged[-1][1] == count * stride:
            merged[-1] = (merged[-1][0] * count, stride)
        else:
            merged.append((count, stride))
    counts, strides = zip(*(merged or [(1, 1)]), strict=True)
    return offset, counts, strides
