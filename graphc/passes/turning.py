"""Values of pairs with their axes in another order: computed anew from broadcasts, or found to be what is there.

    turned(f(a, b, ...)) = f(turned(a), turned(b), ...)            f elementwise
    turned(broadcast(x)) = broadcast(x), along other axes
    turned(f(a, b)) = f(a, b)                                      where turned(a) = b, turned(b) = a and f commutes
    turned(a - b) = -(a - b)                                       where turned(a) = b, turned(b) = a

A sign goes on through what is odd or even in it. The last rule may change the sign of a zero; so it is not used where
such a zero would divide, or where its sign matters otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphc.ir.node import Node
from graphc.ops.build import apply, broadcast_to
from graphc.ops.primitives.views import permute, reshape_to
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.scalar.ops import SCALARS, Parity

__all__ = ["Order", "Turned", "Turning", "pair_leaves", "plain_leaf"]

Order = tuple[int, ...]

_MOST = 64  # ops that a value of pairs is made of: one loop nest takes not many more
_SMALLER = 8  # times fewer elements of what is broadcast
_OTHER_SUM = {"add": "subtract", "subtract": "add"}
_COMMUTES = {op.name for op in SCALARS.values() if op.mirror == op.name}
_ODD = {op.name for op in SCALARS.values() if op.parity is Parity.ODD}
_EVEN = {op.name for op in SCALARS.values() if op.parity is Parity.EVEN}
_SAME_OF_ZEROS = _EVEN | {op.name for op in SCALARS.values() if op.is_positive}
_TELLS_ZEROS = {"divide", "atan2", "power", "floor_divide", "remainder", "fmod"}


class Turned(NamedTuple):
    """`sign * node`; `exact` where that holds for the signs of zeros, too."""

    sign: int
    node: Tensor
    exact: bool = True


def pair_leaves(x: Node) -> list[Node] | None:
    """The broadcasts that `x` is made of; None where it is made of other large values, or of too many."""
    values = _values(x)
    leaves = [node for node in values if not _is_computed(node)]
    return leaves if values and all(map(_is_small, leaves)) else None


def plain_leaf(leaf: Tensor, source: Tensor) -> Tensor:
    """The broadcast `leaf`, of `source`, in the form that a turned one has: they are the same node where equal."""
    return _turned_leaf(leaf, source, tuple(range(leaf.ndim)))


def _is_computed(node: Node) -> bool:
    return op_of(node).kind is Kind.ELEMENTWISE


def _is_small(node: Node) -> bool:
    return node.op == "iota" or (node.op == "broadcast_to" and node.inputs[0].size * _SMALLER <= node.size)


def _values(x: Node) -> list[Node]:
    """`x` and the elementwise nodes and leaves that it is made of, inputs first; nothing for too many."""
    found: dict[Node, None] = {}
    pending, computed = [x], 0
    while pending:
        node = pending[-1]
        waiting = [source for source in node.inputs if source not in found] if _is_computed(node) else []
        pending += waiting
        if not waiting and pending.pop() not in found:
            found[node] = None
            computed += _is_computed(node)
        if computed > _MOST or len(pending) > 4 * _MOST:
            return []
    return list(found)


@dataclass
class Turning:
    """Turns values, each once for an order of axes."""

    memo: dict[tuple[Order, bool], dict[Node, Turned]] = field(default_factory=dict)

    def turned(self, x: Tensor, order: Order) -> Turned:
        """`x`, made of broadcasts, with its axes in this order; a sign apart where it is known."""
        if order == tuple(range(x.ndim)):
            return Turned(1, x)
        return self._turned(x, order, True) or self._turned(x, order, False) or Turned(1, permute(x, order))

    def _turned(self, x: Tensor, order: Order, signed: bool) -> Turned | None:
        memo = self.memo.setdefault((order, signed), {})
        for node in _values(x):
            assert isinstance(node, Tensor)
            if node not in memo:
                new = _turned_value(node, [memo[source] for source in node.inputs if source in memo], order, signed)
                if new is None:
                    return None
                memo[node] = new
        return memo.get(x)


def _turned_value(node: Tensor, inputs: Sequence[Turned], order: Order, signed: bool) -> Turned | None:
    """`node`, of turned inputs; None where it tells zeros apart whose signs are unknown."""
    if node.op == "iota":
        attrs = {**node.attrs, "shape": tuple(node.shape[axis] for axis in order)}
        return Turned(1, apply("iota", **{**attrs, "axis": order.index(node.attrs["axis"])}))
    if node.op == "broadcast_to":
        return Turned(1, _turned_leaf(node, node.inputs[0], order))
    telling = inputs[1:] if node.op == "divide" else inputs
    if node.op in _TELLS_ZEROS and not all(part.exact for part in telling):
        return None
    sign, op, parts = _signed(node, inputs)
    square = op == "multiply" and node.inputs[0] is node.inputs[1]
    lost = square or op in _SAME_OF_ZEROS or not node.dtype.is_float
    exact = lost or all(part.exact for part in inputs)
    same = len(node.inputs) == 2 and op == node.op and parts[0] is node.inputs[1] and parts[1] is node.inputs[0]
    if same and op in _COMMUTES:
        return Turned(sign, node, exact)
    if same and op == "subtract" and signed and node.dtype.is_float:
        return Turned(-sign, node, False)
    return Turned(sign, apply(op, *parts, **node.attrs), exact)


def _signed(node: Tensor, inputs: Sequence[Turned]) -> tuple[int, str, list[Tensor]]:
    """The op of turned inputs that `node` is, with the sign out of it."""
    parts, signs = [part.node for part in inputs], [part.sign for part in inputs]
    if all(sign > 0 for sign in signs) or node.op in _EVEN:
        return 1, node.op, parts
    if node.op in _OTHER_SUM:
        return signs[0], node.op if signs[0] == signs[1] else _OTHER_SUM[node.op], parts
    if node.op in ("multiply", "divide"):
        return signs[0] * signs[1], node.op, parts
    if node.op in _ODD or (node.op == "cast" and node.dtype.is_float):
        return -1, node.op, parts
    return 1, node.op, [apply("negative", x) if sign < 0 else x for sign, x in zip(signs, parts, strict=True)]


def _turned_leaf(leaf: Tensor, source: Tensor, order: Order) -> Tensor:
    """`source` broadcast as in `leaf`, with the axes in this order; without axes of one element in front."""
    if source.size == 1:
        return broadcast_to(source, tuple(leaf.shape[axis] for axis in order))
    full = (1,) * (leaf.ndim - source.ndim) + source.shape
    if sorted(moved := [axis for axis in order if full[axis] != 1]) != moved:
        source = permute(reshape_to(source, full), order)
    shape = [full[axis] for axis in order]
    while shape and shape[0] == 1:
        del shape[0]
    return broadcast_to(_reshaped(source, shape), tuple(leaf.shape[axis] for axis in order))


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    while x.op == "reshape":
        (x,) = x.inputs
    return reshape_to(x, shape)
