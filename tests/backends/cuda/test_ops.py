"""The table of functions on a simulated device, with first gradients, against the reference."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.ops.record import FUNCTIONS, OPS
from graphc.ops.reference import evaluate
from tests.backends.cuda.running import on_device
from tests.ops.helpers import Case, build, cases, difference, first_gradients, precision, report

FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))


def fault(case: Case) -> str:
    """What a simulated device gives that the reference does not, or nothing."""
    built = build(case)
    outputs = [*built.outputs, *first_gradients(built)]
    found = [np.zeros(output.shape, output.dtype.numpy) for output in outputs]
    on_device(built.inputs, outputs).run([np.asarray(array) for array in built.arrays], found)
    values = dict(zip(built.inputs, built.arrays, strict=True))
    for got, wanted in zip(found, evaluate(outputs, values, seed=5), strict=True):
        if wrong := difference(got, wanted, precision(case)):
            return f"{case.function.name} {case.dtype} sample {case.position}: {wrong}"
    return ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_on_a_simulated_device(name: str) -> None:
    made = cases(FUNCTIONS[name])
    faults = [fault(case) for case in (made if FULL else made[:: max(1, len(made) // 4)])]
    assert not any(faults), report([wrong for wrong in faults if wrong])


EPILOGUES: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[..., Any]]] = {
    "matmul": (((3, 70, 20), (3, 20, 9)), gx.matmul),
    "conv2d": (((2, 4, 9, 8), (6, 2, 3, 3)), lambda x, w: gx.conv2d(x, w, padding=1, groups=2)),
    "max_pool2d": (((2, 3, 9, 8),), lambda x: gx.max_pool2d(x, 3, 2, padding=1)),
    "avg_pool2d": (((2, 3, 9, 8),), lambda x: gx.avg_pool2d(x, 3, 2, padding=1)),
}


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.epilogue_inner and name in FUNCTIONS])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_epilogue_is_part_of_a_kernel(name: str, dtype: str) -> None:
    shapes, build_one = EPILOGUES[name]
    inputs = [gx.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    made = build_one(*inputs)
    scale = gx.input("scale", made.shape[-1:], dtype)
    output = gx.tanh(made) * scale
    random = np.random.default_rng(0)
    values = {x: random.normal(size=x.shape).astype(x.dtype.numpy) for x in (*inputs, scale)}
    found = np.zeros(output.shape, output.dtype.numpy)
    device = on_device([*values], output)
    assert len(device.plan.launches) == 1
    device.run([*values.values()], [found])
    wanted = evaluate([output], values, seed=5)[0]
    tolerance = {"float64": 1e-12, "float32": 1e-5}.get(dtype, 0.02)
    np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), tolerance, tolerance)
