"""What the fused loops of a printed kernel compute: which loop computes which value, and which values wait in buffers.

A fused loop stands for a `LoopStep`: how many reductions must be done before (its stage), over a row or over the box,
and how many functions over buffers (sines) must have run. A value that several loops need is computed again where that
is cheap, or else kept in a buffer. The argument of a reduction of rows waits in a buffer for the function that reduces
it; columns are reduced in the loop.

A store runs in the first loop that has its value, unless what it overwrites may be read later: an operand that is
written may be the memory of one that is read with the same index. Then it runs in the last loop.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from graphc.backends.c.facts import CHUNK, DEAR, FULL, ROW, RUN, Facts
from graphc.backends.c.space import Walk
from graphc.ir.types import DType
from graphc.kernel.ir import Load, Random, Reduce, Store
from graphc.kernel.machine import SIZES, load_step, machine_type

__all__ = ["LAST", "LoopPlan", "LoopStep", "ScratchBuffer", "make_plan"]

DEAR_BYTES = 8  # scalar operations from which on a value of one byte is kept, which makes the loop that keeps it narrow
LAST = 1 << 30  # the stage of stores of row values, after all loops


class LoopStep(NamedTuple):
    """The place of a loop in the order of all."""

    stage: int
    is_full: bool
    turn: int
    is_narrow: bool = False  # a loop of its own for stores of bytes, so that wide values are not computed 64 at a time


@dataclass(frozen=True)
class ScratchBuffer:
    """An array in scratch memory over `dims`: of the box if its name starts with b, f or t, of a row with w or g."""

    name: str
    c_type: str
    size: int  # bytes of an element
    dims: tuple[int, ...]
    first: LoopStep
    last: LoopStep

    @property
    def is_full(self) -> bool:
        """Whether it holds values of the box."""
        return self.name[0] in "bft"


@dataclass
class LoopPlan(Facts):
    """The loops of one walk. `resident`: the box holds every reduction whole, so buffers outlive a stage."""

    resident: bool
    scalars: set[int] = field(default_factory=set)
    chunk_scalars: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # by stage
    computed: dict[LoopStep, set[int]] = field(default_factory=lambda: defaultdict(set))
    read: dict[LoopStep, set[int]] = field(default_factory=lambda: defaultdict(set))  # from a buffer
    written: dict[LoopStep, set[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(set)
    )  # value, kind of buffer
    stores: dict[LoopStep, list[int]] = field(default_factory=lambda: defaultdict(list))
    added: dict[LoopStep, list[int]] = field(default_factory=lambda: defaultdict(list))  # reductions in the loop itself
    reductions: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # by the stage that steps them
    buffers: dict[tuple[int, str], ScratchBuffer] = field(default_factory=dict)
    store_buffers: dict[int, ScratchBuffer] = field(default_factory=dict)

    def kept_kind(self, position: int) -> str:
        """The buffer that keeps a value for other loops: over the box, or the vector dim."""
        return "b" if self.scopes[position] == FULL else "w"

    def input_kind(self, position: int, is_full: bool) -> str:
        """The buffer from which a function takes its argument: the one that keeps it if there is no difference."""
        if not self.is_buffered(position) and self.scopes[position] == (FULL if is_full else ROW):
            return self.kept_kind(position)
        return "f" if is_full else "g"

    def input_of(self, reduction: int) -> tuple[LoopStep | None, str]:
        """The loop that writes the argument of a reduction of rows, None if it is fetched, and its kind of buffer."""
        (arg,) = self.args(reduction)
        step, kind = self.full_step(arg), self.input_kind(arg, True)
        return (step, kind) if (arg, kind) in self.written.get(step, ()) else (None, "b")

    def full_step(self, position: int) -> LoopStep:
        """The first loop over the box that can have the value."""
        return LoopStep(self.stages[position], True, self.turns[position])

    def step_of(self, position: int) -> LoopStep:
        """The first loop that can compute a value."""
        return LoopStep(self.stages[position], self.scopes[position] == FULL, self.turns[position])

    @property
    def steps(self) -> list[LoopStep]:
        """The loops in order."""
        return sorted({step for step in (*self.written, *self.stores, *self.added) if self._is_busy(step)})

    def _is_busy(self, step: LoopStep) -> bool:
        return bool(self.written.get(step) or self.stores.get(step) or self.added.get(step))


def make_plan(walk: Walk, resident: bool) -> LoopPlan:
    """The plan of a walk."""
    late: set[int] = set()
    while True:
        plan = LoopPlan(walk, resident)
        _Demand(plan, late).run()
        exposed = _exposed_stores(plan) - late
        if not exposed:
            break
        late |= exposed
    if plan.moved is not None:
        plan.read.clear()
    _name_buffers(plan)
    return plan


@dataclass
class _Demand:
    """Walks the statements from the last to the first and notes which loops need them. Stores in `late` run last."""

    plan: LoopPlan
    late: set[int]
    wants: dict[int, set[LoopStep]] = field(default_factory=lambda: defaultdict(set))
    inputs: set[int] = field(default_factory=set)  # values that are kept anyhow, as arguments of functions

    def run(self) -> None:
        plan = self.plan
        needed = [p for p, need in enumerate(plan.needed) if need]
        stores = [p for p in needed if isinstance(plan.kernel.body[p], Store)]
        for position in needed:
            if isinstance(plan.kernel.body[position], Reduce) and plan.forward[position] == position:
                self._reduction(position)
        self._place_stores(stores)
        for position in reversed(needed):
            if self.wants[position]:
                self._value(position)

    def _place_stores(self, stores: list[int]) -> None:
        plan = self.plan
        full = [p for p in stores if not plan.is_row_store(p)]
        homes = {p: plan.full_step(plan.args(p)[0]) for p in full}
        wide = {homes[p] for p in full if plan.stored_size(p) > 1} | set(plan.added)
        wide |= {step for step, values in plan.written.items() if any(plan.value_size(p) > 1 for p, _ in values)}
        for position in full:
            cheap = plan.costs[plan.args(position)[0]] < DEAR_BYTES
            if plan.stored_size(position) == 1 and cheap and homes[position] in wide:
                homes[position] = homes[position]._replace(is_narrow=True)
        last = max((*homes.values(), *self._reducing_steps()), default=None)
        for position in stores:
            arg = plan.args(position)[0]
            if position in homes:
                step = last if position in self.late and last is not None else homes[position]
            else:
                step = LoopStep(LAST, False, 0)
            plan.stores[step].append(position)
            self.want(arg, step)

    def _reducing_steps(self) -> list[LoopStep]:
        plan = self.plan
        arguments = (plan.args(p)[0] for positions in plan.reductions.values() for p in positions)
        return [plan.full_step(arg) for arg in arguments]

    def _reduction(self, position: int) -> None:
        plan = self.plan
        statement = plan.kernel.body[position]
        assert isinstance(statement, Reduce)
        arg = plan.forward[statement.arg]
        plan.reductions[plan.stages[arg]].append(position)
        if plan.is_direct(position):
            return
        if plan.walk.columns:
            plan.added[plan.full_step(arg)].append(position)
            self.want(arg, plan.full_step(arg))
            return
        if plan.is_fetched(arg) and _is_plain(plan, arg):
            self.want(arg, plan.full_step(arg))
            return
        self._write(arg, plan.full_step(arg))

    def _write(self, arg: int, step: LoopStep) -> None:
        """The loop `step` writes the value into a buffer for a function."""
        kind = self.plan.input_kind(arg, step.is_full)
        self.plan.written[step].add((arg, kind))
        if kind in "bw":
            self.inputs.add(arg)
        self.want(arg, step)

    def want(self, position: int, step: LoopStep) -> None:
        """A loop needs a value."""
        plan = self.plan
        if plan.scopes[position] == CHUNK:
            plan.chunk_scalars[step.stage].add(position)
            for arg in plan.args(position):
                self.want(arg, step)
        elif plan.scopes[position] <= RUN:
            if position not in plan.scalars:
                plan.scalars.add(position)
                for arg in plan.args(position) if not isinstance(plan.kernel.body[position], Reduce) else ():
                    self.want(arg, step)
        else:
            self.wants[position].add(step)

    def _value(self, position: int) -> None:
        plan, wants = self.plan, sorted(self.wants[position])
        if plan.is_fetched(position):
            for step in wants:
                plan.read[step].add(position)
            return
        if plan.is_turning(position):
            self._turning(position, wants)
            return
        if plan.scopes[position] == ROW or plan.resident:
            groups = [wants]
        else:
            groups = [[s for s in wants if s.stage == stage] for stage in sorted({s.stage for s in wants})]
        for group in groups:
            self._shared(position, group)

    def _turning(self, position: int, wants: list[LoopStep]) -> None:
        plan = self.plan
        (arg,) = plan.args(position)
        for step in wants:
            plan.read[step].add(position)
        is_full = plan.scopes[position] == FULL
        stages = {plan.stages[arg]} if plan.resident or not is_full else {step.stage for step in wants}
        for stage in stages:
            self._write(arg, LoopStep(stage, is_full, plan.turns[arg]))

    def _shared(self, position: int, wants: list[LoopStep]) -> None:
        """LoopPrinter that could share one computation of a value: the first keeps it for all, or each does its own."""
        plan = self.plan
        least = DEAR_BYTES if plan.dtype(position).itemsize == 1 else DEAR
        dear = plan.walk.vector in plan.dims[position] and (plan.costs[position] >= least or position in self.inputs)
        home = wants[0]
        if plan.scopes[position] == ROW:
            dear = dear or (isinstance(plan.kernel.body[position], Reduce) and not plan.is_state(position))
            if any(step.is_full for step in wants):
                home = min(home, plan.step_of(position))
        if dear and (len(wants) > 1 or home != wants[0]):
            plan.written[home].add((position, plan.kept_kind(position)))
            for step in wants:
                if step != home:
                    plan.read[step].add(position)
            wants = [home]
        for step in wants:
            plan.computed[step].add(position)
            if not isinstance(plan.kernel.body[position], Reduce):
                for arg in plan.args(position):
                    self.want(arg, step)


def _is_plain(plan: LoopPlan, position: int) -> bool:
    """Whether a fetched value's buffer holds it in its machine type."""
    statement = plan.kernel.body[position]
    return isinstance(statement, (Load, Random)) and load_step(statement.dtype) is None


