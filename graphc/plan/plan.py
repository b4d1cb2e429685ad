"""The plan: the whole contract between compiler and runtime.

    plan    = buffers, launches, loops, programs, inputs, outputs, updates, arena bytes, scratch bytes
    buffer  = a tensor's place: its space, and for the arena its offset and lifetime
    launch  = a kernel, its constants, its operands, how many tiles it has, which launches it waits for
    loop    = launches that run several times, one time after the other, and the slices that move with it

Spaces: "input" (the caller's array or its staged copy), "output" (a new array, or the caller's), "parameter" (storage
that outlives the call), "constant" (read-only data), "rng" (seed and step, two uint64), "arena" (one block, planned
offsets), "slice" (a part of another buffer, a different one in each iteration of a loop). Everything is plain frozen
data: it can be compared, saved as JSON (format.py) and printed (text.py).

Launches are listed once, in their order; a loop is a range of them, and loops nest as ranges do. So a launch has one
number, by which lifetimes, dependencies, profiles and errors name it, in a loop or outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from graphc.ir.ranges import IndexRange
from graphc.plan.text import plan_text

__all__ = [
    "ALIGNMENT", "NO_PROGRAM", "REGISTERS", "SCRATCH", "Buffer", "BufferNumber", "Launch", "LaunchNumber", "Loop",
    "Plan", "ProgramNumber", "Ref", "Slice", "copied_outputs",
]  # fmt: skip

BufferNumber = NewType("BufferNumber", int)  # positions in `Plan.buffers`; for these three see ir/indices.py
LaunchNumber = NewType("LaunchNumber", int)  # in `Plan.launches`
ProgramNumber = NewType("ProgramNumber", int)  # in `Plan.programs`
SCRATCH = BufferNumber(-1)  # the scratch memory of the thread
REGISTERS = BufferNumber(-2)  # of the thread: no memory
NO_PROGRAM = ProgramNumber(-1)
ALIGNMENT = 64  # bytes


@dataclass(frozen=True)
class Buffer:
    """A place for a tensor.

    `first` and `last` are the launches between which the contents matter (inclusive). `key` ties a buffer to what it
    holds: an input's name, an output's position, a parameter's or constant's position in the plan's list.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    space: str
    offset: int = 0
    first: LaunchNumber = LaunchNumber(0)
    last: LaunchNumber = LaunchNumber(0)
    location: str = ""


@dataclass(frozen=True)
class Ref:
    """An operand: bytes of a buffer from `offset` on.

    Buffer -1 is `SCRATCH`: a library kernel leaves the results of a tile there for its epilogue. One whose last operand
    is in buffer -2, `REGISTERS`, leaves them in registers, as kernels of the CPU do not.
    """

    buffer: BufferNumber
    offset: int = 0


@dataclass(frozen=True)
class Launch:
    """One kernel call.

    `kernel` is "tile" for a tile program, else a library kernel's name with its `params`. `program` is the position
    in `Plan.programs` of the tile program (for a library kernel: its epilogue), or -1; `program_operands` are that
    program's operands. `operands` are the library kernel's. `reads`/`writes` declare which Refs' buffers are touched
    (positions in `Plan.buffers`; of slices the buffers that they are parts of); `depends` are earlier launches that
    must be complete before this one starts: one in a loop that this one is not in, after its last iteration.
    `in_place` are pairs (read buffer, written buffer) that may lie in the same bytes, because each tile reads an
    element before it writes the one in its place. `rematerialises` is the earlier launch whose results it makes once
    more, all or some, because they were dropped in between; -1 for a first time. `shares` are buffers of which it
    writes some elements and other launches the rest: these need not wait for each other. `work` counts scalar
    operations, `effort` those of a large matrix product that would take as long, were it not for traffic.
    """

    label: str
    kernel: str
    params: tuple[int, ...]
    operands: tuple[Ref, ...]
    program: ProgramNumber
    program_operands: tuple[Ref, ...]
    reads: tuple[BufferNumber, ...]
    writes: tuple[BufferNumber, ...]
    tiles: int
    scratch: int
    work: int
    effort: int
    depends: tuple[LaunchNumber, ...]
    location: str = ""
    in_place: tuple[tuple[BufferNumber, BufferNumber], ...] = ()
    rematerialises: LaunchNumber = LaunchNumber(-1)
    shares: tuple[BufferNumber, ...] = ()


@dataclass(frozen=True)
class Slice:
    """In iteration i of its loop, `buffer` is what starts at byte `offset` + `step` * i of the buffer `of`.

    That one may be a slice itself, of a loop further out.
    """

    buffer: BufferNumber
    of: BufferNumber
    offset: int
    step: int


@dataclass(frozen=True)
class Loop:
    """Launches `first` to `last`, the latter not included, run `count` times, one iteration after the other.

    What an iteration leaves in a buffer that outlives it, the next finds there: so a loop carries values.
    """

    first: LaunchNumber
    last: LaunchNumber
    count: int
    slices: tuple[Slice, ...] = ()
    label: str = ""
    location: str = ""


@dataclass(frozen=True)
class Plan:
    """A compiled program without its machine code.

    `loops` are in the order of their first launches, those further out first.
    `programs` are tile programs as words. `inputs`, `outputs` are buffers in call order; `parameters` and `constants`
    are the buffers bound to parameter storage and constant data, in the order of the program's lists; `rng` is the
    buffer with seed and step, or -1. `states` are those of the parameters that are not trained, in their order: an
    optimiser's moments, running statistics, counters. `ranges` say what inputs may hold where they are indices: a call
    is checked against them before it runs. Buffers in the arena begin at multiples of `alignment` bytes.
    """

    buffers: tuple[Buffer, ...]
    launches: tuple[Launch, ...]
    programs: tuple[tuple[int, ...], ...]
    inputs: tuple[BufferNumber, ...]
    outputs: tuple[BufferNumber, ...]
    parameters: tuple[BufferNumber, ...]
    constants: tuple[BufferNumber, ...]
    rng: BufferNumber
    arena_bytes: int
    scratch_bytes: int
    lower_bound: int
    names: tuple[str, ...] = ()  # input names, then output names
    states: tuple[BufferNumber, ...] = ()
    ranges: tuple[IndexRange, ...] = ()
    loops: tuple[Loop, ...] = ()
    alignment: int = ALIGNMENT

    def __str__(self) -> str:
        return plan_text(self)


def copied_outputs(plan: Plan) -> list[int]:
    """The outputs that are no arrays of their own: they are copied from their buffer after a run."""
    first = {buffer: position for position, buffer in reversed(list(enumerate(plan.outputs)))}
    return [
        position
        for position, buffer in enumerate(plan.outputs)
        if plan.buffers[buffer].space != "output" or first[buffer] != position
    ]
