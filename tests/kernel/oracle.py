"""Kernel IR run by NumPy alone, every statement over the whole space at once: the oracle of the code generators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.ir import Compute, Index, Iota, Kernel, Load, Random, Reduce, Store

Array = np.ndarray[Any, Any]

ROUND_KEYS = (0x9E3779B9, 0xBB67AE85)
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)


def libm(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """The C library's function, element by element: more exact than SciPy's."""
    return lambda x: np.array([function(value) for value in x.ravel().tolist()], np.float64).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def shift_left(a: Array, b: Array) -> Array:
    width = 8 * a.dtype.itemsize
    outside = (b < 0) | (b >= width)
    return np.where(outside, 0, np.left_shift(a, np.where(outside, 0, b)))


def shift_right(a: Array, b: Array) -> Array:
    width = 8 * a.dtype.itemsize
    outside = (b < 0) | (b >= width)
    shifted = np.right_shift(a, np.where(outside, 0, b))
    return np.where(outside, np.where(a < 0, -1, 0), shifted)


def power(a: Array, b: Array) -> Array:
    """As NumPy for floats; for integers wrapping, a negative exponent truncating the exact power."""
    if a.dtype.kind == "f":
        return np.power(a, b)
    results = []
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
        exact = pow(x, y, 2**64) if y >= 0 else (0 if abs(x) != 1 else x ** (-y % 2))
        results.append(exact & (2**64 - 1))
    return np.array(results, np.uint64).reshape(a.shape)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "sign": np.sign, "round": np.rint, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "atan2": np.arctan2,
    "erf": libm(math.erf), "erfc": libm(math.erfc), "sigmoid": sigmoid, "softplus": softplus,
    "relu": lambda x: np.maximum(x, np.zeros_like(x)), "power": power,
    "bitwise_left_shift": shift_left, "bitwise_right_shift": shift_right,
}  # fmt: skip
TRANSCENDENTAL = frozenset(
    str.split(
        "exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh "
        "erf erfc sigmoid softplus power atan2"
    )
)


def apply(op: str, dtype: DType, args: Sequence[Array]) -> Array:
    """A scalar op on arrays of one dtype; the result in `dtype`. Transcendental functions are computed in float64."""
    with np.errstate(all="ignore"):
        if op == "cast":
            return cast(args[0], dtype)
        is_float = args[-1].dtype.kind not in "iub"
        if is_float:
            wide = np.float64 if op in TRANSCENDENTAL or args[-1].dtype == np.float64 else np.float32
            args = [a if a.dtype == np.bool_ else a.astype(wide) for a in args]
        if op in ("floor", "ceil", "round", "trunc") and not is_float:
            return args[0].astype(dtype.numpy)
        function = FUNCTIONS.get(op) or getattr(np, op)
        return np.asarray(function(*args)).astype(dtype.numpy)


def cast(x: Array, dtype: DType) -> Array:
    """NumPy's cast; out of range, floats become the least 32- or 64-bit integer, whose low bits remain."""
    if x.dtype.kind in "iub" or dtype.is_float or dtype.kind == "bool":
        return x.astype(np.float64).astype(dtype.numpy) if dtype.is_low_precision else x.astype(dtype.numpy)
    bits = 64 if dtype.name in ("int64", "uint32") else 32
    whole = np.trunc(x.astype(np.float64))
    inside = (whole >= -(2.0 ** (bits - 1))) & (whole < 2.0 ** (bits - 1))
    return np.where(inside, whole, -(2.0 ** (bits - 1))).astype(np.int64).astype(dtype.numpy)


def reduce(op: str, dtype: DType, x: Array, axes: tuple[int, ...]) -> Array:
    """Along `axes`, which keep extent 1. Float sums are exact but for one rounding."""
    if op != "sum":
        wide = x if not dtype.is_low_precision else x.astype(np.float32)
        return np.asarray(getattr(np, op)(wide, axis=axes, keepdims=True)).astype(dtype.numpy)
    if not dtype.is_float:
        return np.asarray(np.sum(x, axis=axes, keepdims=True)).astype(dtype.numpy)
    kept = np.moveaxis(x.astype(np.float64), axes, range(-len(axes), 0))
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    rows = kept.reshape(math.prod(shape), math.prod(x.shape[d] for d in axes))
    return np.array([_exact_sum(row) for row in rows], np.float64).reshape(shape).astype(dtype.numpy)


