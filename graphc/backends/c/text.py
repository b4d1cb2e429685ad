"""The text of one function over regions: loops over the ranges, fused loops over the box, calls of header functions.

Buffers are called `b` and `f` (over the box: for other loops, for a function), `w` and `g` (the same over a row), and
`t` (for a transposed store); the other names are told in index.py and values.py.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graphc.backends.c.arrangement import LAST, LoopPlan, LoopStep, ScratchBuffer
from graphc.backends.c.facts import ONE
from graphc.backends.c.functions import Functions
from graphc.backends.c.index import Places
from graphc.backends.c.loops import LoopPrinter
from graphc.backends.c.pieces import Pieces
from graphc.backends.c.scalar import C_TYPES, memory_type
from graphc.backends.c.space import Walk
from graphc.backends.c.values import Expressions
from graphc.backends.c.writer import TextWriter
from graphc.kernel.machine import SIZES

__all__ = ["KernelFunction", "print_function"]

ALIGNMENT = 64


@dataclass(frozen=True)
class KernelFunction:
    """A function's text, and the bytes of scratch that it uses."""

    text: str
    scratch: int


def print_function(plan: LoopPlan, name: str) -> KernelFunction:
    """The function `name` over regions of the plan's walk."""
    return _Printer(plan, name).run()


