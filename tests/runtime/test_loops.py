"""Plans with loops run as they say, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.runtime.executor import Executor
from tests.plan.loops import COUNT, SIZE, nested, running_sum, sums_of
from tests.test_memory_contract import deaths

X = np.random.default_rng(0).normal(size=(COUNT, SIZE)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", ["run", "run_together", "run_poisoned", "run_profiled"])
def test_a_loop_runs(table: object, reverse: bool, threads: int, way: str) -> None:
    plan = running_sum(reverse=reverse)
    executor = Executor(plan, [], [], table, threads)
    y, z = np.full((COUNT, SIZE), np.nan, np.float32), np.full(SIZE, np.nan, np.float32)
    more = [deaths(plan)] if way == "run_poisoned" else []
    for _ in range(2):
        found = getattr(executor, way)([X], [y, z], *more)
        expected = sums_of(X, reverse=reverse)
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(z, expected[1])
    if way == "run_profiled":
        assert len(found) == len(plan.launches)
        assert all(nanoseconds > 0 for nanoseconds in found)


def test_loops_in_loops_run(table: object) -> None:
    x, w = (np.arange(n * SIZE, dtype=np.float32).reshape(-1, 3, SIZE) for n in (6, 3))
    y = np.zeros_like(x)
    Executor(nested(), [], [], table).run([x, w], [y])
    np.testing.assert_array_equal(y, x + w)
