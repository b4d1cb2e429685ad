"""Attention and its gradient as calls of the kernels of kernels/cuda/attention.py.

The gradient is two kernels, one for q and one for k and v, which compute the weights anew.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.attention_tiles import THREADS, AttentionTiling, X, tiling_of
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.kernel import CudaKernel, MakeKernel, MakeKernels
from graphc.backends.cuda.printer.rendering import part, rendered
from graphc.backends.cuda.printer.spelling import from_memory, literal, memory_type
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES, DType, TupleType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div, contiguous_strides

__all__ = ["ATTENTION_CALLS", "ATTENTION_KERNELS", "GRADIENT_KERNELS"]

Given = dict[str, int | bool | str]
_CAUSAL, _MASK_BOOL, _MASK_ADDED = 1, 2, 4
_AXES = {
    **dict.fromkeys(("q", "q_grad"), ("rows", "depth")), **dict.fromkeys(("k", "k_grad"), ("keys", "depth")),
    **dict.fromkeys(("v", "v_grad"), ("keys", "width")), **dict.fromkeys(("g", "outputs"), ("rows", "width")),
    **dict.fromkeys(("tops", "totals", "deltas"), ("rows",)), "mask": ("rows", "keys"),
}  # fmt: skip


# Calls ---------------------------------------------------------------------------------------------------------------
def _call(name: str, attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """A call whose parameters are flags, extents, dtype, the scale's bits, batch axes, and all strides in elements.

    The strides of an operand or result are those of its batch axes, of rows and of columns; results come last.
    """
    q, k, v = operands[:3]
    batch = q.shape[:-2]
    grad = name == "attention_grad"
    masks = operands[7:] if grad else operands[3:]
    flags = _CAUSAL * attrs["causal"]
    flags |= sum(_MASK_BOOL if mask.dtype.kind == "bool" else _MASK_ADDED for mask in masks)
    (scale,) = struct.unpack("<q", struct.pack("<d", attrs["scale"]))
    (rows, depth), keys, width = q.shape[-2:], k.shape[-2], v.shape[-1]
    shapes = [x.shape for x in (q, k, v)] if grad else [(*batch, rows, width)]
    strides = [(*o.strides, 0)[: len(batch) + 2] for o in operands] + [_laid_strides(shape) for shape in shapes]
    if not grad:  # top and total
        strides += [(*contiguous_strides((*batch, rows)), 0)] * 2
    head = (flags, rows, keys, depth, width, number_of(q.dtype), scale, len(batch), *batch)
    work = 2 * math.prod(batch) * rows * keys * (depth * (4 if grad else 1) + width * (3 if grad else 1))
    params = (*head, *(stride for line in strides for stride in line))
    return LibraryCall(name, params, 1, 0, work // (1 + attrs["causal"]))


def _laid_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a result [b0, b1, ..., T, w], which is laid out as [b0, T, b1, ..., w]."""
    if len(shape) < 4:
        return contiguous_strides(tuple(shape))
    first, row, *inner, column = contiguous_strides((shape[0], shape[-2], *shape[1:-2], shape[-1]))
    return (first, *inner, row, column)


ATTENTION_CALLS: Mapping[str, Callable[..., LibraryCall]] = {
    op: functools.partial(_call, op) for op in ("attention", "attention_grad")
}


