"""Checks a plan against the rules that executors rely on. Shares no code with the planner.

* Every number of a buffer, launch or program names one that is there; every buffer has a dtype and a shape.
* Every operand lies in its buffer, every arena buffer in the arena; operands, `reads` and `writes` agree.
* A buffer is touched only between its `first` and `last` launch. Two arena buffers with common bytes have disjoint
  lifetimes, or the one dies in the launch in which the other is born, and that launch declares the pair `in_place`.
* Every read of an arena or output buffer comes after a write of it; an epilogue may read what its own kernel wrote.
* Launches that touch common bytes, one of them writing, are ordered by `depends`, directly or through others.
* Inputs, constants and the random state are never written. Ranges of indices lie in inputs of integers.

Bytes are counted by whole buffers. Of launches that write parts of one and say so in `shares` it is trusted that these
parts are different ones: they need not be ordered among themselves, unless one of them reads the buffer as well.
The cost is linear in the plan's size for plans that are mostly chains. A fault is an InternalError that shows its
surroundings.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphc.errors import InternalError
from graphc.ir.ranges import IndexRange
from graphc.ir.types import DTYPES
from graphc.plan.plan import Buffer, Launch, Plan, Ref

__all__ = ["SPACES", "verify"]

SPACES = ("input", "output", "parameter", "constant", "rng", "arena")
_READ_ONLY = ("input", "constant", "rng")
MOST_AXES = 64


def verify(plan: Plan) -> Plan:
    """`plan` itself, if it keeps all the rules above. Raises InternalError."""
    _check_buffers(plan)
    _check_lists(plan)
    for position, launch in enumerate(plan.launches):
        _check_launch(plan, position, launch)
    _check_call(plan)
    _check_lifetimes(plan)
    _check_arena(plan)
    _check_order(plan)
    return plan


# Records one by one ----------------------------------------------------------------------------------------------
def _check_buffers(plan: Plan) -> None:
    for position, buffer in enumerate(plan.buffers):
        if what := _buffer_fault(plan, buffer):
            raise _fault(plan, f"buffer {position} {what}", [], [position])


def _buffer_fault(plan: Plan, buffer: Buffer) -> str:
    """What is wrong with a buffer by itself, or nothing."""
    if buffer.space not in SPACES:
        return "is in an unknown space"
    if buffer.dtype not in DTYPES:
        return f"has an unknown dtype {buffer.dtype!r}"
    if len(buffer.shape) > MOST_AXES or any(extent < 0 for extent in buffer.shape):
        return f"has a shape that no array has: at most {MOST_AXES} axes, none negative"
    needed = math.prod(buffer.shape) * DTYPES[buffer.dtype].itemsize
    if buffer.nbytes < needed:
        return f"holds {buffer.nbytes} bytes but needs {needed}"
    if buffer.space == "arena" and not 0 <= buffer.offset <= buffer.offset + buffer.nbytes <= plan.arena_bytes:
        return f"leaves the arena of {plan.arena_bytes} bytes"
    return "dies before it is born" if buffer.last < buffer.first else ""


def _check_lists(plan: Plan) -> None:
    """The plan's lists of buffers hold buffers."""
    rng = () if plan.rng == -1 else (plan.rng,)
    for name in ("inputs", "outputs", "parameters", "constants", "states"):
        for index in getattr(plan, name):
            if not 0 <= index < len(plan.buffers):
                raise _fault(plan, f"the list of {name} has a buffer {index}, which is not there", [], [])
    if any(not 0 <= index < len(plan.buffers) for index in rng):
        raise _fault(plan, f"the random state is buffer {plan.rng}, which is not there", [], [])


