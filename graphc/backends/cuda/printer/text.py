"""The text of a CUDA kernel as it grows: its lines, and the coordinates and indices that have locals."""

from __future__ import annotations

from functools import cached_property

from graphc.backends.cuda.printer.grouping import ALONE, Grouping
from graphc.kernel.ir import Iota, Load, Random, Store
from graphc.kernel.nest import FULL, Axis, Nest, NestIndex

__all__ = ["KernelText"]

_PARTS = ("a", "r", "c")  # of positions: outer, reduce, inner


class KernelText:
    """The lines of a kernel of `nest`. A position in a part of the space is a local: `a`, `r` or `c`.

    Where points are grouped these are of a group's first point, but in a loop over the points, `g`: there it `moves`.
    """

    def __init__(self, nest: Nest, grouping: Grouping = ALONE) -> None:
        self.nest, self.grouping = nest, grouping
        self.moves = False
        self.lines: list[str] = []
        self.depth = 0
        self.known: dict[str, str] = {}  # coordinates that have a local
        self.scopes: list[list[str]] = []

    # Lines -----------------------------------------------------------------------------------------------------------
    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def assign(self, name: str, lines: list[str]) -> None:
        """The value of the last line as a local, after the others."""
        for line in lines[:-1]:
            self.line(line)
        if lines[-1] != name:
            self.line(f"{name} = {lines[-1]}")

    def enter(self) -> None:
        self.depth += 1
        self.scopes.append([])

    def leave(self) -> None:
        """Back out of a block; coordinates that were computed in it are known no longer."""
        self.depth -= 1
        for text in self.scopes.pop():
            del self.known[text]

    # Indices ---------------------------------------------------------------------------------------------------------
    def point(self, part: int) -> str:
        """The position of the point in a part, as a local."""
        name = _PARTS[part]
        if not self.moves or part != self.grouping.part:
            return name
        return self._local(f"{name}g", f"{name} + {self.word}(g)")

    def _local(self, name: str, text: str) -> str:
        """A local of an index, written where it is asked for first."""
        if text not in self.known:
            self.line(f"{name} = {self.word}({text})")
            self.known[text] = name
            self.scopes[-1].append(text) if self.scopes else None
        return self.known[text]

    @cached_property
    def word(self) -> str:
        """The type of indices."""
        most = max([self.nest.size, *map(self._reach, self._indices())], default=0)
        return "u32" if most < 1 << 31 else "u64"

    def _indices(self) -> list[NestIndex]:
        body = self.nest.kernel.body
        return [self.access(n) for n, s in enumerate(body) if isinstance(s, (Load, Store, Iota, Random))]

    def _reach(self, index: NestIndex) -> int:
        return index.offset + sum(abs(axis.stride) * axis.extent for part in index.parts for axis in part)

    def access(self, n: int) -> NestIndex:
        statement = self.nest.kernel.body[n]
        assert isinstance(statement, (Load, Store, Iota, Random))
        operand = -1 if isinstance(statement, Iota) else statement.operand
        return NestIndex(operand, 0, statement.index.offset, FULL, self.nest.axes(statement.index))

    def index(self, index: NestIndex, word: str = "") -> str:
        """An index, of the type `word`: that of indices, or one that holds negative numbers."""
        word, terms, taken = word or self.word, list[str](), list[str]()
        for at_part, part in enumerate(index.parts):
            for number, axis in enumerate(part):
                if axis.stride:
                    at, size = self.coordinate(self.point(at_part), part, number), abs(axis.stride)
                    at = at if word == self.word else f"{word}({at})"
                    (terms if axis.stride > 0 else taken).append(at if size == 1 else f"{at} * {word}({size})")
        if index.offset or not terms:
            terms.insert(0, f"{word}({index.offset})")
        text = " + ".join(terms) + "".join(f" - {term}" for term in taken)
        return text if len(terms) == 1 and not taken else f"{word}({text})"

    def coordinate(self, part: str, axes: tuple[Axis, ...], number: int) -> str:
        """A coordinate of a position in a part, as a local."""
        suffix = 1
        for axis in axes[number + 1 :]:
            suffix *= axis.extent
        extent = axes[number].extent
        text = part if suffix == 1 else f"{part} // {self.word}({suffix})"
        if number:
            text = f"({text}) % {self.word}({extent})" if suffix != 1 else f"{text} % {self.word}({extent})"
        if text == part:
            return part
        return self._local(f"{part}{suffix}_{extent}" if number else f"{part}{suffix}", text)

    def guard(self, index: NestIndex) -> str:
        """The condition that a position is inside, or nothing."""
        conditions = []
        for at_part, part in enumerate(index.parts):
            for number, axis in enumerate(part):
                if axis.low > 0 or axis.high < axis.extent:
                    at = self.coordinate(self.point(at_part), part, number)
                    low = [f"{at} >= {self.word}({axis.low})"] if axis.low > 0 else []
                    high = [f"{at} < {self.word}({axis.high})"] if axis.high < axis.extent else []
                    conditions += [*low, *high]
        return " and ".join(conditions)

    def position(self, block: str, unit: int, within: str) -> str:
        return f"{self.word}({self.word}({block}) * {self.word}({unit}) + {self.word}({within}))"
