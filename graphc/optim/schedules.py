"""Learning-rate schedules: from the number of steps already taken to a learning rate, inside the compiled step.

A `Schedule` maps a 0-d float64 tensor, the steps taken before this one (0 in the first), to a 0-d float64 tensor.
Any function that does so may stand in for one. Formulas are PyTorch's, counted in optimiser steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.errors import GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.ops.build import as_tensor
from graphc.ops.build import constant as constant_tensor
from graphc.ops.functions.selection import where
from graphc.ops.primitives.arithmetic import floor
from graphc.ops.primitives.exponential import exp
from graphc.ops.primitives.extremes import minimum
from graphc.ops.primitives.trigonometry import cos
from graphc.ops.tensor import Tensor

__all__ = ["Schedule", "compose", "constant", "cosine", "exponential", "linear", "step", "warmup"]


@dataclass(frozen=True)
class Schedule:
    """A rule with the text that `repr` shows."""

    text: str
    rule: Callable[[Tensor], Tensor]

    def __call__(self, steps: Tensor) -> Tensor:
        return self.rule(steps)

    def __repr__(self) -> str:
        return self.text


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise with_location(GraphError(f"{name} of a schedule must be positive, not {shown(value)}"), capture())


def constant(lr: float) -> Schedule:
    """Always `lr`."""
    return Schedule(f"constant({lr})", lambda steps: constant_tensor(lr, "float64"))


def step(lr: float, every: int, gamma: float = 0.1) -> Schedule:
    """`lr·gamma^⌊t / every⌋`: multiplied by `gamma` every `every` steps."""
    _positive("every", every)
    _positive("gamma", gamma)
    rate = math.log(gamma)
    return Schedule(f"step({lr}, every={every}, gamma={gamma})", lambda steps: lr * exp(floor(steps / every) * rate))


def exponential(lr: float, gamma: float) -> Schedule:
    """`lr·gamma^t`."""
    _positive("gamma", gamma)
    rate = math.log(gamma)
    return Schedule(f"exponential({lr}, gamma={gamma})", lambda steps: lr * exp(steps * rate))


def linear(start: float, end: float, steps: int) -> Schedule:
    """From `start` to `end` in equal parts over `steps` steps, then `end`."""
    _positive("steps", steps)
    return Schedule(
        f"linear({start}, {end}, steps={steps})", lambda taken: start + (end - start) * (minimum(taken, steps) / steps)
    )


def cosine(lr: float, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from `lr` to `final` over `steps` steps, then `final` (Loshchilov and Hutter 2017, no restarts)."""
    _positive("steps", steps)

    def rule(taken: Tensor) -> Tensor:
        return final + (lr - final) * 0.5 * (1.0 + cos(minimum(taken, steps) * (math.pi / steps)))

    return Schedule(f"cosine({lr}, steps={steps}, final={final})", rule)


def warmup(schedule: Schedule | float, steps: int, start: float = 0.0) -> Schedule:
    """`schedule` multiplied by a factor that grows from `start` to 1 over the first `steps` steps.

    The schedule runs from the first step on; to begin it after the warm-up, join the two with `compose`.
    """
    _positive("steps", steps)
    inner = constant(schedule) if isinstance(schedule, (int, float)) else schedule
    factor = linear(start, 1.0, steps)
    return Schedule(f"warmup({inner!r}, steps={steps}, start={start})", lambda taken: inner(taken) * factor(taken))


def compose(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after the other: the next takes over at each boundary, and counts its steps from there.

    Raises GraphError unless there is one boundary fewer than schedules and they grow.

    >>> compose([linear(0.0, 0.1, steps=10), cosine(0.1, steps=90)], [10])
    compose([linear(0.0, 0.1, steps=10), cosine(0.1, steps=90, final=0.0)], [10])
    """
    if len(boundaries) != len(schedules) - 1 or list(boundaries) != sorted(set(boundaries)):
        error = (
            f"compose takes one boundary fewer than schedules, in growing order; got {len(schedules)} schedules and "
            f"boundaries {list(boundaries)}"
        )
        raise with_location(GraphError(error), capture())

    def rule(taken: Tensor) -> Tensor:
        rate = as_tensor(schedules[0](taken))
        for boundary, following in zip(boundaries, schedules[1:], strict=True):
            rate = where(taken >= boundary, following(taken - boundary), rate)
        return rate

    return Schedule(f"compose({list(schedules)!r}, {list(boundaries)})", rule)
