"""Positions of extremes, running sums and products, and gathering as calls of the kernels of kernels/cuda/axis.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.kernel import BLOCK, WARP, CudaKernel, MakeKernel
from graphc.backends.cuda.printer.rendering import rendered
from graphc.backends.cuda.printer.spelling import from_memory, memory_type, to_memory
from graphc.ir.types import DType, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div

__all__ = ["AXIS_CALLS", "AXIS_KERNELS"]

Given = dict[str, int | bool | str]


def _call(name: str, attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """A call whose parameters are outer, extent and inner, dtypes of operands and result, direction, and indices."""
    shape, axis = operands[0].shape, attrs["axis"]
    around = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    dtypes = [*(view.dtype for view in operands), result.dtype]
    numbers = [number_of(dtype) for dtype in (dtypes if len(dtypes) == 3 else [dtypes[0], *dtypes])]
    count = math.prod(operands[-1].shape)
    params = (*around, *numbers, int(attrs.get("reverse", False)), count)
    return LibraryCall(name, params, 1, 0, 2 * math.prod(shape) + 2 * result.size)


AXIS_CALLS: Mapping[str, Callable[..., LibraryCall]] = {
    op: lambda attrs, operands, result, name=op: _call(name, attrs, operands, result)
    for op in ("argmax", "argmin", "cumsum", "cumprod", "recurrence", "take")
}


def _parts(params: Sequence[int]) -> tuple[Given, list[DType]]:
    """What every kernel asks for, and the dtypes of operands and result."""
    outer, extent, inner, *numbers, reverse, count = params
    dtypes = [dtype_of(number) for number in numbers]
    given: Given = {
        "EXTENT": extent, "INNER": inner, "LINES": outer * inner, "REVERSED": bool(reverse), "COUNT": count,
        "SIZE": outer * count * inner, "ELEMENT": from_memory(dtypes[0]), "RESULT": to_memory(dtypes[-1]),
    }  # fmt: skip
    return given, dtypes


def _extreme(sign: str) -> MakeKernel:
    def make(params: Sequence[int], called: str, routine: Routine | None = None) -> CudaKernel:
        given, (dtype, *_) = _parts(params)
        extent, lines = int(given["EXTENT"]), int(given["LINES"])
        lanes = WARP if given["INNER"] == 1 and extent >= WARP else 1
        if dtype.kind in ("uint", "bool"):  # which no shuffle takes
            given["ELEMENT"] = "i32" if machine_type(dtype) == "u8" else "i64"
        given |= {
            "LANES": lanes, "STEPS": ceil_div(extent, lanes), "SHUFFLES": lanes.bit_length() - 1,
            "IS_BETTER": f"((x {sign} best or x != x) and best == best)",
            "IS_EQUAL": "(x == best or (x != x and best != best))",
        }  # fmt: skip
        text = rendered("axis", "extreme", given, called)
        return CudaKernel(called, text, (memory_type(dtype), "i64"), ceil_div(lines * lanes, BLOCK))

    return make


def _running(first: int, following: str) -> MakeKernel:
    def make(params: Sequence[int], called: str, routine: Routine | None = None) -> CudaKernel:
        given, (dtype, *_, result) = _parts(params)
        total = "f64" if dtype.is_float else machine_type(dtype)
        given |= {"TOTAL": total, "FIRST": first, "NEXT": following, "NARROW": machine_type(result)}
        if dtype.is_float and machine_type(result) == "f32":  # rounded once
            given["NARROW"] = "f32" if result.name == "float32" else "narrow_to_odd"
        text = rendered("axis", "running", given, called)
        return CudaKernel(called, text, (memory_type(dtype), memory_type(result)), ceil_div(int(given["LINES"]), BLOCK))

    return make


def _recurrence(params: Sequence[int], called: str, routine: Routine | None = None) -> CudaKernel:
    given, (factor, *_) = _parts(params)
    text = rendered("axis", "recurrence", given, called)
    return CudaKernel(called, text, (memory_type(factor), "f64", "f64"), ceil_div(int(given["LINES"]), BLOCK))


def _take(params: Sequence[int], called: str, routine: Routine | None = None) -> CudaKernel:
    given, (dtype, index, _) = _parts(params)
    text = rendered("axis", "take", given, called)
    kinds = memory_type(dtype), memory_type(index), memory_type(dtype)
    return CudaKernel(called, text, kinds, ceil_div(int(given["SIZE"]), BLOCK))


AXIS_KERNELS: Mapping[str, MakeKernel] = {
    "argmax": _extreme(">"), "argmin": _extreme("<"), "cumsum": _running(0, "total + x"),
    "cumprod": _running(1, "total * x"), "recurrence": _recurrence, "take": _take,
}  # fmt: skip
