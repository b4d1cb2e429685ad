"""Calls of header functions in a printed kernel: transpositions, random bits, sines, reductions of rows and columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.c.arrangement import LoopPlan, LoopStep
from graphc.backends.c.facts import FULL
from graphc.backends.c.index import Places, plus
from graphc.backends.c.scalar import C_TYPES
from graphc.backends.c.space import Walk
from graphc.backends.c.values import REDUCERS, Expressions
from graphc.backends.c.writer import TextWriter
from graphc.kernel.ir import Compute, Load, Random, Store
from graphc.kernel.machine import machine_type

__all__ = ["Functions"]

_FIRST = {
    ("max", "f32"): "-INFINITY", ("max", "f64"): "-INFINITY", ("min", "f32"): "INFINITY", ("min", "f64"): "INFINITY",
    ("max", "i32"): "INT32_MIN", ("max", "i64"): "INT64_MIN", ("min", "i32"): "INT32_MAX", ("min", "i64"): "INT64_MAX",
    ("max", "u32"): "0", ("max", "u8"): "0", ("min", "u32"): "UINT32_MAX", ("min", "u8"): "UINT8_MAX",
}  # fmt: skip


@dataclass(frozen=True)
class Functions:
    """Writes the calls of one plan."""

    plan: LoopPlan
    places: Places
    values: Expressions
    writer: TextWriter

    @property
    def walk(self) -> Walk:
        return self.plan.walk

    # Buffers ---------------------------------------------------------------------------------------------------------
    def fetch(self, position: int) -> None:
        """Brings random bits or a transposed load into their buffer."""
        plan, statement = self.plan, self.plan.kernel.body[position]
        place, buffer = self.walk.domain.places[position], plan.buffers[position, plan.kept_kind(position)]
        dims, vector = buffer.dims, self.walk.box[-1]
        if isinstance(statement, Random):
            rows = [d for d in dims if d != vector]
            for d in rows:
                self.writer.open(f"for (int j{d} = 0; j{d} < {self.places.bound(d)}; j{d}++)")
            to, stride = plus(buffer.name, self.places.slot(dims, rows)), place.strides[vector]
            key = f"r{statement.operand}_{statement.stream}"
            self.writer.line(
                f"gc_random_run_u32({key}, {self.places.index(place, rows)}, {stride}, "
                f"{self.places.count(vector)}, {to});"
            )
        else:
            assert isinstance(statement, Load)
            block = self.walk.transposing_dim(place)
            assert block is not None
            rows = [d for d in dims if d not in (vector, block)]
            for d in rows:
                self.writer.open(f"for (int j{d} = 0; j{d} < {self.places.bound(d)}; j{d}++)")
            to = plus(buffer.name, self.places.slot(dims, rows))
            source = plus(f"o{statement.operand}", self.places.index(place, rows))
            size, counts = statement.dtype.itemsize, f"{self.places.count(block)}, {self.places.count(vector)}"
            pitches = self.places.pitch(block, dims), place.strides[vector]
            self.writer.line(f"gc_transpose_{size}({to}, {pitches[0]}, {source}, {pitches[1]}, {counts});")
        self.writer.close(len(rows))

    def is_fetched_in(self, position: int, step: LoopStep, stage: int) -> bool:
        """Whether a stage must fetch a value that the loop `step` needs."""
        plan = self.plan
        if not plan.is_fetched(position) or plan.scopes[position] != FULL:
            return False
        return plan.buffers[position, "b"].first.stage == stage if plan.resident else step.stage == stage

    def after(self, step: LoopStep) -> None:
        """Sines of what the loop wrote, and transposed stores."""
        plan = self.plan
        dims = self.walk.box if step.is_full else self.walk.row_dims
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
            at = self.places.slot(dims, with_rows)
            n = self._run_length(dims)
            self.writer.line(f"{name}({plus(f'{kind}{position}', at)}, {plus(f'{source}{arg}', at)}, {n});")
            self.writer.close(len(with_rows))
        for position in plan.stores.get(step, []):
            if plan.moved is not None:
                self._move(position, plan.moved)
            elif position in plan.store_buffers:
                self._transpose_out(position)

    def _open_rows(self, dims: Sequence[int]) -> list[int]:
        """LoopPrinter over the dims of a buffer but the vector dim, where its rows do not follow each other."""
        if all(self.walk.is_whole(d) for d in dims):
            return []
        rows = list(dims[:-1])
        for d in rows:
            self.writer.open(f"for (int j{d} = 0; j{d} < {self.places.bound(d)}; j{d}++)")
        return rows

    def _run_length(self, dims: Sequence[int]) -> str:
        if all(self.walk.is_whole(d) for d in dims):
            return str(self.walk.domain.size(dims))
        return self.places.count(dims[-1])

    def _transpose_out(self, position: int) -> None:
        plan, statement = self.plan, self.plan.kernel.body[position]
        assert isinstance(statement, Store)
        place, vector = self.walk.domain.places[position], self.walk.box[-1]
        block = self.walk.transposing_dim(place)
        assert block is not None
        rows = [d for d in self.walk.box if d not in (vector, block)]
        for d in rows:
            self.writer.open(f"for (int j{d} = 0; j{d} < {self.places.bound(d)}; j{d}++)")
        source = plus(plan.store_buffers[position].name, self.places.slot(self.walk.box, rows))
        to = plus(f"o{statement.operand}", self.places.index(place, rows))
        size, counts = plan.store_buffers[position].size, f"{self.places.count(vector)}, {self.places.count(block)}"
        pitches = place.strides[vector], self.places.pitch(block, self.walk.box)
        self.writer.line(f"gc_transpose_{size}({to}, {pitches[0]}, {source}, {pitches[1]}, {counts});")
        self.writer.close(len(rows))

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
        target = f"{plus(f'o{statement.operand}', self.places.index(to))}, {to.strides[row]}"
        origin = f"{plus(f'o{load.operand}', self.places.index(place))}, {place.strides[column]}"
        self.writer.line(f"{name}({target}, {origin}, {self.places.count(row)}, {self.places.count(column)});")

    # Reductions ------------------------------------------------------------------------------------------------------
    def start_states(self, reductions: list[int]) -> None:
        firsts = []
        for position in reductions:
            if not self.walk.columns and self.values.is_single(position):
                continue
            op, kind = self.values.reducer(position)
            for state, state_kind in self.values.states(position):
                first = ("0.0" if state_kind == "f64" else "0") if op == "sum" else _FIRST[op, kind]
                firsts.append((state, state_kind, first))
        if not self.walk.columns:
            for state, kind, first in firsts:
                self.writer.line(f"{C_TYPES[kind]} {state} = {first};")
            return
        if firsts:
            dims = self.walk.row_dims
            for d in dims:
                if d == dims[-1]:
                    self.writer.line("GC_IVDEP")
                self.writer.open(f"for (int j{d} = 0; j{d} < {self.places.bound(d)}; j{d}++)")
            for state, _, first in firsts:
                self.writer.line(f"{state}[{self.places.slot(dims, dims)}] = {first};")
            self.writer.close(len(dims))

    def _combine(self, position: int, source: str, count: str, rows: tuple[str, str] | None = None) -> None:
        """Reduces `count` elements at `source`, or `rows` (how many, how far apart) of them, into the state."""
        op, kind = self.values.reducer(position)
        state = f"s{position}"
        if rows is not None:
            into = state if op != "sum" or kind != "f64" else f"{state}, k{position}"
            name = (
                f"gc_column_sums_{kind}"
                if op == "sum" and kind in ("f32", "f64")
                else f"gc_columns_{REDUCERS[op]}_{kind}"
            )
            self.writer.line(f"{name}({source}, {rows[0]}, {rows[1]}, {count}, {into});")
            return
        name = f"gc_row_sum_{kind}" if op == "sum" and kind in ("f32", "f64") else f"gc_row_{REDUCERS[op]}_{kind}"
        value = f"{name}({source}, {count})"
        if self.values.is_single(position):
            self.writer.line(f"const {C_TYPES[self.values.states(position)[0][1]]} {state} = {value};")
        elif op == "sum" and kind == "f64":
            self.writer.line(f"gc_add_kept(&{state}, &k{position}, {value});")
        elif op == "sum" and kind == "f32":
            self.writer.line(f"{state} += {value};")
        else:
            self.writer.line(f"{state} = gc_op_{REDUCERS[op]}_{kind}({state}, {value});")

    def reduce_memory(self, position: int, around: tuple[int, ...]) -> None:
        """Reduces an operand's memory: that of the box, or with `around` and whole dims all there is."""
        walk, place = self.walk, self.walk.domain.places[self.values.argument(position)]
        source = self.plan.kernel.body[self.values.argument(position)]
        assert isinstance(source, Load)
        all_of = set(walk.domain.reduce) if around or self._only_direct(position) else set()
        whole = all_of | {d for d in walk.box if walk.is_whole(d)}
        rows = list(walk.box[:-1]) if not walk.columns else list(walk.box[:-2])
        if not walk.columns:
            rows = list(self.values.separate(position))
        loops = [*around, *rows]
        for d in loops:
            count = str(walk.domain.extents[d]) if d in whole else self.places.bound(d)
            self.writer.open(f"for (int j{d} = 0; j{d} < {count}; j{d}++)")
        start = plus(f"o{source.operand}", self.places.index(place, loops, whole))
        if walk.columns:
            d = walk.box[-2]
            count = str(walk.domain.extents[d]) if d in whole else self.places.count(d)
            self._combine(position, start, self.places.count(walk.box[-1]), (count, str(place.strides[d])))
        else:
            joined = [d for d in walk.box if d not in rows]
            parts = [str(walk.domain.extents[d]) if d in whole else self.places.count(d) for d in joined]
            count = str(math.prod(int(p) for p in parts)) if all(p.isdigit() for p in parts) else " * ".join(parts)
            self._combine(position, start, count)
        self.writer.close(len(loops))

    def _only_direct(self, position: int) -> bool:
        """Whether the reduction's stage needs no loop of its own, so that no chunks are opened."""
        plan, stage = self.plan, self.plan.stages[self.values.argument(position)]
        busy = any(step.stage == stage and step.is_full for step in plan.steps)
        fetched = any(self.is_fetched_in(p, step, stage) for step, read in plan.read.items() for p in read)
        return not busy and not fetched and all(plan.is_direct(p) for p in plan.reductions[stage])

    def fetch_ahead(self, position: int, start: str, count: int, written: bool) -> None:
        """Asks for `count` elements of the next row, from `start` on."""
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, (Load, Store))
        place, row = self.walk.domain.places[position], self.walk.rows[-1]
        size = self.plan.kernel.operands[statement.operand].dtype.itemsize
        at = plus(plus(f"o{statement.operand}", self.places.index(place)), start)
        macro = "GC_FETCH_OWN" if written else "GC_FETCH"
        self.writer.line(f"{macro}({at}, {place.strides[row] * size}, {count * size})")

    def start_pieces(self, position: int) -> None:
        """Declares the state of a reduction that takes its row in by pieces."""
        op, kind = self._pieces(position)
        self.writer.line(f"gc_{op}_{kind} q{position} = gc_{op}_none_{kind}();")

    def take_piece(self, position: int, source: str, count: str) -> None:
        """Takes in the next `count` elements of a row, from `source` on."""
        op, kind = self._pieces(position)
        self.writer.line(f"gc_{op}_take_{kind}(&q{position}, {source}, {count});")

    def end_pieces(self, position: int) -> None:
        """Declares the value of such a reduction."""
        op, kind = self._pieces(position)
        state_kind = self.values.states(position)[0][1]
        self.writer.line(f"const {C_TYPES[state_kind]} s{position} = gc_{op}_taken_{kind}(&q{position});")

    def _pieces(self, position: int) -> tuple[str, str]:
        op, kind = self.values.reducer(position)
        return "sums" if op == "sum" else f"{REDUCERS[op]}s", kind

    def reduce_buffer(self, position: int, kind: str) -> None:
        """Reduces a buffer over rows."""
        counts = [self.places.count(d) for d in self.walk.box]
        total = str(math.prod(map(int, counts))) if all(count.isdigit() for count in counts) else counts[-1]
        self._combine(position, self.plan.buffers[self.values.argument(position), kind].name, total)
