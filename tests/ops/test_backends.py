"""Every backend against the reference: all cases of the table, and the gradients under them.

Compiling all cases to C takes half an hour; a sample of them, one case of every function, is compiled always, and all
with GRAPHC_TEST_FULL=1.
"""

from __future__ import annotations

import os

import pytest

from graphc.api import compile
from graphc.backends.table import BACKENDS
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from tests.ops.helpers import (
    Case,
    build,
    cases,
    difference,
    first_gradients,
    precision,
    report,
)  # fmt: skip
from tests.runtime.support import needs_compiler

NAMES = sorted(FUNCTIONS)
FULL = bool(os.environ.get("GRAPHC_TEST_FULL"))
TOGETHER = 16  # functions whose sampled cases are compiled to one C program
SIMULATED = {"cuda"}  # and too slow for large arrays: tests/backends/cuda has the same table
COMPILED = [
    pytest.param(backend, marks=needs_compiler if backend == "c" else ())
    for backend in BACKENDS if backend not in SIMULATED
]  # fmt: skip


def one_case(name: str) -> Case:
    """A case of a function; the dtype and the sample are other ones for each function."""
    all_of_it, position = cases(FUNCTIONS[name]), NAMES.index(name)
    return all_of_it[position * 7 % len(all_of_it)]


def check(chosen: list[Case], backend: str) -> None:
    """Compile all cases to one program, with their gradients in float64 and float32, and compare with the reference."""
    built = [build(case) for case in chosen]
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


@pytest.mark.parametrize("name", NAMES)
def test_cython_agrees_with_the_reference(name: str) -> None:
    check(cases(FUNCTIONS[name]), "cython")


@pytest.mark.parametrize("name", NAMES)
def test_programs_of_the_interpreter_reach_the_reference(name: str) -> None:
    check(cases(FUNCTIONS[name], FUNCTIONS[name].dtypes[:1]), "numpy")


@needs_compiler
@pytest.mark.parametrize("start", range(0, len(NAMES), TOGETHER))
def test_c_agrees_with_the_reference_on_a_sample(start: int) -> None:
    check([one_case(name) for name in NAMES[start : start + TOGETHER]], "c")


@needs_compiler
@pytest.mark.parametrize("name", NAMES if FULL else [])
def test_c_agrees_with_the_reference(name: str) -> None:
    check(cases(FUNCTIONS[name]), "c")