def _exposed_stores(plan: LoopPlan) -> set[int]:
    """Stores after which a loop reads from a place that may be the memory they wrote."""
    domain = plan.walk.domain
    reads: dict[tuple[object, int], LoopStep] = {}

    def note(position: int, step: LoopStep) -> None:
        statement = plan.kernel.body[position]
        if isinstance(statement, Load):
            key = (_spot(plan, position), plan.kernel.operands[statement.operand].dtype.itemsize)
            reads[key] = max(reads.get(key, step), step)

    for step, values in (*plan.computed.items(), *plan.read.items()):
        for position in values:
            note(position, step)
    for stage, positions in plan.reductions.items():
        for position in positions:
            statement = plan.kernel.body[position]
            assert isinstance(statement, Reduce)
            note(plan.forward[statement.arg], LoopStep(stage, True, -1))
    exposed = set()
    for step, stores in plan.stores.items():
        for position in stores:
            statement = plan.kernel.body[position]
            assert isinstance(statement, Store)
            size = plan.kernel.operands[statement.operand].dtype.itemsize
            found = reads.get((_spot(plan, position), size))
            if position in domain.places and found is not None and found > step and step.stage != LAST:
                exposed.add(position)
    return exposed


def _spot(plan: LoopPlan, position: int) -> tuple[int, tuple[int, ...]]:
    place = plan.walk.domain.places[position]
    return place.offset, place.strides


