"""Views that cost nothing: a node as offset and strides into the buffer of another."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from graphc.fusion.access import STRIDED, Domain, linear, row_major, trace
from graphc.ir.node import Node
from graphc.ops.record import View, view_of

__all__ = ["StridedView", "strided_view"]


@dataclass(frozen=True, slots=True)
class StridedView:
    """An array inside a buffer: `base` is the node that owns the buffer; offset and strides in elements."""

    base: Node
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_contiguous(self) -> bool:
        wanted = row_major(self.shape)
        return 0 in self.shape or all(
            s == w or n == 1 for s, w, n in zip(self.strides, wanted, self.shape, strict=True)
        )

    @property
    def is_whole(self) -> bool:
        """True where the view is its whole base, if perhaps in another shape."""
        return self.is_contiguous and self.offset == 0 and math.prod(self.shape) == self.base.size


def strided_view(node: Node, stops: Container[Node] = frozenset()) -> StridedView | None:
    """`node` as a strided view of what lies under its views, or of the first node in `stops`; None where it is none.

    A reshape keeps the order of the elements: of a contiguous array it is contiguous, whatever it does to the axes.
    """
    if view_of(node) is View.RESHAPED and node not in stops:
        contiguous = _under_reshapes(node, stops)
        if contiguous is not None:
            return contiguous
    found = _followed(node, stops)
    return _over_reshape(node, found, stops) if isinstance(found, Node) else found


def _under_reshapes(node: Node, stops: Container[Node]) -> StridedView | None:
    """The reshape `node` as a contiguous part of what lies under it and further reshapes."""
    base = node
    while view_of(base) is View.RESHAPED and base not in stops:
        base = base.inputs[0]
    below = _followed(base, stops)
    if isinstance(below, Node) or not below.is_contiguous:
        return None
    return StridedView(below.base, below.offset, node.shape, row_major(node.shape))


def _over_reshape(node: Node, reshape: Node, stops: Container[Node]) -> StridedView | None:
    """`node`, views of a reshape that no strides can follow, as a view of the contiguous array that the reshape is."""
    below, view = _under_reshapes(reshape, stops), _followed(node, {reshape})
    if below is None or isinstance(view, Node):
        return None
    return StridedView(below.base, below.offset + view.offset, node.shape, view.strides)


def _followed(node: Node, stops: Container[Node]) -> StridedView | Node:
    """`node` as a view of what is none (a pad and a concatenation count as none); else where strides cannot follow."""
    base = node
    while view_of(base) in STRIDED and base not in stops:
        base = base.inputs[0]
    if base is node:  # no view at all: what the rest comes to
        steps = zip(node.shape, row_major(node.shape), strict=True)
        return StridedView(node, 0, node.shape, tuple(0 if n == 1 else step for n, step in steps))
    domain = Domain(frozen=True)
    found = trace(node, domain.identity(node.shape), domain, {base})
    if isinstance(found, Node):
        return found
    (leaf,) = found.leaves
    position = linear(leaf.access.axes, leaf.node.shape)
    coefficients = dict(position.terms)
    dims = iter(range(len(domain.extents)))
    strides = tuple(0 if n == 1 else coefficients.get(next(dims), 0) for n in node.shape)
    return StridedView(leaf.node, position.offset, node.shape, strides)
