"""What the fused loops of a printed kernel compute: which loop computes which value, and which values wait in buffers.

Values have a scope: they are the same everywhere (`ONE`), for a run of the region's ranges (`RUN`), for a chunk of a reduction
(`CHUNK`), vary along the vector dim alone (`ROW`), or along the box (`FULL`). The first three are locals. The others are computed
in fused loops, each of which stands for a `Step`: the reductions that must be done before (its stage), ROW before FULL, and how
many functions over buffers (sines) must have run. A value that several loops need is computed again where that is cheap, or else
kept in a buffer; the argument of a reduction waits in a buffer for the header function that reduces it.

A store runs in the first loop that has its value, unless what it overwrites may be read later: an operand that is written may be
the memory of one that is read with the same index. Then it runs in the last loop.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from graphc.codegen.c_space import Walk
from graphc.codegen.cost import operation_cost
from graphc.codegen.tile_scalar import SIZES, load_step, machine_type, rounding, store_step
from graphc.ir.types import DType
from graphc.lower.kernel import Compute, Kernel, Literal, Load, Random, Reduce, Statement, Store

__all__ = ["CHUNK", "FULL", "ONE", "ROW", "RUN", "Buffer", "Plan", "Step", "make_plan"]

ONE, RUN, CHUNK, ROW, FULL = range(5)
CHEAP = 8  # the same for what is stored as bytes, and would make loops narrow
DEAR = 4  # scalar operations from which on a value is kept rather than computed again
_TURNING = ("sin", "cos", "tan")
LAST = 1 << 30


class Step(NamedTuple):
    """The place of a loop in the order of all."""

    stage: int
    is_full: bool
    turn: int
    is_narrow: bool = False  # a loop of its own for stores of bytes, so that wide values are not computed 64 at a time


@dataclass(frozen=True)
class Buffer:
    """An array in scratch memory: over the box if its name starts with b, f or t, over the vector dim with w or g."""

    name: str
    c_type: str
    size: int  # bytes of an element
    first: Step
    last: Step

    @property
    def is_full(self) -> bool:
        """Whether it holds the box."""
        return self.name[0] in "bft"


@dataclass
class Plan:
    """The loops of one walk. `resident`: the box holds every reduction whole, so buffers outlive a stage."""

    walk: Walk
    resident: bool
    kernel: Kernel = field(init=False)
    scalars: set[int] = field(default_factory=set)
    chunk_scalars: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # by stage
    computed: dict[Step, set[int]] = field(default_factory=lambda: defaultdict(set))
    read: dict[Step, set[int]] = field(default_factory=lambda: defaultdict(set))  # from a buffer
    written: dict[Step, set[tuple[int, str]]] = field(default_factory=lambda: defaultdict(set))  # value, kind of buffer
    stores: dict[Step, list[int]] = field(default_factory=lambda: defaultdict(list))
    added: dict[Step, list[int]] = field(default_factory=lambda: defaultdict(list))  # reductions of columns, in the loop
    reductions: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # by the stage that steps them
    buffers: dict[tuple[int, str], Buffer] = field(default_factory=dict)
    store_buffers: dict[int, Buffer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kernel = self.walk.domain.kernel

    # What values are -----------------------------------------------------------------------------------------------
    @cached_property
    def forward(self) -> tuple[int, ...]:
        """For each statement, the one whose value it has: not itself for a reduction of one element, or what lies outside."""
        targets: list[int] = []
        for position, statement in enumerate(self.kernel.body):
            target = position
            if isinstance(statement, Reduce) and self.walk.domain.is_flat:
                target = targets[statement.arg]
            elif isinstance(statement, Load) and statement.otherwise is not None:
                place = self.walk.domain.places.get(position)
                target = targets[statement.otherwise] if place is None else position
            targets.append(target)
        return tuple(targets)

    def args(self, position: int) -> tuple[int, ...]:
        """The values that a statement needs."""
        statement = self.kernel.body[position]
        if isinstance(statement, Load) and position in self.walk.domain.places:
            if not self.walk.domain.places[position].guard:
                return ()
        return tuple(dict.fromkeys(self.forward[arg] for arg in self.kernel.arguments(statement)))

    def dtype(self, position: int) -> DType:
        """The dtype of a value."""
        statement = self.kernel.body[position]
        assert not isinstance(statement, Store)
        return statement.dtype

    def value_size(self, position: int) -> int:
        """Bytes of a value's machine type."""
        return SIZES[machine_type(self.dtype(position))]

    @cached_property
    def dims(self) -> tuple[frozenset[int], ...]:
        """The dims that each value varies along."""
        domain, result = self.walk.domain, list[frozenset[int]]()
        for position, statement in enumerate(self.kernel.body):
            found = frozenset[int]().union(*(result[arg] for arg in self.args(position)))
            if position in domain.places:
                found |= domain.places[position].dims
            if isinstance(statement, Reduce):
                found -= set(domain.reduce)
                if self.walk.columns and self.walk.vector is not None:
                    found |= {self.walk.vector}
            result.append(found)
        return tuple(result)

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """How many loops over the reductions must be done before each value."""
        stages: list[int] = []
        for position, statement in enumerate(self.kernel.body):
            stage = max((stages[arg] for arg in self.args(position)), default=0)
            stages.append(stage + (isinstance(statement, Reduce) and self.forward[position] == position))
        return tuple(stages)

    @cached_property
    def scopes(self) -> tuple[int, ...]:
        """The scope of each value."""
        walk, scopes = self.walk, list[int]()
        box, around = set(walk.box), set(walk.around)
        vector = walk.vector
        for dims, stage in zip(self.dims, self.stages, strict=True):
            inside = dims & (box | around)
            if not inside:
                scopes.append(ONE if not dims and stage == 0 else RUN)
            elif not dims & box:
                scopes.append(CHUNK)
            elif inside == {vector} and len(walk.box) > 1 and vector not in walk.domain.reduce:
                scopes.append(ROW)
            else:
                scopes.append(FULL)
        return tuple(scopes)

    @cached_property
    def turns(self) -> tuple[int, ...]:
        """How many functions over buffers must run before each value, since its stage began."""
        turns: list[int] = []
        for position, statement in enumerate(self.kernel.body):
            turn = max((turns[arg] for arg in self.args(position) if self.scopes[arg] >= ROW), default=0)
            turns.append(0 if isinstance(statement, Reduce) else turn + self.is_turning(position))
        return tuple(turns)

    def is_turning(self, position: int) -> bool:
        """Whether the value is a sine, cosine or tangent that a function over a buffer computes."""
        statement = self.kernel.body[position]
        moves = self.scopes[position] >= ROW and self.walk.vector in self.dims[position]
        return moves and isinstance(statement, Compute) and statement.op in _TURNING

    def is_fetched(self, position: int) -> bool:
        """Whether a function brings the value into a buffer: random bits, and loads that are transposed."""
        statement, vector = self.kernel.body[position], self.walk.vector
        if position not in self.walk.domain.places or self.scopes[position] < ROW:
            return False
        if isinstance(statement, Random):
            return vector in self.dims[position]
        return isinstance(statement, Load) and self.walk.transposing_dim(self.walk.domain.places[position]) is not None

    def is_buffered(self, position: int) -> bool:
        """Whether loops find the value in a buffer that a function has filled."""
        return self.is_turning(position) or self.is_fetched(position)

    def kept_kind(self, position: int) -> str:
        """The buffer that keeps a value for other loops: over the box, or the vector dim."""
        return "b" if self.scopes[position] == FULL else "w"

    def input_kind(self, position: int, is_full: bool) -> str:
        """The buffer from which a function takes its argument: the one that keeps it if there is no difference."""
        if not self.is_buffered(position) and self.scopes[position] == (FULL if is_full else ROW):
            return self.kept_kind(position)
        return "f" if is_full else "g"

    def is_state(self, position: int) -> bool:
        """Whether the value of a reduction of columns is its state as it is, so that any loop can read it."""
        statement = self.kernel.body[position]
        return isinstance(statement, Reduce) and statement.op != "sum"

    def is_direct(self, position: int) -> bool:
        """Whether a reduction reads its argument from the operand's memory."""
        statement = self.kernel.body[position]
        assert isinstance(statement, Reduce)
        arg = self.forward[statement.arg]
        source, vector = self.kernel.body[arg], self.walk.vector
        if not isinstance(source, Load) or source.otherwise is not None or vector is None or self.scopes[arg] != FULL:
            return False
        place = self.walk.domain.places[arg]
        if place.strides[vector] != 1 or place.guard or load_step(source.dtype) is not None:
            return False
        return not self.walk.columns or self._is_alone(position)

    def _is_alone(self, position: int) -> bool:
        """Whether a reduction is all that happens over the box in its stage; else one loop is to do all of it."""
        stage = self.stages[position] - 1
        for other, statement in enumerate(self.kernel.body):
            if other == position or not self.needed[other]:
                continue
            if isinstance(statement, Reduce) and self.stages[other] - 1 == stage:
                return False
            if isinstance(statement, Store) and self.stages[other] == stage and not self.is_row_store(other):
                return False
        return True

    @cached_property
    def costs(self) -> tuple[int, ...]:
        """Scalar operations to compute a value again from memory and from what is kept."""
        costs: list[int] = []
        for position, statement in enumerate(self.kernel.body):
            own = operation_cost(statement.op) if isinstance(statement, Compute) else 1
            own = 0 if isinstance(statement, (Literal, Store)) or self.scopes[position] < ROW else own
            costs.append(own + sum(1 if costs[arg] >= DEAR else costs[arg] for arg in self.args(position)))
        return tuple(costs)

    @cached_property
    def needed(self) -> tuple[bool, ...]:
        """Whether a store needs the statement."""
        needed = [isinstance(s, Store) and p in self.walk.domain.places for p, s in enumerate(self.kernel.body)]
        for position in reversed(range(len(needed))):
            if needed[position]:
                for arg in self.args(position):
                    needed[arg] = True
        return tuple(needed)

    @cached_property
    def only_stored(self) -> frozenset[int]:
        """The values whose one use is a store of a 16-bit float, which rounds them."""
        uses: dict[int, list[int]] = defaultdict(list)
        for position, needed in enumerate(self.needed):
            for arg in self.args(position) if needed else ():
                uses[arg].append(position)
        return frozenset(
            value
            for value, users in uses.items()
            if len(users) == 1
            and isinstance(self.kernel.body[users[0]], Store)
            and store_step(self.dtype(value)) is not None
        )

    @cached_property
    def moved(self) -> int | None:
        """The load that all of the kernel does nothing but transpose to its one store."""
        positions = [p for p, needed in enumerate(self.needed) if needed]
        if len(positions) != 2 or len(self.walk.box) != 2 or not self.walk.domain.is_flat:
            return None
        load = positions[0]
        if not isinstance(self.kernel.body[load], Load):
            return None
        places = [self.walk.domain.places[p] for p in positions]
        vector, block = self.walk.box[-1], self.walk.box[0]
        dense = [sum(place.strides[d] == 1 for place in places) for d in (vector, block)]
        return load if dense == [1, 1] and not any(place.guard for place in places) else None

    # Steps and demand ----------------------------------------------------------------------------------------------
    def step_of(self, position: int) -> Step:
        """The first loop that can compute a value."""
        return Step(self.stages[position], self.scopes[position] == FULL, self.turns[position])

    def full_step(self, position: int) -> Step:
        """The first loop over the box that can have the value."""
        return Step(self.stages[position], True, self.turns[position])

    @property
    def steps(self) -> list[Step]:
        """The loops in order."""
        return sorted({step for step in (*self.written, *self.stores, *self.added) if self._is_busy(step)})

    def _is_busy(self, step: Step) -> bool:
        return bool(self.written.get(step) or self.stores.get(step) or self.added.get(step))

    def stored_size(self, position: int) -> int:
        """Bytes of an element that a store writes."""
        statement = self.kernel.body[position]
        assert isinstance(statement, Store)
        return self.kernel.operands[statement.operand].dtype.itemsize

    def is_row_store(self, position: int) -> bool:
        """Whether a store writes once a row, after all loops."""
        if self.walk.domain.is_flat:
            return False
        statement, place = self.kernel.body[position], self.walk.domain.places[position]
        assert isinstance(statement, Store)
        moving = (place.dims | self.dims[self.forward[statement.arg]]) & set(self.walk.domain.reduce)
        return not moving


