"""Sorting rows and searching in sorted ones as calls of the kernels of kernels/cuda/sorting.py.

A row of up to PIECE elements is sorted by one kernel. A longer one is cut into pieces, sorted runs of which are merged
two by two, a kernel for each time, between two halves of a workspace; runs keep no more than what is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.backends.backend import Routine
from graphc.backends.cuda.calls.numbers import dtype_of, number_of
from graphc.backends.cuda.kernel import BLOCK, CudaKernel, MakeKernel, MakeKernels
from graphc.backends.cuda.printer.rendering import rendered
from graphc.backends.cuda.printer.spelling import from_memory, memory_type
from graphc.backends.cuda.regions import regions
from graphc.ir.types import DType, TensorType, TupleType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.machine import machine_type
from graphc.kernel.operand import OperandView, ceil_div

__all__ = ["SEARCH_KERNELS", "SORT_CALLS", "SORT_KERNELS", "RowOrder", "Sink", "Source", "ordering"]

PIECE = 1024  # threads that sort a piece, the most that a block has


# Keys ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Source:
    """What is sorted: elements of a type in memory, values that `element` makes of them, lines that make keys.

    `wide` is the type of keys; `operand` is where the elements are.
    """

    memory: str
    element: str
    keys: str
    wide: str = "u32"
    operand: int = 0


def _source(dtype: DType, *, descending: bool = False, nan_first: bool = False) -> Source:
    """The elements of a dtype in ascending or descending order; zeros of either sign are equal."""
    is_long = dtype.itemsize == 8
    wide = "u64" if is_long else "u32"
    turn = "~" if descending else ""
    least = "i64(-9223372036854775807 - 1)" if is_long else "i32(-2147483648)"
    if dtype.is_float:
        kind = machine_type(dtype)
        bits, sign = ("double_as_longlong", "i64(63)") if is_long else ("float_as_int", "i32(31)")
        lines = [
            f"bits = libdevice.{bits}({kind}(0) if x == {kind}(0) else x)",
            f"key = {wide}({turn}{wide}(bits ^ ((bits >> {sign}) | {least})))",  # below 0 all bits, else the sign turns
            f"key = {wide}({'' if nan_first else '~'}{wide}(0)) if x != x else key",
        ]
    else:
        value = f"x ^ {least}" if dtype.kind == "int" else "x"
        lines = [f"key = {wide}({turn}{wide}({value}))"]
    return Source(memory_type(dtype), from_memory(dtype), "\n".join(lines), wide)


# Runs ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RowOrder:
    """The first `count` in order of each of `rows`. Level 0 are sorted pieces; a row of the last level is one run."""

    rows: int
    extent: int
    count: int
    wide: str

    @property
    def piece(self) -> int:
        return int(min(PIECE, 1 << (max(self.extent, 1) - 1).bit_length()))

    @property
    def last(self) -> int:
        """The last level."""
        return (max(self.runs(0), 1) - 1).bit_length()

    def runs(self, level: int) -> int:
        return ceil_div(self.extent, self.piece << level)

    def held(self, level: int) -> int:
        """Elements of a run but for the last of a row."""
        return min(self.piece << level, self.count)

    def rest(self, level: int) -> int:
        """Elements of the last run of a row."""
        return min(self.held(level), self.extent - (self.runs(level) - 1) * (self.piece << level))

    def stride(self, level: int) -> int:
        """Elements of a row."""
        return (self.runs(level) - 1) * self.held(level) + self.rest(level)

    def sizes(self, levels: int) -> list[int]:
        """Bytes of what the first so many levels take, each level in the place of the last but one: keys, places."""
        most = [max((self.rows * self.stride(n) for n in range(half, levels, 2)), default=0) for half in (0, 1)]
        return [size * width for size in most for width in (int(self.wide[1:]) // 8, 4)]


@dataclass(frozen=True)
class Sink:
    """Where what is in order goes: lines that store an element, and operands that these have behind a kernel's own."""

    text: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    places: tuple[tuple[int, int], ...]


def ordering(
    order: RowOrder, source: Source, name: str, space: int, starts: Sequence[int], last: Sink | None = None
) -> list[CudaKernel]:
    """The kernels that put a source in order, in operand `space`, where the order's `sizes` start at `starts`.

    The last level goes to `last`, or else into the workspace, too. Where nothing is asked for there are none.
    """
    if not order.rows * order.count:
        return []

    def place(level: int) -> tuple[tuple[int, int], ...]:
        return tuple((space, starts[2 * (level % 2) + part]) for part in (0, 1))

    def sink(level: int) -> Sink:
        if level == order.last and last is not None:
            return last
        text = "to_keys[c] = key\nto_places[c] = place"
        return Sink(text, ("to_keys", "to_places"), (order.wide, "u32"), place(level))

    found = [_pieces(order, source, f"{name}_pieces", sink(0))]
    for level in range(order.last):
        found.append(_merge(order, level, f"{name}_merge_{level}", place(level), sink(level + 1)))
    return found


