"""Kernel IR: one loop nest, described once and read by the tile machine, the C printer and the CUDA printer.

    kernel    = operands, space, body
    operand   = dtype, access ("read" | "write")
    space     = outer extents, reduce extents, inner extents       dims are numbered in this order
    body      = statement*                                         a statement's position is its value's number
    statement = Load(operand, index, otherwise?)    operand[index], or the value `otherwise` outside the guard
              | Scalar(dtype, bits)                 a constant (ir/scalar.py)
              | Iota(dtype, index)                  the index itself, as a number
              | Random(operand, stream, index)      32 Philox bits of counter `index`; operand holds seed and step
              | Compute(op, dtype, args)            a scalar op; "cast" converts args[0] to dtype
              | Reduce(op, dtype, arg)              combine over all reduce dims: "sum", "max", "min"
              | Store(operand, index, arg)          operand[index] = arg
    index     = offset + sum(strides[d] * i[d]), in elements; a guard (d, low, high) asks low <= i[d] < high

A value is a *row* value if it depends on no reduce dim: a Reduce, a Scalar, a Load, Iota or Random whose index has
zero strides and no guard over the reduce dims, a Compute of row values. All others are *full*. A row value used with a
full one is repeated along the reduce dims. With `space.reduce == ()` there is a single level and every value counts as
row. A Store of a row value writes once a row, or, at an index that varies along the reduce dims, the same value all
along it; a Store of a full value writes once an element. Several Reduces may follow each other (max, then the sum of
exponentials): that is a row program. `dtype` is the dtype in which the value is rounded: bfloat16 and float16 are
computed in float32 and rounded after each statement, 8-bit integers wrap after each statement. Reductions of float
values accumulate in a fixed tree that depends on the extents alone.

A library call names a prebuilt kernel instead. The epilogue of a contraction is a kernel over its output, whose outer
dims are the rows that the contraction's tiles are cut along; both make one launch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Union

from graphc.ir.scalar import Scalar
from graphc.ir.types import DType

__all__ = [
    "Compute", "Index", "Iota", "Kernel", "LibraryCall", "Load", "Operand", "Random", "Reduce", "Space", "Statement",
    "Store",
]  # fmt: skip


@dataclass(frozen=True)
class Operand:
    """A buffer that a kernel reads or writes, contiguous or not: indices carry the strides."""

    dtype: DType
    access: str  # "read" or "write"


@dataclass(frozen=True)
class Space:
    """The iteration space. `outer` and `inner` dims are independent; `reduce` dims lie between them."""

    outer: tuple[int, ...]
    reduce: tuple[int, ...]
    inner: tuple[int, ...]

    @cached_property
    def extents(self) -> tuple[int, ...]:
        return self.outer + self.reduce + self.inner

    @property
    def reduce_dims(self) -> range:
        return range(len(self.outer), len(self.outer) + len(self.reduce))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Elements of the three parts."""
        return math.prod(self.outer), math.prod(self.reduce), math.prod(self.inner)


@dataclass(frozen=True)
class Index:
    """An affine index in elements over all dims of the space, with a guard of half-open intervals."""

    offset: int
    strides: tuple[int, ...]
    guard: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Load:
    operand: int
    dtype: DType
    index: Index
    otherwise: int | None = None


@dataclass(frozen=True)
class Iota:
    dtype: DType
    index: Index


@dataclass(frozen=True)
class Random:
    operand: int
    stream: int
    index: Index
    dtype: DType  # uint32


@dataclass(frozen=True)
class Compute:
    op: str
    dtype: DType
    args: tuple[int, ...]


@dataclass(frozen=True)
class Reduce:
    op: str
    dtype: DType
    arg: int


@dataclass(frozen=True)
class Store:
    operand: int
    index: Index
    arg: int


Statement = Union[Load, Scalar, Iota, Random, Compute, Reduce, Store]


@dataclass(frozen=True)
class Kernel:
    """A loop nest over `space`. See the module's docstring for its meaning."""

    operands: tuple[Operand, ...]
    space: Space
    body: tuple[Statement, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.operands, self.space, self.body))

    def __hash__(self) -> int:  # once: kernels are keys of several tables
        return self._hash

    def arguments(self, statement: Statement) -> tuple[int, ...]:
        """The values that a statement reads."""
        match statement:
            case Compute(args=args):
                return args
            case Reduce(arg=arg) | Store(arg=arg):
                return (arg,)
            case Load(otherwise=int(other)):
                return (other,)
            case _:
                return ()

    @cached_property
    def is_row(self) -> tuple[bool, ...]:
        """For each statement, whether it is on the row level."""
        reduce_dims = set(self.space.reduce_dims)
        rows: list[bool] = []
        for statement in self.body:
            row = isinstance(statement, Reduce) or all(rows[arg] for arg in self.arguments(statement))
            if isinstance(statement, (Load, Iota, Random)):
                index = statement.index
                row = row and not any(index.strides[d] for d in reduce_dims)
                row = row and not any(d in reduce_dims for d, _, _ in index.guard)
            rows.append(row)
        return tuple(rows)


@dataclass(frozen=True)
class LibraryCall:
    """A prebuilt kernel with its constants.

    `name` and `params` are those of the C function (`kernels/cpu/include/graphc`), which documents their order.
    `tiles` parts of the work may run at the same time; each needs `scratch` bytes. `work` is the number of scalar
    operations, for deciding on threads; one takes `slowness` times as long as in a large matrix product.
    `result_bytes` is the stretch that the results of one tile take, for a kernel that can leave them in scratch memory
    for its epilogue (gc_result in launch.h); 0 for one that cannot. One that keeps them `in_registers` takes no memory
    for that. All tiles together have `workspace` bytes, where there are any: an operand before the results. A kernel
    that has a workspace takes no epilogue.
    """

    name: str
    params: tuple[int, ...]
    tiles: int
    scratch: int = 0
    work: int = 0
    result_bytes: int = 0
    slowness: float = 1.0
    workspace: int = 0
    in_registers: bool = False

    @property
    def effort(self) -> int:
        """The operations of a large matrix product that would take as long."""
        return round(self.work * self.slowness)
