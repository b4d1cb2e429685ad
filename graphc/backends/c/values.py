"""The values of a printed kernel as C text: what a local is declared as, and what is stored.

Names: `o` operands, `v` values, `s` and `k` the states of reductions (best or sum, and lost digits), `q` the lanes of
one that takes its row in by pieces, `r` keys of random bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.c.arrangement import LoopPlan
from graphc.backends.c.index import Places
from graphc.backends.c.scalar import call, cast, literal, loaded, rounded, stored, value_type
from graphc.backends.c.space import Walk
from graphc.ir.scalar import Scalar
from graphc.kernel.ir import Compute, Iota, Load, Random, Reduce, Store
from graphc.kernel.machine import machine_type

__all__ = ["REDUCERS", "Expressions"]

REDUCERS = {"sum": "add", "max": "maximum", "min": "minimum"}


@dataclass(frozen=True)
class Expressions:
    """The values of one plan."""

    plan: LoopPlan
    places: Places

    @property
    def walk(self) -> Walk:
        return self.plan.walk

    def value(self, position: int, nest: Sequence[int]) -> str:
        """The right side of a value's declaration inside the loops of `nest`."""
        plan = self.plan
        statement = plan.kernel.body[position]
        match statement:
            case Scalar() as number:
                return literal(number)
            case Load() as load:
                return self._load(position, load, nest)
            case Iota(dtype):
                text = f"({value_type(dtype)})({self.places.number(plan.walk.domain.places[position], nest)})"
                return f"(int8_t){text}" if dtype.name == "int8" else rounded("iota", dtype, text)
            case Random(operand, stream):
                return (
                    f"gc_random_word(r{operand}_{stream}, {self.places.index(plan.walk.domain.places[position], nest)})"
                )
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
        value = loaded(statement.dtype, f"o{statement.operand}[{self.places.index(place, nest)}]")
        if not place.guard:
            return value
        assert statement.otherwise is not None
        return f"{self.places.inside(place, nest)} ? {value} : v{self.plan.forward[statement.otherwise]}"

    def _reduced(self, position: int, nest: Sequence[int]) -> str:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        op, kind = self.reducer(position)
        at = f"[{self.places.slot(self.walk.row_dims, nest)}]" if nest else ""
        value = f"s{position}{at}"
        if op == "sum" and kind == "f64" and (nest or not self.is_single(position)):
            value = f"gc_kept_sum({value}, k{position}{at})"
        elif op == "sum" and kind == "f32":
            value = f"(float){value}"
        if statement.dtype.name == "int8" and op == "sum":
            return f"(int8_t)({value})"
        return rounded("sum" if op == "sum" else "where", statement.dtype, value)

    def read(self, position: int, nest: Sequence[int]) -> str:
        """A value from its buffer."""
        plan = self.plan
        buffer = plan.buffers[position, plan.kept_kind(position)]
        element = f"{buffer.name}[{self.places.slot(buffer.dims, nest)}]"
        statement = plan.kernel.body[position]
        if plan.is_turning(position):
            return rounded("sin", plan.dtype(position), element)
        if plan.is_fetched(position) and isinstance(statement, Load):
            return loaded(statement.dtype, element)
        return element

    def declare(self, position: int, text: str) -> str:
        return f"const {value_type(self.plan.dtype(position))} v{position} = {text};"

    def store(self, position: int, nest: Sequence[int]) -> str:
        plan = self.plan
        statement = plan.kernel.body[position]
        assert isinstance(statement, Store)
        place, dtype = self.walk.domain.places[position], plan.kernel.operands[statement.operand].dtype
        element = stored(dtype, f"v{plan.forward[statement.arg]}")
        if position in plan.store_buffers:
            return f"{plan.store_buffers[position].name}[{self.places.slot(self.walk.box, nest)}] = {element};"
        text = f"o{statement.operand}[{self.places.index(place, nest)}] = {element};"
        return f"if ({self.places.inside(place, nest)}) {text}" if place.guard else text

    def add(self, position: int, nest: Sequence[int], values: Sequence[str]) -> str:
        """Adds values, joined by pairs, to the state of their column."""
        (op, kind), at = self.reducer(position), f"[{self.places.slot(self.walk.row_dims, nest)}]"
        state = f"s{position}{at}"
        if op == "sum" and kind in ("f32", "f64"):
            wide = [f"(double){value}" for value in values] if kind == "f32" and len(values) > 1 else values
            total = _by_pairs(wide, "({} + {})")
            return f"gc_add_kept(&{state}, &k{position}{at}, {total});" if kind == "f64" else f"{state} += {total};"
        join = f"gc_op_{REDUCERS[op]}_{kind}"
        return f"{state} = {join}({state}, {_by_pairs(values, join + '({}, {})')});"

    # Reductions ------------------------------------------------------------------------------------------------------
    def argument(self, position: int) -> int:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        return self.plan.forward[statement.arg]

    def reducer(self, position: int) -> tuple[str, str]:
        statement = self.plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        op = "max" if statement.dtype.kind == "bool" and statement.op == "sum" else statement.op
        return op, machine_type(statement.dtype)

    def states(self, position: int) -> list[tuple[str, str]]:
        """The state arrays or variables of a reduction, with their types."""
        op, kind = self.reducer(position)
        if op == "sum" and kind == "f64":
            return [(f"s{position}", "f64"), (f"k{position}", "f64")]
        return [(f"s{position}", "f64" if op == "sum" and kind == "f32" else kind)]

    def is_single(self, position: int) -> bool:
        walk = self.walk
        if walk.columns or walk.around or not all(walk.is_whole(d) for d in walk.box):
            return False
        return not self.plan.is_direct(position) or not self.separate(position)

    def separate(self, position: int) -> tuple[int, ...]:
        """The leading dims of the box along which a directly read argument is not dense."""
        place, dims = self.walk.domain.places[self.argument(position)], self.walk.box
        joined = len(dims) - 1
        while (
            joined
            and place.strides[dims[joined - 1]] == place.strides[dims[joined]] * self.walk.domain.extents[dims[joined]]
        ):
            if not self.walk.is_whole(dims[joined]):
                break
            joined -= 1
        return dims[:joined]


def _by_pairs(values: Sequence[str], join: str) -> str:
    """The values joined two by two, until one is left."""
    while len(values) > 1:
        joined = [join.format(*values[at : at + 2]) for at in range(0, len(values) - 1, 2)]
        values = [*joined, *values[2 * len(joined) :]]
    return values[0]