def make_plan(walk: Walk, resident: bool) -> Plan:
    """The plan of a walk."""
    late: set[int] = set()
    while True:
        plan = Plan(walk, resident)
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

    plan: Plan
    late: set[int]
    wants: dict[int, set[Step]] = field(default_factory=lambda: defaultdict(set))
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
            cheap = plan.costs[plan.args(position)[0]] < CHEAP
            if plan.stored_size(position) == 1 and cheap and homes[position] in wide:
                homes[position] = homes[position]._replace(is_narrow=True)
        last = max((*homes.values(), *self._reducing_steps()), default=None)
        for position in stores:
            arg = plan.args(position)[0]
            if position in homes:
                step = last if position in self.late and last is not None else homes[position]
            else:
                step = Step(LAST, False, 0)
            plan.stores[step].append(position)
            self.want(arg, step)

    def _reducing_steps(self) -> list[Step]:
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

    def _write(self, arg: int, step: Step) -> None:
        """The loop `step` writes the value into a buffer for a function."""
        kind = self.plan.input_kind(arg, step.is_full)
        self.plan.written[step].add((arg, kind))
        if kind in "bw":
            self.inputs.add(arg)
        self.want(arg, step)

    def want(self, position: int, step: Step) -> None:
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

    def _turning(self, position: int, wants: list[Step]) -> None:
        plan = self.plan
        (arg,) = plan.args(position)
        for step in wants:
            plan.read[step].add(position)
        is_full = plan.scopes[position] == FULL
        stages = {plan.stages[arg]} if plan.resident or not is_full else {step.stage for step in wants}
        for stage in stages:
            self._write(arg, Step(stage, is_full, plan.turns[arg]))

    def _shared(self, position: int, wants: list[Step]) -> None:
        """Loops that could share one computation of a value: the first keeps it for the others, or each does its own."""
        plan = self.plan
        least = CHEAP if plan.dtype(position).itemsize == 1 else DEAR
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


