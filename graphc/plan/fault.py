"""The error of a plan that breaks a rule: what is wrong, shown with its surroundings."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from graphc.errors import InternalError
from graphc.plan.plan import BufferNumber, LaunchNumber, Plan

__all__ = ["fault"]


def fault(plan: Plan, what: str, launches: Collection[LaunchNumber], buffers: Iterable[BufferNumber]) -> InternalError:
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