def _check_launch(plan: Plan, position: int, launch: Launch) -> None:
    touched = {*launch.reads, *launch.writes}
    for ref in (*launch.operands, *launch.program_operands):
        if ref.buffer == -1 and launch.operands and 0 <= ref.offset < launch.scratch:
            continue  # a result that stays in scratch memory
        if not _is_inside(plan, ref, launch.tiles):
            raise _fault(plan, f"operand {ref} of launch {position} is out of bounds", [position], [ref.buffer])
        if ref.buffer not in touched:
            raise _fault(plan, f"launch {position} declares no access to its operand {ref}", [position], [ref.buffer])
    for index in sorted(touched):
        if not 0 <= index < len(plan.buffers):
            raise _fault(plan, f"launch {position} touches buffer {index}, which is not there", [position], [])
    for index in launch.writes:
        if plan.buffers[index].space in _READ_ONLY:
            raise _fault(plan, f"launch {position} writes buffer {index}, which is read-only", [position], [index])
    if any(not 0 <= needed < position for needed in launch.depends):
        raise _fault(plan, f"launch {position} depends on a launch that is not before it", [position], [])
    if launch.tiles < 0 or not 0 <= launch.scratch <= plan.scratch_bytes:
        raise _fault(plan, f"launch {position} has impossible tiles or more scratch than the plan", [position], [])
    if not -1 <= launch.program < len(plan.programs) or (launch.kernel == "tile" and launch.program < 0):
        raise _fault(plan, f"launch {position} has no program {launch.program}", [position], [])
    if not {*launch.shares} <= {*launch.writes}:
        raise _fault(plan, f"launch {position} shares a buffer that it does not write", [position], [*launch.shares])
    for read, written in launch.in_place:
        if read not in (*launch.reads, *launch.writes) or written not in launch.writes:
            raise _fault(plan, f"launch {position} declares an in-place pair it does not touch", [position], [read])


def _is_inside(plan: Plan, ref: Ref, tiles: int) -> bool:
    if not 0 <= ref.buffer < len(plan.buffers) or ref.offset < 0:
        return False
    nbytes = plan.buffers[ref.buffer].nbytes
    return ref.offset < nbytes or (ref.offset <= nbytes and (tiles == 0 or nbytes == 0))


def _check_call(plan: Plan) -> None:
    """What the call binds: every buffer outside the arena has exactly one source, and outputs are computed."""
    bound = {"input": plan.inputs, "parameter": plan.parameters, "constant": plan.constants}
    if plan.rng >= 0:
        bound["rng"] = (plan.rng,)
    for space, positions in bound.items():
        wrong = {*positions} ^ {i for i, buffer in enumerate(plan.buffers) if buffer.space == space}
        if wrong or len({*positions}) != len(positions):
            raise _fault(plan, f"the plan's list of {space}s and its buffers differ", [], sorted(wrong))
    if strays := {*plan.states} - {*plan.parameters}:
        raise _fault(plan, "a state of the plan is none of its parameters", [], sorted(strays))
    for number, rule in enumerate(plan.ranges):
        if not _is_range(plan, rule):
            raise _fault(plan, f"range {number} of indices, {rule!r}, is none of an input", [], [])
    written = {index for launch in plan.launches for index in launch.writes}
    for index in plan.outputs:
        buffer = plan.buffers[index]
        if buffer.space in ("output", "arena") and buffer.nbytes and index not in written:
            raise _fault(plan, f"output buffer {index} is never written", [], [index])
    unbound = {i for i, b in enumerate(plan.buffers) if b.space == "output"} - {*plan.outputs}
    if unbound:
        raise _fault(plan, "an output buffer belongs to no output", [], sorted(unbound))
    if plan.names and len(plan.names) != len(plan.inputs) + len(plan.outputs):
        raise _fault(plan, "the plan has not as many names as inputs and outputs", [], [])


def _is_range(plan: Plan, rule: IndexRange) -> bool:
    """Whether all elements that a range counts lie in an input of integers, and its bounds in 64 bits."""
    if not 0 <= rule.input < len(plan.inputs):
        return False
    buffer = plan.buffers[plan.inputs[rule.input]]
    if not DTYPES[buffer.dtype].is_integer or not all(abs(bound) < 1 << 62 for bound in (rule.low, rule.high)):
        return False
    if len(rule.counts) != len(rule.strides) or not 0 < len(rule.counts) <= 64 or rule.offset < 0:
        return False
    if not all(abs(value) < 1 << 62 for value in rule.ignored) or min(*rule.counts, *rule.strides) < 1:
        return False
    return rule.last < math.prod(buffer.shape)


