"""The text of one function over regions: loops over the ranges, fused loops over the box, calls of header functions.

Names: `o` operands, `v` values, `i` positions along a dim, `n` how many of them the box holds, `j` positions in the box; `b`, `f`, `w`, `g`
and `t` are buffers (over the box, over a row; for other loops, for a function, for a store), `s` and `k` states of reductions (sum and lost digits), `r` keys of random bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graphc.codegen.c_plan import FULL, LAST, ONE, Buffer, Plan, Step
from graphc.codegen.c_scalar import C_TYPES, call, cast, literal, loaded, memory_type, rounded, stored, value_type
from graphc.codegen.c_space import Place, Walk
from graphc.codegen.tile_scalar import SIZES, machine_type
from graphc.lower.kernel import Compute, Iota, Literal, Load, Random, Reduce, Store

__all__ = ["ALIGNMENT", "Function", "print_function"]

ALIGNMENT = 64
_SMALL = 1 << 31  # what is less fits int
_REDUCERS = {"sum": "add", "max": "maximum", "min": "minimum"}
_FIRST = {
    ("max", "f32"): "-INFINITY", ("max", "f64"): "-INFINITY", ("min", "f32"): "INFINITY", ("min", "f64"): "INFINITY",
    ("max", "i32"): "INT32_MIN", ("max", "i64"): "INT64_MIN", ("min", "i32"): "INT32_MAX", ("min", "i64"): "INT64_MAX",
    ("max", "u32"): "0", ("max", "u8"): "0", ("min", "u32"): "UINT32_MAX", ("min", "u8"): "UINT8_MAX",
}  # fmt: skip


@dataclass(frozen=True)
class Function:
    """A function's text, and the bytes of scratch that it uses."""

    text: str
    scratch: int


def print_function(plan: Plan, name: str) -> Function:
    """The function `name` over regions of the plan's walk."""
    return _Printer(plan, name).run()