def _name_buffers(plan: LoopPlan) -> None:
    """A buffer for every value that a function fills or a loop writes for others, with its life."""
    lives: dict[tuple[int, str], list[LoopStep]] = defaultdict(list)
    for step, values in plan.written.items():
        for key in sorted(values):  # a set of names has another order in each process
            lives[key].append(step)
    for step, read in plan.read.items():
        for position in read:
            lives[position, plan.kept_kind(position)].append(step)
    for (position, kind), steps in lives.items():
        first = min(steps)
        if plan.is_turning(position) and kind in "bw":  # filled right after its argument's loop
            first = min(first, LoopStep(plan.stages[position], kind == "b", plan.turns[position] - 1))
        elif plan.is_fetched(position) and kind == "b":
            first = LoopStep(first.stage, True, -1)
        c_type, size = _buffer_type(plan, position, kind)
        dims = _buffer_dims(plan, position, kind)
        plan.buffers[position, kind] = ScratchBuffer(f"{kind}{position}", c_type, size, dims, first, max(steps))
    for step, stores in plan.stores.items() if plan.moved is None else ():
        for position in stores:
            block = plan.walk.transposing_dim(plan.walk.domain.places[position])
            if step.stage != LAST and block is not None:
                statement = plan.kernel.body[position]
                assert isinstance(statement, Store)
                dtype = plan.kernel.operands[statement.operand].dtype
                kind, size = _memory_kind(dtype), dtype.itemsize
                plan.store_buffers[position] = ScratchBuffer(f"t{position}", kind, size, plan.walk.box, step, step)


def _buffer_dims(plan: LoopPlan, position: int, kind: str) -> tuple[int, ...]:
    """The dims that a buffer has: what is fetched for loops over columns needs those alone that it varies along."""
    if kind not in "bf":
        return plan.walk.row_dims
    if kind == "b" and plan.walk.columns and plan.is_fetched(position):
        return tuple(d for d in plan.walk.box if d in plan.dims[position])
    return plan.walk.box


def _buffer_type(plan: LoopPlan, position: int, kind: str) -> tuple[str, int]:
    statement = plan.kernel.body[position]
    if kind in "bw" and plan.is_fetched(position) and isinstance(statement, Load):
        return _memory_kind(statement.dtype), statement.dtype.itemsize
    c_type = machine_type(plan.dtype(position))
    return c_type, SIZES[c_type]


def _memory_kind(dtype: DType) -> str:
    step = load_step(dtype)
    return step[1] if step else machine_type(dtype)
