"""Kernel IR as text."""

from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES
from graphc.kernel.ir import Compute, Index, Kernel, Load, Operand, Reduce, Space, Store
from graphc.kernel.text import index_text, kernel_text

F32 = DTYPES["float32"]

TEXT = """\
kernel outer [64] reduce [10]
  o0: read float32
  o1: write float32
  %0 = 0.0 : float32 row
  %1 = load o0[10*i0 - i1 + 9 if 1 <= i1 < 10] else %0 : float32
  %2 = reduce max %1 : float32 row
  %3 = subtract %1, %2 : float32
  store o1[10*i0 + i1] = %3"""


def padded_rows() -> Kernel:
    body = (
        Scalar.of(F32, 0), Load(0, F32, Index(9, (10, -1), ((1, 1, 10),)), 0), Reduce("max", F32, 1),
        Compute("subtract", F32, (1, 2)), Store(1, Index(0, (10, 1)), 3),
    )  # fmt: skip
    return Kernel((Operand(F32, "read"), Operand(F32, "write")), Space((64,), (10,), ()), body)


def test_kernel_text() -> None:
    assert kernel_text(padded_rows()) == TEXT


def test_index_text() -> None:
    assert index_text(Index(0, (0, 0))) == "0"
    assert index_text(Index(-3, (2, 0))) == "2*i0 - 3"