@dataclass
class _Printer:
    plan: Plan
    name: str
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    scratch: int = 0
    arrays: list[str] = field(default_factory=list)

    @property
    def walk(self) -> Walk:
        return self.plan.walk

    def run(self) -> Function:
        self._place_buffers()
        one = sorted(p for p in self.plan.scalars if self.plan.scopes[p] == ONE)
        self._scalars(one)
        opened = self._open_ranges()
        self._stages()
        for _ in range(opened):
            self._close()
        body = _without_unused(self.lines)
        head = f"static __attribute__((flatten, unused)) void {self.name}("
        head += "const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {"
        text = "\n".join([head, *self._declarations("\n".join(body)), *body, "}"])
        return Function(text, self.scratch)

    # Lines -----------------------------------------------------------------------------------------------------------
    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _open(self, text: str) -> None:
        self._line(text + " {")
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        self._line("}")

    def _declarations(self, body: str) -> list[str]:
        """Operands, buffers and keys that the body uses, and the parameters that it does not."""
        lines = []
        for number, operand in enumerate(self.plan.kernel.operands):
            if re.search(rf"\bo{number}\b", body):
                const = "const " if operand.access == "read" else ""
                kind = memory_type(operand.dtype)
                lines.append(f"    {const}{kind} *const o{number} = gc_program_operand(call, {number});")
        lines += [f"    {array}" for array in self.arrays if re.search(rf"\b{_declared(array)}\b", body)]
        for match in sorted(set(re.findall(r"\br(\d+)_(\d+)\b", body))):
            operand, stream = match
            state = f"gc_program_operand(call, {operand})"
            lines.append(f"    const gc_random_key r{operand}_{stream} = gc_random_key_of({state}, {stream}u);")
        text = "\n".join(lines) + body
        unused = [name for name in ("call", "a0", "a1", "c0", "c1") if not re.search(rf"\b{name}\b", text)]
        return ([f"    (void){', (void)'.join(unused)};"] if unused else []) + lines

    # Scratch ---------------------------------------------------------------------------------------------------------
    def _place_buffers(self) -> None:
        plan = self.plan
        full = [b for b in (*plan.buffers.values(), *plan.store_buffers.values()) if b.is_full]
        spaces: list[list[Buffer]] = []  # buffers that share a place because their lives do not meet
        for buffer in sorted(full, key=lambda b: (b.first, b.name)):
            for space in spaces:
                if space[0].size == buffer.size and all(
                    b.last < buffer.first or buffer.last < b.first for b in space
                ):
                    space.append(buffer)
                    break
            else:
                spaces.append([buffer])
        points = math.prod(self.walk.room(d) for d in self.walk.box)
        for space in spaces:
            start = self._take(points * space[0].size)
            for buffer in space:
                self._array(buffer.name, buffer.c_type, start)
        if self.walk.vector is not None:
            width = self.walk.room(self.walk.vector)
            for buffer in plan.buffers.values():
                if not buffer.is_full:
                    self._array(buffer.name, buffer.c_type, self._take(width * buffer.size))
            if self.walk.columns:
                for positions in plan.reductions.values():
                    for position in positions:
                        for array, kind in self._states(position):
                            self._array(array, kind, self._take(width * SIZES[kind]))

    def _take(self, nbytes: int) -> int:
        start = self.scratch
        self.scratch += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return start

    def _array(self, name: str, kind: str, start: int) -> None:
        place = f"call->scratch + {start}" if start else "call->scratch"
        self.arrays.append(f"{C_TYPES[kind]} *const {name} = (void *)({place});")

    def _states(self, position: int) -> list[tuple[str, str]]:
        """The state arrays or variables of a reduction, with their types."""
        op, kind = self._reducer(position)
        if op == "sum" and kind == "f64":
            return [(f"s{position}", "f64"), (f"k{position}", "f64")]
        return [(f"s{position}", "f64" if op == "sum" and kind == "f32" else kind)]

    def _reducer(self, position: int) -> tuple[str, str]:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        op = "max" if statement.dtype.kind == "bool" and statement.op == "sum" else statement.op
        return op, machine_type(statement.dtype)

    # Ranges ----------------------------------------------------------------------------------------------------------
    def _open_ranges(self) -> int:
        """Opens the loops over the region; how many."""
        walk, before = self.walk, self.depth
        if walk.is_line:
            self._open_line()
        elif walk.swapped:
            self._line("if (c0 >= c1)")
            self._line("    return;")
            self._open_range(walk.columns, "a", walk.vector)
        else:
            if not walk.columns:
                self._line("if (c0 >= c1)")
                self._line("    return;")
            blocked = walk.rows[-1] if walk.rows and walk.rows[-1] in walk.box else None
            self._open_range(walk.rows, "a", blocked)
            self._open_range(walk.columns, "c", walk.vector)
        return self.depth - before

    def _open_line(self) -> None:
        """Rows of a space that is one dim: together where the region has all of each."""
        rows, columns = self.walk.domain.kernel.space.outer, self.walk.domain.kernel.space.inner
        width, limit = math.prod(columns), self.walk.limits.get(0)
        if math.prod(rows) == 1:
            start, length = "c0", "c1 - c0"
        else:
            self._line(f"const int64_t step = c0 == 0 && c1 == {width} ? a1 - a0 : 1;")
            self._open("for (int64_t a = a0; a < a1; a += step)")
            start, length = f"{width} * a + c0", f"{width} * (step - 1) + c1 - c0"
        if limit is None:
            self._line(f"const int64_t i0 = {start};")
            self._line(f"const int64_t n0 = {length};")
        else:
            self._line(f"const int64_t end = {start} + {length};")
            self._open(f"for (int64_t i0 = {start}; i0 < end; i0 += {limit})")
            self._line(f"const int64_t n0 = gc_smaller({limit}, end - i0);")

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
                self._open(f"for (int64_t i{d} = {first}; i{d} < {last}; i{d}++)")
            elif limit is None:
                self._line(f"const int64_t i{d} = {first}, n{d} = {last} - {first};")
            else:
                self._open(f"for (int64_t i{d} = {first}; i{d} < {last}; i{d} += {limit})")
                self._line(f"const int64_t n{d} = gc_smaller({limit}, {last} - i{d});")
            return
        d = dims[-1]
        if blocked is None:
            self._open(f"for (int64_t {letter} = {first}; {letter} < {last}; {letter}++)")
        else:
            self._open(f"for (int64_t {letter} = {first}, n{d}; {letter} < {last}; {letter} += n{d})")
        step = 1
        for dim in reversed(dims):
            position = letter if step == 1 else f"{letter} / {step}"
            self._line(f"const int64_t i{dim} = {position}{'' if dim == dims[0] else f' % {extents[dim]}'};")
            step *= extents[dim]
        if blocked is not None:
            rest = f"gc_smaller({extents[d]} - i{d}, {last} - {letter})"
            self._line(f"n{d} = {rest};" if limit is None else f"n{d} = gc_smaller({limit}, {rest});")

    def _count(self, dim: int) -> str:
        return str(self.walk.domain.extents[dim]) if self.walk.is_whole(dim) else f"n{dim}"

    # Indices ---------------------------------------------------------------------------------------------------------
    def _index(self, place: Place, nest: Iterable[int] = (), whole: Iterable[int] = ()) -> str:
        """An index; along the dims of `nest` it moves with the box, those of `whole` start at 0."""
        nest, starts = set(nest), ""
        terms: list[tuple[int, str]] = []
        for d, stride in enumerate(place.strides):
            if not stride:
                continue
            if d not in whole and not self.walk.is_whole(d):
                terms.append((stride, f"i{d}"))
            if d in nest:
                terms.append((stride, f"j{d}"))
        reach = sum(abs(s) * self.walk.domain.extents[d] for d, s in enumerate(place.strides) if d in nest)
        for stride, variable in terms:
            size = str(abs(stride)) if reach + abs(place.offset) < _SMALL else f"INT64_C({abs(stride)})"
            term = variable if abs(stride) == 1 else f"{size} * {variable}"
            starts += (" - " if stride < 0 else " + ") + term
        if place.offset or not terms:
            starts += (" - " if place.offset < 0 else " + ") + str(abs(place.offset))
        return starts[3:] if starts.startswith(" + ") else "-" + starts[3:]

    def _inside(self, place: Place, nest: Iterable[int]) -> str:
        """The condition of a guard."""
        parts = []
        for d, low, high in sorted(place.guard, key=lambda interval: interval[0] in set(nest)):
            at, limits = f"i{d}", [str(low), str(high)]
            if d in set(nest):
                at = f"j{d}"
                limits = limits if self.walk.is_whole(d) else [f"(int)({limit} - i{d})" for limit in limits]
            parts += [f"{at} >= {limits[0]}"] if low > 0 else []
            parts += [f"{at} < {limits[1]}"] if high < self.walk.domain.extents[d] else []
        return " && ".join(parts)

    def _slot(self, dims: Sequence[int], nest: Iterable[int]) -> str:
        """Where the box's position lies in a buffer over `dims`."""
        step, terms = 1, []
        for d in reversed(dims):
            if d in set(nest):
                terms.append(f"j{d}" if step == 1 else f"{step} * j{d}")
            step *= self.walk.room(d)
        return " + ".join(reversed(terms)) or "0"

    def _pitch(self, dim: int) -> int:
        """Elements of a full buffer from one position of a dim to the next."""
        return math.prod(self.walk.room(d) for d in self.walk.box[self.walk.box.index(dim) + 1 :])

    # Values ----------------------------------------------------------------------------------------------------------
    def _value(self, position: int, nest: Sequence[int]) -> str:
        """The right side of a value's declaration inside the loops of `nest`."""
        plan = self.plan
        statement = plan.kernel.body[position]
        match statement:
            case Literal(dtype, value):
                return literal(dtype, value)
            case Load() as load:
                return self._load(position, load, nest)
            case Iota(dtype):
                text = f"({value_type(dtype)})({self._number(plan.walk.domain.places[position], nest)})"
                return f"(int8_t){text}" if dtype.name == "int8" else rounded("iota", dtype, text)
            case Random(operand, stream):
                return f"gc_random_word(r{operand}_{stream}, {self._index(plan.walk.domain.places[position], nest)})"
            case Reduce():
                return self._reduced(position, nest)
            case Compute() as compute:
                return self._computed(position, compute)
            case Store():
                raise AssertionError

    def _computed(self, position: int, statement: Compute) -> str:
        plan = self.plan
        args = [f"v{plan.forward[arg]}" for arg in statement.args]
        source = plan.dtype(statement.args[0] if statement.op != "where" else statement.args[1])
        skip = position in plan.only_stored
        if statement.op == "cast":
            return cast(source, statement.dtype, args[0], skip_rounding=skip)
        value = call(statement.op, source, args)
        return value if skip and statement.dtype.is_float else rounded(statement.op, statement.dtype, value)

    def _load(self, position: int, statement: Load, nest: Sequence[int]) -> str:
        place = self.walk.domain.places[position]
        value = loaded(statement.dtype, f"o{statement.operand}[{self._index(place, nest)}]")
        if not place.guard:
            return value
        assert statement.otherwise is not None
        return f"{self._inside(place, nest)} ? {value} : v{self.plan.forward[statement.otherwise]}"

    def _number(self, place: Place, nest: Sequence[int]) -> str:
        """An index as a number: in 32 bits where that holds all of them, so that loops over it are narrow."""
        spans = [(s * (e - 1)) for s, e in zip(place.strides, self.walk.domain.extents, strict=True)]
        least = place.offset + sum(min(0, span) for span in spans)
        most = place.offset + sum(max(0, span) for span in spans)
        if least < -_SMALL or most >= _SMALL:
            return self._index(place, nest)
        outside = tuple(0 if d in nest and self.walk.is_whole(d) else s for d, s in enumerate(place.strides))
        start = self._index(Place(place.offset, outside))
        inside = [(s, f"j{d}") for d, s in enumerate(place.strides) if s and d in nest]
        text = f"(int32_t)({start})" if start != "0" or not inside else ""
        for stride, variable in inside:
            term = variable if abs(stride) == 1 else f"{abs(stride)} * {variable}"
            text += (" - " if stride < 0 else " + ") + term
        return text[3:] if text.startswith(" + ") else text.replace(" - ", "-", 1) if text.startswith(" -") else text

    def _reduced(self, position: int, nest: Sequence[int]) -> str:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        op, kind = self._reducer(position)
        at = f"[{self._slot((nest[-1],), nest)}]" if nest else ""
        value = f"s{position}{at}"
        if op == "sum" and kind == "f64" and (nest or not self._is_single(position)):
            value = f"gc_kept_sum({value}, k{position}{at})"
        elif op == "sum" and kind == "f32":
            value = f"(float){value}"
        if statement.dtype.name == "int8" and op == "sum":
            return f"(int8_t)({value})"
        return rounded("sum" if op == "sum" else "where", statement.dtype, value)

    def _read(self, position: int, nest: Sequence[int]) -> str:
        """A value from its buffer."""
        plan = self.plan
        buffer = plan.buffers[position, plan.kept_kind(position)]
        dims = self.walk.box if buffer.is_full else self.walk.box[-1:]
        element = f"{buffer.name}[{self._slot(dims, nest)}]"
        statement = plan.kernel.body[position]
        if plan.is_turning(position):
            return rounded("sin", plan.dtype(position), element)
        if plan.is_fetched(position) and isinstance(statement, Load):
            return loaded(statement.dtype, element)
        return element

    def _declare(self, position: int, text: str) -> str:
        return f"const {value_type(self.plan.dtype(position))} v{position} = {text};"

    def _scalars(self, positions: Iterable[int]) -> None:
        for position in positions:
            self._line(self._declare(position, self._value(position, ())))

    # Stages ----------------------------------------------------------------------------------------------------------
    def _stages(self) -> None:
        plan = self.plan
        steps = plan.steps
        last = max((plan.stages[p] for p, need in enumerate(plan.needed) if need), default=0)
        for stage in range(last + 1):
            self._scalars(sorted(p for p in plan.scalars if plan.stages[p] == stage and plan.scopes[p] != ONE))
            if stage == 0:
                for position in sorted(p for p, kind in plan.buffers if kind == "w" and plan.is_fetched(p)):
                    self._fetch(position, self.walk.box[-1:])
            for step in steps:
                if step.stage == stage and not step.is_full:
                    self._loop(step, self.walk.box[-1:])
            self._full_stage(stage, [step for step in steps if step.stage == stage and step.is_full])
        if Step(LAST, False, 0) in steps:
            self._loop(Step(LAST, False, 0), self.walk.box[-1:] if self.walk.columns else ())

    def _full_stage(self, stage: int, steps: list[Step]) -> None:
        plan = self.plan
        reductions = plan.reductions.get(stage, [])
        fetched = sorted({p for step, read in plan.read.items() for p in read if self._is_fetched_in(p, step, stage)})
        if not steps and not reductions and not fetched:
            return
        loops_only_direct = not steps and not fetched and all(plan.is_direct(p) for p in reductions)
        self._start_states(reductions)
        opened = 0 if loops_only_direct else self._open_chunks()
        for position in fetched:
            self._fetch(position, self.walk.box)
        self._scalars(sorted(plan.chunk_scalars.get(stage, ())))
        for position in reductions:
            arg = self._reduce_argument(position)
            if plan.is_direct(position):
                self._reduce_memory(position, self.walk.around if loops_only_direct else ())
            elif not self.walk.columns and (arg, plan.input_kind(arg, True)) not in plan.written.get(plan.full_step(arg), ()):
                self._reduce_buffer(position, "b")
        for step in steps:
            self._loop(step, self.walk.box)
            for position in reductions if not self.walk.columns else ():
                arg = self._reduce_argument(position)
                kind = plan.input_kind(arg, True)
                if plan.full_step(arg) == step and (arg, kind) in plan.written.get(step, ()):
                    if not plan.is_direct(position):
                        self._reduce_buffer(position, kind)
        for _ in range(opened):
            self._close()

    def _is_fetched_in(self, position: int, step: Step, stage: int) -> bool:
        """Whether a stage must fetch a value that the loop `step` needs."""
        plan = self.plan
        if not plan.is_fetched(position) or plan.scopes[position] != FULL:
            return False
        return plan.buffers[position, "b"].first.stage == stage if plan.resident else step.stage == stage

    def _open_chunks(self) -> int:
        walk = self.walk
        chunked = [d for d in walk.box if d in walk.domain.reduce and not walk.is_whole(d)]
        for d in walk.around:
            self._open(f"for (int64_t i{d} = 0; i{d} < {walk.domain.extents[d]}; i{d}++)")
        for d in chunked:
            extent, room = walk.domain.extents[d], walk.room(d)
            self._open(f"for (int64_t i{d} = 0; i{d} < {extent}; i{d} += {room})")
            count = f"gc_smaller({room}, {extent} - i{d})" if extent % room else str(room)
            self._line(f"const int64_t n{d} = {count};")
        return len(walk.around) + len(chunked)

    def _loop(self, step: Step, nest: Sequence[int]) -> None:
        """A fused loop, and the functions over what it wrote."""
        plan = self.plan
        if plan.moved is not None:
            self._after(step)
            return
        levels: list[list[str]] = [[] for _ in range(len(nest) + 1)]
        computed, read = plan.computed.get(step, set()), plan.read.get(step, set())
        for position in sorted(computed | read):
            if position in read and position not in computed:
                levels[-1].append(self._declare(position, self._read(position, nest)))
                continue
            depth = max((k + 1 for k, d in enumerate(nest) if d in plan.dims[position]), default=0)
            levels[depth].append(self._declare(position, self._value(position, nest)))
        for position, kind in sorted(plan.written.get(step, ())):
            buffer = plan.buffers[position, kind]
            dims = self.walk.box if buffer.is_full else self.walk.box[-1:]
            levels[-1].append(f"{buffer.name}[{self._slot(dims, nest)}] = v{position};")
        levels[-1] += [self._add(position, nest) for position in plan.added.get(step, [])]
        levels[-1] += [self._store(position, nest) for position in plan.stores.get(step, [])]
        for depth, d in enumerate(nest):
            for line in levels[depth]:
                self._line(line)
            if depth == len(nest) - 1:
                self._line("GC_IVDEP")
            c_type = "int64_t" if self.walk.domain.extents[d] >= _SMALL else "int"
            self._open(f"for ({c_type} j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
        for line in levels[-1]:
            self._line(line)
        for _ in nest:
            self._close()
        self._after(step)

    def _add(self, position: int, nest: Sequence[int]) -> str:
        """Adds a value to the state of its column."""
        (op, kind), at = self._reducer(position), f"[{self._slot((nest[-1],), nest)}]"
        state, value = f"s{position}{at}", f"v{self._reduce_argument(position)}"
        if op == "sum" and kind == "f64":
            return f"gc_add_kept(&{state}, &k{position}{at}, {value});"
        if op == "sum" and kind == "f32":
            return f"{state} += {value};"
        return f"{state} = gc_op_{_REDUCERS[op]}_{kind}({state}, {value});"

    def _bound(self, dim: int) -> str:
        count = self._count(dim)
        return count if count.isdigit() or self.walk.domain.extents[dim] >= _SMALL else f"(int){count}"

    def _store(self, position: int, nest: Sequence[int]) -> str:
        plan = self.plan
        statement = plan.kernel.body[position]
        assert isinstance(statement, Store)
        place, dtype = self.walk.domain.places[position], plan.kernel.operands[statement.operand].dtype
        element = stored(dtype, f"v{plan.forward[statement.arg]}")
        if position in plan.store_buffers:
            return f"{plan.store_buffers[position].name}[{self._slot(self.walk.box, nest)}] = {element};"
        text = f"o{statement.operand}[{self._index(place, nest)}] = {element};"
        return f"if ({self._inside(place, nest)}) {text}" if place.guard else text

    # Functions over buffers ------------------------------------------------------------------------------------------
    def _after(self, step: Step) -> None:
        """Sines of what the loop wrote, and transposed stores."""
        plan = self.plan
        dims = self.walk.box if step.is_full else self.walk.box[-1:]
        for position, kind in plan.buffers:
            if kind not in "bw" or not plan.is_turning(position):
                continue
            (arg,) = plan.args(position)
            source = plan.input_kind(arg, step.is_full)
            if (kind == "b") != step.is_full or (arg, source) not in plan.written.get(step, ()):
                continue
            if plan.turns[arg] != step.turn:
                continue
            statement = plan.kernel.body[position]
            assert isinstance(statement, Compute)
            name = f"gc_{statement.op}_run_{machine_type(statement.dtype)}"
            with_rows = self._open_rows(dims)
            at = self._slot(dims, with_rows)
            n = self._run_length(dims)
            self._line(f"{name}({_plus(f'{kind}{position}', at)}, {_plus(f'{source}{arg}', at)}, {n});")
            for _ in with_rows:
                self._close()
        for position in plan.stores.get(step, []):
            if plan.moved is not None:
                self._move(position, plan.moved)
            elif position in plan.store_buffers:
                self._transpose_out(position)

    def _open_rows(self, dims: Sequence[int]) -> list[int]:
        """Loops over the dims of a buffer but the vector dim, where its rows do not follow each other."""
        if all(self.walk.is_whole(d) for d in dims):
            return []
        rows = list(dims[:-1])
        for d in rows:
            self._open(f"for (int j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
        return rows

    def _run_length(self, dims: Sequence[int]) -> str:
        if all(self.walk.is_whole(d) for d in dims):
            return str(self.walk.domain.size(dims))
        return self._count(dims[-1])

    def _fetch(self, position: int, dims: Sequence[int]) -> None:
        """Brings random bits or a transposed load into their buffer."""
        plan, statement = self.plan, self.plan.kernel.body[position]
        place, buffer = self.walk.domain.places[position], plan.buffers[position, plan.kept_kind(position)]
        vector = dims[-1]
        if isinstance(statement, Random):
            rows = [d for d in dims if d != vector]
            for d in rows:
                self._open(f"for (int j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
            to, stride = _plus(buffer.name, self._slot(dims, rows)), place.strides[vector]
            key = f"r{statement.operand}_{statement.stream}"
            self._line(f"gc_random_run({key}, {self._index(place, rows)}, {stride}, {self._count(vector)}, {to});")
        else:
            assert isinstance(statement, Load)
            block = self.walk.transposing_dim(place)
            assert block is not None
            rows = [d for d in dims if d not in (vector, block)]
            for d in rows:
                self._open(f"for (int j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
            to = _plus(buffer.name, self._slot(dims, rows))
            source = _plus(f"o{statement.operand}", self._index(place, rows))
            size, counts = statement.dtype.itemsize, f"{self._count(block)}, {self._count(vector)}"
            self._line(
                f"gc_transpose_{size}({to}, {self._pitch(block)}, {source}, {place.strides[vector]}, {counts});"
            )
        for _ in rows:
            self._close()

    def _transpose_out(self, position: int) -> None:
        plan, statement = self.plan, self.plan.kernel.body[position]
        assert isinstance(statement, Store)
        place, vector = self.walk.domain.places[position], self.walk.box[-1]
        block = self.walk.transposing_dim(place)
        assert block is not None
        rows = [d for d in self.walk.box if d not in (vector, block)]
        for d in rows:
            self._open(f"for (int j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
        source = _plus(plan.store_buffers[position].name, self._slot(self.walk.box, rows))
        to = _plus(f"o{statement.operand}", self._index(place, rows))
        size, counts = plan.store_buffers[position].size, f"{self._count(vector)}, {self._count(block)}"
        self._line(f"gc_transpose_{size}({to}, {place.strides[vector]}, {source}, {self._pitch(block)}, {counts});")
        for _ in rows:
            self._close()

    def _move(self, position: int, source: int) -> None:
        """A transposition from operand to operand."""
        walk, load, statement = self.walk, self.plan.kernel.body[source], self.plan.kernel.body[position]
        assert isinstance(statement, Store)
        assert isinstance(load, Load)
        to, place, vector = walk.domain.places[position], walk.domain.places[source], walk.box[-1]
        block = walk.transposing_dim(place)
        row, column = (block, vector) if block is not None else (vector, walk.box[0])
        assert row is not None
        name = f"gc_transpose_{load.dtype.itemsize}"
        target = f"{_plus(f'o{statement.operand}', self._index(to))}, {to.strides[row]}"
        origin = f"{_plus(f'o{load.operand}', self._index(place))}, {place.strides[column]}"
        self._line(f"{name}({target}, {origin}, {self._count(row)}, {self._count(column)});")

    # Reductions ------------------------------------------------------------------------------------------------------
    def _reduce_argument(self, position: int) -> int:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        return self.plan.forward[statement.arg]

    def _is_single(self, position: int) -> bool:
        walk = self.walk
        if walk.columns or walk.around or not all(walk.is_whole(d) for d in walk.box):
            return False
        return not self.plan.is_direct(position) or not self._separate(position)

    def _separate(self, position: int) -> tuple[int, ...]:
        """The leading dims of the box along which a directly read argument is not dense."""
        place, dims = self.walk.domain.places[self._reduce_argument(position)], self.walk.box
        joined = len(dims) - 1
        while joined and place.strides[dims[joined - 1]] == place.strides[dims[joined]] * self.walk.domain.extents[dims[joined]]:
            if not self.walk.is_whole(dims[joined]):
                break
            joined -= 1
        return dims[:joined]

    def _start_states(self, reductions: list[int]) -> None:
        firsts = []
        for position in reductions:
            if not self.walk.columns and self._is_single(position):
                continue
            op, kind = self._reducer(position)
            for state, state_kind in self._states(position):
                first = ("0.0" if state_kind == "f64" else "0") if op == "sum" else _FIRST[op, kind]
                firsts.append((state, state_kind, first))
        if not self.walk.columns:
            for state, kind, first in firsts:
                self._line(f"{C_TYPES[kind]} {state} = {first};")
            return
        if firsts:
            d = self.walk.box[-1]
            self._line("GC_IVDEP")
            self._open(f"for (int j{d} = 0; j{d} < {self._bound(d)}; j{d}++)")
            for state, _, first in firsts:
                self._line(f"{state}[j{d}] = {first};")
            self._close()

    def _combine(self, position: int, source: str, count: str, rows: tuple[str, str] | None = None) -> None:
        """Reduces `count` elements at `source`, or `rows` (how many, how far apart) of them, into the state."""
        op, kind = self._reducer(position)
        state = f"s{position}"
        if rows is not None:
            into = state if op != "sum" or kind != "f64" else f"{state}, k{position}"
            name = f"gc_column_sums_{kind}" if op == "sum" and kind in ("f32", "f64") else f"gc_columns_{_REDUCERS[op]}_{kind}"
            self._line(f"{name}({source}, {rows[0]}, {rows[1]}, {count}, {into});")
            return
        name = f"gc_row_sum_{kind}" if op == "sum" and kind in ("f32", "f64") else f"gc_row_{_REDUCERS[op]}_{kind}"
        value = f"{name}({source}, {count})"
        if self._is_single(position):
            self._line(f"const {C_TYPES[self._states(position)[0][1]]} {state} = {value};")
        elif op == "sum" and kind == "f64":
            self._line(f"gc_add_kept(&{state}, &k{position}, {value});")
        elif op == "sum" and kind == "f32":
            self._line(f"{state} += {value};")
        else:
            self._line(f"{state} = gc_op_{_REDUCERS[op]}_{kind}({state}, {value});")

    def _reduce_memory(self, position: int, around: tuple[int, ...]) -> None:
        """Reduces an operand's memory: that of the box, or with `around` and whole dims all there is."""
        walk, place = self.walk, self.walk.domain.places[self._reduce_argument(position)]
        source = self.plan.kernel.body[self._reduce_argument(position)]
        assert isinstance(source, Load)
        all_of = set(walk.domain.reduce) if around or self._only_direct(position) else set()
        whole = all_of | {d for d in walk.box if walk.is_whole(d)}
        rows = list(walk.box[:-1]) if not walk.columns else list(walk.box[:-2])
        if not walk.columns:
            rows = list(self._separate(position))
        loops = [*around, *rows]
        for d in loops:
            count = str(walk.domain.extents[d]) if d in whole else self._bound(d)
            self._open(f"for (int j{d} = 0; j{d} < {count}; j{d}++)")
        start = _plus(f"o{source.operand}", self._index(place, loops, whole))
        if walk.columns:
            d = walk.box[-2]
            count = str(walk.domain.extents[d]) if d in whole else self._count(d)
            self._combine(position, start, self._count(walk.box[-1]), (count, str(place.strides[d])))
        else:
            joined = [d for d in walk.box if d not in rows]
            parts = [str(walk.domain.extents[d]) if d in whole else self._count(d) for d in joined]
            count = str(math.prod(int(p) for p in parts)) if all(p.isdigit() for p in parts) else " * ".join(parts)
            self._combine(position, start, count)
        for _ in loops:
            self._close()

    def _only_direct(self, position: int) -> bool:
        """Whether the reduction's stage needs no loop of its own, so that no chunks are opened."""
        plan, stage = self.plan, self.plan.stages[self._reduce_argument(position)]
        busy = any(step.stage == stage and step.is_full for step in plan.steps)
        fetched = any(self._is_fetched_in(p, step, stage) for step, read in plan.read.items() for p in read)
        return not busy and not fetched and all(plan.is_direct(p) for p in plan.reductions[stage])

    def _reduce_buffer(self, position: int, kind: str) -> None:
        """Reduces a buffer over rows."""
        counts = [self._count(d) for d in self.walk.box]
        total = str(math.prod(map(int, counts))) if all(count.isdigit() for count in counts) else counts[-1]
        self._combine(position, self.plan.buffers[self._reduce_argument(position), kind].name, total)


def _plus(pointer: str, index: str) -> str:
    return pointer if index == "0" else f"{pointer} - {index[1:]}" if index.startswith("-") else f"{pointer} + {index}"


def _declared(array: str) -> str:
    found = re.search(r"\*const (\w+) =", array)
    assert found is not None
    return found.group(1)


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

