"""A group: the nodes that run in one launch, and the loop nest that reaches them.

A group grows from its results down. `start` makes a node the group's first; `join` takes in a node that the group
reads, if it fits: every read of it must be by one access, and each of its elements must be wanted once. The inputs of a
member become reads of the group, followed through views to the nodes that hold or compute their values.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphc.errors import InternalError
from graphc.fusion.access import Access, Affine, Domain, Trace, linear, total, trace
from graphc.fusion.views import StridedView, strided_view
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.primitives.marks import ENTER, LEAVE
from graphc.ops.record import Kind, View, op_of, view_of

__all__ = ["Group", "boundaries", "buffer_view", "holder", "is_literal", "library_operands", "operand_view"]


def is_literal(node: Node) -> bool:
    """True for a constant of one element, which stands in the kernel's code instead of in a buffer."""
    return node.op == "constant" and node.size == 1


@dataclass(eq=False)
class Group:
    """Nodes that run as one launch.

    `accesses` maps each fused node to how the loop nest reaches it, `reads` to where each of its inputs comes from;
    `wants` are the accesses by which the group reads a node, be it a member or not, and `needs` the nodes that must
    have a buffer because a view of them could not be followed. `stores` are the members whose values are kept, `reduce`
    the dims that reductions combine. `library` is the library op; with fused nodes beside it, it is a contraction, they
    are its epilogue, and `anchor` is how they reach its output.

    A concatenation in `parts` is put together by this launch, all of it or these of its parts: the loop nest runs over
    one part, and stores the elements of each at their places. `inside` says which nodes lie in the buffer of a
    concatenation, and where. Views are not followed beyond what is in `kept`.
    """

    domain: Domain = field(default_factory=Domain)
    accesses: dict[Node, Access] = field(default_factory=dict)
    reads: dict[Node, tuple[Trace, ...]] = field(default_factory=dict)
    wants: dict[Node, list[Access]] = field(default_factory=dict)
    needs: set[Node] = field(default_factory=set)
    stores: list[Node] = field(default_factory=list)
    reduce: tuple[int, ...] = ()
    library: Node | None = None
    anchor: Access | None = None
    parts: dict[Node, tuple[int, ...]] = field(default_factory=dict)
    inside: Mapping[Node, StridedView] = field(default_factory=dict)
    kept: Mapping[Node, object] = field(default_factory=dict)

    @property
    def is_fused(self) -> bool:
        """True where there is a loop nest (alone or as an epilogue)."""
        return bool(self.accesses)

    @property
    def nodes(self) -> list[Node]:
        """The fused nodes, inputs before consumers."""
        return list(self.accesses)[::-1]

    @property
    def members(self) -> list[Node]:
        """All nodes that the launch computes."""
        return ([self.library] if self.library is not None else []) + self.nodes

    @property
    def anchor_axes(self) -> tuple[Affine, ...]:
        """How the epilogue reaches the contraction's output."""
        return self.domain.current(self.anchor).axes if self.anchor else ()

    def access(self, node: Node) -> Access:
        """How the loop nest reaches a member, in terms of the dims as they are now."""
        return self.domain.current(self.accesses[node])

    def reduce_dims(self) -> tuple[int, ...]:
        return self.domain.current_dims(self.reduce)

    def wanted(self, node: Node) -> Access | None:
        """The one access by which the group reads `node`; None where there are several or it is guarded."""
        accesses = self.wants.get(node)
        if not accesses:
            return None
        first = self.domain.current(accesses[0])
        if first.guard or any(self.domain.current(access) != first for access in accesses[1:]):
            return None
        return first

    def covers(self, access: Access, shape: tuple[int, ...]) -> bool:
        """Whether `access` runs through every element of an array of `shape` exactly once, axis by axis."""
        seen: set[int] = set()
        for axis, extent in zip(access.axes, shape, strict=True):
            stride = 1
            for d, c in sorted(axis.terms, key=lambda term: abs(term[1])):
                if d in seen or c != stride:
                    return False
                seen.add(d)
                stride *= self.domain.extents[d]
            if axis.offset or stride != extent:
                return False
        return not access.guard

    # Growing ---------------------------------------------------------------------------------------------------------
    def start(self, node: Node) -> None:
        """Make `node` the first member; its axes are the dims of the domain."""
        self._enter(node, self.domain.identity(node.shape))

    def start_parts(self, node: Node, parts: tuple[int, ...]) -> None:
        """Make the concatenation `node` the first member, of which the group puts these parts of one shape together."""
        self._add_parts(node, parts, self.domain.identity(node.inputs[parts[0]].shape))

    def join_parts(self, node: Node, parts: tuple[int, ...], access: Access) -> bool:
        """The same for a group that has members, if it can."""
        if self.library is not None or not self.covers(access, node.inputs[parts[0]].shape):
            return False
        if not self.reaches_once(access):
            return False
        self._add_parts(node, parts, access)
        return True

    def _add_parts(self, node: Node, parts: tuple[int, ...], access: Access) -> None:
        self.accesses[node], self.parts[node] = access, parts
        self.reads[node] = tuple(self._follow(node.inputs[part], access) for part in parts)

    def place_of(self, node: Node, part: int) -> Access:
        """How the loop nest reaches the place of a part of the concatenation `node`."""
        axis, access = node.attrs["axis"], self.access(node)
        before = sum(source.shape[axis] for source in node.inputs[:part])
        return Access((*access.axes[:axis], access.axes[axis].shifted(before), *access.axes[axis + 1 :]))

    def join(self, node: Node, access: Access) -> bool:
        """Take in `node`, reached by `access`, if it fits into the loop nest."""
        if op_of(node).kind is Kind.REDUCTION:
            return self._join_reduction(node, access)
        if not self.reaches_once(access):
            return False
        self._add(node, access, access)
        return True

    def reaches_once(self, access: Access) -> bool:
        """Whether what is reached by `access` is computed once for each element, or for each row of a reduction."""
        used = access.dims
        return len(used) == len(self.domain.extents) or used == self.domain.extents.keys() - set(self.reduce_dims())

    def take_anchor(self, node: Node, access: Access) -> bool:
        """Take in contraction `node` as the one whose output tiles this group finishes, if it can."""
        fits = op_of(node).epilogue_inner and self.library is None and not self.reduce and node.size
        dims = [d for axis in access.axes for d, _ in sorted(axis.terms, key=lambda term: -term[1])]
        if not fits or dims != list(self.domain.extents) or not self.covers(access, node.shape):
            return False
        self.library, self.anchor = node, access
        return True

    def _enter(self, node: Node, access: Access) -> None:
        if op_of(node).kind is not Kind.REDUCTION:
            self._add(node, access, access)
            return
        axes, rest = node.attrs["axes"], iter(access.axes)
        dims = {axis: self.domain.add(node.inputs[0].shape[axis]) for axis in axes}
        self.reduce = tuple(dims.values())
        below = (Affine(0, ((dims[a], 1),)) if a in dims else next(rest) for a in range(node.inputs[0].ndim))
        self._add(node, access, Access(tuple(below)))

    def _join_reduction(self, node: Node, access: Access) -> bool:
        """A reduction fits where it is wanted once a row.

        The dims it does not depend on must be those it combines: they become the group's reduce dims. Where there are
        none, its axes become new dims.
        """
        axes, source = node.attrs["axes"], node.inputs[0]
        if self.library is not None or not self.covers(access, node.shape):
            return False
        extents = [source.shape[axis] for axis in axes]
        unused = tuple(d for d in self.domain.extents if d not in access.dims)
        if self.reduce and set(unused) != set(self.reduce_dims()):
            return False
        inner = self._divided(unused, extents) if unused else [Affine(0, ((self.domain.add(n), 1),)) for n in extents]
        if inner is None:
            return False
        if not self.reduce:
            self.reduce = tuple(d for axis in inner for d in axis.dims)
        rest, reduced = iter(self.domain.current(access).axes), iter(inner)
        below = (next(reduced) if axis in axes else next(rest) for axis in range(source.ndim))
        self._add(node, access, Access(tuple(below)))
        return True

    def _divided(self, dims: tuple[int, ...], extents: list[int]) -> list[Affine] | None:
        """Affines that run through axes of these extents as `dims` run through theirs."""
        have = [self.domain.extents[d] for d in dims]
        if math.prod(have) != math.prod(extents) or 0 in have or not extents:
            return None
        rest = linear([Affine(0, ((d, 1),)) for d in dims], tuple(have))
        found: list[Affine] = []
        for extent in extents[:0:-1]:
            pair = self.domain.divide(rest, extent)
            if pair is None:
                return None
            rest = pair[0]
            found.append(pair[1])
        return list(self.domain.current(Access((rest, *found[::-1]))).axes)

    def copy(self) -> Group:
        """A group with the same members and no stores yet, which can grow without changing this one."""
        wants = {node: list(accesses) for node, accesses in self.wants.items()}
        return Group(
            self.domain.copy(), dict(self.accesses), dict(self.reads), wants, set(self.needs), [], self.reduce,
            self.library, self.anchor, dict(self.parts), self.inside, self.kept,
        )  # fmt: skip

    def dims_of(self, other: Group) -> dict[int, Affine] | None:
        """For each dim of `other`, what it is in this group: from values that both touch, the rest by extent."""
        dims: dict[int, Affine] = {}
        small, large = sorted((self, other), key=lambda group: len(group.accesses))
        for node in [node for node in (*small.accesses, *small.wants) if node in large.accesses or node in large.wants]:
            mine, theirs = self._touch(node), other._touch(node)
            if mine is None or theirs is None:
                continue
            for axis, their_axis in zip(mine.axes, theirs.axes, strict=True):
                plain = len(their_axis.terms) == 1 and their_axis.terms[0][1] == 1 and their_axis.offset == 0
                if plain and dims.setdefault(their_axis.terms[0][0], axis) != axis:
                    return None
        rest = [d for d in other.domain.extents if d not in dims]
        taken = {d for axis in dims.values() for d in axis.dims}
        free = [d for d in self.domain.extents if d not in taken]
        if [other.domain.extents[d] for d in rest] != [self.domain.extents[d] for d in free]:
            return None if rest else dims
        return dims | {d: Affine(0, ((f, 1),)) for d, f in zip(rest, free, strict=True)}

    def _touch(self, node: Node) -> Access | None:
        return self.access(node) if node in self.accesses else self.wanted(node)

    def adopt_reduce(self, other: Group, dims: dict[int, Affine]) -> bool:
        """Take the reduce dims of `other` as this group's where it has none yet; False where that cannot be."""
        if self.reduce or not other.reduce:
            return True
        axes = [dims[d] for d in other.reduce_dims()]
        self.reduce = tuple(d for axis in axes for d in axis.dims)
        return all(axis.terms for axis in axes)

    def translated(self, access: Access, dims: dict[int, Affine]) -> Access:
        """An access of another group in terms of this group's dims."""
        axes = (total([Affine(a.offset), *(dims[d].scaled(c) for d, c in a.terms)]) for a in access.axes)
        return self.domain.current(Access(tuple(axes)))

    def _add(self, node: Node, access: Access, below: Access) -> None:
        """Make `node` a member and follow its reads, which happen through `below`."""
        self.accesses[node] = access
        sources = (node,) if op_of(node).kind is Kind.VIEW else node.inputs
        self.reads[node] = tuple(self._follow(source, below) for source in sources)

    def _follow(self, node: Node, access: Access) -> Trace:
        """Where `access` leads. Ends, as each round stops at one node more, never at one of the stops so far."""
        stops, unfollowed = self.kept, dict[Node, object]()
        while isinstance(found := trace(node, access, self.domain, stops), Node):
            unfollowed[found] = None
            stops = ChainMap(unfollowed, self.kept)  # type: ignore[arg-type]
            self.needs.add(holder(found))
        for leaf in found.leaves:
            free = not leaf.access.guard and (is_literal(leaf.node) or op_of(leaf.node).kind is Kind.GENERATED)
            if view_of(leaf.node) is not View.RESHAPED and not free:
                self.wants.setdefault(leaf.node, []).append(leaf.access)
        return found


