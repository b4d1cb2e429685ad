"""Element types and tensor types.

A `DType` is one of ten element types; a `TensorType` is a dtype and a static shape, a `TupleType` several of these. All
are frozen, hashable and printed as in `float32[64, 10]`. Promotion follows NumPy (NEP 50: Python scalars are weak);
where NumPy would answer with a type that graphc does not have, the next wider one of the same kind is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from graphc.errors import DTypeError, ShapeError, shown

__all__ = ["DTYPES", "DType", "TensorType", "TupleType", "checked_size", "dtype_of", "promote", "tensor_type"]

MOST_AXES = 64  # as in NumPy
MOST_BYTES = 1 << 62


@dataclass(frozen=True, eq=False)
class DType:
    """An element type. There is one object for each name in `DTYPES`, so that `is` compares them, too."""

    name: str
    numpy: np.dtype[Any] = field(repr=False)
    kind: str  # "float", "int", "uint" or "bool"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers, not for bool."""
        return self.kind in ("int", "uint")

    @property
    def is_low_precision(self) -> bool:
        """True for the two 16-bit floats, which are computed in float32 and rounded after every operation."""
        return self.is_float and self.itemsize == 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's, which is where NumPy looks: `np.zeros(3, x.dtype)`."""
        return self.numpy

    def __eq__(self, other: object) -> bool:
        """True for the type itself and for what names it: `x.dtype == "float32"`, `x.dtype == np.float32`."""
        if isinstance(other, DType):
            return self is other
        try:
            return self is dtype_of(other)
        except DTypeError:
            return False

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return dtype_of, (self.name,)


DTYPES: dict[str, DType] = {
    name: DType(name, np.dtype(numpy), kind)
    for name, numpy, kind in (
        ("float64", np.float64, "float"),
        ("float32", np.float32, "float"),
        ("bfloat16", ml_dtypes.bfloat16, "float"),
        ("float16", np.float16, "float"),
        ("int64", np.int64, "int"),
        ("int32", np.int32, "int"),
        ("int8", np.int8, "int"),
        ("uint32", np.uint32, "uint"),
        ("uint8", np.uint8, "uint"),
        ("bool", np.bool_, "bool"),
    )
}

_WIDER = {"int16": "int32", "uint16": "uint32", "uint64": "int64"}


@lru_cache(maxsize=256)
def _dtype_from_numpy(numpy: np.dtype[Any]) -> DType:
    if numpy.isnative and numpy.name in DTYPES:
        return DTYPES[numpy.name]
    raise DTypeError(f"dtype {numpy} is not supported; supported are {', '.join(DTYPES)}")


def dtype_of(spec: Any) -> DType:
    """The `DType` for a name, a NumPy dtype, a NumPy scalar type, `float`, `int` or `bool`.

    Raises DTypeError for anything else. `float` is float64 and `int` int64, as in NumPy.

    >>> dtype_of("float32").itemsize
    4
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, np.dtype):
        return _dtype_from_numpy(spec)
    if isinstance(spec, str) and spec in DTYPES:
        return DTYPES[spec]
    try:
        if spec is not None:  # which NumPy takes for float64
            return _dtype_from_numpy(np.dtype(spec))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, DTypeError):
            raise
    raise DTypeError(f"{shown(spec)} is not a dtype; supported are {', '.join(DTYPES)}") from None


@lru_cache(maxsize=256)
def promote(a: DType, b: DType) -> DType:
    """The dtype in which `a` and `b` meet, as NumPy's `result_type` has it.

    bfloat16 meets float16 in float32, stays bfloat16 with bool and 8-bit integers, and becomes float64 with wider
    integers (as float16 does in NumPy).
    """
    if a is b:
        return a
    if "bfloat16" in (a.name, b.name):
        other = b if a.name == "bfloat16" else a
        if other.is_float:
            return DTYPES["float32"] if other.itemsize == 2 else other
        return DTYPES["bfloat16"] if other.itemsize == 1 else DTYPES["float64"]
    name = np.result_type(a.numpy, b.numpy).name
    return DTYPES[_WIDER.get(name, name)]


@dataclass(frozen=True)
class TensorType:
    """A dtype and a static shape. Use `tensor_type` to build one from unchecked parts."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of a contiguous array of this type."""
        return self.size * self.dtype.itemsize

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        return TensorType(self.dtype, shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class TupleType:
    """The types of a node's several results."""

    parts: tuple[TensorType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parts))})"


def tensor_type(shape: Any, dtype: Any = "float32") -> TensorType:
    """A checked `TensorType`: `shape` an int or a sequence of ints >= 0, `dtype` anything `dtype_of` takes.

    Raises ShapeError, DTypeError.
    """
    parts = (shape,) if isinstance(shape, (int, np.integer)) else shape
    try:
        dims = tuple(parts)
    except TypeError:
        raise ShapeError(f"a shape is a tuple of integers, not {shown(shape)}") from None
    for dim in dims:
        if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, (int, np.integer)) or dim < 0:
            raise ShapeError(f"a shape is a tuple of integers >= 0, not {shown(shape)}")
    return checked_size(TensorType(dtype_of(dtype), tuple(int(dim) for dim in dims)))


def checked_size(type: TensorType) -> TensorType:
    """`type` itself. Raises ShapeError where no array can have it: more bytes, or more axes, than can be counted."""
    if len(type.shape) > MOST_AXES:
        raise ShapeError(f"a tensor has at most {MOST_AXES} axes, not {len(type.shape)}")
    if math.prod([dim or 1 for dim in type.shape]) * type.dtype.itemsize > MOST_BYTES:
        raise ShapeError(f"{shown(str(type))} would take more than 2**62 bytes: no memory can be addressed like that")
    return type
