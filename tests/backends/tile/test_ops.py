"""The tile machine against the oracle: every op on every dtype, and on arguments of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.errors import InternalError
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES, DType
from graphc.kernel.ir import (
    Compute,
    Index,
    Kernel,
    Load,
    Operand,
    Space,
    Statement,
    Store,
)  # fmt: skip
from graphc.kernel.verify import verify
from graphc.kernels import cpu
from graphc.scalar.ops import SCALARS
from tests.kernel.oracle import TRANSCENDENTAL
from tests.kernel.support import (
    compare,
    elementwise_kernel,
    small_values,
    strides_of,
    values_of,
)  # fmt: skip

LEVELS = cpu.supported_levels()
WIDEST = LEVELS[-1]
every_level = pytest.mark.parametrize("level", LEVELS)
F32, F64, BOOL = DTYPES["float32"], DTYPES["float64"], DTYPES["bool"]
COUNT = 333  # no multiple of any vector
SIMPLE = SCALARS.keys() - {"where", "cast"}


def result_type(op: str, dtype: DType) -> DType | None:
    """What the op gives for `dtype`, or None where it is not defined."""
    for result in (dtype, BOOL):
        try:
            verify(elementwise_kernel(op, [dtype] * SCALARS[op].arity, result, 1))
        except InternalError:
            continue
        return result
    return None


CASES = [(op, dtype) for op in sorted(SIMPLE) for dtype in DTYPES.values() if result_type(op, dtype)]


# Every op ------------------------------------------------------------------------------------------------------------
@every_level
@pytest.mark.parametrize(("op", "dtype"), CASES, ids=lambda x: getattr(x, "name", x))
def test_op(level: str, op: str, dtype: DType) -> None:
    rng = np.random.default_rng(len(op))
    result = result_type(op, dtype)
    assert result is not None
    inputs = [values_of(rng, dtype, COUNT) for _ in range(SCALARS[op].arity)]
    if op == "power" and not dtype.is_float:
        inputs[1] = rng.integers(0 if dtype.kind == "uint" else -3, 7, COUNT).astype(dtype.numpy)
    if op.endswith("shift"):
        inputs[1] = rng.integers(0, 70, COUNT).astype(dtype.numpy)
    kernel = elementwise_kernel(op, [dtype] * len(inputs), result, COUNT)
    most = {"float64": 4, "float32": 2}.get(dtype.name, 1) if op in TRANSCENDENTAL else 0
    compare(level, kernel, [*inputs, np.zeros(COUNT, result.numpy)], most)


@every_level
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_cast(level: str, source: DType, dtype: DType) -> None:
    values = values_of(np.random.default_rng(1), source, COUNT)
    compare(level, elementwise_kernel("cast", [source], dtype, COUNT), [values, np.zeros(COUNT, dtype.numpy)])


@every_level
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_where(level: str, dtype: DType) -> None:
    rng = np.random.default_rng(2)
    inputs = [values_of(rng, kind, COUNT) for kind in (BOOL, dtype, dtype)]
    compare(
        level, elementwise_kernel("where", [BOOL, dtype, dtype], dtype, COUNT), [*inputs, np.zeros(COUNT, dtype.numpy)]
    )


@every_level
@pytest.mark.parametrize("op", sorted(TRANSCENDENTAL - {"power", "atan2"}))
def test_elementary_functions_over_all_magnitudes(level: str, op: str) -> None:
    """Within 2 ulp of float32, for arguments spread over all bit patterns."""
    bits = np.arange(0, 2**32, 2**32 // 20011, dtype=np.uint64).astype(np.uint32)
    compare(
        level,
        elementwise_kernel(op, [F32], F32, bits.size),
        [bits.view(np.float32), np.zeros(bits.size, np.float32)],
        2,
    )


@every_level
def test_large_angles(level: str) -> None:
    for dtype in (F32, F64):
        values = np.random.default_rng(3).uniform(-1e9, 1e9, COUNT).astype(dtype.numpy)
        for op in ("sin", "cos", "tan"):
            compare(level, elementwise_kernel(op, [dtype], dtype, COUNT), [values, np.zeros(COUNT, dtype.numpy)], 2)


@every_level
@pytest.mark.parametrize("shape", [(7, 5, 3), (3, 70, 1), (4, 3, 50), (2, 1, 9)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bfloat16"])
def test_arguments_of_every_level(level: str, dtype: str, shape: tuple[int, int, int]) -> None:
    """Each binary op on every pair of a full value, a row value, a constant and an element of memory."""
    kind = DTYPES[dtype]
    rng = np.random.default_rng(4)
    dense = strides_of(shape)
    row = (shape[2], 0, 1)
    operands, buffers = [Operand(kind, "read")] * 4, [small_values(rng, kind, 700) for _ in range(4)]
    body: list[Statement] = [
        Load(0, kind, Index(0, dense)),
        Load(1, kind, Index(2, row)),
        Scalar.of(kind, 2),
        Load(2, kind, Index(5, (0, 0, 0))),
    ]
    ops = [
        "add",
        "subtract",
        "multiply",
        "maximum",
        "minimum",
        "less",
        "greater_equal",
        "equal",
        *(["divide"] if kind.is_float else []),
    ]
    for op in ops:
        result = BOOL if op in ("less", "greater_equal", "equal") else kind
        for a in range(4):
            for b in range(4):
                body.append(Compute(op, result, (a, b)))
                value = len(body) - 1
                full = a == 0 or b == 0
                operands.append(Operand(result, "write"))
                buffers.append(np.zeros(int(np.prod(shape)) if full else shape[0] * shape[2], result.numpy))
                body.append(Store(len(operands) - 1, Index(0, dense if full else row), value))
    kernel = Kernel(tuple(operands), Space(shape[:1], shape[1:2], shape[2:]), tuple(body))
    compare(level, kernel, buffers)