# The arena over time ---------------------------------------------------------------------------------------------
def _check_lifetimes(plan: Plan) -> None:
    for position, launch in enumerate(plan.launches):
        for index in (*launch.reads, *launch.writes):
            buffer = plan.buffers[index]
            if buffer.space == "arena" and not buffer.first <= position <= buffer.last:
                what = f"launch {position} touches buffer {index} outside its lifetime {buffer.first}..{buffer.last}"
                raise _fault(plan, what, [position], [index])
    for index in plan.outputs:
        if plan.buffers[index].space == "arena" and plan.buffers[index].last < len(plan.launches) - 1:
            raise _fault(plan, f"buffer {index} is an output but dies before the end", [], [index])


def _check_arena(plan: Plan) -> None:
    """No two buffers alive at the same time share bytes, but for declared in-place pairs."""
    events: list[tuple[int, int, int, int]] = []  # step, whether born, last step, buffer
    for index, buffer in enumerate(plan.buffers):
        if buffer.space == "arena" and buffer.nbytes:
            events += [(buffer.first, 1, buffer.last, index), (buffer.last + 1, 0, buffer.last, index)]
    live: list[tuple[int, int, int]] = []  # (offset, end, buffer), sorted
    for step, born, _, index in sorted(events):
        buffer = plan.buffers[index]
        item = (buffer.offset, buffer.offset + buffer.nbytes, index)
        if not born:
            position = bisect_left(live, item)
            if position < len(live) and live[position] == item:
                del live[position]
            continue
        for other in _overlapping(live, item):
            if not _is_declared(plan, step, other[2], index):
                raise _fault(
                    plan, f"buffers {other[2]} and {index} overlap at launch {step}", [step], [other[2], index]
                )
            del live[bisect_left(live, other)]
        insort(live, item)