# What a call says ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Attention:
    """The parameters of a call, and how the operands that are called so are spelled."""

    flags: int
    rows: int
    keys: int
    depth: int
    width: int
    dtype: DType
    scale: float
    batch: tuple[int, ...]
    strides: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, params: Sequence[int], names: Sequence[str]) -> _Attention:
        flags, rows, keys, depth, width, number, scale, axes, *rest = params
        batch, strides = tuple(rest[:axes]), rest[axes:]
        lines = {name: tuple(strides[i * (axes + 2) : (i + 1) * (axes + 2)]) for i, name in enumerate(names)}
        (value,) = struct.unpack("<d", struct.pack("<q", scale))
        return cls(flags, rows, keys, depth, width, dtype_of(number), value, batch, lines)

    @property
    def real(self) -> DType:
        """What is computed and written."""
        return DTYPES["float64" if self.dtype.name == "float64" else "float32"]

    def dtype_of(self, name: str) -> DType:
        if name == "mask" and self.flags & _MASK_BOOL:
            return DTYPES["bool"]
        return self.dtype if name in ("q", "k", "v", "mask") else self.real

    @property
    def batches(self) -> int:
        return math.prod(self.batch)

    @property
    def word(self) -> str:
        """The type of indices: 32 bits wide where all operands have fewer elements."""
        spans = (sum(abs(reach) for reach in self._reaches(name)) for name in self.strides)
        return "u32" if max(spans) < 1 << 32 else "u64"

    def _reaches(self, name: str) -> list[int]:
        """How far the last element along each axis lies from the first."""
        extents = (*self.batch, *(getattr(self, axis) for axis in _AXES[name]))
        return [stride * max(extent - 1, 0) for stride, extent in zip(self.strides[name], extents, strict=False)]

    def lowest(self, name: str) -> int:
        """Where the element lies that is first in memory: 0 or, with negative strides, before the first of all."""
        return sum(min(reach, 0) for reach in self._reaches(name))

    def starts(self, names: Sequence[str]) -> str:
        """Lines that say where each operand's `batch` begins, behind what is first in memory."""
        return "\n".join(f"{name}_start = {self._start(name)}" for name in names)

    def _start(self, name: str) -> str:
        lowest, after = self.lowest(name), self.batches
        terms = [f"{self.word}({-lowest})"] if lowest else []
        for extent, stride in zip(self.batch, self.strides[name], strict=False):
            after //= max(extent, 1)
            if extent > 1 and stride:
                terms.append(f"u32(batch // u32({after}) % u32({extent})) * {self.word}({stride})")
        return f"{self.word}({' + '.join(terms) or '0'})"

    def index(self, name: str, column: str = "column") -> str:
        """Where the element of `row` and `column` lies."""
        *_, across, along = self.strides[name]
        steps = (("row", across), (column, along))
        terms = [place if step == 1 else f"{place} * {self.word}({step})" for place, step in steps if step]
        return f"{self.word}({' + '.join([f'{name}_start', *terms])})"

    def element(self, name: str, scale: str = "") -> str:
        """The element of `row` and `column` as a value, times `scale`."""
        value = f"{from_memory(self.dtype_of(name))}({name}[{self.index(name)}])"
        return f"{machine_type(self.real)}({value} * {scale})" if scale else value

    def is_along(self, name: str) -> bool:
        """Whether neighbouring threads read along a row."""
        *_, across, along = self.strides[name]
        return along == 1 or across != 1

    @property
    def masking(self) -> str:
        """Lines that add the mask to a score `s`."""
        if self.flags & _MASK_BOOL:
            return f"s = s if mask[{self.index('mask', 'key')}] != u8(0) else {machine_type(self.real)}(-math.inf)"
        if self.flags & _MASK_ADDED:
            index = self.index("mask", "key")
            return f"s = {machine_type(self.real)}(s + {from_memory(self.dtype)}(mask[{index}]))"
        return ""


# Conditions ----------------------------------------------------------------------------------------------------------
def _asked(conditions: Mapping[str, bool]) -> str:
    """The conditions that must be asked, as one."""
    return " and ".join(condition for condition, is_asked in conditions.items() if is_asked) or "True"


def _ragged(extent: int, tile: int) -> bool:
    """Whether tiles reach beyond an extent."""
    return extent == 0 or extent % tile != 0


# Kernels -------------------------------------------------------------------------------------------------------------
def _given(call: _Attention, tiling: AttentionTiling, names: Sequence[str]) -> Given:
    """What every kernel and part asks for."""
    double = call.real.name == "float64"
    end = ("", "d") if double else ("f", "f")
    query_there = {"row < u32(TQ)": _ragged(call.rows, tiling.queries)}
    key_there = {"key < u32(TK)": _ragged(call.keys, tiling.keys), "key <= row": bool(call.flags & _CAUSAL)}
    tiles = {
        "QUERY_TILES": max(1, ceil_div(call.rows, tiling.queries)),
        "KEY_TILES": max(1, ceil_div(call.keys, tiling.keys)),
    }
    given: Given = {
        "TQ": call.rows, "TK": call.keys, "QUERIES": tiling.queries, "KEYS": tiling.keys, "ROWS": tiling.rows,
        "EACH": tiling.each, "PARTS": tiling.parts, "STRIDE": tiling.stride, "SLICES": tiling.slices, **tiles,
        "TILES": tiles["KEY_TILES" if tiling.of_keys else "QUERY_TILES"],
        "LEFT": max(tiling.rows, tiling.height), "HEIGHT": tiling.height, "COLUMNS": tiling.columns[0],
        "SUM": machine_type(call.real), "SCALE": literal(Scalar.of(call.real, call.scale)),
        "EXP": f"libdevice.exp{end[0]}", "DIVIDE": f"libdevice.{end[1]}div_rn",
        "LARGER": f"larger_{machine_type(call.real)}",
        "STARTS": call.starts([*names, *_masked(call.flags)]),
        "QUERY_THERE": _asked(query_there), "SEEN": _asked(query_there | key_there), "MASKING": call.masking,
        "TILE_SEEN": "first_key < first_query + u32(QUERIES)" if call.flags & _CAUSAL else "first_key < u32(TK)",
        "TOP_INDEX": call.index("tops"), "TOTAL_INDEX": call.index("totals"),
        "DELTA_INDEX": call.index("deltas") if "deltas" in names else "",
    }  # fmt: skip
    return given | {"BEGIN": part("attention", "begin", given)}


