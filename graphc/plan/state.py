"""The state of a program by name: what its parameters are called where nothing but the plan is left of the graph."""

from __future__ import annotations

import re

from graphc.plan.plan import BufferNumber, Plan

__all__ = ["state_keys"]

_OURS = re.compile(r"\(random\)|\(constant \d+\)")  # what else a program's state holds (runtime/state_layout.py)


def state_keys(plan: Plan) -> dict[str, BufferNumber]:
    """The buffers of parameters by name, in the plan's order. A name that is taken gets a number: `w`, `w (2)`."""
    keys: dict[str, BufferNumber] = {}
    for position in plan.parameters:
        name = key = plan.buffers[position].name
        number = 1
        while key in keys or _OURS.fullmatch(key):
            number += 1
            key = f"{name} ({number})"
        keys[key] = position
    return keys
