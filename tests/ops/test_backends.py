"""Every backend against the reference: all cases of the table, the gradients under them, and special values."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.api import BACKENDS, compile
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from tests.ops.helpers import (
    build,
    cases,
    difference,
    elementwise_arity,
    first_gradients,
    input_tensor,
    precision,
    report,
    special_arrays,
)  # fmt: skip

NAMES = sorted(FUNCTIONS)
COMPILED = [backend for backend in BACKENDS if backend != "auto"]
ELEMENTWISE = [name for name in NAMES if elementwise_arity(name) in (1, 2)]


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("name", NAMES)
def test_backend_agrees_with_the_reference(name: str, backend: str) -> None:
    """One program holds all cases of a function, and the gradients of those in float64 and float32.

    The interpreter calls the reference, so one dtype shows that programs reach it.
    """
    dtypes = FUNCTIONS[name].dtypes[:1] if backend == "numpy" else None
    built = [build(case) for case in cases(FUNCTIONS[name], dtypes)]
    rows = [(item, list(item.outputs) + first_gradients(item)) for item in built]
    inputs = [tensor for item in built for tensor in item.inputs]
    program = compile(inputs, [result for _, results in rows for result in results], backend=backend)
    got = iter(program(*(array for item in built for array in item.arrays)))
    faults = []
    for item, results in rows:
        expected = evaluate(results, item.values)
        found = [difference(next(got), array, precision(item.case)) for array in expected]
        faults += [f"{item.case}\n    result {i}: {fault}" for i, fault in enumerate(found) if fault]
    assert not faults, report(faults)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", COMPILED)
def test_special_values(backend: str, dtype: str) -> None:
    """nan, infinities, signed zeros, denormals and huge numbers through every elementwise function, in one program."""
    grids = {arity: special_arrays(arity, dtype) for arity in (1, 2)}
    tensors = {arity: [input_tensor(f"a{arity}{i}", array) for i, array in enumerate(grids[arity])] for arity in grids}
    results = [FUNCTIONS[name].build(*tensors[elementwise_arity(name)]) for name in ELEMENTWISE]
    values = {tensor: array for arity in grids for tensor, array in zip(tensors[arity], grids[arity], strict=True)}
    program = compile(list(values), results, backend=backend)
    faults = []
    tiny, relative = float(np.finfo(dtype).tiny), 1e-12 if dtype == "float64" else 1e-6
    for name, got, expected in zip(ELEMENTWISE, program(*values.values()), evaluate(results, values), strict=True):
        close = np.isclose(got, expected, relative, 2 * tiny, equal_nan=True)
        arrays = grids[elementwise_arity(name)]
        for i in np.flatnonzero(~close)[:2]:
            at = ", ".join(str(array[i]) for array in arrays)
            faults.append(f"{name}({at}) = {got[i]}, the reference says {expected[i]}")
    assert not faults, report(faults)
