"""Ops that have a kernel of their own, as calls of it: the table (op -> LibraryCall) of the CPU engines.

The operands of a launch are the op's inputs in order, then its output. The inputs of a matmul and of attention may have
any strides, the rows and matrices of a matmul's output may lie apart; all others are contiguous. Kernels and their
parameters are documented in `kernels/cpu/include/graphc`; `library.h` there lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphc.backends.cpu import attention, convolution, indexing, matmul, pooling, sorting
from graphc.errors import InternalError
from graphc.ir.node import Type
from graphc.ir.types import TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView

__all__ = ["LIBRARY", "PRODUCTS", "OperandView", "library_call"]

LIBRARY: dict[str, Callable[[Mapping[str, Any], Sequence[OperandView], Any], LibraryCall]] = {  # result type last
    "conv2d": convolution.conv2d,
    "conv2d_input_grad": convolution.conv2d_input_grad,
    "conv2d_weight_grad": convolution.conv2d_weight_grad,
    "max_pool2d": pooling.max_pool2d,
    "max_pool2d_argmax": pooling.max_pool2d_argmax,
    "max_pool2d_both": pooling.max_pool2d_both,
    "max_pool2d_scatter": pooling.max_pool2d_scatter,
    "max_pool2d_gather": pooling.max_pool2d_gather,
    "avg_pool2d": pooling.avg_pool2d,
    "avg_pool2d_grad": pooling.avg_pool2d_grad,
    "attention": attention.attention,
    "attention_grad": attention.attention_grad,
    "take": indexing.take,
    "scatter_add": indexing.scatter_add,
    "argmax": indexing.argmax,
    "argmin": indexing.argmin,
    "cumsum": indexing.cumsum,
    "cumprod": indexing.cumprod,
    "recurrence": indexing.recurrence,
    "sort": sorting.sort,
    "searchsorted": sorting.searchsorted,
}
PRODUCTS: dict[str, Callable[..., LibraryCall]] = {  # of operands, result and threads, with the op's attributes
    "matmul": matmul.matmul,
    "matmul_turned": matmul.matmul_turned,
    "matmul_panels": matmul.matmul_panels,
}


def library_call(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[OperandView],
    result: Type,
    threads: int = 2,
    strides: tuple[int, ...] | None = None,
) -> LibraryCall:
    """The call that computes `op` of `operands` into `result`, by `strides` or contiguous, cut for so many threads.

    Only ops of PRODUCTS are cut by threads, as their results do not depend on it; the others by shapes alone. Raises
    InternalError for an op that has no library kernel.
    """
    if op in PRODUCTS:
        assert isinstance(result, TensorType)
        contiguous = OperandView.contiguous(result)
        return PRODUCTS[op](operands, replace(contiguous, strides=strides or contiguous.strides), threads, **attrs)
    try:
        lower = LIBRARY[op]
    except KeyError:
        raise InternalError(
            f"op {op!r} has no library kernel; those that have are {', '.join([*PRODUCTS, *LIBRARY])}"
        ) from None
    return lower(attrs, operands, result)