@dataclass
class _Printer:
    plan: LoopPlan
    name: str
    writer: TextWriter = field(default_factory=TextWriter)
    scratch: int = 0
    arrays: dict[str, str] = field(default_factory=dict)

    @property
    def walk(self) -> Walk:
        return self.plan.walk

    @cached_property
    def places(self) -> Places:
        return Places(self.walk)

    @cached_property
    def values(self) -> Expressions:
        return Expressions(self.plan, self.places)

    @cached_property
    def pieces(self) -> Pieces:
        return Pieces(self.plan)

    @cached_property
    def functions(self) -> Functions:
        return Functions(self.plan, self.places, self.values, self.writer)

    @cached_property
    def loops(self) -> LoopPrinter:
        return LoopPrinter(self.plan, self.places, self.values, self.pieces, self.functions, self.writer)

    def run(self) -> KernelFunction:
        self._place_buffers()
        one = sorted(p for p in self.plan.scalars if self.plan.scopes[p] == ONE)
        self._scalars(one)
        opened = self._open_ranges()
        self._stages()
        self.writer.close(opened)
        body = _without_unused(self.writer.lines)
        head = f"static __attribute__((flatten, unused)) void {self.name}("
        head += "const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {"
        text = "\n".join([head, *self._declarations("\n".join(body)), *body, "}"])
        return KernelFunction(text, self.scratch)

    def _declarations(self, body: str) -> list[str]:
        """Operands, buffers and keys that the body uses, and the parameters that it does not."""
        lines, used = [], set(re.findall(r"\b[a-z]\w*", body))
        for number, operand in enumerate(self.plan.kernel.operands):
            if f"o{number}" in used:
                const = "const " if operand.access == "read" else ""
                kind = memory_type(operand.dtype)
                lines.append(f"    {const}{kind} *const o{number} = gc_program_operand(call, {number});")
        lines += [f"    {text}" for name, text in self.arrays.items() if name in used]
        for operand_number, stream in sorted(name[1:].split("_") for name in used if re.fullmatch(r"r\d+_\d+", name)):
            state = f"gc_program_operand(call, {operand_number})"
            name = f"r{operand_number}_{stream}"
            lines.append(f"    const gc_random_key {name} = gc_random_key_of({state}, {stream}u);")
        used |= {"call"} if lines else set()
        unused = [name for name in ("call", "a0", "a1", "c0", "c1") if name not in used]
        return ([f"    (void){', (void)'.join(unused)};"] if unused else []) + lines

    # Scratch ---------------------------------------------------------------------------------------------------------
    def _place_buffers(self) -> None:
        plan = self.plan
        kept = [buffer for key, buffer in plan.buffers.items() if not self.pieces.is_local(*key)]
        full = [b for b in (*kept, *plan.store_buffers.values()) if b.is_full]
        spaces: list[list[ScratchBuffer]] = []  # buffers that share a place because their lives do not meet
        for buffer in sorted(full, key=lambda b: (b.first, b.name)):
            for space in spaces:
                same = (space[0].size, space[0].dims) == (buffer.size, buffer.dims)
                if same and all(b.last < buffer.first or buffer.last < b.first for b in space):
                    space.append(buffer)
                    break
            else:
                spaces.append([buffer])
        for space in spaces:
            start = self._take(self._points(space[0].dims) * space[0].size)
            for buffer in space:
                self._array(buffer.name, buffer.c_type, start)
        width = self._points(self.walk.row_dims)
        for buffer in plan.buffers.values():
            if not buffer.is_full:
                self._array(buffer.name, buffer.c_type, self._take(width * buffer.size))
        if self.walk.columns:
            for position in itertools.chain.from_iterable(plan.reductions.values()):
                for array, kind in self.values.states(position):
                    self._array(array, kind, self._take(width * SIZES[kind]))

    def _points(self, dims: Iterable[int]) -> int:
        return math.prod(self.walk.room(d) for d in dims)

    def _take(self, nbytes: int) -> int:
        start = self.scratch
        self.scratch += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return start

    def _array(self, name: str, kind: str, start: int) -> None:
        place = f"call->scratch + {start}" if start else "call->scratch"
        self.arrays[name] = f"{C_TYPES[kind]} *const {name} = (void *)({place});"

    # Ranges ----------------------------------------------------------------------------------------------------------
    def _open_ranges(self) -> int:
        """Opens the loops over the region; how many."""
        walk, before = self.walk, self.writer.depth
        if walk.is_line:
            self._open_line()
        elif walk.swapped:
            self.writer.line("if (c0 >= c1)")
            self.writer.line("    return;")
            self._open_range(walk.columns, "a", walk.vector)
        else:
            if not walk.columns:
                self.writer.line("if (c0 >= c1)")
                self.writer.line("    return;")
            blocked = walk.rows[-1] if walk.rows and walk.rows[-1] in walk.box else None
            self._open_range(walk.rows, "a", blocked)
            self._open_range(walk.columns, "c", walk.vector)
        return self.writer.depth - before

    def _open_line(self) -> None:
        """Rows of a space that is one dim: together where the region has all of each."""
        rows, columns = self.walk.domain.kernel.space.outer, self.walk.domain.kernel.space.inner
        width, limit = math.prod(columns), self.walk.limits.get(0)
        if math.prod(rows) == 1:
            start, length, end = "c0", "c1 - c0", "c1"
        else:
            self.writer.line(f"const int64_t step = c0 == 0 && c1 == {width} ? a1 - a0 : 1;")
            self.writer.open("for (int64_t a = a0; a < a1; a += step)")
            start, length = f"{width} * a + c0", f"{width} * (step - 1) + c1 - c0"
            end = f"{width} * (a + step - 1) + c1"
        if limit is None:
            self.writer.line(f"const int64_t i0 = {start};")
            self.writer.line(f"const int64_t n0 = {length};")
        else:
            self.writer.line(f"const int64_t end = {end};")
            self.writer.open(f"for (int64_t i0 = {start}; i0 < end; i0 += {limit})")
            self.writer.line(f"const int64_t n0 = gc_smaller({limit}, end - i0);")

    def _open_range(self, dims: Sequence[int], letter: str, blocked: int | None) -> None:
        """A loop over one range of the region, `blocked` positions of whose last dim go into the box."""
        first, last = f"{letter}0", f"{letter}1"
        if not dims or (len(dims) == 1 and self.walk.is_whole(dims[0])):
            return
        extents, limit = self.walk.domain.extents, self.walk.limits.get(dims[-1])
        limit = None if limit is not None and limit >= extents[dims[-1]] else limit
        if len(dims) == 1:
            (d,) = dims
            if blocked is None:
                self.writer.open(f"for (int64_t i{d} = {first}; i{d} < {last}; i{d}++)")
            elif limit is None:
                self.writer.line(f"const int64_t i{d} = {first}, n{d} = {last} - {first};")
            else:
                self.writer.open(f"for (int64_t i{d} = {first}; i{d} < {last}; i{d} += {limit})")
                self.writer.line(f"const int64_t n{d} = gc_smaller({limit}, {last} - i{d});")
            return
        d = dims[-1]
        if blocked is None:
            self.writer.open(f"for (int64_t {letter} = {first}; {letter} < {last}; {letter}++)")
        else:
            self.writer.open(f"for (int64_t {letter} = {first}, n{d}; {letter} < {last}; {letter} += n{d})")
        step = 1
        for dim in reversed(dims):
            position = letter if step == 1 else f"{letter} / {step}"
            self.writer.line(f"const int64_t i{dim} = {position}{'' if dim == dims[0] else f' % {extents[dim]}'};")
            step *= extents[dim]
        if blocked is not None:
            rest = f"gc_smaller({extents[d]} - i{d}, {last} - {letter})"
            self.writer.line(f"n{d} = {rest};" if limit is None else f"n{d} = gc_smaller({limit}, {rest});")

    # Stages ----------------------------------------------------------------------------------------------------------
    def _scalars(self, positions: Iterable[int]) -> None:
        for position in positions:
            self.writer.line(self.values.declare(position, self.values.value(position, ())))

    def _stages(self) -> None:
        plan = self.plan
        steps = plan.steps
        last = max((plan.stages[p] for p, need in enumerate(plan.needed) if need), default=0)
        for stage in range(last + 1):
            self._scalars(sorted(p for p in plan.scalars if plan.stages[p] == stage and plan.scopes[p] != ONE))
            if stage == 0:
                for position in sorted(p for p, kind in plan.buffers if kind == "w" and plan.is_fetched(p)):
                    self.functions.fetch(position)
            for step in steps:
                if step.stage == stage and not step.is_full:
                    self.loops.write(step, self.walk.row_dims)
            self._full_stage(stage, [step for step in steps if step.stage == stage and step.is_full])
        if LoopStep(LAST, False, 0) in steps:
            self.loops.write(LoopStep(LAST, False, 0), self.walk.row_dims)

    def _full_stage(self, stage: int, steps: list[LoopStep]) -> None:
        plan = self.plan
        reductions = plan.reductions.get(stage, [])
        fetched = sorted(
            {p for step, read in plan.read.items() for p in read if self.functions.is_fetched_in(p, step, stage)}
        )
        if not steps and not reductions and not fetched:
            return
        only_direct = not steps and not fetched and all(plan.is_direct(p) for p in reductions)
        self.functions.start_states(reductions)
        opened = 0 if only_direct else self._open_chunks()
        for position in fetched:
            self.functions.fetch(position)
        self._scalars(sorted(plan.chunk_scalars.get(stage, ())))
        for position in reductions:
            if plan.is_direct(position):
                self.functions.reduce_memory(position, self.walk.around if only_direct else ())
        apart = [p for p in reductions if not (plan.is_direct(p) or p in self.pieces.taken_in)]
        rows = {p: plan.input_of(p) for p in apart if not self.walk.columns}
        for step in (None, *steps):
            if step is not None:
                self.loops.write(step, self.walk.box)
            for position, (made_by, kind) in rows.items():
                if made_by == step:
                    self.functions.reduce_buffer(position, kind)
        self.writer.close(opened)

    def _open_chunks(self) -> int:
        walk = self.walk
        chunked = [d for d in walk.box if d in walk.domain.reduce and not walk.is_whole(d)]
        for d in walk.around:
            self.writer.open(f"for (int64_t i{d} = 0; i{d} < {walk.domain.extents[d]}; i{d}++)")
        for d in chunked:
            extent, room = walk.domain.extents[d], walk.room(d)
            self.writer.open(f"for (int64_t i{d} = 0; i{d} < {extent}; i{d} += {room})")
            count = f"gc_smaller({room}, {extent} - i{d})" if extent % room else str(room)
            self.writer.line(f"const int64_t n{d} = {count};")
        return len(walk.around) + len(chunked)


def _without_unused(lines: list[str]) -> list[str]:
    """The lines without declarations of counts and positions that nothing uses."""
    while True:
        text = "\n".join(lines)
        unused = {
            line
            for line in lines
            if (found := re.match(r"\s*const int64_t (\w+) = [^,]*;$|\s*const int64_t (step) ", line))
            and len(re.findall(rf"\b{found.group(1) or found.group(2)}\b", text)) == 1
        }
        if not unused:
            return lines
        lines = [line for line in lines if line not in unused]
