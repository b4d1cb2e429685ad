"""Hand-made plans with loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphc.plan.plan import Loop, Plan, Slice
from tests.runtime.support import add_launch, buffer, plan_of

__all__ = ["COUNT", "ROW", "SIZE", "nested", "running_sum", "sums_of"]

SIZE, COUNT = 16, 5
ROW = 4 * SIZE


def running_sum(*, reverse: bool = False) -> Plan:
    """h = x[0] + x[0]; five times t = h + x[i], h = t + t, y[i] = h + x[i]; z = h + h."""
    buffers = [
        buffer("x", "input", COUNT * SIZE), buffer("y", "output", COUNT * SIZE), buffer("z", "output", SIZE),
        buffer("h", "arena", SIZE, 0, 0, 4), buffer("t", "arena", SIZE, ROW, 1, 2),
        buffer("x[i]", "slice", SIZE), buffer("y[i]", "slice", SIZE),
    ]  # fmt: skip
    launches = [
        add_launch(0, 0, 3, SIZE),
        replace(add_launch(3, 5, 4, SIZE, depends=[0]), reads=(3, 0)),
        add_launch(4, 4, 3, SIZE, depends=[1]),
        replace(add_launch(3, 5, 6, SIZE, depends=[2]), reads=(3, 0), writes=(1,)),
        add_launch(3, 3, 2, SIZE, depends=[2]),
    ]
    start, step = (ROW * (COUNT - 1), -ROW) if reverse else (0, ROW)
    loop = Loop(1, 4, COUNT, (Slice(5, 0, start, step), Slice(6, 1, start, step)), "sum")
    return replace(plan_of(buffers, launches, arena=2 * ROW), loops=(loop,))


def sums_of(x: np.ndarray, *, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What it computes."""
    h, rows = x[0] + x[0], np.empty_like(x)
    for i in reversed(range(COUNT)) if reverse else range(COUNT):
        h = (h + x[i]) * 2
        rows[i] = h + x[i]
    return rows, h + h


def nested() -> Plan:
    """Two times three times y[i][j] = x[i][j] + w[j]."""
    buffers = [
        buffer("x", "input", 6 * SIZE), buffer("w", "input", 3 * SIZE), buffer("y", "output", 6 * SIZE),
        buffer("x[i]", "slice", 3 * SIZE), buffer("y[i]", "slice", 3 * SIZE),
        buffer("x[i][j]", "slice", SIZE), buffer("y[i][j]", "slice", SIZE), buffer("w[j]", "slice", SIZE),
    ]  # fmt: skip
    launch = replace(add_launch(5, 7, 6, SIZE), reads=(0, 1), writes=(2,))
    outer = Loop(0, 1, 2, (Slice(3, 0, 0, 3 * ROW), Slice(4, 2, 0, 3 * ROW)))
    inner = Loop(0, 1, 3, (Slice(5, 3, 0, ROW), Slice(6, 4, 0, ROW), Slice(7, 1, 0, ROW)))
    return replace(plan_of(buffers, [launch]), loops=(outer, inner))
