"""Ops that have a kernel of their own, as calls of it: the table (op -> LibraryCall) of the CPU engines.

The operands of a launch are the op's inputs in order, then its output. The inputs of a matmul and of attention may have
any strides, the rows and matrices of a matmul's output may lie apart; all others are contiguous. Kernels and their
parameters are documented in `kernels/cpu/include/graphc`; `library.h` there lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphc.errors import InternalError
from graphc.ir.types import TensorType
from graphc.lower import library_attention, library_convolution, library_indexing, library_matmul, library_pooling
from graphc.lower.kernel import LibraryCall
from graphc.lower.operand import OperandView

__all__ = ["LIBRARY", "PRODUCTS", "OperandView", "library_call"]

LIBRARY: dict[str, Callable[[Mapping[str, Any], Sequence[OperandView], TensorType], LibraryCall]] = {
    "conv2d": library_convolution.conv2d,
    "conv2d_input_grad": library_convolution.conv2d_input_grad,
    "conv2d_weight_grad": library_convolution.conv2d_weight_grad,
    "max_pool2d": library_pooling.max_pool2d,
    "max_pool2d_argmax": library_pooling.max_pool2d_argmax,
    "max_pool2d_scatter": library_pooling.max_pool2d_scatter,
    "max_pool2d_gather": library_pooling.max_pool2d_gather,
    "avg_pool2d": library_pooling.avg_pool2d,
    "avg_pool2d_grad": library_pooling.avg_pool2d_grad,
    "attention": library_attention.attention,
    "attention_grad": library_attention.attention_grad,
    "take": library_indexing.take,
    "scatter_add": library_indexing.scatter_add,
    "argmax": library_indexing.argmax,
    "argmin": library_indexing.argmin,
    "cumsum": library_indexing.cumsum,
    "cumprod": library_indexing.cumprod,
    "recurrence": library_indexing.recurrence,
}
PRODUCTS: dict[str, Callable[..., LibraryCall]] = {  # of operands, result and threads, with the op's attributes
    "matmul": library_matmul.matmul,
    "matmul_turned": library_matmul.matmul_turned,
    "matmul_panels": library_matmul.matmul_panels,
}


def library_call(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[OperandView],
    result: TensorType,
    threads: int = 2,
    strides: tuple[int, ...] | None = None,
) -> LibraryCall:
    """The call that computes `op` of `operands` into `result`, by `strides` or contiguous, cut for so many threads.

    Only ops of PRODUCTS are cut by threads, as their results do not depend on it; the others by shapes alone. Raises
    InternalError for an op that has no library kernel.
    """
    if op in PRODUCTS:
        contiguous = OperandView.contiguous(result)
        return PRODUCTS[op](operands, replace(contiguous, strides=strides or contiguous.strides), threads, **attrs)
    try:
        lower = LIBRARY[op]
    except KeyError:
        raise InternalError(
            f"op {op!r} has no library kernel; those that have are {', '.join([*PRODUCTS, *LIBRARY])}"
        ) from None
    return lower(attrs, operands, result)
