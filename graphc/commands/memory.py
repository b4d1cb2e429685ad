"""`graphc memory`: the memory that a program needs, told from its plan alone. Nothing is compiled, nothing is run.

So it works for programs that are too large for this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphc.api import build_graph
from graphc.codegen.c_target import CTarget
from graphc.codegen.tile_target import TileTarget
from graphc.commands.arena_picture import Box, draw_arena
from graphc.commands.target import Target
from graphc.ir.collection import collection_paused
from graphc.picture import check_picture
from graphc.pipeline import compile_plan
from graphc.runtime.build import processors
from graphc.runtime.liveness import arena_spans
from graphc.runtime.memory_report import bytes_text, memory_report
from graphc.runtime.plan import Buffer, Plan

__all__ = ["TARGETS", "arena_boxes", "memory"]

TARGETS: dict[str, Callable[[int], Any]] = {"cython": TileTarget, "c": CTarget}


def memory(
    target: Target, backend: str, threads: int | None, picture: Path | None, write: Callable[[str], None]
) -> int:
    """Write the report for `target`, and a picture of its arena where one is asked for."""
    if picture is not None:
        check_picture(picture)
    threads = threads or target.options.get("threads") or processors()
    graph, _ = build_graph(target.inputs, target.outputs, target.updates)
    with collection_paused():
        plan = compile_plan(graph, TARGETS[backend](threads)).plan
    write(str(memory_report(plan, threads)))
    if picture is not None:
        arena = f"arena {bytes_text(plan.arena_bytes)}, {len(plan.launches)} launches"
        draw_arena(arena_boxes(plan), plan.lower_bound, picture, f"{target.name}: {arena}")
        write(f"the arena over time: {picture}")
    return 0


def arena_boxes(plan: Plan) -> list[Box]:
    """The arena of a plan over its launches. Of what shares memory, the longest-lived names the box."""
    found, again = [], {buffer for launch in plan.launches if launch.repeats >= 0 for buffer in launch.writes}
    for span in arena_spans(plan):
        longest = max(span.buffers, key=lambda i: plan.buffers[i].last - plan.buffers[i].first)
        label = _label(plan.buffers[longest], len(span.buffers) - 1)
        found.append(Box(span.first, span.last, span.offset, span.nbytes, label, longest in again))
    return found


def _label(buffer: Buffer, more: int) -> str:
    """A tensor and the user's line, by the last part of its path."""
    type = f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
    text = f"{buffer.name} {type}" + (f" and {more} in its place" if more else "")
    return f"{text}  {buffer.location.rpartition('/')[2]}".rstrip()
