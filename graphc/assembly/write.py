"""The last stage: the code of a plan's launches, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from graphc.assembly.records import Planned
from graphc.backends.backend import Code, Writer, coded
from graphc.ir.ranges import IndexRange
from graphc.ops.parameter import Parameter
from graphc.plan.plan import Plan

__all__ = ["Assembled", "write"]


@dataclass(frozen=True)
class Assembled:
    """A plan and its code, and what it is bound to: parameters and constants in the plan's order.

    `read` gives the code, which need not be looked at where `library`, its key in the compile cache, is known.
    """

    plan: Plan
    parameters: tuple[Parameter, ...]
    constants: tuple[np.ndarray, ...]
    read: Callable[[], Code]
    library: str = ""

    @property
    def code(self) -> Code:
        return self.read()


def write(planned: Planned, writer: Writer, ranges: tuple[IndexRange, ...] = ()) -> Assembled:
    """The plan with its code, written in the order of the sketches' numbers; calls are checked against `ranges`."""
    order = sorted(range(len(planned.sketches)), key=lambda launch: planned.sketches[launch].number)
    written = writer.write([planned.sketches[launch].routine for launch in order])
    code = dict(zip(order, written.launches, strict=True))
    plan = coded(planned.plan, [code[launch] for launch in range(len(order))], written.programs)
    return Assembled(replace(plan, ranges=ranges), planned.parameters, planned.constants, lambda: written.code)
