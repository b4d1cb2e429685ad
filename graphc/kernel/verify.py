"""Checks that kernel IR keeps the promises that its readers build on.

Raises InternalError naming the statement, with its neighbourhood as text: arguments come before their use and have the
dtypes their op asks for, indices fit the space, guarded loads say what lies outside, row stores store row values, and
no element is written twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from graphc.errors import InternalError
from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.ir import (
    Compute,
    Index,
    Iota,
    Kernel,
    Load,
    Random,
    Reduce,
    Statement,
    Store,
)  # fmt: skip
from graphc.kernel.text import statement_text
from graphc.scalar.ops import SCALARS, ArgumentTypes

__all__ = ["verify"]

REDUCTIONS = ("sum", "max", "min")
_TAKES: Mapping[ArgumentTypes, Callable[[DType], bool]] = {
    ArgumentTypes.ANY: lambda dtype: True,
    ArgumentTypes.NUMBERS: lambda dtype: dtype.kind != "bool",
    ArgumentTypes.FLOATS: lambda dtype: dtype.is_float,
    ArgumentTypes.INTEGERS: lambda dtype: dtype.is_integer,
    ArgumentTypes.BITS: lambda dtype: not dtype.is_float,
    ArgumentTypes.BOOLS: lambda dtype: dtype.kind == "bool",
}


def verify(kernel: Kernel) -> None:
    """Raises InternalError if the kernel is malformed (see the module's docstring)."""
    dims = len(kernel.space.extents)
    if any(extent < 0 for extent in kernel.space.extents):
        raise InternalError(f"verify: the kernel's space {kernel.space} has a negative extent")
    for position, statement in enumerate(kernel.body):
        fault = _fault(kernel, position, statement, dims)
        if fault:
            near = range(max(0, position - 3), min(len(kernel.body), position + 3))
            lines = "\n".join(f"{'>' if p == position else ' '} {statement_text(p, kernel.body[p])}" for p in near)
            raise InternalError(f"verify: statement {position} of a kernel {fault}\n{lines}")


def _fault(kernel: Kernel, position: int, statement: Statement, dims: int) -> str:
    """What is wrong with a statement, or empty."""
    arguments = kernel.arguments(statement)
    if any(not 0 <= arg < position or isinstance(kernel.body[arg], Store) for arg in arguments):
        return "uses a value that is not computed before it"
    dtypes = [_dtype(kernel.body[arg]) for arg in arguments]
    match statement:
        case Load(operand, dtype, index, otherwise):
            if index.guard and otherwise is None:
                return "is a guarded load that does not say what lies outside"
            if otherwise is not None and dtypes[0] is not dtype:
                return f"continues a load of {dtype.name} with a value of {dtypes[0].name}"
            return _index_fault(index, dims) or _operand_fault(kernel, operand, "read", dtype)
        case Iota(dtype, index):
            return "numbers with bool" if dtype.kind == "bool" else _index_fault(index, dims)
        case Random(operand, _, index, dtype):
            return _index_fault(index, dims) or (
                "" if dtype.name == "uint32" else "draws bits of another type than uint32"
            )
        case Scalar(dtype, bits):
            return "" if 0 <= bits < 1 << 8 * dtype.itemsize else f"holds bits {bits:#x}, which no {dtype.name} has"
        case Reduce(op, dtype, arg):
            known = op in REDUCTIONS and dtype is dtypes[0]
            return "" if known else f"reduces {dtypes[0].name} with {op!r} to {dtype.name}"
        case Compute():
            return _compute_fault(statement, dtypes)
        case Store(operand, index, arg):
            return _operand_fault(kernel, operand, "write", dtypes[0]) or _store_fault(kernel, index, arg, dims)


def _dtype(statement: Statement) -> DType:
    assert not isinstance(statement, Store)
    return statement.dtype


def _operand_fault(kernel: Kernel, operand: int, access: str, dtype: DType) -> str:
    if not 0 <= operand < len(kernel.operands):
        return f"names operand {operand} of {len(kernel.operands)}"
    found = kernel.operands[operand]
    if found.access != access or found.dtype is not dtype:
        return f"asks to {access} {dtype.name} where operand {operand} is to {found.access} {found.dtype.name}"
    return ""


def _index_fault(index: Index, dims: int) -> str:
    if len(index.strides) != dims:
        return f"has an index over {len(index.strides)} dims in a space of {dims}"
    if any(not 0 <= dim < dims or low < 0 for dim, low, _ in index.guard):
        return f"has a guard {index.guard} that does not fit the space"
    return ""


def _store_fault(kernel: Kernel, index: Index, arg: int, dims: int) -> str:
    fault = _index_fault(index, dims)
    if fault:
        return fault
    space = kernel.space
    row = kernel.is_row[arg] and not any(index.strides[d] for d in space.reduce_dims)
    stored = [d for d in range(dims) if not (row and d in space.reduce_dims)]
    if math.prod(space.extents) and any(space.extents[d] > 1 and not index.strides[d] for d in stored):
        return "writes an element more than once"
    return ""


def _compute_fault(statement: Compute, dtypes: list[DType]) -> str:
    op, result = statement.op, statement.dtype
    names = ", ".join(dtype.name for dtype in dtypes)
    wrong = f"computes {op} of ({names}) as {result.name}"
    if op == "cast":
        return "" if len(dtypes) == 1 else wrong
    if op == "where":
        fits = len(dtypes) == 3 and dtypes[0].kind == "bool" and dtypes[1] is dtypes[2] is result
        return "" if fits else wrong
    record = SCALARS.get(op)
    if record is None or len(dtypes) != record.arity or any(dtype is not dtypes[0] for dtype in dtypes):
        return wrong
    fits = result.kind == "bool" if record.gives_bool else result is dtypes[0]
    return "" if fits and _TAKES[record.domain](dtypes[0]) else wrong
