"""Points that a thread takes together: neighbours in memory, which it reads and writes with one access of 16 bytes.

A group is consecutive points along a flat nest or along a row. Most of what it touches must lie side by side from a
multiple of the group on; what does not is read point by point, and what is the same for all points once. Groups depend
on the nest alone, so that bits do; whether an access is wide, or one for each point, depends on addresses as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.backends.cuda.kernel import WIDEST
from graphc.kernel.ir import Iota, Load, Random, Store
from graphc.kernel.nest import FULL, Nest

__all__ = ["ALONE", "Grouping", "grouping_of"]

_MOST = 8  # points
_LONGEST = 48  # statements of a nest whose points are grouped: a thread has registers for so much
_INNER, _REDUCE = 2, 1  # parts


@dataclass(frozen=True)
class Grouping:
    """`size` points along `part`. `wide` statements have elements side by side, `varying` ones a value each."""

    size: int = 1
    part: int = _INNER
    wide: frozenset[int] = frozenset()
    varying: frozenset[int] = frozenset()


ALONE = Grouping()


def grouping_of(nest: Nest, *, along_rows: bool) -> Grouping:
    """The groups of a flat nest, or those along the rows of another; ALONE where groups are worth nothing."""
    part = _REDUCE if along_rows else _INNER
    accesses = [n for n, s in enumerate(nest.kernel.body) if nest.needed[n] and isinstance(s, (Load, Store))]
    touched = [n for n in accesses if _moves(nest, n, part)]
    extent = nest.extents[1] if along_rows else nest.size
    if not touched or sum(nest.needed) > _LONGEST:
        return ALONE
    size = min(_MOST, WIDEST // max(_itemsize(nest, n) for n in touched))
    wide = frozenset(n for n in _moving(nest, part) if _is_wide(nest, n, part, size))
    if size < 2 or extent % size or 2 * len(wide & {*touched}) < len(touched):
        return ALONE
    return Grouping(size, part, wide, _varying(nest, part, size))


def _itemsize(nest: Nest, n: int) -> int:
    statement = nest.kernel.body[n]
    assert isinstance(statement, (Load, Store))
    return nest.operands[statement.operand].dtype.itemsize


def _moving(nest: Nest, part: int) -> list[int]:
    return [n for n, needed in enumerate(nest.needed) if needed and _moves(nest, n, part)]


def _moves(nest: Nest, n: int, part: int) -> bool:
    """Whether what a statement touches, or counts, changes along the part."""
    statement = nest.kernel.body[n]
    if not isinstance(statement, (Load, Store, Iota, Random)) or nest.is_never(statement.index):
        return False
    return any(axis.stride or axis.low > 0 or axis.high < axis.extent for axis in nest.axes(statement.index)[part])


def _is_wide(nest: Nest, n: int, part: int, size: int) -> bool:
    """Whether the elements of a group lie side by side, all or none of them inside the guard, from an even place on."""
    statement = nest.kernel.body[n]
    if not isinstance(statement, (Load, Store, Random)):
        return False
    parts = nest.axes(statement.index)
    last, rest = parts[part][-1], [axis for axes in parts for axis in axes if axis is not parts[part][-1]]
    cuts = (last.extent, last.low, last.high)
    steady = last.stride == 1 and not any(cut % size for cut in cuts)
    return steady and not statement.index.offset % size and not any(axis.stride % size for axis in rest)


def _is_alike(nest: Nest, n: int, part: int, size: int) -> bool:
    """Whether all points of a group have the same element, though the index moves along the part."""
    statement = nest.kernel.body[n]
    assert isinstance(statement, (Load, Store, Iota, Random))
    last = nest.axes(statement.index)[part][-1]
    return last.stride == 0 and not last.extent % size and not last.low % size and not last.high % size


def _varying(nest: Nest, part: int, size: int) -> frozenset[int]:
    """Statements that have a value for each point of a group."""
    found = {n for n in _moving(nest, part) if not _is_alike(nest, n, part, size)}
    for n, statement in enumerate(nest.kernel.body):
        if nest.levels[n] == FULL and not found.isdisjoint(nest.kernel.arguments(statement)):
            found.add(n)
    return frozenset(found)
