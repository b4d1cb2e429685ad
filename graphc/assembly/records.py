"""The records of the assembly: launches before they have code and their buffers a place, and plans without code.

Sketch    a launch in terms of values, or a loop of them
Looping   what the sketch of a loop runs: the plan of its body, and the values that the body's buffers stand for
Planned   a plan whose launches name no code yet, with the sketch of each
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from graphc.backends.backend import Routine
from graphc.memory.numbers import StepNumber, ValueNumber
from graphc.ops.parameter import Parameter
from graphc.plan.plan import Plan
from graphc.plan.rematerialisation import launch_seconds

__all__ = ["LOCAL", "Looping", "Place", "Planned", "Sketch"]

LOCAL = ValueNumber(-1)  # stands for a value in the scratch memory of a thread, or in registers
T = TypeVar("T")
Place = tuple[ValueNumber, int]  # a value, and the byte of it where something starts


@dataclass(frozen=True)
class Planned:
    """A plan whose launches name no code yet, the sketch of each, and what the plan is bound to, in its order."""

    plan: Plan
    sketches: tuple[Sketch, ...]
    parameters: tuple[Parameter, ...]
    constants: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Looping:
    """`count` runs of a body, whose plan takes its carried values first, then slices, then constants.

    The operands of its sketch are in this order: what carried values start with, `carried` of them; the carried values;
    the `stacked` inputs; the constants; the stacked outputs. `room` is the value in which the body's arena lies, or -1.
    """

    body: Planned
    count: int
    carried: int
    stacked: int
    is_reversed: bool
    room: ValueNumber

    @cached_property
    def seconds(self) -> float:
        """What all iterations cost."""
        return self.count * sum(launch_seconds(self.body.plan))

    def divided(self, operands: Sequence[T]) -> tuple[Sequence[T], ...]:
        """Operands of the sketch by what they are: starts, carried values, stacks, constants, outputs."""
        rest, parts = list(operands), []
        constants = len(self.body.plan.inputs) - self.carried - self.stacked
        for count in (self.carried, self.carried, self.stacked, constants):
            parts.append(rest[:count])
            del rest[:count]
        return (*parts, rest)


@dataclass(frozen=True)
class Sketch:
    """A launch in terms of values. `operands` are the library kernel's, `program_operands` the loop nest's.

    `number` is its place among all sketches of the program: one that runs once more keeps it. `rematerialises` is the
    step whose results it makes once more, all or some. With `loop` it stands for launches that run several times, else
    for what `routine` says.
    """

    label: str
    routine: Routine
    operands: tuple[Place, ...]
    program_operands: tuple[Place, ...]
    reads: tuple[ValueNumber, ...]
    writes: tuple[ValueNumber, ...]
    in_place: tuple[tuple[ValueNumber, ValueNumber], ...] = ()
    location: str = ""
    number: int = 0
    rematerialises: StepNumber | None = None
    loop: Looping | None = None

    @property
    def is_local(self) -> bool:
        """Whether the library kernel leaves its result in scratch memory or in registers (local.py)."""
        return self.loop is None and bool(self.operands) and self.operands[-1][0] == LOCAL