def _given(order: RowOrder, level: int, sink: Sink) -> dict[str, int | bool | str]:
    """What kernels that store a level ask for."""
    return {
        "ROWS": order.rows, "EXTENT": order.extent, "WIDE": order.wide, "TO_HELD": order.held(level),
        "TO_STRIDE": order.stride(level), "STORE": sink.text,
    }  # fmt: skip


def _pieces(order: RowOrder, source: Source, name: str, sink: Sink) -> CudaKernel:
    threads = max(BLOCK, order.piece)
    given = _given(order, 0, sink) | {
        "ELEMENT": source.element, "MAKE_KEY": source.keys, "PIECE": order.piece, "THREADS": threads,
        "STAGES": order.piece.bit_length() - 1, "RUNS": order.runs(0), "SIGNED": f"i{order.wide[1:]}",
    }  # fmt: skip
    text = rendered("sorting", "pieces", given, name, sink.names)
    blocks = ceil_div(order.rows * order.runs(0) * order.piece, threads)
    places = (source.operand, 0), *sink.places
    return CudaKernel(name, text, (source.memory, *sink.types), blocks, threads, places)


def _merge(order: RowOrder, level: int, name: str, places: tuple[tuple[int, int], ...], sink: Sink) -> CudaKernel:
    given = _given(order, level + 1, sink) | {
        "RUNS": order.runs(level), "HELD": order.held(level), "STRIDE": order.stride(level),
        "LAST": order.rest(level), "STEPS": order.held(level).bit_length(),
    }  # fmt: skip
    text = rendered("sorting", "merge", given, name, sink.names)
    blocks = ceil_div(order.rows * order.stride(level), BLOCK)
    return CudaKernel(name, text, (order.wide, "u32", *sink.types), blocks, BLOCK, (*places, *sink.places))


# Calls ---------------------------------------------------------------------------------------------------------------
def _sort_call(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TupleType) -> LibraryCall:
    """Parameters: rows, extent, count, dtype, whether the largest come first, whether nan does."""
    *batch, extent = operands[0].shape
    size, dtype, count = math.prod(operands[0].shape), operands[0].dtype, attrs["count"]
    flags = int(attrs["descending"]), int(attrs["nan_first"])
    params = (math.prod(batch), extent, count, number_of(dtype), *flags)
    order = RowOrder(math.prod(batch), extent, count, _source(dtype).wide)
    space = regions(order.sizes(order.last))[-1]
    return LibraryCall("sort", params, 1, 0, size * extent.bit_length() ** 2, workspace=space)


def _sort(params: Sequence[int], name: str) -> tuple[CudaKernel, ...]:
    rows, extent, count, number, descending, nan_first = params
    dtype = dtype_of(number)
    source = _source(dtype, descending=bool(descending), nan_first=bool(nan_first))
    order = RowOrder(rows, extent, count, source.wide)
    starts = regions(order.sizes(order.last))
    behind = 1 + (starts[-1] > 0)  # the workspace, where there is one
    text = f"values[c] = elements[u32(row * u32({extent}) + place)]\npositions[c] = i64(place)"
    kinds = source.memory, source.memory, "i64"
    places = (0, 0), (behind, 0), (behind + 1, 0)
    last = Sink(text, ("elements", "values", "positions"), kinds, places)
    return tuple(ordering(order, source, name, 1, starts, last))


def _search_call(attrs: Mapping[str, Any], operands: Sequence[OperandView], result: TensorType) -> LibraryCall:
    """Parameters: rows, extent, values of a row, dtype, and whether equals lie before a value."""
    *batch, extent = operands[0].shape
    dtype = number_of(operands[0].dtype)
    params = (math.prod(batch), extent, operands[1].shape[-1], dtype, int(attrs["right"]))
    return LibraryCall("searchsorted", params, 1, 0, 4 * result.size * (2 + extent.bit_length()))


def _search(params: Sequence[int], name: str, routine: Routine | None = None) -> CudaKernel:
    rows, extent, count, number, right = params
    source = _source(dtype_of(number))
    given: dict[str, int | bool | str] = {
        "ROWS": rows, "EXTENT": extent, "COUNT": count, "STEPS": extent.bit_length(), "RIGHT": bool(right),
        "ELEMENT": source.element, "MAKE_KEY": source.keys,
    }  # fmt: skip
    text = rendered("sorting", "search", given, name)
    return CudaKernel(name, text, (source.memory, source.memory, "i64"), ceil_div(rows * count, BLOCK))


SORT_CALLS: Mapping[str, Callable[..., LibraryCall]] = {"sort": _sort_call, "searchsorted": _search_call}
SORT_KERNELS: Mapping[str, MakeKernels] = {"sort": _sort}
SEARCH_KERNELS: Mapping[str, MakeKernel] = {"searchsorted": _search}
