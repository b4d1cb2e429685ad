"""Random kernels and values for the tests of code generators, and how close results must be."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np

from graphc.backends.tile.assembler import assemble
from graphc.ir.types import DTYPES, DType
from graphc.kernel.ir import Compute, Index, Kernel, Load, Operand, Reduce, Space, Statement, Store
from graphc.kernel.text import kernel_text
from tests.backends.tile.running import run
from tests.kernel.oracle import Array, Oracle

SPECIAL = (
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -3.0,
    1e-40,
    -1e-310,
    1e30,
    -88.0,
    709.0,
    1e6,
    -1e9,
)


def values_of(rng: np.random.Generator, dtype: DType, count: int, *, special: bool = True) -> Array:
    """`count` elements: floats around 1 with special ones among them, integers large and small."""
    if dtype.kind == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if dtype.is_float:
        values = rng.normal(size=count) * np.exp(rng.normal(size=count))
        if special:
            places = rng.random(count) < 0.2
            values[places] = rng.choice(SPECIAL, int(places.sum()))
        with np.errstate(over="ignore"):
            return values.astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    large = rng.integers(info.min, info.max, count, dtype.numpy, endpoint=True)
    small = rng.integers(max(info.min, -9), 10, count).astype(dtype.numpy)
    return np.where(rng.random(count) < 0.5, large, small)


def small_values(rng: np.random.Generator, dtype: DType, count: int) -> Array:
    """Small whole numbers, on which sums, differences and products are exact in every dtype."""
    low = 0 if dtype.kind in ("uint", "bool") else -3
    return rng.integers(low, 2 if dtype.kind == "bool" else 4, count).astype(dtype.numpy)


def ulps(got: Array, want: Array, dtype: DType) -> Array:
    """Distance in units of the last place, as float64; huge where only one is NaN or the signs differ."""
    bits = {2: np.int16, 4: np.int32, 8: np.int64}[dtype.itemsize]
    a, b = got.view(bits).astype(np.int64), want.view(bits).astype(np.int64)
    distance = np.where((a < 0) == (b < 0), np.abs(a - b).astype(np.float64), 1e18)
    wide = got.astype(np.float64), want.astype(np.float64)
    nan = np.isnan(wide[0]), np.isnan(wide[1])
    distance = np.where((wide[0] == 0) & (wide[1] == 0), 0, distance)
    return np.where(nan[0] | nan[1], np.where(nan[0] & nan[1], 0, 1e18), distance)


def assert_close(got: Array, want: Array, dtype: DType, most: int, kernel: Kernel | None = None) -> None:
    """Equal but for `most` units in the last place; zeros of both signs are equal."""
    wrong = np.flatnonzero(ulps(got, want, dtype) > most if dtype.is_float else got != want)
    if wrong.size:
        shown = [(int(i), got[i], want[i]) for i in wrong[:5]]
        text = kernel_text(kernel) if kernel is not None else ""
        raise AssertionError(f"{wrong.size} of {got.size} differ by more than {most} ulp: {shown}\n{text}")


def elementwise_kernel(op: str, dtypes: Sequence[DType], result: DType, count: int) -> Kernel:
    """result[i] = op(inputs[i]...)"""
    operands = (*(Operand(dtype, "read") for dtype in dtypes), Operand(result, "write"))
    loads = tuple(Load(i, dtype, Index(0, (1,))) for i, dtype in enumerate(dtypes))
    body = (*loads, Compute(op, result, tuple(range(len(dtypes)))), Store(len(dtypes), Index(0, (1,)), len(dtypes)))
    return Kernel(operands, Space((), (), (count,)), body)


def compare(
    level: str, kernel: Kernel, buffers: Sequence[Array], most: int = 0, tiles: Iterable[int] | None = None,
    shared: Sequence[tuple[int, int]] = (),
) -> list[Array]:  # fmt: skip
    """Runs the kernel both ways and compares what it writes. `shared`: (written operand, whose memory it is)."""
    want, got = copy.deepcopy(list(buffers)), copy.deepcopy(list(buffers))
    Oracle(kernel, want).run()
    for written, read in shared:
        got[written] = got[read]
    run(level, assemble(kernel), got, tiles)
    for number, operand in enumerate(kernel.operands):
        if operand.access == "write":
            assert_close(got[number], want[number], operand.dtype, most, kernel)
    return got


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


class RandomKernel:
    """A random loop nest over exact operations, with loads of every kind. `buffers` are operands that fit it."""

    EXACT = ("add", "subtract", "multiply", "maximum", "minimum")

    def __init__(self, seed: int, sizes: Sequence[int] = (1, 2, 3, 5, 8, 17, 33), dims: int = 4) -> None:
        self.rng = np.random.default_rng(seed)
        count = int(self.rng.integers(0, dims + 1))
        extents = [int(self.rng.choice(sizes)) for _ in range(count)]
        cuts = sorted(self.rng.integers(0, count + 1, 2).tolist())
        self.space = Space(tuple(extents[: cuts[0]]), tuple(extents[cuts[0] : cuts[1]]), tuple(extents[cuts[1] :]))
        self.dtype = DTYPES[
            str(self.rng.choice(["float32", "float32", "float64", "int32", "int64", "bfloat16", "int8", "uint8"]))
        ]
        self.operands: list[Operand] = []
        self.buffers: list[Array] = []
        self.body: list[Statement] = []
        self.kernel = self._build()

    def _build(self) -> Kernel:
        values = [self._load() for _ in range(int(self.rng.integers(1, 4)))]
        for _ in range(int(self.rng.integers(1, 7))):
            values.append(self._step(values))
        for value in {values[-1], values[int(self.rng.integers(len(values)))]}:
            self._store(value)
        return Kernel(tuple(self.operands), self.space, tuple(self.body))

    def _append(self, statement: Statement) -> int:
        self.body.append(statement)
        return len(self.body) - 1

    def _step(self, values: list[int]) -> int:
        choice = self.rng.random()
        a, b = (int(self.rng.choice(values)) for _ in range(2))
        if choice < 0.2:
            return self._append(Reduce(str(self.rng.choice(["sum", "max", "min"])), self.dtype, a))
        if choice < 0.35:
            return self._load(otherwise=a)
        if choice < 0.5:
            condition = self._append(Compute("less", DTYPES["bool"], (a, b)))
            return self._append(Compute("where", self.dtype, (condition, b, a)))
        if choice < 0.6:
            # keep numbers small, so that everything stays exact
            zero = self._append(Compute("subtract", self.dtype, (a, a)))
            return self._append(Compute("maximum", self.dtype, (zero, b)))
        op = str(self.rng.choice(self.EXACT))
        limited = self._limit(a) if op == "multiply" else a
        return self._append(Compute(op, self.dtype, (limited, b)))

    def _limit(self, value: int) -> int:
        """sign(value): a factor that lets nothing grow."""
        return self._append(Compute("sign", self.dtype, (value,)))

    def _load(self, otherwise: int | None = None) -> int:
        """A load with random strides, broadcast, transposed or backwards; guarded if it continues another value."""
        extents = self.space.extents
        order = self.rng.permutation(len(extents)) if self.rng.random() < 0.4 else np.arange(len(extents))
        strides, step, offset = [0] * len(extents), 1, 0
        for dim in reversed(order.tolist()):
            if self.rng.random() < 0.25:
                continue
            gap = int(self.rng.choice([1, 1, 1, 2]))
            strides[dim] = step * gap
            if self.rng.random() < 0.15:
                strides[dim] = -step * gap
                offset += (extents[dim] - 1) * step * gap
            step *= gap * extents[dim]
        guard = ()
        if otherwise is not None:
            guard = tuple(self._guard(dim) for dim in range(len(extents)) if self.rng.random() < 0.5)
        self.operands.append(Operand(self.dtype, "read"))
        self.buffers.append(small_values(self.rng, self.dtype, step))
        return self._append(Load(len(self.operands) - 1, self.dtype, Index(offset, tuple(strides), guard), otherwise))

    def _guard(self, dim: int) -> tuple[int, int, int]:
        extent = self.space.extents[dim]
        low = int(self.rng.integers(0, extent))
        return dim, low, int(self.rng.integers(low, extent + 1))

    def _store(self, value: int) -> None:
        kernel = Kernel(tuple(self.operands), self.space, tuple(self.body))
        reduce = self.space.reduce_dims if kernel.is_row[value] else range(0)
        shape = [1 if d in reduce else n for d, n in enumerate(self.space.extents)]
        strides = tuple(0 if d in reduce else stride for d, stride in enumerate(strides_of(shape)))
        self.operands.append(Operand(self.dtype, "write"))
        self.buffers.append(np.zeros(int(np.prod(shape)), self.dtype.numpy))
        self._append(Store(len(self.operands) - 1, Index(0, strides), value))