def boundaries(graph: Graph) -> set[Node]:
    """What enters or leaves checkpointed regions: it has a buffer, as all else in them is rematerialised from it."""
    return {holder(node.inputs[0]) for node in graph.nodes if node.op in (ENTER, LEAVE)}


def holder(node: Node) -> Node:
    """The node that must have a buffer for `node` to be read contiguously: never another name or shape of one."""
    if view_of(node) not in (View.SAME, View.RESHAPED):
        return node
    view = strided_view(node)
    if view is not None and view.is_contiguous:
        return view.base
    while view_of(node) in (View.SAME, View.RESHAPED):
        node = node.inputs[0]
    return node


def library_operands(node: Node) -> tuple[Node, ...]:
    """The nodes that must have a buffer for the library op `node` to read its inputs, one for each."""
    return tuple(operand_view(node, position).base for position in range(len(node.inputs)))


def buffer_view(node: Node) -> StridedView:
    """`node`, which lies contiguously in a buffer, as a part of it; raises InternalError for another.

    What holds it is told by the graph alone (`holder`), not by what else was stored: the order of launches is settled
    by what groups read before anything has a place.
    """
    base = holder(node)
    view = strided_view(node, {base})
    if view is None or view.base is not base or not view.is_contiguous:
        raise InternalError(f"schedule: {node!r} lies in no buffer")
    return view


def operand_view(node: Node, position: int) -> StridedView:
    """How the library op `node` reads an input: with strides, if it can, else from where it lies contiguously."""
    view = strided_view(node.inputs[position])
    if view is not None and (view.is_contiguous or position in op_of(node).strided_operands):
        return view
    return buffer_view(node.inputs[position])
