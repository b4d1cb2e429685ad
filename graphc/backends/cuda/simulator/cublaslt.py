"""A simulated cuBLASLt: the functions of NVIDIA's bindings that vendor/cublaslt.py calls, on a simulated driver.

It holds what it is given against what the library documents: descriptors, leading dimensions, stacks, addresses, types.
Products are begun on the driver's stream, or recorded. The second of its two algorithms needs a workspace, and uses it.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from graphc.backends.cuda.simulator.driver import LibraryTask, SimulatedDriver
from graphc.backends.cuda.simulator.memory import SimulationError
from graphc.ir.types import DTYPES

__all__ = ["SimulatedCublasLt"]

_TYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}
_COMPUTE: dict[int, np.dtype[Any]] = {68: np.dtype(np.float32), 70: np.dtype(np.float64)}
_SCALES = {68: 0, 70: 1}
WORKSPACE = 4096


class _LayoutAttribute(IntEnum):
    LD, BATCH_COUNT, STRIDED_BATCH_OFFSET = 4, 5, 6


class _ProductAttribute(IntEnum):
    TRANSA, TRANSB = 3, 4


class _PreferenceAttribute(IntEnum):
    MAX_WORKSPACE_BYTES = 1
    MIN_ALIGNMENT_A_BYTES, MIN_ALIGNMENT_B_BYTES, MIN_ALIGNMENT_C_BYTES, MIN_ALIGNMENT_D_BYTES = 5, 6, 7, 8


_LONG = (
    _LayoutAttribute.STRIDED_BATCH_OFFSET.name,
    _PreferenceAttribute.MAX_WORKSPACE_BYTES.name,
)  # attributes of 8 bytes; others have 4


@dataclass
class _Descriptor:
    """What was made with these facts, and the attributes that were set since."""

    facts: tuple[int, ...]
    attributes: dict[int, int] = field(default_factory=dict)

    def set(self, kinds: type[IntEnum], attribute: int, address: int, nbytes: int) -> None:
        kind = kinds(attribute)
        if nbytes != (8 if kind.name in _LONG else 4):
            raise SimulationError(f"{kind.name} is given {nbytes} bytes")
        self.attributes[kind] = int.from_bytes(ctypes.string_at(address, nbytes), "little", signed=True)


class SimulatedCublasLt:
    """The library on a simulated driver."""

    MatrixLayoutAttribute, MatmulDescAttribute, MatmulPreferenceAttribute = (
        _LayoutAttribute,
        _ProductAttribute,
        _PreferenceAttribute,
    )
    matmul_heuristic_result_dtype = np.dtype(
        [("algo", [("data_", "<u8", (8,))]), ("workspace_size", "<u8"), ("state", "<i4"), ("waves_count", "<f4"),
         ("reserved", "<i4", (4,))]
    )  # fmt: skip

    def __init__(self, driver: SimulatedDriver) -> None:
        self._driver = driver
        self._made: dict[int, _Descriptor] = {}
        self._next = 1

    def create(self) -> int:
        return self._add()

    def destroy(self, handle: int) -> None:
        del self._made[handle]

    def get_version(self) -> int:
        return 130000

    # Descriptors -----------------------------------------------------------------------------------------------------
    def _add(self, *facts: int) -> int:
        self._next += 1
        self._made[self._next] = _Descriptor(facts)
        return self._next

    def matmul_desc_create(self, compute: int, scale: int) -> int:
        if _SCALES[compute] != scale:
            raise SimulationError(f"sums of type {compute} are not scaled by numbers of type {scale}")
        return self._add(compute)

    def matrix_layout_create(self, kind: int, rows: int, columns: int, ld: int) -> int:
        if not 0 < rows <= ld or columns < 1 or kind not in _TYPES:
            raise SimulationError(
                f"no matrix of type {kind} has {rows} rows, {columns} columns, {ld} from each to the next"
            )
        return self._add(kind, rows, columns, ld)

    def matmul_preference_create(self) -> int:
        return self._add()

    matmul_desc_destroy = matrix_layout_destroy = matmul_preference_destroy = destroy

    def matmul_desc_set_attribute(self, descriptor: int, attribute: int, address: int, nbytes: int) -> None:
        self._made[descriptor].set(_ProductAttribute, attribute, address, nbytes)

    def matrix_layout_set_attribute(self, layout: int, attribute: int, address: int, nbytes: int) -> None:
        self._made[layout].set(_LayoutAttribute, attribute, address, nbytes)

    def matmul_preference_set_attribute(self, preference: int, attribute: int, address: int, nbytes: int) -> None:
        self._made[preference].set(_PreferenceAttribute, attribute, address, nbytes)

    # Products --------------------------------------------------------------------------------------------------------
    def matmul_algo_get_heuristic(
        self, handle: int, product: int, a: int, b: int, c: int, d: int, preference: int, most: int, results: int,
        count: int,
    ) -> None:  # fmt: skip
        self._shape(product, a, b, d)
        room = self._made[preference].attributes.get(_PreferenceAttribute.MAX_WORKSPACE_BYTES, 0)
        sizes = [size for size in (0, WORKSPACE) if size <= room][:most]
        found = np.zeros(len(sizes), self.matmul_heuristic_result_dtype)
        found["workspace_size"] = sizes
        found["algo"]["data_"][:, 0] = [handle + number for number in range(len(sizes))]
        ctypes.memmove(results, found.ctypes.data, found.nbytes)
        ctypes.memmove(count, np.int32(len(sizes)).tobytes(), 4)

    def _shape(self, product: int, *layouts: int) -> tuple[int, int, int]:
        """The extents m, n and k of a product. Raises SimulationError for matrices that do not fit together."""
        (compute,), turns = self._made[product].facts, self._made[product].attributes
        (a_type, *a), (b_type, *b), (d_type, *d) = (self._made[layout].facts[:3] for layout in layouts)
        m, k = a[::-1] if turns.get(_ProductAttribute.TRANSA) else a
        other, n = b[::-1] if turns.get(_ProductAttribute.TRANSB) else b
        if k != other or d != [m, n] or not a_type == b_type == d_type:
            raise SimulationError(f"no product is {a} of {a_type} by {b} of {b_type} into {d} of {d_type}")
        if (compute == 70) != (a_type == 1):
            raise SimulationError(f"sums of type {compute} are not for matrices of type {a_type}")
        if len({self._made[layout].attributes.get(_LayoutAttribute.BATCH_COUNT, 1) for layout in layouts}) > 1:
            raise SimulationError("a product of stacks that are not of one size")
        return m, n, k

    def matmul(
        self, handle: int, product: int, alpha: int, a: int, a_layout: int, b: int, b_layout: int, beta: int, c: int,
        c_layout: int, d: int, d_layout: int, algorithm: int, workspace: int, room: int, stream: int,
    ) -> None:  # fmt: skip
        self._shape(product, a_layout, b_layout, d_layout)
        compute = _COMPUTE[self._made[product].facts[0]]
        scales = [np.frombuffer(ctypes.string_at(at, compute.itemsize), compute)[0] for at in (alpha, beta)]
        needed = WORKSPACE * (int.from_bytes(ctypes.string_at(algorithm, 8), "little") - handle)
        if scales != [1, 0] or (c, c_layout) != (d, d_layout) or room < needed or any(p % 16 for p in (a, b, d)):
            raise SimulationError(f"a product by {scales}, in a workspace of {room} bytes for {needed}, at {(a, b, d)}")
        turns = [
            self._made[product].attributes.get(kind, 0) for kind in (_ProductAttribute.TRANSA, _ProductAttribute.TRANSB)
        ]
        dtype = DTYPES[_TYPES[self._made[d_layout].facts[0]]].numpy
        indices = [self._indices(layout) for layout in (a_layout, b_layout, d_layout)]

        def compute_it(arrays: list[np.ndarray[Any, Any]]) -> None:
            first, second = (
                array[at].astype(compute).swapaxes(1, 2) if turned else array[at].astype(compute)
                for array, at, turned in zip(arrays, indices, turns, strict=False)
            )
            arrays[2][indices[2]] = (first @ second).astype(dtype)
            if needed:
                arrays[3][:] = 0x55

        operands = [(pointer, dtype, at) for pointer, at in zip((a, b, d), indices, strict=True)]
        operands += [(workspace, np.dtype(np.uint8), np.arange(needed))] if needed else []
        self._driver.begin(LibraryTask("cuBLASLt", tuple(operands), 2, compute_it))

    def _indices(self, layout: int) -> np.ndarray[Any, Any]:
        """Which elements a stack of matrices has, by its number, row and column."""
        (_, rows, columns, ld), attributes = self._made[layout].facts, self._made[layout].attributes
        count, step = (
            attributes.get(_LayoutAttribute.BATCH_COUNT, 1),
            attributes.get(_LayoutAttribute.STRIDED_BATCH_OFFSET, 0),
        )
        stack, row, column = np.ogrid[:count, :rows, :columns]
        return np.asarray(stack * step + row + column * ld)
