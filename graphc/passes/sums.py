"""Sums of many terms: what a gradient adds up term by term is computed at once.

Terms are gathered where they move less memory: a stack that its parts can be
written into, or that is one piece already, costs nothing; a copy must be smaller than what it saves. A sum's terms are
looked at once, so the pass takes linear time. Products and sums of 16-bit floats are left apart: each is rounded.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import reduce

from graphc.ir.graph import Graph, consumers, rebuild
from graphc.ir.node import Node, attribute_key, inherit_location, next_serial
from graphc.ops.build import apply, zeros
from graphc.ops.primitives.views import join, narrow, pad_view, permute, reshape_to, scalar_of
from graphc.ops.record import NUMERIC, WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt, rewrite
from graphc.passes.simplify import SIMPLIFICATION
from graphc.passes.stacks import copied_elements, stacked

__all__ = ["REWRITES", "gather_terms"]

_FEW = 4  # as many sums are computed one by one
_OPS = ("pad", "matmul", "sum")
_VIEWS = ("transpose", "reshape", "slice", "broadcast_to")


def _products(a: Tensor, b: Tensor) -> Tensor:
    pairs = [(narrow(a, 0, row, 2), narrow(b, 0, row, 2)) for row in (0, 2, 4, 6)]
    return reduce(lambda x, y: x + y, [apply("matmul", permute(x, (1, 0)), y) for x, y in pairs])


def _sums(a: Tensor) -> Tensor:
    rows = [apply("sin", narrow(a, 0, row, 1)) for row in range(5)]
    products = reduce(lambda x, y: x + y, [apply("matmul", permute(x, (1, 0)), x) for x in rows])
    sums = reduce(lambda x, y: x + y, [apply("sum", x, axes=(0,)) for x in rows])
    return join([products, reshape_to(sums, (1, 9))], 0)


REWRITES = (
    Rewrite(
        "pad(x) + pad(y) + ...", "pad(concatenate(x, y, ...))", Keeps.ZEROS,
        lambda x, y: pad_view(x, (0,), (9,)) + pad_view(y, (9,), (0,)), "paddings of zeros that overlap nowhere",
        dtypes=NUMERIC,
    ),
    Rewrite(
        "a1 @ b1 + a2 @ b2 + ...", "concatenate(a) @ concatenate(b)", Keeps.ROUNDING, _products,
        "along the axis that they contract; 16-bit floats are rounded in between", dtypes=WIDE_FLOAT,
    ),
    Rewrite(
        "sum(x1) + sum(x2) + ...", "sum(concatenate(x))", Keeps.ROUNDING, _sums,
        "of arrays that a product reads too; 16-bit floats are rounded in between", dtypes=WIDE_FLOAT,
    ),
)  # fmt: skip


def gather_terms(graph: Graph) -> Graph:
    """`graph` with like terms of its sums computed at once."""
    if not any(node.op == "add" and any(source.op in _OPS for source in node.inputs) for node in graph.nodes):
        return graph
    sums = _Sums(graph)
    found = {node: terms for node in graph.nodes if (terms := sums.terms(node)) and _repeats(terms)}
    if not found:
        return graph
    new: dict[Node, Node] = {}

    def build(node: Node, inputs: tuple[Node, ...]) -> Node:
        since = next_serial()
        gathered = sums.gathered(found[node], new) if node in found else None
        new[node] = rebuilt(node, inputs) if gathered is None else gathered
        inherit_location([new[node]], since, node.location)
        return new[node]

    gathered = rebuild(graph, build)
    return rewrite(gathered, SIMPLIFICATION)


def _tensor(node: Node) -> Tensor:
    assert isinstance(node, Tensor)
    return node


def _repeats(terms: Sequence[Tensor]) -> bool:
    ops = [term.op for term in terms if term.op in _OPS]
    return len(set(ops)) < len(ops)


class _Sums:
    """The sums of a graph: what is added in each, and which terms nobody else reads."""

    def __init__(self, graph: Graph) -> None:
        self.rank = {node: number for number, node in enumerate(graph.nodes)}
        self.readers = consumers(graph.nodes)
        self.results = set(graph.results)

    def terms(self, node: Node) -> list[Tensor]:
        """The terms of a sum, from left to right; none for a part of a larger sum and for what is no sum."""
        if node.op != "add" or (self._is_read_once(node) and self.readers[node][0].op == "add"):
            return []
        found: list[Tensor] = []
        pending: list[Node] = list(node.inputs[::-1])
        while pending:
            part = pending.pop()
            if part.op == "add" and self._is_read_once(part):
                pending += part.inputs[::-1]
            else:
                found.append(_tensor(part))
        return found

    def _is_read_once(self, node: Node) -> bool:
        return len(self.readers[node]) == 1 and node not in self.results

    def gathered(self, terms: Sequence[Tensor], new: dict[Node, Node]) -> Tensor | None:
        """The sum of `terms`, as they are in `new`, with like ones gathered; None where there are none that should."""
        classes: dict[Hashable, list[Tensor]] = {}
        for number, term in enumerate(terms):
            classes.setdefault(self._class(term, number), []).append(term)
        parts: list[Tensor] = []
        for members in classes.values():
            parts += self._together(members, new) if len(members) > 1 else [_tensor(new[members[0]])]
        return reduce(lambda a, b: apply("add", a, b), parts) if len(parts) < len(terms) else None

    def _together(self, members: list[Tensor], new: dict[Node, Node]) -> list[Tensor]:
        """Terms of one class, all of one op, as fewer terms where that pays."""
        op = members[0].op
        ordered = members if op == "pad" else sorted(members, key=self._age)
        return _GATHER[op]([_tensor(new[member]) for member in ordered])

    def _class(self, term: Tensor, number: int) -> Hashable:
        """What a term has in common with those that it may be gathered with."""
        if term.op == "pad" and attribute_key(term.attrs["value"]) == attribute_key(scalar_of(term.dtype, 0)):
            return "pad"
        if term.dtype.is_low_precision:
            return number
        if term.op == "matmul" and term.ndim == 2 and self._is_read_once(term):
            return "matmul"
        if term.op == "sum" and self._is_read_once(term) and 0 in term.attrs["axes"]:
            (x,) = term.inputs
            multiplied = any(_is_multiplied(reader, self.readers) for reader in self.readers[x])
            return ("sum", term.attrs["axes"], x.shape) if multiplied else number
        return number

    def _age(self, term: Tensor) -> list[int]:
        """By the earliest operand: stacks of what is computed step by step are then in the order of the steps."""
        return min(self._origin(source) for source in term.inputs)

    def _origin(self, node: Node) -> list[int]:
        """The rank of what `node` is a view of, and of the views. A constant, such as a first state, comes first."""
        ranks = [self.rank[node]]
        while node.op in _VIEWS:
            (node,) = node.inputs
            ranks.append(-1 if node.op == "constant" else self.rank[node])
        return ranks[::-1]


def _is_multiplied(reader: Node, readers: dict[Node, list[Node]]) -> bool:
    """Whether `reader` is a product, or a view that one reads."""
    return reader.op == "matmul" or (
        reader.op in ("transpose", "reshape") and any(above.op == "matmul" for above in readers[reader])
    )


# Products and sums -------------------------------------------------------------------------------------------------
def _gather_products(products: list[Tensor]) -> list[Tensor]:
    """One product of what the factors are put together, where it copies less than the terms it saves."""
    depths: dict[int, list[Tensor]] = {}  # all parts of a stack have one shape
    for product in products:
        depths.setdefault(product.inputs[0].shape[1], []).append(product)
    return [result for same in depths.values() for result in _gather_equal(same)]


def _gather_equal(products: list[Tensor]) -> list[Tensor]:
    if len(products) < 2:
        return products
    left = [product.inputs[0] for product in products]
    right = [product.inputs[1] for product in products]
    turned = [permute(x, (1, 0)) if x.op != "transpose" else x.inputs[0] for x in left]
    if copied_elements(turned) + copied_elements(right) > (len(products) - 1) * products[0].size:
        return products
    return [apply("matmul", permute(stacked(turned), (1, 0)), stacked(right))]


def _gather_sums(sums: list[Tensor]) -> list[Tensor]:
    parts = [total.inputs[0] for total in sums]
    if len(sums) <= _FEW or copied_elements(parts):
        return sums
    return [apply("sum", stacked(parts), axes=sums[0].attrs["axes"])]


# Paddings ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Window:
    """`x` at `low` in zeros of a larger shape."""

    x: Tensor
    low: tuple[int, ...]

    def beside(self, axis: int) -> Hashable:
        """What windows have in common that may stand beside each other along `axis`."""
        return tuple((at, size) for a, (at, size) in enumerate(zip(self.low, self.x.shape, strict=True)) if a != axis)


def _gather_pads(pads: list[Tensor]) -> list[Tensor]:
    """Fewer paddings, of windows put together along one axis after the other."""
    shape, windows = pads[0].shape, [_Window(pad.inputs[0], pad.attrs["low"]) for pad in pads]
    for axis in reversed(range(len(shape))):
        rows: dict[Hashable, list[_Window]] = {}
        for window in windows:
            rows.setdefault(window.beside(axis), []).append(window)
        windows = [whole for row in rows.values() for whole in _side_by_side(row, axis)]
    high = (tuple(map(lambda n, at, size: n - at - size, shape, w.low, w.x.shape)) for w in windows)
    return [pad_view(window.x, window.low, above) for window, above in zip(windows, high, strict=True)]


def _side_by_side(windows: list[_Window], axis: int) -> list[_Window]:
    """The windows as one, with zeros between them, unless some overlap or most of it would be zeros."""
    windows = sorted(windows, key=lambda window: window.low[axis])
    parts: list[Tensor] = []
    gaps, end = 0, windows[0].low[axis]
    for window in windows:
        gap = window.low[axis] - end
        if gap < 0:
            return windows
        if gap:
            shape = (*window.x.shape[:axis], gap, *window.x.shape[axis + 1 :])
            parts.append(zeros(window.x.type.with_shape(shape)))
        parts.append(window.x)
        gaps, end = gaps + gap, window.low[axis] + window.x.shape[axis]
    mostly = 2 * gaps <= end - windows[0].low[axis]
    return [_Window(join(parts, axis), windows[0].low)] if mostly else windows


_GATHER = {"pad": _gather_pads, "matmul": _gather_products, "sum": _gather_sums}
