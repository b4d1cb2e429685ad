"""The fused loops of a printed kernel: what is computed on the way in, and in the innermost loop.

A loop that adds to the states of columns takes several positions of the reduced dim at a time, so that a state is read
and written once for all of them, and what they share stays in registers. Their values are joined by pairs, as those of
columns in memory are (rows.h). It takes one at a time where memory sets the pace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.backends.c.arrangement import LoopPlan, LoopStep
from graphc.backends.c.functions import Functions
from graphc.backends.c.index import SMALL, Places
from graphc.backends.c.pieces import PIECE, Pieces
from graphc.backends.c.scalar import C_TYPES
from graphc.backends.c.space import Walk
from graphc.backends.c.values import Expressions
from graphc.backends.c.writer import TextWriter
from graphc.kernel.cost import operation_cost
from graphc.kernel.ir import Compute, Load

__all__ = ["LoopPrinter"]

TOGETHER = 8  # positions of a reduced dim that are taken at a time,
OPERATIONS = 96  # or as many as make so many scalar operations


@dataclass(frozen=True)
class _Range:
    """The positions from `first` to `last` of a dim, of which a loop takes `count` at a time."""

    dim: int
    first: str
    last: str
    count: int = 1


@dataclass(frozen=True)
class LoopPrinter:
    """Writes the loops of one plan."""

    plan: LoopPlan
    places: Places
    values: Expressions
    pieces: Pieces
    functions: Functions
    writer: TextWriter

    @property
    def walk(self) -> Walk:
        return self.plan.walk

    def write(self, step: LoopStep, nest: Sequence[int]) -> None:
        """The fused loop over the dims of `nest`, and the functions over what it wrote."""
        if self.plan.moved is None:
            start, bound = self._open_pieces(step) if step.is_full else (None, None)
            ranges = [_Range(d, start or "0", bound or self.places.bound(d)) for d in nest]
            for part in self._parts(step, nest):
                self._nest(step, [part if part and part.dim == r.dim else r for r in ranges], start)
            if start:
                self._close_pieces(step, start)
        self.functions.after(step)

    # Several positions at a time -------------------------------------------------------------------------------------
    def _parts(self, step: LoopStep, nest: Sequence[int]) -> list[_Range | None]:
        """The reduced dim of a loop over columns: as many positions at a time as go, then all that are left at once."""
        reduced = [d for d in nest if d in self.walk.domain.reduce]
        if not self.walk.columns or not reduced or not self.plan.added.get(step) or self._is_streaming(step):
            return [None]
        d, bound = reduced[-1], self.places.bound(reduced[-1])
        extent, together = self.walk.domain.extents[d], self._together(step, d)
        rest = extent % together
        if rest == 0:
            return [_Range(d, "0", bound, together)]
        whole = str(extent - rest) if bound.isdigit() else f"{bound} - {bound} % {together}"
        parts: list[_Range | None] = [_Range(d, "0", whole, together), _Range(d, whole, bound, rest)]
        return parts if extent > together else parts[1:]

    def _together(self, step: LoopStep, dim: int) -> int:
        """How many positions of `dim` a loop takes at a time."""
        moving = [self.plan.kernel.body[p] for p in self._values(step) if dim in self.plan.dims[p]]
        cost = sum(operation_cost(s.op) if isinstance(s, Compute) else 1 for s in moving)
        extent = self.walk.domain.extents[dim]
        most = next((count for count in (TOGETHER, 4, 2) if count * cost <= OPERATIONS), 1)
        return min(most, extent)

    def _is_streaming(self, step: LoopStep) -> bool:
        """Whether a loop reads an operand that is as large as the space: memory is quickest in its own order."""
        domain = self.walk.domain
        loads = [p for p in self.plan.computed.get(step, ()) if isinstance(self.plan.kernel.body[p], Load)]
        return any(len(domain.places[p].dims) == len(domain.extents) for p in loads)

    def _values(self, step: LoopStep) -> list[int]:
        """The values that a loop computes or reads."""
        return sorted(self.plan.computed.get(step, set()) | self.plan.read.get(step, set()))

    # Text ------------------------------------------------------------------------------------------------------------
    def _nest(self, step: LoopStep, ranges: Sequence[_Range], start: str | None) -> None:
        nest, levels = [r.dim for r in ranges], self._levels(step, ranges, start)
        for depth, r in enumerate(ranges):
            for line in levels[depth]:
                self.writer.line(line)
            if depth == len(nest) - 1:
                self.writer.line("GC_IVDEP")
            c_type = "int64_t" if self.walk.domain.extents[r.dim] >= SMALL else "int"
            advance = f"j{r.dim}++" if r.count == 1 else f"j{r.dim} += {r.count}"
            self.writer.open(f"for ({c_type} j{r.dim} = {r.first}; j{r.dim} < {r.last}; {advance})")
        for line in levels[-1]:
            self.writer.line(line)
        self.writer.close(len(nest))

    def _levels(self, step: LoopStep, ranges: Sequence[_Range], start: str | None) -> list[list[str]]:
        """The lines before each loop of the nest, and inside the last."""
        plan, nest = self.plan, [r.dim for r in ranges]
        levels: list[list[str]] = [[] for _ in range(len(nest) + 1)]
        copies = self._copies(step, next((r for r in ranges if r.count > 1), None))
        for position in self._values(step):
            if position not in plan.computed.get(step, set()):
                levels[-1] += copies(self.values.declare(position, self.values.read(position, nest)))
                continue
            depth = max((k + 1 for k, d in enumerate(nest) if d in plan.dims[position]), default=0)
            levels[depth] += copies(self.values.declare(position, self.values.value(position, nest)))
        for position, kind in sorted(plan.written.get(step, ())):
            levels[-1] += copies(self._write(position, kind, nest, start))
        for position in plan.added.get(step, []):
            levels[-1].append(self.values.add(position, nest, copies(f"v{self.values.argument(position)}")))
        for position in plan.stores.get(step, []):
            levels[-1] += copies(self.values.store(position, nest))
        return levels

    def _copies(self, step: LoopStep, several: _Range | None) -> Callable[[str], list[str]]:
        """Text for every position that is taken at a time; once if it is the same for all of them."""
        if several is None:
            return lambda text: [text]
        dim, count = several.dim, several.count
        moving = "|".join(str(p) for p in self._values(step) if dim in self.plan.dims[p])
        own = re.compile(rf"\bv({moving or 'none'})\b")
        at = re.compile(rf"\bj{dim}\b")

        def copies(text: str) -> list[str]:
            if text.startswith("v") and not own.search(text):
                return [text] * count  # an argument of a reduction
            if not own.search(text) and not at.search(text):
                return [text]
            moved = [text, *(at.sub(f"(j{dim} + {number})", text) for number in range(1, count))]
            return [own.sub(rf"v\g<1>_{number}", line) for number, line in enumerate(moved)]

        return copies

    def _write(self, position: int, kind: str, nest: Sequence[int], start: str | None) -> str:
        """Keeps a value in its buffer."""
        buffer = self.plan.buffers[position, kind]
        slot = self.places.slot(buffer.dims, nest)
        if self.pieces.is_local(position, kind):
            self.writer.line(f"{C_TYPES[buffer.c_type]} {buffer.name}[{PIECE}];")
            slot = f"{slot} - {start}"
        return f"{buffer.name}[{slot}] = v{position};"

    # Pieces of rows --------------------------------------------------------------------------------------------------
    def _open_pieces(self, step: LoopStep) -> tuple[str, str] | tuple[None, None]:
        """Opens a loop over pieces of the row, if reductions take them in or the next row is fetched; their bounds."""
        d, taken, fetched = self.pieces.dim, self.pieces.taken.get(step, []), self.pieces.fetched.get(step, [])
        if d is None or not (taken or fetched):
            return None, None
        for position in taken:
            self.functions.start_pieces(position)
        extent = self.walk.domain.extents[d]
        self.writer.open(f"for (int p{d} = 0; p{d} < {extent}; p{d} += {PIECE})")
        end = f"p{d} + {PIECE}"
        if extent % PIECE:
            self.writer.line(f"const int e{d} = p{d} + {PIECE} < {extent} ? p{d} + {PIECE} : {extent};")
            end = f"e{d}"
        for position, written in fetched:
            self.functions.fetch_ahead(position, f"p{d}", PIECE, written)
        return f"p{d}", end

    def _close_pieces(self, step: LoopStep, start: str) -> None:
        d = self.pieces.dim
        assert d is not None
        whole = self.walk.domain.extents[d] % PIECE == 0
        taken = self.pieces.taken.get(step, [])
        for position in taken:
            key = self.values.argument(position), self.plan.input_of(position)[1]
            name = self.plan.buffers[key].name
            source = name if self.pieces.is_local(*key) else f"{name} + {start}"
            self.functions.take_piece(position, source, str(PIECE) if whole else f"e{d} - {start}")
        self.writer.close()
        for position in taken:
            self.functions.end_pieces(position)
