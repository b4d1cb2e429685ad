"""Instruction selection: a nest's statements become loops over values, in segments, in an order that keeps few alive.

The first segment computes what is the same everywhere. A nest whose reduce part fits into a tile (*resident*), or that
is flat, has one more segment. Otherwise the reduce part is looped over in chunks, once for each reduction that must
wait for another and once more for stores: each loop computes the full values it needs again, from loads. Stores come
last in their segment, and stores of full values in the last loop, because a stored operand may be one that is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from graphc.backends.tile.superinstructions import fuse
from graphc.backends.tile.words import Instruction, Segment, TileValue
from graphc.ir.scalar import Scalar
from graphc.kernel.ir import Compute, Iota, Load, Random, Reduce, Store
from graphc.kernel.machine import (
    SIZES,
    bits_type,
    cast_steps,
    elementwise,
    load_step,
    machine_bits,
    machine_type,
    rounding,
    store_step,
)  # fmt: skip
from graphc.kernel.nest import FULL, ONE, ROW, Axis, Nest, NestIndex
from graphc.scalar.ops import SCALARS, LoopKind

__all__ = ["STATE", "Selection", "select"]

STATE = 16  # bytes of a reduction's state for one row element
_LAZY = (Load, Scalar, Iota, Random)


@dataclass(frozen=True)
class Selection:
    """The selected program, its values not yet placed."""

    values: list[TileValue]
    segments: list[Segment]


def select(nest: Nest, resident: bool) -> Selection:
    """The instructions of a nest. `resident` says that a tile holds the whole reduce part; flat nests are."""
    return _Selector(nest).run(resident or nest.is_flat)


@dataclass
class _Selector:
    nest: Nest
    values: list[TileValue] = field(default_factory=list)
    segments: list[list[Instruction]] = field(default_factory=lambda: [[]])
    numbers: dict[int, int] = field(default_factory=dict)  # statement -> value
    coerced: dict[tuple[int, int], int] = field(default_factory=dict)  # (value, level) -> value
    states: dict[int, int] = field(default_factory=dict)  # Reduce -> state

    def run(self, resident: bool) -> Selection:
        self._compute(ONE, range(1))
        looped = [False]
        if resident:
            self.segments.append([])
            self._compute(FULL, range(len(self.nest.kernel.body)))
            self._store(FULL, ROW, ONE)
            looped.append(False)
        else:
            self._chunked(looped)
        loads = {x.target: x.access for segment in self.segments for x in segment if x.op == "load" and x.access}
        fused = fuse([Segment(tuple(x), loop) for x, loop in zip(self.segments, looped, strict=True)])
        return Selection(self.values, [replace(s, instructions=_bound(s.instructions, loads)) for s in fused])

    def _chunked(self, looped: list[bool]) -> None:
        """Once, loop, once, loop, ..., once: loop `stage` steps the reductions that are ready after stage - 1 loops."""
        nest = self.nest
        last = max((stage for stage, needed in zip(nest.stages, nest.needed, strict=True) if needed), default=0)
        self.segments.append([])
        looped.append(False)
        self._compute(ROW, range(1))
        for stage in range(1, last + 1):
            self._loop(looped, [p for p in self._needed(Reduce) if nest.stages[p] == stage], [])
            self._compute(ROW, range(stage, stage + 1))
        full = [p for p in self._needed(Store) if self._store_level(p) == FULL]
        if full:
            self._loop(looped, [], full)
        self._store(ROW, ONE)

    def _needed(self, kind: type) -> list[int]:
        body = self.nest.kernel.body
        return [p for p, statement in enumerate(body) if isinstance(statement, kind) and self.nest.needed[p]]

    def _loop(self, looped: list[bool], reductions: list[int], stores: list[int]) -> None:
        for position in reductions:
            self._reduce_start(position)
        self.segments += [[], []]
        looped += [True, False]
        body, outer = self.nest.kernel.body, self.segments.pop()
        needed = set(reductions) | set(stores)
        for position in reversed(range(len(body))):
            if position in needed:
                needed.update(self.nest.kernel.arguments(body[position]))
        for position in sorted(needed):
            if position in reductions:
                self._reduce_step(position)
            elif self.nest.levels[position] == FULL and not self._is_lazy(position) and position not in stores:
                self._statement(position)
        self._store_all(stores)
        self._forget_chunk()
        self.segments.append(outer)
        for position in reductions:
            self._reduce_finish(position)

    def _forget_chunk(self) -> None:
        """Full values do not outlive a chunk, but for those that are the same in all."""
        once = {x.target for x in self.segments[0]}
        self.numbers = {p: v for p, v in self.numbers.items() if self.values[v].level != FULL}
        self.coerced = {k: v for k, v in self.coerced.items() if self.values[v].level != FULL or v in once}

    # Statements ------------------------------------------------------------------------------------------------------
    def _compute(self, level: int, stages: range) -> None:
        """All needed statements of a level (FULL: of every level) and of these stages, loads as late as possible."""
        nest = self.nest
        for position, statement in enumerate(nest.kernel.body):
            wanted = (
                level in (FULL, nest.levels[position]) and nest.stages[position] in stages and nest.needed[position]
            )
            if not wanted or position in self.numbers or isinstance(statement, Store):
                continue
            if isinstance(statement, Reduce) and not nest.is_flat:
                if level == FULL:
                    self._reduce_start(position)
                    self._reduce_step(position)
                    self._reduce_finish(position)
            elif level != FULL or not self._is_lazy(position):
                self._statement(position)

    def _is_lazy(self, position: int) -> bool:
        statement = self.nest.kernel.body[position]
        return isinstance(statement, _LAZY) and not (isinstance(statement, Load) and statement.otherwise is not None)

    def _statement(self, position: int) -> None:
        if position in self.numbers:
            return
        level = self.nest.levels[position]
        match self.nest.kernel.body[position]:
            case Scalar(dtype) as number:
                self.numbers[position] = self._constant(SIZES[machine_type(dtype)], machine_bits(number))
            case Load() as statement:
                self.numbers[position] = self._load(statement, level)
            case Iota(dtype, index):
                kind = machine_type(dtype)
                access = self.nest.access(-1, SIZES[kind], index, level)
                value = self._emit("iota", kind, "VV", level, SIZES[kind], access=access)
                step = "wrap_i8" if dtype.name == "int8" else rounding("iota", dtype)
                self.numbers[position] = self._emit(step, kind, "VV", level, SIZES[kind], value) if step else value
            case Random(operand, stream, index):
                access = self.nest.access(-1, 4, index, level)
                self.numbers[position] = self._emit(
                    "random", "u32", "VV", level, 4, operand, access=access, extra=stream
                )
            case Reduce(arg=arg):  # of one element
                self.numbers[position] = self._value(arg)
            case Compute() as statement:
                self.numbers[position] = self._computed(position, statement, level)

    def _value(self, position: int) -> int:
        """The value of a statement; a load that nobody needed yet is done now."""
        self._statement(position)
        return self.numbers[position]

    def _constant(self, size: int, bits: int) -> int:
        self.values.append(TileValue(size, ONE, bits))
        return len(self.values) - 1

    def _emit(
        self, op: str, kind: str, form: str, level: int, size: int, a: int = -1, b: int = -1, c: int = -1, *,
        access: NestIndex | None = None, extra: int = 0, segment: int = -1,
    ) -> int:  # fmt: skip
        """Appends an instruction with a new value of `size` bytes an element as its target.

        What is the same everywhere is computed in the first segment.
        """
        self.values.append(TileValue(size, level))
        target = len(self.values) - 1
        self.segments[0 if level == ONE else segment].append(
            Instruction(op, kind, form, level, target, a, b, c, access, extra)
        )
        return target

    def _coerce(self, value: int, level: int) -> int:
        """`value` on a level at or below its own, its elements repeated."""
        found = self.values[value]
        if found.level == level:
            return value
        key = (value, level)
        if key not in self.coerced:
            if found.level == ONE:  # once for all tiles
                self.coerced[key] = self._emit(
                    "repeat", bits_type(found.size), "VS", level, found.size, value, segment=0
                )
            else:
                self.coerced[key] = self._emit("repeat", bits_type(found.size), "VR", level, found.size, value)
        return self.coerced[key]

    def _load(self, statement: Load, level: int) -> int:
        dtype, index = statement.dtype, statement.index
        if statement.otherwise is not None and self.nest.is_never(index):
            return self._value(statement.otherwise)
        size = dtype.itemsize
        access = self.nest.access(statement.operand, size, index, level)
        if statement.otherwise is None or not access.is_guarded:
            value = self._emit("load", bits_type(size), "VV", level, size, access=access)
        else:
            other = self._coerce(self._in_memory(self._value(statement.otherwise), statement), level)
            value = self._emit("load_over", bits_type(size), "VV", level, size, other, access=access)
        step = load_step(dtype)
        return self._emit(*step, "VV", level, SIZES[machine_type(dtype)], value) if step else value

    def _in_memory(self, value: int, statement: Load) -> int:
        """What lies outside a guard, in the form that the operand has in memory."""
        step = store_step(statement.dtype)
        return self._emit(step[0], step[1], "VV", self.values[value].level, step[2], value) if step else value

    # Computing -------------------------------------------------------------------------------------------------------
    def _computed(self, position: int, statement: Compute, level: int) -> int:
        args = [self._value(arg) for arg in statement.args]
        source = self.nest.kernel.body[statement.args[0]]
        assert not isinstance(source, Store)
        if statement.op == "cast":
            value = args[0]
            for op, kind, to in self._unrounded(position, cast_steps(source.dtype, statement.dtype)):
                value = self._emit(op, kind, "VV", level, SIZES[to], value)
            return value
        kind = machine_type(source.dtype)
        size = 1 if statement.dtype.kind == "bool" else SIZES[machine_type(statement.dtype)]
        if statement.op == "where":
            return self._where(args, level, size)
        op, twice = elementwise(statement.op, source.dtype)
        if not op:
            return args[0]
        if twice:
            args = args * 2
        value = self._unary_or_binary(op, kind, level, size, args)
        step = rounding(statement.op, statement.dtype)
        if step and self._unrounded(position, [(step, kind, kind)]):
            value = self._emit(step, kind, "VV", level, size, value)
        return value

    def _unrounded(self, position: int, steps: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """The steps without a rounding that the store, the only one to use the value, does as well."""
        rounds = bool(steps) and steps[-1][0].startswith("round_")
        return steps[:-1] if rounds and position in self.nest.only_stored else steps

    def _unary_or_binary(self, op: str, kind: str, level: int, size: int, args: list[int]) -> int:
        if len(args) == 1:
            return self._emit(op, kind, "VV", level, size, args[0])
        letters = [
            "V" if self.values[arg].level == level else "S" if self.values[arg].level == ONE else "R" for arg in args
        ]
        form = "".join(letters)
        if form in ("SV", "RV") and not _has_form(op, kind, form) and _has_form(SCALARS[op].mirror, kind, form[::-1]):
            op, args, form = SCALARS[op].mirror, args[::-1], form[::-1]
        if form == "VV" or ("V" in form and _has_form(op, kind, form)):
            return self._emit(op, kind, form, level, size, *args)
        return self._emit(op, kind, "VV", level, size, *(self._coerce(arg, level) for arg in args))

    def _where(self, args: list[int], level: int, size: int) -> int:
        condition = self._coerce(args[0], level)
        scalar = [self.values[arg].level == ONE and level != ONE for arg in args[1:]]
        choices = [arg if one else self._coerce(arg, level) for arg, one in zip(args[1:], scalar, strict=True)]
        form = "".join("S" if one else "V" for one in scalar)
        return self._emit("where", bits_type(size), form, level, size, condition, *choices)

    # Reductions and stores -------------------------------------------------------------------------------------------
    def _reduction(self, position: int) -> tuple[str, str]:
        statement = self.nest.kernel.body[position]
        assert isinstance(statement, Reduce)
        op = "max" if statement.dtype.kind == "bool" and statement.op == "sum" else statement.op
        return op, machine_type(statement.dtype)

    def _reduce_start(self, position: int) -> None:
        op, kind = self._reduction(position)
        self.states[position] = self._emit(f"{op}_start", kind, "VV", ROW, STATE)

    def _reduce_step(self, position: int) -> None:
        op, kind = self._reduction(position)
        statement = self.nest.kernel.body[position]
        assert isinstance(statement, Reduce)
        value = self._coerce(self._value(statement.arg), FULL)
        self.segments[-1].append(Instruction(f"{op}_step", kind, "VV", FULL, self.states[position], value))

    def _reduce_finish(self, position: int) -> None:
        op, kind = self._reduction(position)
        statement = self.nest.kernel.body[position]
        assert isinstance(statement, Reduce)
        value = self._emit(f"{op}_finish", kind, "VV", ROW, SIZES[kind], self.states[position])
        step = "wrap_i8" if statement.dtype.name == "int8" and op == "sum" else ""
        step = step or rounding("where" if op != "sum" else "sum", statement.dtype)
        if step and self._unrounded(position, [(step, kind, kind)]):
            value = self._emit(step, kind, "VV", ROW, SIZES[kind], value)
        self.numbers[position] = value

    def _store_level(self, position: int) -> int:
        """FULL if the value or the index varies along the reduce part; in a flat nest: if there are several."""
        nest, statement = self.nest, self.nest.kernel.body[position]
        assert isinstance(statement, Store)
        if nest.is_flat:
            return min(nest.levels[position], nest.level(statement.index))
        return FULL if FULL in (nest.levels[position], nest.level(statement.index)) else ROW

    def _store(self, *levels: int) -> None:
        self._store_all([p for p in self._needed(Store) if self._store_level(p) in levels])

    def _store_all(self, stores: list[int]) -> None:
        """The stores, those of values as they were loaded first: a store may overwrite the memory that such values are.

        All of these but one are copied before, for two operands that are exchanged.
        """
        arguments = {p: self.nest.kernel.arguments(self.nest.kernel.body[p])[0] for p in stores}
        values = {p: self._value(arguments[p]) for p in stores}
        memory = {x.target for segment in self.segments for x in segment if x.op == "load"}
        loaded = [p for p in stores if values[p] in memory]
        for position in loaded[1:]:
            value = self.values[values[position]]
            copy = self._emit("copy", bits_type(value.size), "VV", value.level, value.size, values[position])
            self.numbers[arguments[position]] = copy
        for position in [*loaded, *(p for p in stores if p not in loaded)]:
            self._emit_store(position)

    def _emit_store(self, position: int) -> None:
        nest, statement = self.nest, self.nest.kernel.body[position]
        assert isinstance(statement, Store)
        if nest.is_never(statement.index):
            return
        dtype, level = nest.operands[statement.operand].dtype, self._store_level(position)
        value, step = self._value(statement.arg), store_step(dtype)
        if step:
            value = self._emit(step[0], step[1], "VV", self.values[value].level, step[2], value)
        value = self._coerce(value, level)
        access = nest.access(statement.operand, dtype.itemsize, statement.index, level)
        self.segments[-1].append(Instruction("store", bits_type(dtype.itemsize), "VV", level, a=value, access=access))


def _bound(instructions: tuple[Instruction, ...], loads: dict[int, NestIndex]) -> tuple[Instruction, ...]:
    """The segment with a `bind` before each instruction that computes a stored value, so that it writes to the operand.

    The operand may be the memory of one that is read with the same index: then all that is read must be read by then.
    `loads` says which values may be an operand's memory.
    """
    makers = {x.target: position for position, x in enumerate(instructions) if not x.op.endswith("_step")}
    last = _last_reads(instructions, loads)
    binds: dict[int, Instruction] = {}  # position of the maker -> the store
    for store in instructions:
        maker = makers.get(store.a) if store.op == "store" else None
        if maker is None or maker in binds or instructions[maker].op in ("load", "load_over"):
            continue
        if last.get(_place(store.access), -1) <= maker:
            binds[maker] = store
    bound = {id(store) for store in binds.values()}
    result: list[Instruction] = []
    for position, x in enumerate(instructions):
        if position in binds:
            store = binds[position]
            result.append(Instruction("bind", store.type, "VV", store.level, a=store.a, access=store.access))
        result.append(replace(x, extra=1) if id(x) in bound else x)
    return tuple(result)


_Place = tuple[int, tuple[tuple[Axis, ...], ...]]


def _place(access: NestIndex | None) -> _Place:
    """What accesses have in common that may touch the same memory in the same order."""
    assert access is not None
    return access.size, access.parts


def _last_reads(instructions: tuple[Instruction, ...], loads: dict[int, NestIndex]) -> dict[_Place, int]:
    """Where each kind of operand memory is read for the last time."""
    last: dict[_Place, int] = {}
    for position, x in enumerate(instructions):
        accesses = [loads[value] for value in x.reads if value in loads]
        if x.op in ("load", "load_over") and x.access is not None:
            accesses.append(x.access)
        for access in accesses:
            last[_place(access)] = position
    return last


def _has_form(op: str, kind: str, form: str) -> bool:
    """Whether there is a loop that takes an argument as one element or as a row value."""
    record, wide = SCALARS.get(op), kind in ("f32", "f64", "i32", "i64")
    if record is None:
        return False
    if record.loops is LoopKind.QUOTIENT or (record.loops is LoopKind.DIFFERENCE and wide):
        return True
    return wide and record.loops in (LoopKind.RING, LoopKind.COMPARE) and form in ("VS", "VR")
