"""How the CPU backends run a plan: by the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ops.guard import Storage
from graphc.plan.plan import Plan
from graphc.runtime.executor import Executor, return_freed_memory

__all__ = ["executor"]

_LARGE = 64 << 20  # bytes of an arena beside which what planning has freed counts


def executor(
    plan: Plan, parameters: Sequence[Storage], constants: Sequence[Any], runs: object, threads: int, seed: int
) -> Executor:
    """The executor of a plan, whose kernels are in `runs`."""
    if plan.arena_bytes >= _LARGE:
        return_freed_memory()
    return Executor(plan, [storage.array for storage in parameters], constants, runs, threads, seed)
