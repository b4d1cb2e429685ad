"""The table as generated C, in every dtype, run as a C user does under the sanitizer for undefined behaviour.

Always: every function in every dtype; in floats all samples but those of elementwise functions, of which, as of other
dtypes, a quarter; without the checks of each single address. With GRAPHC_TEST_FULL=1: everything, with gradients,
optimised, under every check and the address sanitizer, too. A program that ends with status -4 here says there where.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from graphc.api import compile
from graphc.ir.types import DTYPES
from graphc.ops.record import FUNCTIONS
from graphc.ops.reference import evaluate
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.ops.helpers import (
    Case,
    build,
    cases,
    difference,
    elementwise_arity,
    first_gradients,
    precision,
    report,
)  # fmt: skip
from tests.ops.test_backends import FULL, NAMES
from tests.runtime.support import needs_compiler

FLAGS = SANITIZERS["address"] if FULL else SANITIZERS["undefined"]
FLOATS = [name for name, dtype in DTYPES.items() if dtype.is_float]
OTHERS = [name for name, dtype in DTYPES.items() if not dtype.is_float]
GRADIENTS = ("float64", "float32") if FULL else ()
TOGETHER = 256  # cases that are compiled to one program


def chosen(dtype: str) -> list[Case]:
    """The cases of a dtype. Where samples are left out, each is taken in some dtype, and each function in every one."""
    found = [case for name in NAMES for case in cases(FUNCTIONS[name], [dtype])]
    return [case for case in found if FULL or _is_taken(case)]


def _is_taken(case: Case) -> bool:
    function, kind = case.function, FLOATS if case.dtype in FLOATS else OTHERS
    if kind is FLOATS and elementwise_arity(function.name) not in (1, 2):
        return True
    dtypes = [dtype for dtype in kind if dtype in function.dtypes]
    return (case.position - dtypes.index(case.dtype)) % min(4, len(dtypes), len(function.samples)) == 0


@needs_compiler
@pytest.mark.parametrize(
    ("dtype", "start"), [(dtype, start) for dtype in DTYPES for start in range(0, len(chosen(dtype)), TOGETHER)]
)
def test_the_table_under_sanitizers(dtype: str, start: int, tmp_path: Path) -> None:
    built = [build(case) for case in chosen(dtype)[start : start + TOGETHER]]
    rows = [(item, item.outputs + (first_gradients(item) if dtype in GRADIENTS else [])) for item in built]
    program = compile(
        [t for item in built for t in item.inputs], [r for _, results in rows for r in results], backend="numpy"
    )
    runner = build_runner(program, tmp_path, [*FLAGS, "-DGC_UNFORESEEN=__builtin_trap()"])
    (outputs,), _ = run(program, runner, [array for item in built for array in item.arrays])
    got, faults = iter(outputs), []
    for item, results in rows:
        found = [difference(next(got), array, precision(item.case)) for array in evaluate(results, item.values)]
        faults += [f"{item.case}\n    result {i}: {fault}" for i, fault in enumerate(found) if fault]
    assert not faults, report(faults)


def test_every_function_and_every_sample_is_taken() -> None:
    taken = {(case.function.name, case.dtype) for dtype in DTYPES for case in chosen(dtype)}
    assert taken == {(name, dtype) for name in NAMES for dtype in FUNCTIONS[name].dtypes if FUNCTIONS[name].samples}
    samples = {(case.function.name, case.position) for dtype in DTYPES for case in chosen(dtype)}
    assert samples == {(name, i) for name in NAMES for i in range(len(FUNCTIONS[name].samples))}
