"""The table of functions on a simulated device, with first gradients, against the reference: all that have kernels."""

from __future__ import annotations

import os

import numpy as np
import pytest

from graphc.errors import BackendError
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from tests.backends.cuda.test_device import on_device
from tests.ops.helpers import Case, build, cases, difference, first_gradients, precision, report

FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))


def fault(case: Case) -> str:
    """What a simulated device gives that the reference does not, or nothing."""
    built = build(case)
    outputs = [*built.outputs, *first_gradients(built)]
    found = [np.zeros(output.shape, output.dtype.numpy) for output in outputs]
    on_device(built.inputs, outputs).run(list(built.arrays), found)
    values = dict(zip(built.inputs, built.arrays, strict=True))
    for got, wanted in zip(found, evaluate(outputs, values, seed=5), strict=True):
        if wrong := difference(got, wanted, precision(case)):
            return f"{case.function.name} {case.dtype} sample {case.position}: {wrong}"
    return ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_on_a_simulated_device(name: str) -> None:
    made = cases(FUNCTIONS[name])
    lacking = 0
    faults = []
    for case in made if FULL else made[:: max(1, len(made) // 6)]:
        try:
            faults.append(fault(case))
        except BackendError as error:
            assert "has no CUDA kernel" in str(error)
            lacking += 1
    assert not any(faults), report([wrong for wrong in faults if wrong])
    if lacking:
        pytest.skip(f"{lacking} cases ask for an op without a CUDA kernel")
