"""How a loop nest is laid over threads: what depends on shapes alone, so that bits do, too.

flat     a thread for each point
rows     `lanes` threads for each row of what is reduced, `rows` rows a block. Lanes lie side by side where what
         they read does (lanes first), else rows do: then neighbouring threads read neighbouring columns
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.backends.cuda.kernel import BLOCK, WARP
from graphc.kernel.ir import Load
from graphc.kernel.nest import FULL, Nest

__all__ = ["ThreadLayout", "layout_of"]

_EACH_LANE = 4  # elements that a lane takes at least, where there are more lanes than one


@dataclass(frozen=True)
class ThreadLayout:
    """`blocks` of BLOCK threads. `lanes` and `rows` multiply to BLOCK; a flat nest has one lane for each thread."""

    blocks: int
    lanes: int = 1
    rows: int = BLOCK
    lanes_first: bool = False


def layout_of(nest: Nest, group: int = 1) -> ThreadLayout:
    """The layout of a nest whose threads take `group` points together."""
    outer, reduce, inner = nest.extents
    if nest.is_flat:
        return ThreadLayout(max(1, -(-nest.size // (BLOCK * group))))
    first = _lanes_first(nest)
    most = BLOCK if first else BLOCK // WARP
    lanes = 1
    while lanes < most and lanes * max(_EACH_LANE, group) < reduce:
        lanes *= 2
    rows = BLOCK // lanes
    return ThreadLayout(max(1, -(-outer * inner // rows)), lanes, rows, first)


def _lanes_first(nest: Nest) -> bool:
    """Whether more loads go side by side along what is reduced than along the rows."""
    balance = 0
    for statement, needed, level in zip(nest.kernel.body, nest.needed, nest.levels, strict=True):
        if needed and isinstance(statement, Load) and level == FULL:
            parts = nest.axes(statement.index)
            steps = [abs(part[-1].stride) if part else 0 for part in parts]
            balance += (steps[1] == 1) - (steps[2] == 1)
    return balance >= 0
