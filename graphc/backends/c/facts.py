"""What is known about the values of a kernel on a walk: where they vary, when they can be computed, what they cost.

A value's scope says where it lives. It is the same everywhere (`ONE`), for a run of the region's ranges (`RUN`), or
for a chunk of a reduction (`CHUNK`): then it is a local. Or it varies along what the box keeps of its dims alone
(`ROW`), or along the box (`FULL`): then fused loops compute it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from graphc.backends.c.space import Walk
from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.cost import operation_cost
from graphc.kernel.ir import Compute, Kernel, Load, Random, Reduce, Store
from graphc.kernel.machine import SIZES, load_step, machine_type, store_step

__all__ = ["CHUNK", "DEAR", "FULL", "ONE", "ROW", "RUN", "Facts"]

ONE, RUN, CHUNK, ROW, FULL = range(5)
DEAR = 4  # scalar operations from which on a value is kept rather than computed again
_TURNING = ("sin", "cos")  # of float64


@dataclass
class Facts:
    """The values of the kernel of `walk`, by the positions of their statements."""

    walk: Walk

    @property
    def kernel(self) -> Kernel:
        """The loop nest."""
        return self.walk.domain.kernel

    @cached_property
    def forward(self) -> tuple[int, ...]:
        """For each statement, the one whose value it has: another for reductions of one element, loads of nothing."""
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

    @cached_property
    def arguments(self) -> tuple[tuple[int, ...], ...]:
        """The values that each statement needs."""
        found = []
        for position, statement in enumerate(self.kernel.body):
            place = self.walk.domain.places.get(position)
            is_open = isinstance(statement, Load) and place is not None and not place.guard
            needed = () if is_open else self.kernel.arguments(statement)
            found.append(tuple(dict.fromkeys(self.forward[arg] for arg in needed)))
        return tuple(found)

    def args(self, position: int) -> tuple[int, ...]:
        """The values that a statement needs."""
        return self.arguments[position]

    def dtype(self, position: int) -> DType:
        """The dtype of a value."""
        statement = self.kernel.body[position]
        assert not isinstance(statement, Store)
        return statement.dtype

    def value_size(self, position: int) -> int:
        """Bytes of a value's machine type."""
        return SIZES[machine_type(self.dtype(position))]

    def stored_size(self, position: int) -> int:
        """Bytes of an element that a store writes."""
        statement = self.kernel.body[position]
        assert isinstance(statement, Store)
        return self.kernel.operands[statement.operand].dtype.itemsize

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
                if self.walk.columns:
                    found |= set(self.walk.row_dims)
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
        row_dims = set(walk.row_dims)
        for dims, stage in zip(self.dims, self.stages, strict=True):
            inside = dims & (box | around)
            if not inside:
                scopes.append(ONE if not dims and stage == 0 else RUN)
            elif not dims & box:
                scopes.append(CHUNK)
            elif inside <= row_dims < box:
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
        """Whether the value is a sine or cosine of float64, which a function over a buffer computes."""
        statement = self.kernel.body[position]
        moves = self.scopes[position] >= ROW and self.walk.vector in self.dims[position]
        return (
            moves and isinstance(statement, Compute) and statement.op in _TURNING and statement.dtype.name == "float64"
        )

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

    def is_row_store(self, position: int) -> bool:
        """Whether a store writes once a row, after all loops."""
        if self.walk.domain.is_flat:
            return False
        statement, place = self.kernel.body[position], self.walk.domain.places[position]
        assert isinstance(statement, Store)
        moving = (place.dims | self.dims[self.forward[statement.arg]]) & set(self.walk.domain.reduce)
        return not moving

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
        return not self.walk.columns or (len(self.walk.row_dims) == 1 and self._is_alone(position))

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
            own = 0 if isinstance(statement, (Scalar, Store)) or self.scopes[position] < ROW else own
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
