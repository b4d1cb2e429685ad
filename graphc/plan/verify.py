"""Checks a plan against the rules that executors rely on. Shares no code with the planner.

* Every number of a buffer, launch or program names one that is there; every buffer has a dtype and a shape.
* Every operand lies in its buffer, every arena buffer in the arena, where it begins at a multiple of the alignment;
  operands, `reads` and `writes` agree.
* Loops nest. Their slices lie in their buffers, and are touched in the loop alone. What slices alone write, they write
  once and wholly.
* A buffer is touched only between its `first` and `last` launch. Two arena buffers with common bytes have disjoint
  lifetimes, or the one dies in the launch in which the other is born, and that launch declares the pair `in_place`.
* What is there before a loop and touched in it lives until the loop is over: the next iteration finds it.
* Every read of an arena or output buffer comes after a write of it; an epilogue may read what its own kernel wrote.
* Launches that touch common bytes, one of them writing, are ordered by `depends`, directly or through others.
* Inputs, constants and the random state are never written. Ranges of indices lie in inputs of integers.

Bytes are counted by whole buffers, of slices by those that they are parts of. Of launches that write parts of one and
say so in `shares` it is trusted that these parts are different ones: they need not be ordered among themselves, unless
one of them reads the buffer as well.
The cost is linear in the plan's size for plans that are mostly chains. A fault is an InternalError that shows its
surroundings.
"""

from __future__ import annotations

import math

from graphc.ir.indices import Indexed, numbered
from graphc.ir.ranges import IndexRange
from graphc.ir.types import DTYPES
from graphc.plan.arena_rules import check_arena, check_lifetimes
from graphc.plan.fault import fault
from graphc.plan.loop_rules import check_carried, check_loops, check_slices
from graphc.plan.loops import roots
from graphc.plan.order_rules import check_order
from graphc.plan.plan import REGISTERS, SCRATCH, Buffer, BufferNumber, Launch, LaunchNumber, Plan, Ref

__all__ = ["SPACES", "verify"]

SPACES = ("input", "output", "parameter", "constant", "rng", "arena", "slice")
_READ_ONLY = ("input", "constant", "rng")
MOST_AXES = 64


def verify(plan: Plan) -> Plan:
    """`plan` itself, if it keeps all the rules above. Raises InternalError."""
    _check_buffers(plan)
    _check_lists(plan)
    check_loops(plan)
    whose = roots(plan)
    for position, launch in numbered(LaunchNumber, plan.launches):
        _check_launch(plan, position, launch, whose)
    check_slices(plan, whose)
    _check_call(plan)
    check_lifetimes(plan)
    check_carried(plan)
    check_arena(plan)
    check_order(plan)
    return plan


# Records one by one ----------------------------------------------------------------------------------------------
def _check_buffers(plan: Plan) -> None:
    for position, buffer in numbered(BufferNumber, plan.buffers):
        if what := _buffer_fault(plan, buffer):
            raise fault(plan, f"buffer {position} {what}", [], [position])


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
    if buffer.space == "arena" and (plan.alignment < 1 or buffer.offset % plan.alignment):
        return f"begins at no multiple of {plan.alignment} bytes"
    return "dies before it is born" if buffer.last < buffer.first else ""


def _check_lists(plan: Plan) -> None:
    """The plan's lists of buffers hold buffers."""
    rng = () if plan.rng == -1 else (plan.rng,)
    for name in ("inputs", "outputs", "parameters", "constants", "states"):
        for index in getattr(plan, name):
            if not 0 <= index < len(plan.buffers):
                raise fault(plan, f"the list of {name} has a buffer {index}, which is not there", [], [])
    if any(not 0 <= index < len(plan.buffers) for index in rng):
        raise fault(plan, f"the random state is buffer {plan.rng}, which is not there", [], [])


def _check_launch(
    plan: Plan, position: LaunchNumber, launch: Launch, whose: Indexed[BufferNumber, BufferNumber]
) -> None:
    touched = {*launch.reads, *launch.writes}
    for ref in (*launch.operands, *launch.program_operands):
        if ref.buffer == SCRATCH and launch.operands and 0 <= ref.offset < launch.scratch:
            continue  # a result that stays in scratch memory
        if launch.operands and ref == launch.operands[-1] == Ref(REGISTERS):
            continue
        if not _is_inside(plan, ref, launch.tiles):
            raise fault(plan, f"operand {ref} of launch {position} is out of bounds", [position], [ref.buffer])
        if whose[ref.buffer] not in touched:
            raise fault(plan, f"launch {position} declares no access to its operand {ref}", [position], [ref.buffer])
    for index in sorted(touched):
        if not 0 <= index < len(plan.buffers):
            raise fault(plan, f"launch {position} touches buffer {index}, which is not there", [position], [])
        if plan.buffers[index].space == "slice":
            raise fault(plan, f"launch {position} touches slice {index}, not what it is a part of", [position], [index])
    for index in launch.writes:
        if plan.buffers[index].space in _READ_ONLY:
            raise fault(plan, f"launch {position} writes buffer {index}, which is read-only", [position], [index])
    if any(not 0 <= needed < position for needed in launch.depends):
        raise fault(plan, f"launch {position} depends on a launch that is not before it", [position], [])
    if launch.tiles < 0 or not 0 <= launch.scratch <= plan.scratch_bytes:
        raise fault(plan, f"launch {position} has impossible tiles or more scratch than the plan", [position], [])
    if not -1 <= launch.program < len(plan.programs) or (launch.kernel == "tile" and launch.program < 0):
        raise fault(plan, f"launch {position} has no program {launch.program}", [position], [])
    if not {*launch.shares} <= {*launch.writes}:
        raise fault(plan, f"launch {position} shares a buffer that it does not write", [position], [*launch.shares])
    for read, written in launch.in_place:
        if read not in (*launch.reads, *launch.writes) or written not in launch.writes:
            raise fault(plan, f"launch {position} declares an in-place pair it does not touch", [position], [read])


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
        wrong = {*positions} ^ {i for i, buffer in numbered(BufferNumber, plan.buffers) if buffer.space == space}
        if wrong or len({*positions}) != len(positions):
            raise fault(plan, f"the plan's list of {space}s and its buffers differ", [], sorted(wrong))
    if strays := {*plan.states} - {*plan.parameters}:
        raise fault(plan, "a state of the plan is none of its parameters", [], sorted(strays))
    for number, rule in enumerate(plan.ranges):
        if not _is_range(plan, rule):
            raise fault(plan, f"range {number} of indices, {rule!r}, is none of an input", [], [])
    written = {index for launch in plan.launches for index in launch.writes}
    for index in plan.outputs:
        buffer = plan.buffers[index]
        if buffer.space in ("output", "arena") and buffer.nbytes and index not in written:
            raise fault(plan, f"output buffer {index} is never written", [], [index])
    unbound = {i for i, b in numbered(BufferNumber, plan.buffers) if b.space == "output"} - {*plan.outputs}
    if unbound:
        raise fault(plan, "an output buffer belongs to no output", [], sorted(unbound))
    if plan.names and len(plan.names) != len(plan.inputs) + len(plan.outputs):
        raise fault(plan, "the plan has not as many names as inputs and outputs", [], [])


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