def _products(call: _Attention, tiling: AttentionTiling, given: Given, sums: str, a: str, b: str) -> str:
    """The part that makes a tile of products of rows of two operands, of q scaled."""
    depth = call.depth if a == "q" else call.width
    size = tiling.slice(depth)
    column = {"column < u32(DEPTH)": _ragged(depth, size)}
    own: Given = {
        "SUMS": sums, "DEPTH": depth, "STEPS": ceil_div(depth, size), "SLICE": size,
        "A_LOADS": ceil_div(size * tiling.queries, THREADS), "B_LOADS": ceil_div(size * tiling.keys, THREADS),
        "A_ALONG": call.is_along(a), "B_ALONG": call.is_along(b),
        "A_VALUE": call.element(a, "SCALE" if a == "q" else ""), "B_VALUE": call.element(b),
        "A_THERE": _asked({"row < u32(TQ)": _ragged(call.rows, tiling.queries)} | column),
        "B_THERE": _asked({"row < u32(TK)": _ragged(call.keys, tiling.keys)} | column),
        "A_HERE": _asked({"e < u32(SLICE * QUERIES)": _ragged(size * tiling.queries, THREADS)}),
        "B_HERE": _asked({"e < u32(SLICE * KEYS)": _ragged(size * tiling.keys, THREADS)}),
    }  # fmt: skip
    return part("attention", "products", given | own)


def _accumulate(
    call: _Attention, tiling: AttentionTiling, given: Given, sums: str, factor: str, matrix: int = 0
) -> str:
    """The part that adds weights times rows of an operand, of q scaled, to the sums of one matrix."""
    width, size = tiling.columns[matrix] * X, tiling.others
    others, extent = (tiling.queries, call.rows) if tiling.of_keys else (tiling.keys, call.keys)
    full = call.depth if factor in ("q", "k") else call.width
    there = {f"row < u32({extent})": _ragged(extent, others), f"column < u32({full})": full != width * tiling.parts}
    own: Given = {
        "SUMS": sums, "COLUMNS": tiling.columns[matrix], "WIDTH": width, "SLICE": size, "STEPS": others // size,
        "LOADS": ceil_div(size * width, THREADS), "FIRST": "first_query" if tiling.of_keys else "first_key",
        "HERE": _asked({"e < u32(SLICE * WIDTH)": _ragged(size * width, THREADS)}), "THERE": _asked(there),
        "ALONG_COLUMNS": call.is_along(factor), "VALUE": call.element(factor, "SCALE" if factor == "q" else ""),
        "ALONG": tiling.stride if tiling.of_keys else 1, "ACROSS": 1 if tiling.of_keys else tiling.stride,
    }  # fmt: skip
    return part("attention", "accumulate", given | own)


def _write(call: _Attention, tiling: AttentionTiling, given: Given, sums: str, result: str, matrix: int = 0) -> str:
    """The part that writes the sums of one matrix."""
    width = tiling.columns[matrix] * X
    tile, extent = (tiling.keys, call.keys) if tiling.of_keys else (tiling.queries, call.rows)
    full = call.width if result in ("outputs", "v_grad") else call.depth
    there = {f"row < u32({extent})": _ragged(extent, tile), f"column < u32({full})": full != width * tiling.parts}
    own: Given = {
        "SUMS": sums, "COLUMNS": tiling.columns[matrix], "WIDTH": width, "RESULT": result, "THERE": _asked(there),
        "FIRST": "first_key" if tiling.of_keys else "first_query", "RESULT_INDEX": call.index(result),
    }  # fmt: skip
    return part("attention", "write", given | own)


