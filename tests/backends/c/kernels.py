"""Kernels of training steps for the tests of the C printer."""

from __future__ import annotations

from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES, DType
from graphc.kernel.ir import Compute, Index, Kernel, Load, Operand, Reduce, Space, Statement, Store

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


def pairs(
    rows: int, columns: int, length: int, dtype: str = "float32", reduce: str = "sum", op: str = "multiply"
) -> Kernel:
    """reduce_k f(p[i, k] - c[j, k]), where f is the square or another op of the difference and itself"""
    kind = DTYPES[dtype]
    loads = [Load(0, kind, Index(0, (length, 0, 1))), Load(1, kind, Index(0, (0, length, 1)))]
    body = (
        *loads, Compute("subtract", kind, (0, 1)), Compute(op, kind, (2, 2)), Reduce(reduce, kind, 3),
        Store(2, Index(0, (columns, 1, 0)), 4),
    )  # fmt: skip
    return Kernel(_operands(kind, 2), Space((rows, columns), (length,), ()), body)


def weighted_pairs(rows: int, columns: int, length: int, dtype: str = "float32") -> Kernel:
    """sum_i g[i, j] * (p[i, k] - c[j, k]): what the gradient of `pairs` by c is made of"""
    kind = DTYPES[dtype]
    loads = [Load(0, kind, Index(0, (length, 0, 1))), Load(1, kind, Index(0, (0, length, 1)))]
    body = (
        *loads, Compute("subtract", kind, (0, 1)), Load(2, kind, Index(0, (columns, 1, 0))),
        Compute("multiply", kind, (2, 3)), Reduce("sum", kind, 4), Store(3, Index(0, (0, length, 1)), 5),
    )  # fmt: skip
    return Kernel(_operands(kind, 3), Space((), (rows,), (columns, length)), body)


def planes(images: int, filters: int, height: int, width: int, dtype: str = "float64") -> Kernel:
    """sum_{y, x} |p[i, y, x] - c[j, y, x]| * w[y] + b[j], where rows of p lie apart: two reduced dims"""
    kind, pitch = DTYPES[dtype], width + 3
    body = (
        Load(0, kind, Index(0, (height * pitch, 0, pitch, 1))), Load(1, kind, Index(0, (0, height * width, width, 1))),
        Compute("subtract", kind, (0, 1)), Compute("abs", kind, (2,)), Load(2, kind, Index(0, (0, 0, 1, 0))),
        Compute("multiply", kind, (3, 4)), Reduce("sum", kind, 5), Load(3, kind, Index(0, (0, 1, 0, 0))),
        Compute("add", kind, (6, 7)), Store(4, Index(0, (filters, 1, 0, 0)), 8),
    )  # fmt: skip
    return Kernel(_operands(kind, 4), Space((images, filters), (height, width), ()), body)


def _operands(kind: DType, reads: int) -> tuple[Operand, ...]:
    return (*[Operand(kind, "read")] * reads, Operand(kind, "write"))
