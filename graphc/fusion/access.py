"""Which element of a node a point of a loop nest touches: affine accesses, and how they pass through views.

    affine = offset + sum(coefficient * dim)        over the numbered dims of a `Domain`
    access = an affine for each axis of a node, and a guard: (dim, low, high) asks low <= dim < high

A view adds no work: the access of its output becomes an access of its input. A reshape may split a dim of the
domain in two; accesses written before stay valid (`Domain.current` brings them up to date). Axes of extent 1 are
always at 0, so no dim is spent on them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphc.ir.node import Node
from graphc.ir.scalar import Scalar
from graphc.ops.record import View, view_of

__all__ = ["STRIDED", "Access", "Affine", "Domain", "Leaf", "Trace", "linear", "position", "row_major", "trace"]

Terms = tuple[tuple[int, int], ...]
Guard = tuple[tuple[int, int, int], ...]


class Affine(NamedTuple):
    """`offset + sum(coefficient * dim)`; terms are sorted by dim and have no zero coefficient."""

    offset: int
    terms: Terms = ()

    def scaled(self, factor: int) -> Affine:
        if factor == 0:
            return ZERO
        return Affine(self.offset * factor, tuple((d, c * factor) for d, c in self.terms))

    def shifted(self, offset: int) -> Affine:
        return Affine(self.offset + offset, self.terms)

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(d for d, _ in self.terms)


ZERO = Affine(0)
_NOWHERE: frozenset[Node] = frozenset()
_NEVER: Guard = ((-1, 0, 0),)  # of no dim: it lets nothing through


def total(parts: Iterable[Affine]) -> Affine:
    """The sum of affines."""
    offset, terms = 0, dict[int, int]()
    for part in parts:
        offset += part.offset
        for d, c in part.terms:
            terms[d] = terms.get(d, 0) + c
    return Affine(offset, _sorted_terms(terms))


@functools.lru_cache(maxsize=1024)
def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a contiguous array."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def linear(axes: Iterable[Affine], shape: tuple[int, ...]) -> Affine:
    """The position in a contiguous array of `shape` that the axes address."""
    return position(axes, row_major(shape))


def position(axes: Iterable[Affine], strides: tuple[int, ...]) -> Affine:
    """The position that the axes address in an array that lies by `strides`."""
    offset, terms = 0, dict[int, int]()
    for axis, stride in zip(axes, strides, strict=True):
        offset += axis.offset * stride
        for d, c in axis.terms:
            terms[d] = terms.get(d, 0) + c * stride
    return Affine(offset, _sorted_terms(terms))


def _sorted_terms(terms: dict[int, int]) -> Terms:
    found = [(d, c) for d, c in terms.items() if c]
    if len(found) > 1:
        found.sort()
    return tuple(found)


class Access(NamedTuple):
    """How a loop nest addresses a node: an affine for each of its axes, and where the access is allowed at all."""

    axes: tuple[Affine, ...]
    guard: Guard = ()

    @property
    def dims(self) -> frozenset[int]:
        return frozenset(d for axis in self.axes for d in axis.dims)


@dataclass
class Domain:
    """The dims of a loop nest while it is being put together: extents by dim, in loop order.

    `frozen` domains refuse to split a dim, which tells whether a view is a plain strided one. Dims under a guard are
    `pinned`: they are not split either.
    """

    extents: dict[int, int] = field(default_factory=dict)
    frozen: bool = False
    pinned: set[int] = field(default_factory=set)
    _splits: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    _count: int = 0

    def copy(self) -> Domain:
        return Domain(dict(self.extents), self.frozen, set(self.pinned), dict(self._splits), self._count)

    def add(self, extent: int) -> int:
        self.extents[self._count] = extent
        self._count += 1
        return self._count - 1

    def identity(self, shape: Sequence[int]) -> Access:
        """A new dim for each axis of extent other than 1."""
        return Access(tuple(ZERO if n == 1 else Affine(0, ((self.add(n), 1),)) for n in shape))

    def split(self, dim: int, inner: int) -> None:
        """Replace `dim` by two dims, the second of extent `inner`, at the same place of the loop order."""
        outer = self.extents[dim] // inner
        first, second = self._count, self._count + 1
        self._count += 2
        order = list(self.extents.items())
        at = next(i for i, (d, _) in enumerate(order) if d == dim)
        order[at : at + 1] = [(first, outer), (second, inner)]
        self.extents = dict(order)
        self._splits[dim] = (first, second, inner)

    def current_dims(self, dims: Iterable[int]) -> tuple[int, ...]:
        """`dims` with those that were split replaced by their parts, which have larger numbers."""
        found: list[int] = []
        pending = list(dims)[::-1]
        while pending:
            d = pending.pop()
            if d in self._splits:
                first, second, _ = self._splits[d]
                pending += (second, first)
            else:
                found.append(d)
        return tuple(found)

    def _current(self, affine: Affine) -> Affine:
        """`affine` with dims that were split replaced by their parts. Ends, as parts have larger numbers."""
        while any(d in self._splits for d, _ in affine.terms):
            parts = [Affine(affine.offset)]
            for d, c in affine.terms:
                if d in self._splits:
                    first, second, inner = self._splits[d]
                    parts.append(Affine(0, ((first, c * inner), (second, c))))
                else:
                    parts.append(Affine(0, ((d, c),)))
            affine = total(parts)
        return affine

    def current(self, access: Access) -> Access:
        """`access` in terms of the dims as they are now."""
        if not self._splits:
            return access
        return Access(tuple(self._current(axis) for axis in access.axes), access.guard)

    def divide(self, affine: Affine, by: int) -> tuple[Affine, Affine] | None:
        """`affine` as `by * quotient + remainder`, 0 <= remainder < by everywhere; None where these are not affine.

        Ends, as each round answers, or splits a dim in two that are smaller (both have two elements or more).
        """
        while True:
            affine = self._current(affine)
            quotient = Affine(affine.offset // by)
            parts, rest = [quotient], [Affine(affine.offset % by)]
            for d, c in affine.terms:
                if c % by == 0:
                    parts.append(Affine(0, ((d, c // by),)))
                elif c > 0 and c * self.extents[d] > by and not self.frozen and d not in self.pinned:
                    inner = by // c
                    if by % c or self.extents[d] % inner:
                        return None
                    self.split(d, inner)
                    break
                else:
                    rest.append(Affine(0, ((d, c),)))
            else:
                remainder = total(rest)
                low = remainder.offset + sum(c * (self.extents[d] - 1) for d, c in remainder.terms if c < 0)
                high = remainder.offset + sum(c * (self.extents[d] - 1) for d, c in remainder.terms if c > 0)
                return (total(parts), remainder) if low >= 0 and high < by else None


class Leaf(NamedTuple):
    """A node that is no view, and the access by which the loop nest reaches it."""

    node: Node
    access: Access


class Trace(NamedTuple):
    """What stands behind a chain of views: a leaf, or guarded leaves with a fill value where none applies.

    A leaf that no point of the domain reaches is left out: of a padding seen from inside it, only the fill is there.
    """

    leaves: tuple[Leaf, ...]
    fill: Scalar | None = None


def trace(node: Node, access: Access, domain: Domain, stops: Container[Node] = _NOWHERE) -> Trace | Node:
    """Follow `access` from `node` through views to what is no view (or stands in `stops`, a set or dict).

    Answers with the node at which the chain could not be followed where the access stops being affine: that node
    then needs a buffer of its own. It never stands in `stops`.
    """
    while (follow := _STEPS.get(view_of(node))) is not None and node not in stops:
        access = domain.current(access)
        step = follow(node, access, domain)
        if step is None:
            return node
        node, access = node.inputs[0], step
    if node in stops or view_of(node) not in (View.PADDED, View.JOINED):
        return Trace((Leaf(node, domain.current(access)),))
    return _trace_guarded(node, domain.current(access), domain, stops)


def _trace_guarded(node: Node, access: Access, domain: Domain, stops: Container[Node]) -> Trace | Node:
    """A pad or concatenation: each input under a guard on single dims."""
    parts: list[tuple[Node, Access]] = []
    if view_of(node) is View.PADDED:
        inside = _padded(node, access, domain)
        if inside is None:
            return node
        parts.append((node.inputs[0], inside))
        fill = Scalar.of(node.dtype, node.attrs["value"])
    else:
        start, axis = 0, node.attrs["axis"]
        for source in node.inputs:
            part = _part(access, axis, start, source.shape[axis], domain)
            if part is None:
                return node
            parts.append((source, part))
            start += source.shape[axis]
        fill = Scalar(node.dtype, 0)
    leaves: list[Leaf] = []
    for source, inside in parts:
        if _is_nowhere(inside):
            continue
        below = trace(source, inside, domain, stops)
        if isinstance(below, Node) or below.fill is not None:
            return below if isinstance(below, Node) else source
        leaves += below.leaves
    everywhere = [leaf for leaf in leaves if leaf.access.guard == access.guard]  # one input alone is ever reached
    return Trace((everywhere[0],)) if everywhere else Trace(tuple(leaves), fill)


def _restrict(affine: Affine, extent: int, domain: Domain) -> Guard | None:
    """The guard under which 0 <= affine < extent; None where it is not an interval of one dim."""
    if not affine.terms:
        return () if 0 <= affine.offset < extent else _NEVER
    if len(affine.terms) != 1 or affine.terms[0][1] not in (1, -1):
        return None
    ((d, c),) = affine.terms
    low, high = (-affine.offset, extent - affine.offset) if c == 1 else (affine.offset - extent + 1, affine.offset + 1)
    low, high = max(low, 0), min(high, domain.extents[d])
    domain.pinned.add(d)
    return () if (low, high) == (0, domain.extents[d]) else ((d, low, high),)


def _is_nowhere(access: Access) -> bool:
    """Whether the guard lets no point through."""
    bounds: dict[int, tuple[int, int]] = {}
    for d, low, high in access.guard:
        before = bounds.get(d, (low, high))
        bounds[d] = max(low, before[0]), min(high, before[1])
    return any(low >= high for low, high in bounds.values())


def _padded(node: Node, access: Access, domain: Domain) -> Access | None:
    axes, guard = [], list(access.guard)
    for axis, low, n in zip(access.axes, node.attrs["low"], node.inputs[0].shape, strict=True):
        moved = axis.shifted(-low)
        more = _restrict(moved, n, domain)
        if more is None:
            return None
        axes.append(moved)
        guard += more
    return Access(tuple(axes), tuple(guard))


def _part(access: Access, axis: int, start: int, extent: int, domain: Domain) -> Access | None:
    moved = access.axes[axis].shifted(-start)
    guard = _restrict(moved, extent, domain)
    if guard is None:
        return None
    axes = (*access.axes[:axis], moved, *access.axes[axis + 1 :])
    return Access(axes, access.guard + guard)


def _through_broadcast(node: Node, access: Access, domain: Domain) -> Access:
    shape = node.inputs[0].shape
    axes = access.axes[len(node.shape) - len(shape) :]
    return Access(tuple(ZERO if n == 1 else axis for axis, n in zip(axes, shape, strict=True)), access.guard)


def _through_transpose(node: Node, access: Access, domain: Domain) -> Access:
    axes: list[Affine] = [ZERO] * len(access.axes)
    for position, axis in enumerate(node.attrs["axes"]):
        axes[axis] = access.axes[position]
    return Access(tuple(axes), access.guard)


def _through_slice(node: Node, access: Access, domain: Domain) -> Access:
    starts, steps = node.attrs["starts"], node.attrs["steps"]
    axes = (a.scaled(step).shifted(start) for a, start, step in zip(access.axes, starts, steps, strict=True))
    return Access(tuple(axes), access.guard)


def _through_reshape(node: Node, access: Access, domain: Domain) -> Access | None:
    """Axes in blocks of as many elements on both sides. Ends, as each round takes an axis of one side."""
    source = node.inputs[0]
    if node.size == 0:
        return Access((ZERO,) * source.ndim, access.guard)
    axes: list[Affine] = [ZERO] * source.ndim
    outer = [(n, a) for n, a in zip(node.shape, access.axes, strict=True) if n != 1]
    inner = [axis for axis, n in enumerate(source.shape) if n != 1]
    while outer:
        block = [outer.pop()]
        wanted = [inner.pop()]
        while (have := math.prod(n for n, _ in block)) != (need := math.prod(source.shape[i] for i in wanted)):
            if have < need:
                block.append(outer.pop())
            else:
                wanted.append(inner.pop())
        block.reverse()
        rest = linear([a for _, a in block], tuple([n for n, _ in block]))
        for axis in wanted[:-1]:
            pair = domain.divide(rest, source.shape[axis])
            if pair is None:
                return None
            rest, axes[axis] = pair
        axes[wanted[-1]] = rest
    return domain.current(Access(tuple(axes), access.guard))


def _through_mark(node: Node, access: Access, domain: Domain) -> Access:
    return access


_STEPS: dict[View | None, Callable[[Node, Access, Domain], Access | None]] = {
    View.SAME: _through_mark,
    View.BROADCAST: _through_broadcast,
    View.PERMUTED: _through_transpose,
    View.SLICED: _through_slice,
    View.RESHAPED: _through_reshape,
}
STRIDED = frozenset(_STEPS)  # views that are one access of one input
