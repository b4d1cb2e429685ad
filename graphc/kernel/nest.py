"""A kernel as printers see it: dims of one element dropped, axes merged, every value on its level.

A `Nest` is *flat* if nothing is left to reduce: all of the space is then one range. Levels count from
FULL, which varies along the reduce dims (in a flat nest: along any), over ROW to ONE, which is the same everywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from graphc.ir.scalar import Scalar
from graphc.kernel.ir import Index, Iota, Kernel, Load, Operand, Random, Reduce, Space, Statement, Store

__all__ = ["FULL", "ONE", "ROW", "Axis", "Nest", "NestIndex", "without_empty_reductions"]

FULL, ROW, ONE = range(3)


@dataclass(frozen=True)
class Axis:
    """One axis of an index: positions 0 to extent, of which `low` to `high` are inside the guard."""

    extent: int
    stride: int
    low: int
    high: int


@dataclass(frozen=True)
class NestIndex:
    """An affine index in elements, its axes by part (outer, reduce, inner). `operand` is -1 for none."""

    operand: int
    size: int
    offset: int
    level: int
    parts: tuple[tuple[Axis, ...], ...]

    @property
    def is_guarded(self) -> bool:
        return any(axis.low > 0 or axis.high < axis.extent for part in self.parts for axis in part)


def without_empty_reductions(kernel: Kernel) -> Kernel:
    """The kernel with sums over nothing replaced by 0 and everything inside the empty loops left out.

    Positions of values are kept: a full value, or its store, becomes a constant that nothing needs.
    """
    space = kernel.space
    if space.sizes[1] or not space.reduce:
        return kernel
    kept = [d for d in range(len(space.extents)) if d not in space.reduce_dims]
    new = {old: position for position, old in enumerate(kept)}

    def index_without(index: Index) -> Index:
        guard = tuple((new[d], low, high) for d, low, high in index.guard if d in new)
        return Index(index.offset, tuple(index.strides[d] for d in kept), guard)

    body: list[Statement] = []
    for statement, is_row in zip(kernel.body, kernel.is_row, strict=True):
        match statement:
            case Reduce(dtype=dtype):
                body.append(Scalar(dtype, 0))
            case Store() if not is_row:
                body.append(Scalar(kernel.operands[statement.operand].dtype, 0))
            case _ if not is_row:
                assert not isinstance(statement, Store)
                body.append(Scalar(statement.dtype, 0))
            case Load(operand, dtype, index, otherwise):
                body.append(Load(operand, dtype, index_without(index), otherwise))
            case Iota(dtype, index):
                body.append(Iota(dtype, index_without(index)))
            case Random(operand, stream, index, dtype):
                body.append(Random(operand, stream, index_without(index), dtype))
            case Store(operand, index, arg):
                body.append(Store(operand, index_without(index), arg))
            case _:
                body.append(statement)
    return Kernel(kernel.operands, Space(space.outer, (), space.inner), tuple(body))


@dataclass(frozen=True)
class Nest:
    """`kernel` with its dims by part, and each value's level, stage and uses."""

    kernel: Kernel

    @cached_property
    def is_flat(self) -> bool:
        return self.kernel.space.sizes[1] == 1

    @cached_property
    def extents(self) -> tuple[int, int, int]:
        """Elements of the outer, reduce and inner part."""
        return self.kernel.space.sizes

    @cached_property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The dims of more than one element, by part; of a flat nest all are inner."""
        space = self.kernel.space
        outer, reduce = len(space.outer), len(space.outer) + len(space.reduce)
        dims = [d for d, extent in enumerate(space.extents) if extent > 1]
        if self.is_flat:
            return ((), (), tuple(dims))
        return (
            tuple(d for d in dims if d < outer),
            tuple(d for d in dims if outer <= d < reduce),
            tuple(d for d in dims if d >= reduce),
        )

    def is_never(self, index: Index) -> bool:
        """Whether the guard shuts everything out."""
        return any(max(low, 0) >= min(high, self.kernel.space.extents[dim]) for dim, low, high in index.guard)

    def axes(self, index: Index) -> tuple[tuple[Axis, ...], ...]:
        """The index by part, axes merged where they follow each other in memory and no guard looks at them."""
        extents = self.kernel.space.extents
        guard = {d: (0, extents[d]) for d in range(len(extents))}
        for dim, low, high in index.guard:
            guard[dim] = (max(guard[dim][0], low), min(guard[dim][1], high))
        return tuple(
            _merged([Axis(extents[d], index.strides[d], *guard[d]) for d in part]) for part in self.parts
        )  # fmt: skip

    def level(self, index: Index) -> int:
        """The level of a load, iota or draw."""
        varies = [any(axis.stride or _is_guarded(axis) for axis in part) for part in self.axes(index)]
        if self.is_flat:
            return FULL if varies[2] else ONE
        return FULL if varies[1] else ROW if varies[0] or varies[2] else ONE

    def access(self, operand: int, size: int, index: Index, level: int) -> NestIndex:
        """The index as an access of a value on `level`, which leaves out the parts that it does not vary along."""
        parts = self.axes(index)
        if level == ONE:
            parts = ((), (), ())
        elif level == ROW:
            parts = (parts[0], (), parts[2])
        return NestIndex(
            operand, size, index.offset, level, tuple(() if _is_constant(part) else part for part in parts)
        )

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Each statement's level."""
        levels: list[int] = []
        for statement in self.kernel.body:
            level = min((levels[arg] for arg in self.kernel.arguments(statement)), default=ONE)
            if isinstance(statement, Reduce):
                level = level if self.is_flat else ROW
            elif isinstance(statement, (Load, Iota, Random)) and not self.is_never(statement.index):
                level = min(level, self.level(statement.index))
            levels.append(level)
        return tuple(levels)

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """For each statement, how many loops over the reduce part must be done before it can be computed for a row."""
        stages: list[int] = []
        for statement in self.kernel.body:
            stage = max((stages[arg] for arg in self.kernel.arguments(statement)), default=0)
            stages.append(stage + (isinstance(statement, Reduce) and not self.is_flat))
        return tuple(stages)

    @cached_property
    def needed(self) -> tuple[bool, ...]:
        """Whether a store needs the statement."""
        needed = [isinstance(statement, Store) for statement in self.kernel.body]
        for position in reversed(range(len(needed))):
            if needed[position]:
                for arg in self.kernel.arguments(self.kernel.body[position]):
                    needed[arg] = True
        return tuple(needed)

    @cached_property
    def only_stored(self) -> frozenset[int]:
        """The values whose one use is a store."""
        uses = Counter[int]()
        for statement, needed in zip(self.kernel.body, self.needed, strict=True):
            uses.update(self.kernel.arguments(statement) if needed else ())
        stored = {statement.arg for statement in self.kernel.body if isinstance(statement, Store)}
        return frozenset(value for value in stored if uses[value] == 1)

    @cached_property
    def size(self) -> int:
        """Points of the space."""
        return math.prod(self.extents)

    @property
    def operands(self) -> tuple[Operand, ...]:
        return self.kernel.operands


def _is_guarded(axis: Axis) -> bool:
    return axis.low > 0 or axis.high < axis.extent


def _is_constant(part: tuple[Axis, ...]) -> bool:
    return not any(axis.stride or _is_guarded(axis) for axis in part)


def _merged(axes: list[Axis]) -> tuple[Axis, ...]:
    merged: list[Axis] = []
    for axis in axes:
        before = merged[-1] if merged else None
        free = before is not None and not _is_guarded(before) and not _is_guarded(axis)
        if before is not None and free and before.stride == axis.stride * axis.extent:
            extent = before.extent * axis.extent
            merged[-1] = Axis(extent, axis.stride, 0, extent)
        else:
            merged.append(axis)
    return tuple(merged)
