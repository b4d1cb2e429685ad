"""The state of a program by name: what its parameters are called where nothing but the plan is left of the graph."""

from __future__ import annotations

from graphc.runtime.plan import Plan

__all__ = ["state_keys"]


def state_keys(plan: Plan) -> dict[str, int]:
    """The buffers of parameters by their names, in the plan's order. A name met again gets a number: `w`, `w (2)`."""
    keys: dict[str, int] = {}
    for position in plan.parameters:
        name = key = plan.buffers[position].name
        number = 1
        while key in keys:
            number += 1
            key = f"{name} ({number})"
        keys[key] = position
    return keys
