"""Groups become loop nests: `lower_group` writes the kernel IR of a fused group.

The dims of the group's domain are put in order (outer, reduce, inner), each fused node becomes one statement, each
read a load at an affine index. Loads are shared; stores come last. The order of the dims follows memory: what lies
contiguous in the largest array runs innermost, be it a reduce dim or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from graphc.fusion.access import Access, Affine, Leaf, Trace, linear, position, row_major
from graphc.fusion.group import Group, is_literal
from graphc.ir.node import Node
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES, DType
from graphc.kernel.ir import (
    Compute,
    Index,
    Iota,
    Kernel,
    Load,
    Operand,
    Random,
    Reduce,
    Space,
    Statement,
    Store,
)  # fmt: skip
from graphc.ops.record import Kind, op_of

__all__ = ["RNG", "KernelOperand", "lower_group"]

RNG = None  # the operand that holds seed and step belongs to no node


@dataclass(frozen=True)
class KernelOperand:
    """What a kernel's operand stands for: a node's buffer, or (`node` None) the random state."""

    node: Node | None
    access: str


def lower_group(
    group: Group, strides: Mapping[Node, tuple[int, ...]] = MappingProxyType({})
) -> tuple[Kernel, tuple[KernelOperand, ...]]:
    """The loop nest of a fused group, and what its operands stand for; `strides` of those in no one stretch."""
    return _Lowering(group, strides).run()


@dataclass
class _Lowering:
    group: Group
    strides: Mapping[Node, tuple[int, ...]]
    body: list[Statement] = field(default_factory=list)
    operands: dict[KernelOperand, int] = field(default_factory=dict)
    values: dict[Node, int] = field(default_factory=dict)
    shared: dict[Statement, int] = field(default_factory=dict)

    def run(self) -> tuple[Kernel, tuple[KernelOperand, ...]]:
        space = self._order()
        for node in self.group.nodes:
            if node not in self.group.parts:
                self.values[node] = self._value(node)
        parts = {node: self._parts(node) for node in self.group.stores if node in self.group.parts}
        for node in self.group.stores:
            if node is self.group.library:
                continue  # which stores it itself
            for access, value in parts.get(node) or [(self.group.access(node), self.values[node])]:
                index = self._index(self._position(node, access))
                self.body.append(Store(self._operand(node, "write"), index, value))
        dtypes = [DTYPES["int64"] if o.node is None else o.node.dtype for o in self.operands]
        operands = tuple(Operand(dtype, o.access) for dtype, o in zip(dtypes, self.operands, strict=True))
        return Kernel(operands, space, tuple(self.body)), tuple(self.operands)

    # Loop order ------------------------------------------------------------------------------------------------------
    def _order(self) -> Space:
        domain, reduce = self.group.domain, self.group.reduce_dims()
        dims = list(domain.extents)
        if self.group.library is not None:
            axes = self.group.anchor_axes[-op_of(self.group.library).epilogue_inner :]
            inner = [d for d in dims if any(d in axis.dims for axis in axes)]
            outer = [d for d in dims if d not in inner]
        elif not reduce:
            outer, inner = [], dims
        else:
            memory = self._memory_order(dims)
            last = max(memory.index(d) for d in reduce)
            outer = [d for d in memory[:last] if d not in reduce]
            inner = memory[last + 1 :]
            reduce = tuple(d for d in memory if d in reduce)
        self.dims = {d: position for position, d in enumerate((*outer, *reduce, *inner))}
        return Space(*(tuple(domain.extents[d] for d in part) for part in (outer, reduce, inner)))

    def _memory_order(self, dims: list[int]) -> list[int]:
        """The dims by falling stride in the array that decides: a full store if there is one, else the largest read.

        What the group computes itself, and so lies nowhere, has a say only where all that is read is smaller.
        """
        reads = [leaf for reads in self.group.reads.values() for trace in reads for leaf in trace.leaves]
        reads.sort(key=lambda leaf: leaf.node in self.group.accesses)
        candidates = [(node, self.group.access(node)) for node in self.group.stores]
        candidates += [(leaf.node, leaf.access) for leaf in reads]
        best: tuple[int, Affine] = (0, Affine(0))
        for node, access in candidates:
            position = linear(self.group.domain.current(access).axes, node.shape)
            if len(position.terms) > best[0]:
                best = (len(position.terms), position)
        strides = {d: abs(c) for d, c in best[1].terms}
        return sorted(dims, key=lambda d: (-strides.get(d, 1 << 62), dims.index(d)))

    # Statements ------------------------------------------------------------------------------------------------------
    def _emit(self, statement: Statement) -> int:
        number = self.shared.setdefault(statement, len(self.body))
        if number == len(self.body):
            self.body.append(statement)
        return number

    def _value(self, node: Node) -> int:
        op, group = op_of(node), self.group
        if op.kind is Kind.GENERATED:
            return self._generated(node, group.access(node))
        args = tuple(self._read(trace, source.dtype) for trace, source in self._sources(node))
        if op.kind is Kind.VIEW or node.op == "copy":
            return args[0]
        reduces = op.kind is Kind.REDUCTION
        self.body.append(Reduce(node.op, node.dtype, args[0]) if reduces else Compute(node.op, node.dtype, args))
        return len(self.body) - 1  # nodes are interned, so there is nothing to share

    def _sources(self, node: Node) -> list[tuple[Trace, Node]]:
        reads = self.group.reads[node]
        sources = (node,) if op_of(node).kind is Kind.VIEW else node.inputs
        return list(zip(reads, sources, strict=True))

    def _parts(self, node: Node) -> list[tuple[Access, int]]:
        """The parts of a concatenation that are put together here: where each goes, and its value."""
        numbers, reads = self.group.parts[node], self.group.reads[node]
        return [
            (self.group.place_of(node, number), self._read(trace, node.dtype))
            for number, trace in zip(numbers, reads, strict=True)
        ]

    def _read(self, trace: Trace, dtype: DType) -> int:
        if trace.fill is None:
            return self._leaf(trace.leaves[0])
        value = self._emit(trace.fill)
        for leaf in trace.leaves:
            value = self._load(leaf, value)
        return value

    def _leaf(self, leaf: Leaf) -> int:
        if is_literal(leaf.node) and not leaf.access.guard:
            return self._emit(Scalar.of(leaf.node.dtype, leaf.node.attrs["value"].array))
        if leaf.node in self.values:
            return self.values[leaf.node]
        if op_of(leaf.node).kind is Kind.GENERATED:
            return self._generated(leaf.node, leaf.access)
        return self._load(leaf, None)

    def _generated(self, node: Node, access: Access) -> int:
        """What is computed from positions alone: one along an axis, or random bits."""
        axes = self.group.domain.current(access).axes
        if "axis" in node.attrs:
            return self._emit(Iota(node.dtype, self._index(axes[node.attrs["axis"]])))
        index = self._index(linear(axes, node.shape))
        return self._emit(Random(self._operand(RNG, "read"), node.attrs["stream"], index, node.dtype))

    def _load(self, leaf: Leaf, otherwise: int | None) -> int:
        node, access = leaf.node, self.group.domain.current(leaf.access)
        guard = tuple(sorted((self.dims[d], low, high) for d, low, high in access.guard))
        index = self._index(self._position(node, access), guard)
        return self._emit(Load(self._operand(node, "read"), node.dtype, index, otherwise))

    def _position(self, node: Node, access: Access) -> Affine:
        """The element of its buffer that an access of `node` addresses, from where it starts."""
        return position(access.axes, self.strides.get(node) or row_major(node.shape))

    def _index(self, position: Affine, guard: tuple[tuple[int, int, int], ...] = ()) -> Index:
        strides = [0] * len(self.dims)
        for d, c in position.terms:
            strides[self.dims[d]] = c
        return Index(position.offset, tuple(strides), guard)

    def _operand(self, node: Node | None, access: str) -> int:
        return self.operands.setdefault(KernelOperand(node, access), len(self.operands))