def _kernel(
    call: _Attention, tiling: AttentionTiling, given: Given, kernel: str, name: str, names: Sequence[str]
) -> CudaKernel:
    """A kernel on the operands called so, and on the mask, which comes last."""
    launch, masked = [*call.strides], _masked(call.flags)
    called = [*names, *masked]
    dtypes = {operand: call.dtype_of(operand) for operand in called}
    places = tuple((launch.index(x), call.lowest(x) * dtype.itemsize) for x, dtype in dtypes.items())
    tiles = ceil_div(call.keys, tiling.keys) if tiling.of_keys else ceil_div(call.rows, tiling.queries)
    text, types = rendered("attention", kernel, given, name, masked), tuple(map(memory_type, dtypes.values()))
    return CudaKernel(name, text, types, call.batches * tiles * tiling.parts, THREADS, places)


def _masked(flags: int) -> list[str]:
    return ["mask"] if flags & (_MASK_BOOL | _MASK_ADDED) else []


def _forward(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    names = ["q", "k", "v", "outputs", "tops", "totals"]
    call = _Attention.of(params, [*names[:3], *_masked(params[0]), *names[3:]])
    tiling = tiling_of(call.rows, call.keys, [call.depth], [call.width], call.real, of_keys=False)
    given = _given(call, tiling, names)
    given |= {
        "SCORES": _products(call, tiling, given, "score", "q", "k"),
        "SOFTMAX": part("attention", "softmax", given),
        "ACCUMULATE": _accumulate(call, tiling, given, "sums", "v"),
        "WRITE": _write(call, tiling, given, "sums", "outputs"),
    }
    return _kernel(call, tiling, given, "forward", name, names)


def _gradients(params: Sequence[int], name: str) -> tuple[CudaKernel, ...]:
    names = ["q", "k", "v", "g", "tops", "totals", "deltas"]
    call = _Attention.of(params, [*names, *_masked(params[0]), "q_grad", "k_grad", "v_grad"])
    return _query_grad(call, f"{name}_queries", names), _key_grad(call, f"{name}_keys", names)


def _slopes(call: _Attention, tiling: AttentionTiling, names: Sequence[str]) -> Given:
    """What both kernels of the gradient ask for."""
    given = _given(call, tiling, names)
    return given | {
        "SCORES": _products(call, tiling, given, "score", "q", "k"),
        "WEIGHT_GRADIENTS": _products(call, tiling, given, "slope", "g", "v"),
        "SLOPES": part("attention", "slopes", given),
        "SPREAD_SLOPES": part("attention", "spread", given | {"SUMS": "slope"}),
        "SPREAD_WEIGHTS": part("attention", "spread", given | {"SUMS": "score"}),
    }


def _query_grad(call: _Attention, name: str, inputs: Sequence[str]) -> CudaKernel:
    names = [*inputs, "q_grad"]
    tiling = tiling_of(call.rows, call.keys, [call.depth, call.width], [call.depth], call.real, of_keys=False)
    given = _slopes(call, tiling, names)
    given |= {
        "ACCUMULATE": _accumulate(call, tiling, given, "sums", "k"),
        "WRITE": _write(call, tiling, given, "sums", "q_grad"),
    }
    return _kernel(call, tiling, given, "query_grad", name, names)


def _key_grad(call: _Attention, name: str, inputs: Sequence[str]) -> CudaKernel:
    names = [*inputs, "k_grad", "v_grad"]
    tiling = tiling_of(
        call.rows, call.keys, [call.depth, call.width], [call.depth, call.width], call.real, of_keys=True
    )
    given = _slopes(call, tiling, names)
    given |= {
        "K_COLUMNS": tiling.columns[0], "V_COLUMNS": tiling.columns[1],
        "ACCUMULATE_K": _accumulate(call, tiling, given, "k_sums", "q"),
        "ACCUMULATE_V": _accumulate(call, tiling, given, "v_sums", "g", 1),
        "WRITE_K": _write(call, tiling, given, "k_sums", "k_grad"),
        "WRITE_V": _write(call, tiling, given, "v_sums", "v_grad", 1),
    }  # fmt: skip
    return _kernel(call, tiling, given, "key_grad", name, names)


ATTENTION_KERNELS: Mapping[str, MakeKernel] = {"attention": _forward}
GRADIENT_KERNELS: Mapping[str, MakeKernels] = {"attention_grad": _gradients}
