"""What kernels cost, and how their work is cut into units for threads: shared by the tile machine and the C printer.

Costs count scalar operations and depend on what runs alone, so the units, and with them the results, do so too.
"""

from __future__ import annotations

import math

from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.ir import Compute, Iota, Kernel, LibraryCall, Load, Random, Reduce, Statement, Store
from graphc.scalar.ops import SCALARS

__all__ = ["BLOCKS", "GRAIN", "MEMORY_COST", "effort", "operation_cost", "share_of", "statement_cost"]

BLOCKS = 8  # outer positions from which on there are enough to share, so inner ones are not cut as well
GRAIN = 800_000  # scalar operations of one unit of parallel work: some 40 microseconds
MEMORY_COST = 3  # of a load or store
_OTHERS = {"to_i64": 4, "random": 4}  # operations that are no scalar ops


def operation_cost(op: str) -> int:
    """Scalar operations of one element of an op, or of an operation of the tile machine."""
    return SCALARS[op].cost if op in SCALARS else _OTHERS.get(op, 1)


def statement_cost(statement: Statement, dtype: DType) -> int:
    """Scalar operations of one element of a statement whose arguments are of `dtype`."""
    match statement:
        case Load() | Store():
            return MEMORY_COST
        case Scalar():
            return 0
        case Random():
            return operation_cost("random")
        case Compute(op) | Reduce(op):
            return operation_cost(op) * (2 if dtype.name in ("float64", "int64") else 1)
        case Iota():
            return 1


def effort(call: LibraryCall | None, kernel: Kernel | None) -> int:
    """The operations of a large matrix product that take as long as a launch would, were it not for its traffic."""
    total = 0 if call is None else call.effort
    if kernel is None:
        return total
    outer, reduce, inner = kernel.space.sizes
    for statement, is_row in zip(kernel.body, kernel.is_row, strict=True):
        if not isinstance(statement, (Load, Store)):
            total += statement_cost(statement, statement.dtype) * outer * inner * (1 if is_row else reduce)
    return total


def share_of(total: int, most: float, unit: int) -> int:
    """A share of `total` near `most`, the shares nearly equal and a multiple of `unit` where there are several."""
    shares = max(1, round(total / max(1.0, most)))
    share = math.ceil(total / shares)
    return max(1, min(total, math.ceil(share / unit) * unit))
