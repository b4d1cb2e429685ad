"""Where a part of a buffer lies by strides: what may be written there, and how views of it are read.

The strides of a node in its buffer are in elements, one for each axis; 0 stands for those of axes of extent 1. A node
without a place of its own in another's buffer lies in one stretch, row after row (`row_major`).
"""

from __future__ import annotations

from itertools import pairwise

from graphc.fusion.access import row_major
from graphc.fusion.group import holder, operand_view
from graphc.fusion.views import StridedView, strided_view
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.record import Kind, View, op_of, view_of

__all__ = ["can_write", "placed", "unstrided", "within"]

Strides = tuple[int, ...]
_LEAST_BYTES = 64  # that lie side by side; shorter rows are copied, lest writers share cache lines


def placed(shape: tuple[int, ...], part: tuple[int, ...], strides: Strides) -> Strides | None:
    """The strides of an array of `shape` that is reshaped to one of shape `part`, which lies by these strides."""
    if all(n == 1 or s == w for n, s, w in zip(part, strides, row_major(part), strict=True)):
        return row_major(shape)
    if [n for n in shape if n != 1] != [n for n in part if n != 1]:
        return None
    steps = (stride for extent, stride in zip(part, strides, strict=True) if extent != 1)
    return tuple(0 if extent == 1 else next(steps) for extent in shape)


def can_write(node: Node, strides: Strides) -> bool:
    """Whether what computes `node` writes it by these strides, and in rows that are long enough."""
    axes = [(n, s) for n, s in zip(node.shape, strides, strict=True) if n != 1]
    together = 1
    for extent, stride in reversed(axes):
        if stride != together:
            break
        together *= extent
    if together * node.dtype.itemsize < _LEAST_BYTES:
        return False
    if not (op_of(node).kind.is_launched or op_of(node).kind is Kind.PART):
        return True
    batch = [(n, s) for n, s in zip(node.shape[:-2], strides[:-2], strict=True) if n != 1]
    evenly = all(outer[1] == inner[0] * inner[1] for outer, inner in pairwise(batch))
    return op_of(node).strided_result and evenly


def unstrided(graph: Graph) -> set[Node]:
    """The nodes that somebody reads as one stretch: library ops without strides for it, and views that merge axes."""
    found: set[Node] = set()
    for node in graph.nodes:
        if view_of(node) is View.RESHAPED and not _only_ones(node):
            view = strided_view(node)
            found |= {holder(node), view.base} if view is not None else {holder(node)}
        elif op_of(node).kind.is_launched:
            strided = op_of(node).strided_operands
            views = enumerate(map(strided_view, node.inputs))
            plain = (position for position, view in views if view is None or position not in strided)
            found.update(operand_view(node, position).base for position in plain)
    return found


def _only_ones(node: Node) -> bool:
    """Whether a reshape only adds or removes axes of extent 1."""
    return [n for n in node.shape if n != 1] == [n for n in node.inputs[0].shape if n != 1]


def within(view: StridedView, strides: Strides) -> StridedView:
    """A view of a node, each axis of it along one of the node's, where the node lies by `strides` in its buffer."""
    shape, steps = view.base.shape, row_major(view.base.shape)
    axes = [(step, stride) for extent, step, stride in zip(shape, steps, strides, strict=True) if extent != 1]
    rest, offset = view.offset, 0
    for step, stride in axes:
        offset += rest // step * stride
        rest %= step
    found = []
    for extent, stride in zip(view.shape, view.strides, strict=True):
        step, new = next(((a, b) for a, b in axes if a <= abs(stride)), (1, 0))
        found.append(0 if extent == 1 else stride // step * new)
    return StridedView(view.base, offset, view.shape, tuple(found))
