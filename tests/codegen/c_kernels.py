"""Kernels of training steps for the tests of the C printer."""

from __future__ import annotations

from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES
from graphc.lower.kernel import Compute, Index, Kernel, Load, Operand, Reduce, Space, Statement, Store

F32 = DTYPES["float32"]
READ, WRITE = Operand(F32, "read"), Operand(F32, "write")


class Body:
    """Statements in the making: each method appends one and gives its number."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def add(self, statement: Statement) -> int:
        self.statements.append(statement)
        return len(self.statements) - 1

    def load(self, operand: int, *strides: int) -> int:
        return self.add(Load(operand, F32, Index(0, strides)))

    def constant(self, value: float) -> int:
        return self.add(Scalar.of(F32, value))

    def op(self, name: str, *args: int) -> int:
        return self.add(Compute(name, F32, args))

    def sum(self, value: int) -> int:
        return self.add(Reduce("sum", F32, value))

    def store(self, operand: int, value: int, *strides: int) -> None:
        self.add(Store(operand, Index(0, strides), value))

    def kernel(self, reads: int, writes: int, space: Space) -> Kernel:
        return Kernel((*[READ] * reads, *[WRITE] * writes), space, tuple(self.statements))


def adamw(count: int) -> Kernel:
    """p, g, m, v, and two scalars -> p, v, m"""
    b = Body()
    decayed = b.op("multiply", b.load(0, 1), b.constant(0.99999))
    gradient, mean = b.load(1, 1), b.load(2, 1)
    mean = b.op("add", mean, b.op("multiply", b.constant(0.1), b.op("subtract", gradient, mean)))
    kept = b.op("multiply", b.constant(0.999), b.load(3, 1))
    square = b.op("add", kept, b.op("multiply", b.constant(0.001), b.op("multiply", gradient, gradient)))
    root = b.op("multiply", b.op("sqrt", square), b.load(4, 0))
    step = b.op("divide", mean, b.op("add", root, b.constant(1e-8)))
    value = b.op("subtract", decayed, b.op("multiply", b.load(5, 0), step))
    for operand, result in ((6, value), (7, square), (8, mean)):
        b.store(operand, result, 1)
    return b.kernel(6, 3, Space((), (), (count,)))


def layer_norm_gradient(rows: int, columns: int) -> Kernel:
    """Gradient with respect to the input: of the output, scale, 1 / deviation, normalised input, deviation."""
    b = Body()
    gradient = b.op("multiply", b.load(0, columns, 1), b.load(1, 0, 1))
    inverse, normal, deviation = b.load(2, 1, 0), b.load(3, columns, 1), b.load(4, 1, 0)
    scaled = b.op("multiply", gradient, inverse)
    along = b.op("divide", b.sum(b.op("multiply", gradient, normal)), deviation)
    along = b.op("multiply", b.op("negative", along), b.constant(1 / columns))
    total = b.op("add", scaled, b.op("multiply", along, normal))
    mean = b.op("multiply", b.sum(total), b.constant(-1 / columns))
    b.store(5, b.op("add", total, mean), columns, 1)
    return b.kernel(5, 1, Space((rows,), (columns,), ()))


def transposed_add(rows: int, columns: int) -> Kernel:
    """x + y.T"""
    b = Body()
    b.store(2, b.op("add", b.load(0, columns, 1), b.load(1, 1, rows)), columns, 1)
    return b.kernel(2, 1, Space((), (), (rows, columns)))


def bias_gradient(rows: int, columns: int) -> Kernel:
    """The column sums of gradient * (activation > 0 ? 1 : 0) as a product"""
    b = Body()
    b.store(2, b.sum(b.op("multiply", b.load(0, columns, 1), b.load(1, columns, 1))), 0, 1)
    return b.kernel(2, 1, Space((), (rows,), (columns,)))
