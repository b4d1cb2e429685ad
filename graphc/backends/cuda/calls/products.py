"""Matrix products as calls of the kernel `matmul` (kernels/cuda/matmul.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.kernel import BLOCK, CudaKernel
from graphc.backends.cuda.printer.epilogue import epilogue_of
from graphc.backends.cuda.printer.rendering import rendered
from graphc.backends.cuda.printer.spelling import from_memory, memory_type, to_memory
from graphc.ir.types import DType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div

__all__ = ["IN_REGISTERS", "matmul_call", "matmul_kernel", "product_kernel"]

TILE, DEPTH = 64, 16  # rows and columns of a tile, and how much of the depth a step takes
IN_REGISTERS = 1  # byte of a result in scratch memory, as calls count it: what stays in registers needs no more
_HEAD = 10  # parameters before the batch's


def matmul_call(operands: Sequence[OperandView], result: OperandView) -> LibraryCall:
    """The call that multiplies stacks of matrices by any strides.

    Its parameters are rows, columns and depth, the strides of the three matrices by row and column in elements, their
    dtype, then for each axis of the stack its extent and the strides of the three.
    """
    a, b = operands
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    batch = zip(a.shape[:-2], a.strides[:-2], b.strides[:-2], result.strides[:-2], strict=True)
    dims = [dim for dim in batch if dim[0] != 1]
    strides = (*a.strides[-2:], *b.strides[-2:], *result.strides[-2:])
    params = (rows, columns, depth, *strides, number_of(a.dtype))
    work = 2 * math.prod(result.shape) * max(depth, 1)
    return LibraryCall("matmul", (*params, *(word for dim in dims for word in dim)), 1, 0, work, IN_REGISTERS)


def matmul_kernel(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    """The kernel of a call, with the epilogue of `routine`."""
    rows, columns, depth, a_m, a_k, b_k, b_n, c_m, c_n, number = params[:_HEAD]
    dims = [tuple(params[i : i + 4]) for i in range(_HEAD, len(params), 4)]
    dtype = dtype_of(number)
    load = from_memory(dtype)
    extents = [(dim[0], dim[1:]) for dim in dims]
    matrices = [(rows, (a_m, 0, c_m)), (columns, (0, b_n, c_n)), (depth, (a_k, b_k, 0))]
    before = [_before([*extents, *matrices], operand) for operand in range(3)]
    a, b, c = (_offset(dims, operand, before[operand - 1]) for operand in (1, 2, 3))
    given = {
        "A_VALUE": f"{load}(o0[{_index(a, m=a_m, k=a_k)}])",
        "B_VALUE": f"{load}(o1[{_index(b, k=b_k, n=b_n)}])",
        "C_INDEX": _index(c, m=c_m, n=c_n),
        "POSITION": _index([f"batch * u32({rows * columns})"] if dims else [], m=columns, n=1),
        "A_ALONG_K": a_k == 1 or a_m != 1, "B_ALONG_N": b_n == 1 or b_k != 1,
    }  # fmt: skip
    batches = math.prod(dim[0] for dim in dims)
    starts = tuple(-count * dtype.itemsize for count in before)
    return product_kernel((batches, rows, columns, depth), dtype, given, name, routine, starts)


def product_kernel(
    shape: tuple[int, int, int, int], dtype: DType, own: Mapping[str, Any], name: str, routine: Routine | None,
    starts: Sequence[int] = (0, 0, 0),
) -> CudaKernel:  # fmt: skip
    """The kernel of a product of `shape`, batches, rows, columns and depth; `own` says where its elements lie.

    `starts` are bytes of the three matrices that indices count from.
    """
    batches, rows, columns, depth = shape
    tiles_m, tiles_n = ceil_div(rows, TILE), ceil_div(columns, TILE)
    epilogue = epilogue_of(routine)
    given: dict[str, int | bool | str] = {
        "M": rows, "N": columns, "K": depth, "STEPS": ceil_div(depth, DEPTH), "TILES_M": tiles_m, "TILES_N": tiles_n,
        "SUM": machine_type(dtype), "ELEMENT": from_memory(dtype), "RESULT": to_memory(dtype),
        "EPILOGUE": epilogue.finishing("POSITION"), **own,
    }  # fmt: skip
    made, kind = list[CudaKernel](), memory_type(dtype)
    for stores in (True, False) if epilogue.text else (True,):
        count = 2 + stores
        text = rendered("matmul", "matmul", given | {"STORES": stores}, name, epilogue.names, () if stores else ("o2",))
        places = epilogue.places([*enumerate(starts[:count])], 3)
        types = (*[kind] * count, *epilogue.types)
        made.append(CudaKernel(name, text, types, batches * tiles_m * tiles_n, BLOCK, places))
    return made[0] if len(made) == 1 else replace(made[0], unstored=made[1])


def _index(start: Sequence[str], **strides: int) -> str:
    """An index: the terms where a matrix starts, and positions by their strides, which count in 32 bits if negative."""
    pairs = ((name, stride % (1 << 32)) for name, stride in strides.items() if stride)
    moving = [name if stride == 1 else f"{name} * u32({stride})" for name, stride in pairs]
    return f"u32({' + '.join([*start, *moving]) or '0'})"


def _before(extents: Sequence[tuple[int, tuple[int, ...]]], operand: int) -> int:
    """How many elements lie before the first one, as strides may be negative."""
    return sum((extent - 1) * max(-strides[operand], 0) for extent, strides in extents if extent)


def _offset(dims: Sequence[tuple[int, ...]], operand: int, before: int) -> list[str]:
    """Where the matrix of a batch starts, of the number `batch`, as terms."""
    terms, suffix = [f"u32({before})"] if before else [], math.prod(dim[0] for dim in dims)
    for dim in dims:
        suffix //= dim[0]
        if dim[operand]:
            terms.append(f"(batch // u32({suffix}) % u32({dim[0]})) * u32({dim[operand] % (1 << 32)})")
    return terms
