"""The one place that knows cuBLASLt, through NVIDIA's bindings (`nvmath.bindings.cublasLt`), or what simulates them.

A product is prepared once: its descriptors, and an algorithm, which is chosen before any graph is recorded. Sums are of
float32, for float64 of float64, and no TF32: a product is as exact as that of an own kernel, in another order.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import WIDEST
from graphc.backends.cuda.vendor.library import Algorithm
from graphc.backends.cuda.vendor.product import Matrix, Product, product_of

__all__ = ["WORKSPACE", "CublasLt", "PreparedProduct"]

WORKSPACE = 32 << 20  # the most bytes that an algorithm may take
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # cudaDataType
_COMPUTE_32F, _COMPUTE_64F = 68, 70  # cublasComputeType_t
_TURNED = 1  # CUBLAS_OP_T


class CublasLt:
    """The library on a device. Raises the library's own errors."""

    name = "cuBLASLt"

    def __init__(self, library: Any, stream: int) -> None:
        self.library, self._stream = library, stream
        self._handle = library.create()
        weakref.finalize(self, library.destroy, self._handle)

    @property
    def version(self) -> int:
        return int(self.library.get_version())

    def problem_of(self, call: str, params: Sequence[int]) -> Product | None:
        """The product that a call is, None for what the library does not take."""
        return product_of(params)

    def algorithms(self, product: Product, most: int) -> Iterator[Algorithm]:
        """Up to `most` algorithms for a product, those first that should be the fastest."""
        library, described = self.library, _Described(self.library, product)
        found, count = np.zeros(most, library.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        preference = library.matmul_preference_create()
        try:
            kinds = library.MatmulPreferenceAttribute
            given = {kinds[f"MIN_ALIGNMENT_{matrix}_BYTES"]: np.uint32(WIDEST) for matrix in "ABCD"}
            limits: dict[Any, np.generic] = {kinds.MAX_WORKSPACE_BYTES: np.uint64(WORKSPACE), **given}
            for kind, value in limits.items():
                _set(library.matmul_preference_set_attribute, preference, kind, value)
            layouts = (described.first, described.second, described.result, described.result)
            library.matmul_algo_get_heuristic(
                self._handle, described.product, *layouts, preference, most, found.ctypes.data, count.ctypes.data
            )
        finally:
            library.matmul_preference_destroy(preference)
        for result in found[: int(count[0])]:
            if not int(result["state"]):
                words = result["algo"]["data_"].reshape(-1)
                yield Algorithm(tuple(map(int, words)), int(result["workspace_size"]))

    def prepared(self, product: Product, algorithm: Algorithm, workspace: int) -> PreparedProduct:
        """A product by an algorithm, ready to run; `workspace` is the address of its workspace."""
        return PreparedProduct(self, _Described(self.library, product), product, algorithm, workspace)

    def run(self, prepared: PreparedProduct, operands: Sequence[int]) -> None:
        """Begin to compute a product: a, b and c of the call are at these addresses."""
        described, product, nothing = prepared.described, prepared.product, prepared.nothing
        first, second, result = operands[product.first.operand], operands[product.second.operand], int(operands[2])
        self.library.matmul(
            self._handle, described.product, prepared.one.ctypes.data, int(first), described.first, int(second),
            described.second, nothing.ctypes.data, result, described.result, result, described.result,
            prepared.words.ctypes.data, prepared.workspace, prepared.algorithm.workspace, self._stream,
        )  # fmt: skip


class PreparedProduct:
    """A product that can run again and again; it keeps what the library needs of it."""

    name = CublasLt.name

    def __init__(
        self, library: CublasLt, described: _Described, product: Product, algorithm: Algorithm, workspace: int
    ) -> None:
        self._library, self.described, self.product, self.workspace = library, described, product, workspace
        self.algorithm, self.words = algorithm, np.array(algorithm.words, np.uint64)
        self.one, self.nothing = np.ones(1, _scale(product)), np.zeros(1, _scale(product))

    def run(self, operands: Sequence[int]) -> None:
        """Begin to compute it: a, b and c of the call are at these addresses."""
        self._library.run(self, operands)


class _Described:
    """A product in the library's descriptors, which live as long as this object."""

    def __init__(self, library: Any, product: Product) -> None:
        compute, scale = (_COMPUTE_64F if product.dtype == "float64" else _COMPUTE_32F), _TYPES[_scale(product).name]
        self.product = library.matmul_desc_create(compute, scale)
        weakref.finalize(self, library.matmul_desc_destroy, self.product)
        kinds = library.MatmulDescAttribute
        for kind, factor in ((kinds.TRANSA, product.first), (kinds.TRANSB, product.second)):
            if factor.is_turned:
                _set(library.matmul_desc_set_attribute, self.product, kind, np.int32(_TURNED))
        matrices = (product.first.matrix, product.second.matrix, product.result)
        self.first, self.second, self.result = (self._layout(library, product, matrix) for matrix in matrices)

    def _layout(self, library: Any, product: Product, matrix: Matrix) -> int:
        layout = library.matrix_layout_create(_TYPES[product.dtype], matrix.rows, matrix.columns, matrix.ld)
        weakref.finalize(self, library.matrix_layout_destroy, layout)
        kinds = library.MatrixLayoutAttribute
        for kind, value in (
            (kinds.BATCH_COUNT, np.int32(product.batches)), (kinds.STRIDED_BATCH_OFFSET, np.int64(matrix.step)),
        ):  # fmt: skip
            _set(library.matrix_layout_set_attribute, layout, kind, value)
        return int(layout)


def _scale(product: Product) -> np.dtype[Any]:
    return np.dtype(np.float64 if product.dtype == "float64" else np.float32)


def _set(set_attribute: Any, of: int, attribute: int, value: np.generic) -> None:
    held = np.array([value])
    set_attribute(of, attribute, held.ctypes.data, held.nbytes)
