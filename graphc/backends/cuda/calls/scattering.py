"""Adding at indices as calls of the kernels of kernels/cuda/scattering.py, behind those that sort the indices.

No element is added to by two threads, and updates of an index are added in their order: bits depend on shapes and
values alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.calls.sorting import RowOrder, Source, ordering
from graphc.backends.cuda.kernel import BLOCK, CudaKernel, MakeKernels
from graphc.backends.cuda.printer.rendering import rendered
from graphc.backends.cuda.printer.spelling import from_memory, memory_type, to_memory
from graphc.backends.cuda.regions import regions
from graphc.ir.types import DType, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div

__all__ = ["SCATTER_CALLS", "SCATTER_KERNELS"]

MANY_UPDATES = 16  # of each element, on average: their sums are formed in float64
_SPACE = 3  # the operand that is the workspace, behind x, indices and updates


def _call(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """Parameters: outer, extent, inner, number of indices, and the dtypes of indices and elements."""
    x, indices, _ = operands
    axis, count = attrs["axis"], math.prod(indices.shape)
    around = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    params = (*around, count, number_of(indices.dtype), number_of(x.dtype))
    work = around[0] * around[2] * (around[1] + 2 * count) + count * count.bit_length() ** 2
    return LibraryCall("scatter_add", params, 1, 0, work, workspace=_starts(around[1], _order(count))[-1])


def _order(count: int) -> RowOrder:
    return RowOrder(1, count, count, "u32")


def _starts(extent: int, order: RowOrder) -> tuple[int, ...]:
    """Where regions of the workspace start: those in which indices are sorted, then where the updates of each start."""
    return regions([*order.sizes(order.last + 1), 4 * (extent + 1)])


def _source(extent: int, dtype: DType) -> Source:
    """Indices, whose keys are in range: negative ones count from the end, others out of range are the nearest."""
    keys = f"""\
x = i64(x + i64({extent})) if x < i64(0) else x
key = u32(i64(0) if x < i64(0) else (i64({extent - 1}) if x > i64({extent - 1}) else x))"""
    return Source(memory_type(dtype), "i64", keys, operand=1)


def _scatter_add(params: Sequence[int], name: str) -> tuple[CudaKernel, ...]:
    outer, extent, inner, count, index_number, number = params
    dtype, order = dtype_of(number), _order(count)
    starts = _starts(extent, order)
    keys, places = ((_SPACE, starts[2 * (order.last % 2) + part]) for part in (0, 1))
    segments = _SPACE, starts[-2]
    sorting = ordering(order, _source(extent, dtype_of(index_number)), f"{name}_sort", _SPACE, starts)
    given: dict[str, int | bool | str] = {
        "OUTER": outer, "EXTENT": extent, "INNER": inner, "COUNT": count, "STEPS": count.bit_length(),
        **_sums(dtype, is_wide=count >= MANY_UPDATES * extent),
    }  # fmt: skip
    text = rendered("scattering", "starts", given, f"{name}_starts")
    blocks = ceil_div(extent + 1, BLOCK)
    first = CudaKernel(f"{name}_starts", text, ("u32", "u32"), blocks, BLOCK, (keys, segments))
    text, memory = rendered("scattering", "add", given, f"{name}_add"), memory_type(dtype)
    kinds, operands = (memory, memory, "u32", "u32", memory), ((0, 0), (2, 0), places, segments, (_SPACE + 1, 0))
    blocks = ceil_div(outer * extent * inner, BLOCK)
    return (*sorting, first, CudaKernel(f"{name}_add", text, kinds, blocks, BLOCK, operands))


def _sums(dtype: DType, *, is_wide: bool) -> dict[str, str]:
    """How elements are added: 16-bit floats in float32, and rounded once; many floats in float64."""
    kind = machine_type(dtype)
    total = "f64" if dtype.is_float and is_wide else kind
    narrow = "narrow_to_odd" if dtype.is_low_precision and total == "f64" else kind
    return {"TOTAL": total, "NARROW": narrow, "ELEMENT": from_memory(dtype), "RESULT": to_memory(dtype)}


SCATTER_CALLS: Mapping[str, Callable[..., LibraryCall]] = {"scatter_add": _call}
SCATTER_KERNELS: Mapping[str, MakeKernels] = {"scatter_add": _scatter_add}
