"""Rows in pieces: loops over long rows that reduce what they compute while it is in registers, and fetch the next row.

A loop of a row program goes over its row by pieces of `PIECE` elements. After each, the reductions of what it computed
take the piece in (rows.h), so an argument that nothing else reads is never as long as a row. The order of the additions
is that of a function over the whole row. A row is too short for the processor to see a stream in it, so where the
operands are too large for the caches, each piece asks for the next row's elements; the operands are spread over the
loops, so that all of them compute while memory works.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from graphc.backends.c.arrangement import LoopPlan, LoopStep
from graphc.backends.c.space import SHORT
from graphc.kernel.ir import Load, Reduce, Store
from graphc.kernel.machine import machine_type

__all__ = ["PIECE", "Pieces"]

PIECE = 64  # elements: a multiple of the lanes of every reduction
BLOCK = 1024  # elements that a sum of float64 adds before it keeps the digits that are lost (GC_SUM_BLOCK)
CACHED = 512 << 10  # bytes of operands that stay in the second cache by themselves


@dataclass(frozen=True)
class Pieces:
    """What a plan's loops do piece by piece."""

    plan: LoopPlan

    @cached_property
    def dim(self) -> int | None:
        """The dim that the rows of a row program lie along; None for other plans."""
        walk = self.plan.walk
        if walk.columns or walk.is_line or len(walk.box) != 1 or self.plan.moved is not None:
            return None
        (d,) = walk.box
        return d if walk.is_whole(d) and walk.domain.extents[d] > SHORT else None

    @cached_property
    def _reductions(self) -> list[int]:
        return [position for positions in self.plan.reductions.values() for position in positions]

    @cached_property
    def taken_in(self) -> frozenset[int]:
        """The reductions that some loop takes in."""
        return frozenset(reduction for reductions in self.taken.values() for reduction in reductions)

    @cached_property
    def taken(self) -> dict[LoopStep, list[int]]:
        """The reductions that each loop takes in."""
        found: dict[LoopStep, list[int]] = {}
        for position in self._reductions:
            if self.dim is None or self.plan.is_direct(position) or not self._can_take(position):
                continue
            step, _ = self.plan.input_of(position)
            if step is not None and self._is_plain(step):
                found.setdefault(step, []).append(position)
        return found

    def _can_take(self, position: int) -> bool:
        statement, plan = self.plan.kernel.body[position], self.plan
        assert isinstance(statement, Reduce)
        assert self.dim is not None
        kind, extent = machine_type(statement.dtype), plan.walk.domain.extents[self.dim]
        if statement.dtype.kind == "bool" or plan.walk.around:
            return False
        return kind == "f32" or (kind == "f64" and (statement.op != "sum" or extent <= BLOCK))

    def _is_plain(self, step: LoopStep) -> bool:
        """Whether what the loop wrote goes to no function but reductions."""
        plan = self.plan
        written = {position for position, _ in plan.written.get(step, ())}
        turned = (p for p, _ in plan.buffers if plan.is_turning(p))
        if any(arg in written for p in turned for arg in plan.args(p)):
            return False
        return not any(position in plan.store_buffers for position in plan.stores.get(step, ()))

    def is_local(self, position: int, kind: str) -> bool:
        """Whether a buffer holds no more than a piece: reductions take all that the loop writes into it."""
        if any(position in read for read in self.plan.read.values()) and kind == self.plan.kept_kind(position):
            return False
        readers = {reduction for reduction in self._reductions if self.plan.args(reduction) == (position,)}
        return bool(readers) and readers <= self.taken_in

    @cached_property
    def fetched(self) -> dict[LoopStep, list[tuple[int, bool]]]:
        """The loads and stores whose operand each loop fetches a row ahead, and whether it will be written."""
        found: dict[LoopStep, list[tuple[int, bool]]] = {}
        if self.dim is None or not self.plan.walk.rows or self._operand_bytes() <= CACHED:
            return found
        loops = [step for step in self.plan.steps if step.is_full and self._is_plain(step)]
        streams: dict[int, int] = {}
        for step in loops:
            for position in sorted(self.plan.computed.get(step, ())) + self.plan.stores.get(step, []):
                statement = self.plan.kernel.body[position]
                if isinstance(statement, (Load, Store)) and self._is_stream(position):
                    streams.setdefault(statement.operand, position)
        for number, position in enumerate(streams.values()):
            step = loops[number * len(loops) // len(streams)]
            found.setdefault(step, []).append((position, isinstance(self.plan.kernel.body[position], Store)))
        return found

    def _is_stream(self, position: int) -> bool:
        """Whether a load or store takes every element of its row, and another row each time."""
        walk = self.plan.walk
        place = walk.domain.places.get(position)
        if place is None or place.guard or self.dim is None:
            return False
        return place.strides[self.dim] == 1 and place.strides[walk.rows[-1]] != 0

    def _operand_bytes(self) -> int:
        """Bytes that the kernel reads and writes."""
        domain = self.plan.walk.domain
        return sum(domain.size(place.dims) * size for place, size in domain.memory())
