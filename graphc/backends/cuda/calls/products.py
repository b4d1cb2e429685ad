"""Matrix products as calls of the kernel `matmul` (kernels/cuda/matmul.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
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

__all__ = ["Matmul", "matmul_call", "matmul_kernel", "product_kernel"]

TILE, DEPTH = 64, 16  # rows and columns of a tile, and how much of the depth a step takes
_HEAD = 10  # parameters before the batch's


@dataclass(frozen=True)
class Matmul:
    """The parameters of a call of `matmul`: extents, strides of the matrices a, b and c by row, column and depth in
    elements, the number of their dtype, then for each axis of the stack its extent and the strides of the three."""

    rows: int
    columns: int
    depth: int
    a_m: int
    a_k: int
    b_k: int
    b_n: int
    c_m: int
    c_n: int
    number: int
    dims: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, params: Sequence[int]) -> Matmul:
        """The parameters of a call, as whole numbers one after the other."""
        rows, columns, depth, a_m, a_k, b_k, b_n, c_m, c_n, number = params[:_HEAD]
        dims = tuple(tuple(params[i : i + 4]) for i in range(_HEAD, len(params), 4))
        return cls(rows, columns, depth, a_m, a_k, b_k, b_n, c_m, c_n, number, dims)


def matmul_call(operands: Sequence[OperandView], result: OperandView) -> LibraryCall:
    """The call that multiplies stacks of matrices by any strides; see `Matmul`."""
    a, b = operands
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    batch = zip(a.shape[:-2], a.strides[:-2], b.strides[:-2], result.strides[:-2], strict=True)
    dims = [dim for dim in batch if dim[0] != 1]
    strides = (*a.strides[-2:], *b.strides[-2:], *result.strides[-2:])
    params = (rows, columns, depth, *strides, number_of(a.dtype))
    work = 2 * math.prod(result.shape) * max(depth, 1)
    every = (*params, *(word for dim in dims for word in dim))
    return LibraryCall("matmul", every, 1, 0, work, in_registers=True)


def matmul_kernel(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    """The kernel of a call, with the epilogue of `routine`."""
    call = Matmul.of(params)
    rows, columns, depth, dims = call.rows, call.columns, call.depth, call.dims
    a_m, a_k, b_k, b_n, c_m, c_n = call.a_m, call.a_k, call.b_k, call.b_n, call.c_m, call.c_n
    dtype, told = dtype_of(call.number), _Told()
    load = from_memory(dtype)
    extents = [(dim[0], dim[1:]) for dim in dims]
    matrices = [(rows, (a_m, 0, c_m)), (columns, (0, b_n, c_n)), (depth, (a_k, b_k, 0))]
    before = [_before([*extents, *matrices], operand) for operand in range(3)]
    a, b, c = (told.start(name, dims, at + 1, before[at]) for at, name in enumerate("abc"))
    given = {
        "A_VALUE": f"{load}(o0[{told.index(a, a_m=a_m, a_k=a_k)}])",
        "B_VALUE": f"{load}(o1[{told.index(b, b_k=b_k, b_n=b_n)}])",
        "C_INDEX": told.index(c, c_m=c_m, c_n=c_n),
        "POSITION": f"u32({'batch * u32(rows * columns) + ' if dims else ''}m * columns + n)",
        "A_ALONG_K": a_k == 1 or a_m != 1, "B_ALONG_N": b_n == 1 or b_k != 1,
        "M": "rows", "N": "columns", "K": "depth", "STEPS": "steps", "TILES_M": "tiles_m", "TILES_N": "tiles_n",
    }  # fmt: skip
    tiles = {"steps": ceil_div(depth, DEPTH), "tiles_m": ceil_div(rows, TILE), "tiles_n": ceil_div(columns, TILE)}
    numbers = {"rows": rows, "columns": columns, "depth": depth, **tiles, **told.numbers}
    batches = math.prod(dim[0] for dim in dims)
    starts = tuple(-count * dtype.itemsize for count in before)
    return product_kernel((batches, rows, columns, depth), dtype, given, name, routine, starts, numbers)


def product_kernel(
    shape: tuple[int, int, int, int], dtype: DType, own: Mapping[str, Any], name: str, routine: Routine | None,
    starts: Sequence[int] = (0, 0, 0), numbers: Mapping[str, int] = MappingProxyType({}),
) -> CudaKernel:  # fmt: skip
    """The kernel of a product of `shape`, batches, rows, columns and depth; `own` says where its elements lie.

    `starts` are bytes of the three matrices that indices count from, `numbers` what its function is told, by name.
    """
    batches, rows, columns, depth = shape
    tiles_m, tiles_n = ceil_div(rows, TILE), ceil_div(columns, TILE)
    epilogue = epilogue_of(routine)
    given: dict[str, int | bool | str] = {
        "M": rows, "N": columns, "K": depth, "STEPS": ceil_div(depth, DEPTH), "TILES_M": tiles_m, "TILES_N": tiles_n,
        "SUM": machine_type(dtype), "ELEMENT": from_memory(dtype), "RESULT": to_memory(dtype),
        "EPILOGUE": epilogue.finishing("POSITION"), **own,
    }  # fmt: skip
    made, kind, names = list[CudaKernel](), memory_type(dtype), (*epilogue.names, *numbers)
    for stores in (True, False) if epilogue.text else (True,):
        count = 2 + stores
        text = rendered("matmul", "matmul", given | {"STORES": stores}, name, names, () if stores else ("o2",))
        places = epilogue.places([*enumerate(starts[:count])], 3)
        types = (*[kind] * count, *epilogue.types)
        blocks = batches * tiles_m * tiles_n
        made.append(CudaKernel(name, text, types, blocks, BLOCK, places, numbers=tuple(numbers.values())))
    return made[0] if len(made) == 1 else replace(made[0], unstored=made[1])


class _Told:
    """What the function of a product is told of strides and batches, as it grows; strides of 0 and 1 are in its text.

    Strides may be negative, and count in 32 bits then.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def index(self, start: Sequence[str], **strides: int) -> str:
        """An index: the terms where a matrix starts, and `m`, `n` or `k`, in which a stride's name ends, by strides."""
        moving = [name[-1] if stride == 1 else f"{name[-1]} * {name}" for name, stride in strides.items() if stride]
        self._add({name: stride for name, stride in strides.items() if stride not in (0, 1)})
        return f"u32({' + '.join([*start, *moving]) or '0'})"

    def start(self, matrix: str, dims: Sequence[tuple[int, ...]], operand: int, before: int) -> list[str]:
        """Where a matrix of a batch starts, of the number `batch`, as terms."""
        terms, suffix = [f"{matrix}_before"] if before else [], math.prod(dim[0] for dim in dims)
        self._add({f"{matrix}_before": before} if before else {})
        for number, dim in enumerate(dims):
            suffix //= dim[0]
            if dim[operand]:
                within, extent, stride = f"within_{number}", f"extent_{number}", f"{matrix}_{number}"
                terms.append(f"(batch // {within} % {extent}) * {stride}")
                self._add({within: suffix, extent: dim[0], stride: dim[operand]})
        return terms

    def _add(self, numbers: Mapping[str, int]) -> None:
        self.numbers |= {name: number % (1 << 32) for name, number in numbers.items()}


def _before(extents: Sequence[tuple[int, tuple[int, ...]]], operand: int) -> int:
    """How many elements lie before the first one, as strides may be negative."""
    return sum((extent - 1) * max(-strides[operand], 0) for extent, strides in extents if extent)