def _is_plain(plan: Plan, position: int) -> bool:
    """Whether a fetched value's buffer holds it in its machine type."""
    statement = plan.kernel.body[position]
    return isinstance(statement, (Load, Random)) and load_step(statement.dtype) is None


def _exposed_stores(plan: Plan) -> set[int]:
    """Stores after which a loop reads from a place that may be the memory they wrote."""
    domain = plan.walk.domain
    reads: dict[tuple[object, int], Step] = {}

    def note(position: int, step: Step) -> None:
        statement = plan.kernel.body[position]
        if isinstance(statement, Load):
            key = (_spot(plan, position), plan.kernel.operands[statement.operand].dtype.itemsize)
            reads[key] = max(reads.get(key, step), step)

    for step, values in (*plan.computed.items(), *plan.read.items()):
        for position in values:
            note(position, step)
    for stage, positions in (*plan.reductions.items(),):
        for position in positions:
            statement = plan.kernel.body[position]
            assert isinstance(statement, Reduce)
            note(plan.forward[statement.arg], Step(stage, True, -1))
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


def _spot(plan: Plan, position: int) -> tuple[int, tuple[int, ...]]:
    place = plan.walk.domain.places[position]
    return place.offset, place.strides


def _name_buffers(plan: Plan) -> None:
    """A buffer for every value that a function fills or a loop writes for others, with its life."""
    lives: dict[tuple[int, str], list[Step]] = defaultdict(list)
    for step, values in plan.written.items():
        for key in values:
            lives[key].append(step)
    for step, read in plan.read.items():
        for position in read:
            lives[position, plan.kept_kind(position)].append(step)
    for (position, kind), steps in lives.items():
        first = min(steps)
        if plan.is_turning(position) and kind in "bw":  # filled right after its argument's loop
            first = min(first, Step(plan.stages[position], kind == "b", plan.turns[position] - 1))
        elif plan.is_fetched(position) and kind == "b":
            first = Step(first.stage, True, -1)
        c_type, size = _buffer_type(plan, position, kind)
        plan.buffers[position, kind] = Buffer(f"{kind}{position}", c_type, size, first, max(steps))
    for step, stores in plan.stores.items():
        for position in stores:
            if plan.moved is None and step.stage != LAST and plan.walk.transposing_dim(plan.walk.domain.places[position]) is not None:
                statement = plan.kernel.body[position]
                assert isinstance(statement, Store)
                dtype = plan.kernel.operands[statement.operand].dtype
                plan.store_buffers[position] = Buffer(f"t{position}", _memory_kind(dtype), dtype.itemsize, step, step)


def _buffer_type(plan: Plan, position: int, kind: str) -> tuple[str, int]:
    statement: Statement = plan.kernel.body[position]
    if kind in "bw" and plan.is_fetched(position) and isinstance(statement, Load):
        return _memory_kind(statement.dtype), statement.dtype.itemsize
    c_type = machine_type(plan.dtype(position))
    return c_type, SIZES[c_type]


def _memory_kind(dtype: DType) -> str:
    step = load_step(dtype)
    return step[1] if step else machine_type(dtype)

