"""The CUDA printer against the oracle, in the simulator: the tile machine's table, and random kernels."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import numpy as np
import pytest

from graphc.backends.cuda.printer.loop_nest import print_kernel
from graphc.scalar.cuda import unspelled
from tests.backends.c.cases import Case, recorded
from tests.backends.cuda.running import run
from tests.backends.tile import test_assembler as test_tile
from tests.backends.tile import test_ops as test_tile_ops
from tests.kernel.oracle import Oracle
from tests.kernel.support import RandomKernel, assert_close

FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))
LEFT_OUT = ("test_layer_norm", "test_values_do_not_depend_on_the_order_of_tiles")  # run on the tile machine itself
TABLE = [
    test for module in (test_tile_ops, test_tile) for name, test in sorted(vars(module).items())
    if name.startswith("test_") and name not in LEFT_OUT
    and any(mark.args[0] == "level" for mark in getattr(test, "pytestmark", ()))
]  # fmt: skip


def test_every_scalar_op_is_spelled() -> None:
    assert unspelled() == []


def check(case: Case) -> None:
    """Runs the kernel in the simulator and compares with the oracle."""
    want, got = copy.deepcopy(list(case.buffers)), copy.deepcopy(list(case.buffers))
    with np.errstate(all="ignore"):
        Oracle(case.kernel, want).run()
    for written, read in case.shared:
        got[written] = got[read]
    made = print_kernel(case.kernel)
    if made.narrow is not None:
        alone = copy.deepcopy(got)
        run(made.narrow, alone)
    run(made, got)
    if made.narrow is not None:
        for one, other in zip(alone, got, strict=True):
            assert one.tobytes() == other.tobytes(), case.kernel
    for number, operand in enumerate(case.kernel.operands):
        if operand.access == "write":
            assert_close(got[number], want[number], operand.dtype, case.most, case.kernel)


@pytest.mark.parametrize("test", TABLE, ids=lambda test: test.__name__)
def test_the_table_of_the_tile_machine(test: Callable[..., None]) -> None:
    for number, case in enumerate(recorded(test)):
        if FULL or number % 7 == 0:
            check(case)


@pytest.mark.parametrize("seed", range(120))
def test_random_kernels(seed: int) -> None:
    made = RandomKernel(seed)
    check(Case(made.kernel, made.buffers, 0))
