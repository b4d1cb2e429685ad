"""The generated C of the table's functions under the address and undefined-behaviour sanitizers, run as a C user does.

A few functions always, all with GRAPHC_TEST_FULL=1.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from graphc.api import compile
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.ops.helpers import build, cases, difference, first_gradients, precision, report
from tests.ops.test_backends import FULL, NAMES, one_case

SAMPLE = (
    "conv2d", "cumsum", "logsumexp", "matmul", "max_pool2d", "scaled_dot_product_attention", "softmax", "take", "where",
)  # fmt: skip


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("names", [[n] for n in NAMES] if FULL else [[n for n in SAMPLE if n in FUNCTIONS]], ids=str)
def test_sanitizers_find_nothing(names: list[str], tmp_path: Path) -> None:
    chosen = [case for name in names for case in (cases(FUNCTIONS[name]) if FULL else [one_case(name)])]
    built = [build(case) for case in chosen]
    rows = [(item, list(item.outputs) + first_gradients(item)) for item in built]
    program = compile(
        [t for item in built for t in item.inputs], [r for _, results in rows for r in results], backend="cython"
    )
    runner = build_runner(program, tmp_path, SANITIZERS["address"])
    (outputs,), _ = run(program, runner, [array for item in built for array in item.arrays])
    got, faults = iter(outputs), []
    for item, results in rows:
        found = [difference(next(got), array, precision(item.case)) for array in evaluate(results, item.values)]
        faults += [f"{item.case}\n    result {i}: {fault}" for i, fault in enumerate(found) if fault]
    assert not faults, report(faults)
