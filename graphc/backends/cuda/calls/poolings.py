"""Pooling and its gradients as calls of the kernels of kernels/cuda/pooling.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.kernel import BLOCK, CudaKernel, MakeKernel
from graphc.backends.cuda.printer.epilogue import epilogue_of
from graphc.backends.cuda.printer.rendering import rendered
from graphc.backends.cuda.printer.spelling import from_memory, memory_type, to_memory
from graphc.ir.types import TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div

__all__ = ["POOLING_CALLS", "POOLING_KERNELS"]

_ONE, _NONE = (1, 1), ((0, 0), (0, 0))


def _call(name: str, attrs: Mapping[str, Any], plane: Sequence[int], out: Sequence[int], dtype: Any) -> LibraryCall:
    """Parameters: planes, their extents and those of the result, window, strides, dilations, padding, and the dtype."""
    (top, _), (left, _) = attrs.get("padding", _NONE)
    pairs = (plane[2:], out[2:], attrs.get("window", _ONE), attrs.get("stride", _ONE), attrs.get("dilation", _ONE))
    words = (math.prod(plane[:2]), *(word for pair in pairs for word in pair), top, left)
    params = (*words, int(attrs.get("count_include_pad", True)), number_of(dtype))
    return LibraryCall(name, params, 1, 0, math.prod(out) * math.prod(attrs.get("window", _ONE)))


def _forward(name: str) -> Callable[..., LibraryCall]:
    def lower(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
        return _call(name, attrs, operands[0].shape, result.shape, operands[0].dtype)

    return lower


def _backward(name: str) -> Callable[..., LibraryCall]:
    def lower(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
        return _call(name, attrs, result.shape, operands[0].shape, result.dtype)

    return lower


POOLING_CALLS: Mapping[str, Callable[..., LibraryCall]] = {
    **{op: _forward(op) for op in ("max_pool2d", "max_pool2d_argmax", "max_pool2d_gather", "avg_pool2d")},
    **{op: _backward(op) for op in ("max_pool2d_scatter", "avg_pool2d_grad")},
}
_NAMES = (
    "PLANES", "H", "W", "OUT_H", "OUT_W", "KH", "KW", "STRIDE_H", "STRIDE_W", "DILATION_H", "DILATION_W", "TOP", "LEFT",
)  # fmt: skip


def _kernel(kernel: str, threads: str, kinds: str, what: str = "") -> MakeKernel:
    """What makes a kernel; `threads` says how many, `kinds` what its operands are: elements or positions.

    What finds an element, `what`, may have an epilogue.
    """

    def make(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
        *words, every, number = params
        dtype = dtype_of(number)
        given: dict[str, int | bool | str] = dict(zip(_NAMES, words, strict=True))
        sizes = {"planes": words[0], "in": math.prod(words[:3]), "out": words[0] * words[3] * words[4]}
        division = {"f32": "fdiv_rn", "f64": "ddiv_rn"}[machine_type(dtype)]
        epilogue = epilogue_of(routine)
        given |= {
            "SIZE": sizes["out"], "ALL": bool(every), "SUM": machine_type(dtype), "ELEMENT": from_memory(dtype),
            "RESULT": to_memory(dtype), "DIVIDE": f"libdevice.{division}", "WHAT": what,
            "EPILOGUE": epilogue.finishing("p", "ELEMENT(stored)" if kinds[-1] == "e" else "stored"),
        }  # fmt: skip
        text = rendered("pooling", kernel, given, name, epilogue.names)
        types = tuple({"e": memory_type(dtype), "p": "i32"}[kind] for kind in kinds)
        places = epilogue.places([(at, 0) for at in range(len(types))], len(types))
        blocks = ceil_div(sizes[threads], BLOCK)
        return CudaKernel(name, text, (*types, *epilogue.types), blocks, BLOCK, places)

    return make


POOLING_KERNELS: Mapping[str, MakeKernel] = {
    "max_pool2d": _kernel("largest", "out", "ee", "RESULT(best)"),
    "max_pool2d_argmax": _kernel("largest", "out", "ep", "place"),
    "max_pool2d_gather": _kernel("gathered", "out", "epe"),
    "max_pool2d_scatter": _kernel("scattered", "planes", "epe"),
    "avg_pool2d": _kernel("mean", "out", "ee"),
    "avg_pool2d_grad": _kernel("mean_grad", "in", "ee"),
}