def _exact_sum(row: Array) -> float:
    with np.errstate(all="ignore"):
        return math.fsum(row) if np.isfinite(row).all() else float(np.sum(row))


def philox(words: Array, stream: int, seed: int, step: int) -> Array:
    """Philox4x32-10, element by element: word i % 4 of the block that counter i / 4 names."""
    mask = 0xFFFFFFFF
    results = []
    for i in words.ravel().tolist():
        c = [i // 4 & mask, stream, step & mask, i >> 34 << 16 | step >> 32 & 0xFFFF]
        k = [seed & mask, seed >> 32]
        for _ in range(10):
            p, q = MULTIPLIERS[0] * c[0], MULTIPLIERS[1] * c[2]
            c = [(q >> 32) ^ c[1] ^ k[0], q & mask, (p >> 32) ^ c[3] ^ k[1], p & mask]
            k = [(key + bump) & mask for key, bump in zip(k, ROUND_KEYS, strict=True)]
        results.append(c[i % 4])
    return np.array(results, np.uint32).reshape(words.shape)


class Oracle:
    """Runs `kernel` on flat buffers, one for each operand; those that are written are filled in place."""

    def __init__(self, kernel: Kernel, buffers: Sequence[Array]) -> None:
        self.kernel, self.buffers = kernel, buffers
        self.shape = kernel.space.extents
        self.axes = tuple(kernel.space.reduce_dims)

    def run(self) -> None:
        values: list[Array] = []
        stores: list[tuple[Store, Array]] = []
        for statement in self.kernel.body:
            match statement:
                case Load(operand, dtype, index, otherwise):
                    values.append(self._load(operand, dtype, index, None if otherwise is None else values[otherwise]))
                case Scalar():
                    values.append(statement.element.reshape([1] * len(self.shape)))
                case Iota(dtype, index):
                    values.append(self._numbers(index).astype(dtype.numpy))
                case Random(operand, stream, index):
                    seed, step = self.buffers[operand].view(np.uint64)[:2].tolist()
                    values.append(philox(self._numbers(index), stream, seed, step))
                case Compute(op, dtype, args):
                    values.append(apply(op, dtype, np.broadcast_arrays(*(values[arg] for arg in args))))
                case Reduce(op, dtype, arg):
                    whole = np.broadcast_to(values[arg], self._whole(values[arg]))
                    values.append(reduce(op, dtype, whole, self.axes) if self.axes else values[arg])
                case Store(arg=arg):
                    values.append(values[arg])
                    stores.append((statement, values[arg]))
        for store, value in stores:
            self._store(store, value)

    def _whole(self, value: Array) -> tuple[int, ...]:
        """The value's shape with the reduce dims at their full extent."""
        return tuple(self.shape[d] if d in self.axes else n for d, n in enumerate(value.shape))

    def _numbers(self, index: Index) -> Array:
        total = np.full([1] * len(self.shape), index.offset, np.int64)
        for dim, stride in enumerate(index.strides):
            if stride:
                total = total + stride * self._positions(dim)
        return total

    def _positions(self, dim: int) -> Array:
        shape = [1] * len(self.shape)
        shape[dim] = self.shape[dim]
        return np.arange(self.shape[dim], dtype=np.int64).reshape(shape)

    def _inside(self, index: Index) -> Array:
        inside = np.ones([1] * len(self.shape), bool)
        for dim, low, high in index.guard:
            at = self._positions(dim)
            inside = inside & (at >= low) & (at < high)
        return inside

    def _load(self, operand: int, dtype: DType, index: Index, otherwise: Array | None) -> Array:
        numbers, inside = np.broadcast_arrays(self._numbers(index), self._inside(index))
        found = np.zeros(numbers.shape, dtype.numpy)
        found[inside] = self.buffers[operand][numbers[inside]]
        return found if otherwise is None else np.where(inside, found, otherwise)

    def _store(self, store: Store, value: Array) -> None:
        numbers = self._numbers(store.index)
        shape = np.broadcast_shapes(numbers.shape, value.shape, self._inside(store.index).shape)
        numbers, value, inside = (np.broadcast_to(x, shape) for x in (numbers, value, self._inside(store.index)))
        self.buffers[store.operand][numbers[inside]] = value[inside]
