"""Kernel IR as text, for people: operands, space, then a line for each statement.

    kernel outer [64] reduce [10]
      %0 = load o0[10*i0 + i1] : float32
      %1 = reduce max %0 : float32 row
      store o1[i0] = %1

Dims are `i0, i1, ...` in the order of the space; `row` marks values that depend on no reduce dim.
"""

from __future__ import annotations

from graphc.ir.scalar import Scalar
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

__all__ = ["index_text", "kernel_text", "statement_text"]


def index_text(index: Index) -> str:
    """`offset + strides * dims`, and the guard after `if`.

    >>> index_text(Index(2, (10, 1), ((1, 0, 8),)))
    '10*i0 + i1 + 2 if 0 <= i1 < 8'
    """
    factors = {1: "", -1: "-"}
    terms = [f"{factors.get(s, f'{s}*')}i{dim}" for dim, s in enumerate(index.strides) if s]
    if index.offset or not terms:
        terms.append(str(index.offset))
    guard = " and ".join(f"{low} <= i{dim} < {high}" for dim, low, high in index.guard)
    return " + ".join(terms).replace("+ -", "- ") + (f" if {guard}" if guard else "")


def statement_text(position: int, statement: Statement) -> str:
    """One statement; `position` is the number of its value."""
    match statement:
        case Load(operand, dtype, index, otherwise):
            other = "" if otherwise is None else f" else %{otherwise}"
            return f"%{position} = load o{operand}[{index_text(index)}]{other} : {dtype.name}"
        case Scalar():
            return f"%{position} = {statement} : {statement.dtype.name}"
        case Iota(dtype, index):
            return f"%{position} = iota {index_text(index)} : {dtype.name}"
        case Random(operand, stream, index, dtype):
            return f"%{position} = random o{operand} stream {stream} [{index_text(index)}] : {dtype.name}"
        case Compute(op, dtype, args):
            return f"%{position} = {op} {', '.join(f'%{arg}' for arg in args)} : {dtype.name}"
        case Reduce(op, dtype, arg):
            return f"%{position} = reduce {op} %{arg} : {dtype.name}"
        case Store(operand, index, arg):
            return f"store o{operand}[{index_text(index)}] = %{arg}"


def kernel_text(kernel: Kernel) -> str:
    """The whole kernel, a line for each statement."""
    space = kernel.space
    parts = [("outer", space.outer), ("reduce", space.reduce), ("inner", space.inner)]
    lines = ["kernel" + "".join(f" {name} [{', '.join(map(str, extents))}]" for name, extents in parts if extents)]
    lines += [f"  o{i}: {operand.access} {operand.dtype.name}" for i, operand in enumerate(kernel.operands)]
    for position, statement in enumerate(kernel.body):
        row = kernel.is_row[position] and bool(space.reduce) and not isinstance(statement, Store)
        lines.append(f"  {statement_text(position, statement)}{' row' if row else ''}")
    return "\n".join(lines)
