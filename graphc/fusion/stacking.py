"""Concatenations that have a buffer: who writes which part of it.

    piece   = a part that a launch computes anyway: it lies in the buffer from the start, without a copy
    run     = parts of one shape that are left: one launch puts them together, and may compute them too

A piece lies in the buffer as the part does in the concatenation: in one stretch, or in rows as far apart as those of
the whole, where all that writes and reads it can go by strides (see `layout`). A piece may be a concatenation, whose
pieces lie in the same buffer then. A concatenation that only fused launches read, of few parts, has no buffer: they
read its parts themselves. One of many parts of many shapes is divided: a loop nest that chooses among n parts takes n
steps for each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphc.fusion.access import row_major
from graphc.fusion.group import boundaries, library_operands
from graphc.fusion.layout import can_write, placed, unstrided
from graphc.fusion.regions import regions_of
from graphc.fusion.results import result_base
from graphc.fusion.views import StridedView, strided_view
from graphc.ir.graph import Graph, consumers
from graphc.ir.node import Node
from graphc.ops.record import Kind, View, op_of, view_of

__all__ = ["FEW_READ", "MOST_PARTS", "Stack", "all_pieces", "held_nodes", "plan_stacks"]

FEW_READ = 8  # parts up to which a fused launch reads them itself; shapes of parts that are put together one by one
MOST_PARTS = 48  # parts that one launch puts together


class Stack(NamedTuple):
    """The pieces of a concatenation, each with its place in it, and the parts left, those of one launch together."""

    pieces: dict[Node, StridedView]
    runs: tuple[tuple[int, ...], ...]


def plan_stacks(graph: Graph, *, apart: bool = False) -> dict[Node, Stack]:
    """For each concatenation that is put together in a buffer of its own, or inside another's, how.

    Where launches are to stay `apart`, there are no pieces: all parts have buffers of their own.
    """
    if not any(view_of(node) is View.JOINED for node in graph.nodes):
        return {}
    return _Stacking(graph, apart=apart).plan()


def all_pieces(stacks: dict[Node, Stack], node: Node) -> list[Node]:
    """The pieces of a stack, those of its pieces, and so on."""
    found: list[Node] = []
    pending = [node]
    while pending:
        pieces = stacks[pending.pop()].pieces
        found += pieces
        pending += [piece for piece in pieces if piece in stacks]
    return found


def held_nodes(graph: Graph) -> set[Node]:
    """The nodes that have a buffer whatever is fused with what: results, boundaries, what library ops read."""
    held = {result_base(result) for result in graph.results} | boundaries(graph)
    for node in graph.nodes:
        if op_of(node).kind.is_launched:
            held.update(library_operands(node))
    return held


class _Stacking:
    """The state of `plan_stacks`, which goes from the results down: who needs a buffer, and who has a place in one."""

    def __init__(self, graph: Graph, *, apart: bool) -> None:
        self.graph, self.apart = graph, apart
        self.held = held_nodes(graph)
        self.taken = {result_base(result) for result in graph.results}  # nodes that have a place already
        regions = regions_of(graph)
        self.dropped = set(regions.inside) if regions else set[Node]()  # what is rematerialised, by one launch each
        self.undivided = {result_base(value) for _, value in graph.updates} | self.dropped
        self.readers = consumers(graph.nodes)
        self.unstrided = unstrided(graph)
        self.places: dict[Node, StridedView] = {}

    def plan(self) -> dict[Node, Stack]:
        stacks: dict[Node, Stack] = {}
        for node in reversed(self.graph.nodes):
            if view_of(node) is View.JOINED and node.size and (node in self.held or len(node.inputs) > FEW_READ):
                stack = self._stack(node)
                if stack is not None:
                    stacks[node] = stack
                    self.places |= stack.pieces
                    for nodes in (self.taken, self.held):
                        nodes.update(stack.pieces)
        return stacks

    def _stack(self, node: Node) -> Stack | None:
        """How `node` is put together; None where that takes too many launches, or more than it may."""
        axis = node.attrs["axis"]
        strides = self.places[node].strides if node in self.places else row_major(node.shape)
        pieces: dict[Node, StridedView] = {}
        left: list[int] = []
        before = 0
        for number, part in enumerate(node.inputs):
            base = None if self.apart or node in self.undivided else self._piece(part)
            place = None if base is None or base in pieces else self._place(base, part, strides)
            if base is None or place is None:
                left.append(number)
            else:
                pieces[base] = StridedView(node, before * strides[axis], base.shape, place)
            before += part.shape[axis]
        runs, shapes = _runs(node, left)
        few = len(runs) <= 1 if node in self.undivided else self.apart or shapes <= FEW_READ
        alone = not pieces and shapes > 1 and len(node.inputs) <= FEW_READ
        return Stack(pieces, runs) if few and not alone else None

    def _piece(self, part: Node) -> Node | None:
        """The node that a launch of its own computes and that `part` is the whole of, if perhaps in another shape."""
        view = strided_view(part)
        if view is None or not view.is_whole or view.base in self.taken or view.base in self.dropped:
            return None
        kind = op_of(view.base).kind
        if kind is Kind.PART and op_of(view.base.inputs[0]).kind is Kind.LOOP:
            return None  # it carries values in the buffers of its results
        computed = kind not in (Kind.SOURCE, Kind.GENERATED, Kind.VIEW) or view_of(view.base) is View.JOINED
        return view.base if computed and self._has_launch(view.base, part) else None

    def _has_launch(self, base: Node, part: Node) -> bool:
        """Whether `base` is more than what the launch that puts parts together computes as well as any other.

        That is elementwise work for `part` alone, but for what finishes a product or a reduction.
        """
        several = len({*self.readers[base]}) > 1 or len({*self.readers[part]}) > 1
        if several or view_of(base) is View.JOINED:
            return True
        pending = [(base, base.size)]
        while pending:
            node, size = pending.pop()
            kind, alone = op_of(node).kind, node is base or len({*self.readers[node]}) == 1
            if (kind.is_launched or kind is Kind.PART) and node.size >= size:
                return True
            if kind is Kind.REDUCTION and alone and node.inputs[0].size >= size:
                return True
            if kind is Kind.VIEW or (kind is Kind.ELEMENTWISE and alone):
                pending += [(source, size) for source in node.inputs]
        return False

    def _place(self, base: Node, part: Node, strides: tuple[int, ...]) -> tuple[int, ...] | None:
        """The strides of `base` where its part has these; None where not all can go by them."""
        found = placed(base.shape, part.shape, strides)
        if found is None or found == row_major(base.shape):
            return found
        return None if base in self.unstrided or not can_write(base, found) else found


def _runs(node: Node, parts: Sequence[int]) -> tuple[tuple[tuple[int, ...], ...], int]:
    """These parts of `node` by what one launch puts together, and how many shapes they have."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for number in parts:
        alike.setdefault(node.inputs[number].shape, []).append(number)
    cut = (run[at : at + MOST_PARTS] for run in alike.values() for at in range(0, len(run), MOST_PARTS))
    return tuple(map(tuple, cut)), len(alike)
