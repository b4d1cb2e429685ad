"""Matrix products: `matmul`, of stacks of matrices with equal batch extents, and two forms of it that passes put in."""

from __future__ import annotations

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.types import TensorType
from graphc.ops.build import apply
from graphc.ops.primitives.views import matrix_transpose, permute, permute_back, reshape_to
from graphc.ops.record import WIDE_FLOAT, Jvp, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["panels_of"]


# The primitive ---------------------------------------------------------------------------------------------------
def _infer_matmul(a: TensorType, b: TensorType) -> TensorType:
    if a.dtype is not b.dtype or a.dtype.kind == "bool":
        raise DTypeError(f"matmul takes two tensors of one numeric dtype, not {a} and {b}")
    if a.ndim < 2 or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"matmul takes (*batch, M, K) and (*batch, K, N), not {a} and {b}")
    return a.with_shape((*a.shape[:-1], b.shape[-1]))


primitive(
    "matmul",
    kind=Kind.CONTRACTION,
    infer=_infer_matmul,
    vjp=(
        lambda g, y, a, b: apply("matmul", g, matrix_transpose(b)),
        lambda g, y, a, b: apply("matmul", matrix_transpose(a), g),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=np.matmul,
    cost=256,
    strided_operands=range(2),
    strided_result=True,
    epilogue_inner=1,
)


# The same with the right operand in panels, as kernels read it, made once for many products -----------------------
PANEL_COLUMNS = 32  # GC_PANEL_COLUMNS: a multiple of the columns that any kernel takes at a time


def panels_of(b: Tensor) -> Tensor:
    """`b` [K, N] as panels [N / 32, K, 32]; N must be a multiple of 32."""
    rows, columns = b.shape
    return permute(reshape_to(b, (rows, columns // PANEL_COLUMNS, PANEL_COLUMNS)), (1, 0, 2))


def _joined(panels: Tensor) -> Tensor:
    return reshape_to(permute(panels, (1, 0, 2)), (panels.shape[1], panels.shape[0] * PANEL_COLUMNS))


def _infer_matmul_panels(a: TensorType, panels: TensorType) -> TensorType:
    if a.dtype is not panels.dtype or a.dtype.name not in WIDE_FLOAT:
        raise DTypeError(f"matmul_panels takes two tensors of float32 or float64, not {a} and {panels}")
    if a.ndim != 2 or panels.ndim != 3 or panels.shape[1:] != (a.shape[1], PANEL_COLUMNS):
        raise ShapeError(f"matmul_panels takes (M, K) and (P, K, {PANEL_COLUMNS}), not {a} and {panels}")
    return a.with_shape((a.shape[0], panels.shape[0] * PANEL_COLUMNS))


primitive(
    "matmul_panels",
    kind=Kind.CONTRACTION,
    infer=_infer_matmul_panels,
    vjp=(
        lambda g, y, a, panels: apply("matmul", g, matrix_transpose(_joined(panels))),
        lambda g, y, a, panels: panels_of(apply("matmul", matrix_transpose(a), g)),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=lambda a, panels: a @ panels.transpose(1, 0, 2).reshape(a.shape[1], -1),
    cost=256,
    strided_operands=range(1),
    strided_result=True,
    epilogue_inner=1,
)


# The same with the axes of the result in another order ------------------------------------------------------------
def _infer_matmul_turned(a: TensorType, b: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    product = _infer_matmul(a, b)
    if sorted(axes) != list(range(product.ndim)):
        raise ShapeError(f"matmul_turned takes an order of the axes of {product}, not {axes}")
    return product.with_shape(tuple(product.shape[axis] for axis in axes))


primitive(
    "matmul_turned",
    kind=Kind.CONTRACTION,
    infer=_infer_matmul_turned,
    vjp=(
        lambda g, y, a, b, *, axes: apply("matmul", permute_back(g, axes), matrix_transpose(b)),
        lambda g, y, a, b, *, axes: apply("matmul", matrix_transpose(a), permute_back(g, axes)),
    ),
    jvp=Jvp.MULTILINEAR,
    reference=lambda a, b, *, axes: np.matmul(a, b).transpose(axes),
    cost=256,
    strided_operands=range(2),
)