def _overlapping(live: list[tuple[int, int, int]], item: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """The intervals of `live`, sorted and disjoint, that meet `item`."""
    position = bisect_left(live, (item[0],))
    start = position - 1 if position and live[position - 1][1] > item[0] else position
    stop = bisect_left(live, (item[1],), lo=start)
    return live[start:stop]


def _is_declared(plan: Plan, step: int, old: int, new: int) -> bool:
    """Whether launch `step` may write buffer `new` in the place of `old`, which dies in it.

    Of two that live in it alone, either may be the one that is written over.
    """
    a, b = plan.buffers[old], plan.buffers[new]
    same_elements = a.offset == b.offset and DTYPES[a.dtype].itemsize == DTYPES[b.dtype].itemsize
    pairs = plan.launches[step].in_place if step < len(plan.launches) else ()
    declared = (old, new) in pairs or (a.first == b.last and (new, old) in pairs)
    return a.last == b.first == step and same_elements and declared


# Order -----------------------------------------------------------------------------------------------------------
class _Ancestors:
    """Which launches a launch waits for, directly or through others.

    Launches are cut into chains, each a dependency of the next; a launch remembers the furthest launch it waits for
    on each chain. Programs have few chains side by side, so this takes little space.
    """

    def __init__(self, launches: tuple[Launch, ...]) -> None:
        self.chain: list[int] = []
        self.reached: list[dict[int, int]] = []
        tails: list[int] = []
        for position, launch in enumerate(launches):
            reached: dict[int, int] = {}
            for needed in launch.depends:
                _merge(reached, self.reached[needed])
            mine = next((self.chain[n] for n in launch.depends if tails[self.chain[n]] == n), len(tails))
            if mine == len(tails):
                tails.append(position)
            tails[mine] = position
            reached[mine] = position
            self.chain.append(mine)
            self.reached.append(reached)

    def __contains__(self, pair: tuple[int, int]) -> bool:
        """Whether the second launch of the pair waits for the first."""
        before, after = pair
        return self.reached[after].get(self.chain[before], -1) >= before


def _merge(into: dict[int, int], other: dict[int, int]) -> None:
    for chain, position in other.items():
        if into.get(chain, -1) < position:
            into[chain] = position


@dataclass
class _Touch:
    """Who touched a buffer: who must be followed by all, who has written some of it since, who has read it since.

    Of each chain of `_Ancestors` the last: who follows that one follows the others.
    """

    settled: dict[int, int] = field(default_factory=dict)
    sharers: dict[int, int] = field(default_factory=dict)
    readers: dict[int, int] = field(default_factory=dict)

    def written(self) -> list[int]:
        return [*self.settled.values(), *self.sharers.values()]

    def everyone(self) -> list[int]:
        return [*self.written(), *self.readers.values()]


def _check_order(plan: Plan) -> None:
    """Conflicting launches are ordered."""
    ancestors = _Ancestors(plan.launches)
    touches: defaultdict[int, _Touch] = defaultdict(_Touch)
    written: set[int] = set()
    arena = _ArenaOwners()
    for position, launch in enumerate(plan.launches):
        chain = ancestors.chain[position]
        for index in launch.reads:
            if index not in written:
                _check_unwritten(plan, position, index)
            _require(plan, ancestors, touches[index].written(), position, index)
        for index in sorted({*launch.reads, *launch.writes}):
            for evicted in arena.enter(plan.buffers[index], index):
                before = touches[evicted].everyone()
                _require(plan, ancestors, before, position, evicted)
                for other in before:
                    _merge(touches[index].settled, {ancestors.chain[other]: other})
        for index in launch.writes:
            written.add(index)
            touch, shares = touches[index], index in launch.shares
            others = [*touch.settled.values(), *touch.readers.values()] if shares else touch.everyone()
            _require(plan, ancestors, others, position, index)
            if shares:
                touch.sharers[chain] = position
            else:
                touches[index] = _Touch({chain: position})
        for index in launch.reads:
            if index not in launch.writes or index in launch.shares:
                touches[index].readers[chain] = position


def _check_unwritten(plan: Plan, position: int, index: int) -> None:
    buffer, launch = plan.buffers[index], plan.launches[position]
    by_its_kernel = launch.operands and launch.program_operands and index in launch.writes  # read by the epilogue
    if buffer.space in ("arena", "output") and buffer.nbytes and launch.tiles and not by_its_kernel:
        raise _fault(
            plan, f"launch {position} reads buffer {index} before anything has written it", [position], [index]
        )


def _require(plan: Plan, ancestors: _Ancestors, earlier: Iterable[int], position: int, index: int) -> None:
    for before in earlier:
        if before != position and (before, position) not in ancestors:
            what = f"launches {before} and {position} both touch the bytes of buffer {index} and are not ordered"
            raise _fault(plan, what, [before, position], [index])


class _ArenaOwners:
    """Whose contents the bytes of the arena hold."""

    def __init__(self) -> None:
        self.owners: list[tuple[int, int, int]] = []  # (start, end, buffer), sorted and disjoint
        self.inside: set[int] = set()

    def enter(self, buffer: Buffer, index: int) -> list[int]:
        """Make `buffer` the owner of its bytes; answers with the buffers that had some of them before."""
        if buffer.space != "arena" or not buffer.nbytes or index in self.inside:
            return []
        start, end = buffer.offset, buffer.offset + buffer.nbytes
        old = _overlapping(self.owners, (start, end, index))
        first = bisect_left(self.owners, old[0]) if old else bisect_left(self.owners, (start,))
        kept = [(a, min(b, start), i) for a, b, i in old if a < start] + [
            (max(a, end), b, i) for a, b, i in old if b > end
        ]
        self.owners[first : first + len(old)] = sorted([*kept, (start, end, index)])
        self.inside.add(index)
        return [i for _, _, i in old]


# Messages --------------------------------------------------------------------------------------------------------
def _fault(plan: Plan, what: str, launches: list[int], buffers: list[int]) -> InternalError:
    """An error that shows the launches, those beside them, and the buffers."""
    near = sorted(
        {n for position in launches for n in range(position - 1, position + 2) if 0 <= n < len(plan.launches)}
    )
    lines = [f"plan: {what}"]
    for index in buffers:
        if 0 <= index < len(plan.buffers):
            lines.append(f"  buffer {index}: {plan.buffers[index]}")
    for position in near:
        mark = ">" if position in launches else " "
        launch = plan.launches[position]
        lines.append(
            f"{mark} launch {position}: {launch.label} ({launch.kernel}) reads {launch.reads} writes {launch.writes} "
            f"depends {launch.depends}" + (f" at {launch.location}" if launch.location else "")
        )
    return InternalError("\n".join(lines))
