"""How many launches and functions the steps of the scoreboard come to: what changes fusion or printer shows here."""

from __future__ import annotations

import pytest

from benchmarks.graphc_engine import step_of
from benchmarks.workloads import WORKLOADS
from graphc.backends.cuda.engine.nodes import nodes_of
from tests.backends.cuda.running import compiled

COUNTS = {
    "tiny": (7, 7, 0), "mlp": (14, 10, 2), "gelumlp": (24, 20, 7), "cnn": (25, 25, 7), "lstm": (418, 25, 12),
    "gpt": (254, 49, 20),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_launches_kernels_and_those_with_wide_accesses(name: str) -> None:
    workload = WORKLOADS[name]
    inputs, outputs, updates, _ = step_of(workload, workload.data())()
    held, code = compiled(inputs, outputs, updates)
    nodes = nodes_of(held.plan, code)
    kernels = {node.kernel.function: node.kernel for node in nodes}
    wide = sum(any(kernel.widths) for kernel in kernels.values())
    assert (len(nodes), len(kernels), wide) == COUNTS[name]
