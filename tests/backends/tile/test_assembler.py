"""The tile machine against the oracle: whole kernels, row programs, memory in every layout, bad words and kernels."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from graphc.backends.tile.assembler import TileProgram, assemble
from graphc.backends.tile.selection import select
from graphc.backends.tile.slots import assign_slots
from graphc.errors import InternalError
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES, DType
from graphc.kernel.ir import (
    Compute,
    Index,
    Iota,
    Kernel,
    Load,
    Operand,
    Random,
    Reduce,
    Space,
    Statement,
    Store,
)  # fmt: skip
from graphc.kernel.nest import Nest
from graphc.kernel.verify import verify
from graphc.kernels import cpu
from tests.backends.tile import running as tile_running
from tests.backends.tile.running import run
from tests.kernel.oracle import philox
from tests.kernel.support import (
    RandomKernel,
    assert_close,
    compare,
    elementwise_kernel,
    small_values,
    strides_of,
    values_of,
)  # fmt: skip
from tests.kernels.abi import decode

LEVELS = cpu.supported_levels()
WIDEST = LEVELS[-1]
every_level = pytest.mark.parametrize("level", LEVELS)
F32, F64, BOOL = DTYPES["float32"], DTYPES["float64"], DTYPES["bool"]
COUNT = 333  # no multiple of any vector


# Random kernels ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("block", range(20))
def test_random_kernels(block: int) -> None:
    """Exact programs with every kind of load agree with the oracle to the bit."""
    for seed in range(block * 15, block * 15 + 15):
        made = RandomKernel(seed)
        compare(LEVELS[seed % len(LEVELS)], made.kernel, made.buffers)


@pytest.mark.parametrize("block", range(5))
def test_random_large_kernels(block: int) -> None:
    """The same where tiles, chunks and several units of work come in."""
    for seed in range(1000 + block * 4, 1004 + block * 4):
        made = RandomKernel(seed, sizes=(1, 3, 40, 130), dims=3)
        tiles = assemble(made.kernel).tiles
        order = np.random.default_rng(seed).permutation(tiles).tolist()
        compare(LEVELS[seed % len(LEVELS)], made.kernel, made.buffers, tiles=order)


@every_level
def test_values_do_not_depend_on_the_order_of_tiles(level: str) -> None:
    """Inexact programs give the same bits whatever order their tiles run in."""
    rng = np.random.default_rng(5)
    for kernel, shape in ((softmax(3000, 50), (3000, 50)), (column_sums(700, 1100), (700, 1100))):
        program = assemble(kernel)
        assert program.tiles > 2
        x, out = (
            rng.normal(size=shape).astype(np.float32).ravel(),
            [np.zeros(shape, np.float32).ravel() for _ in range(2)],
        )
        run(level, program, [x, out[0]])
        run(level, program, [x, out[1]], reversed(range(program.tiles)))
        assert out[0].tobytes() == out[1].tobytes()


# Row programs --------------------------------------------------------------------------------------------------------
def softmax(rows: int, columns: int, dtype: DType = F32) -> Kernel:
    index = Index(0, (columns, 1))
    body = (
        Load(0, dtype, index), Reduce("max", dtype, 0), Compute("subtract", dtype, (0, 1)), Compute("exp", dtype, (2,)),
        Reduce("sum", dtype, 3), Compute("divide", dtype, (3, 4)), Store(1, index, 5),
    )  # fmt: skip
    return Kernel((Operand(dtype, "read"), Operand(dtype, "write")), Space((rows,), (columns,), ()), body)


def column_sums(rows: int, columns: int, dtype: DType = F32) -> Kernel:
    body = (Load(0, dtype, Index(0, (columns, 1))), Reduce("sum", dtype, 0), Store(1, Index(0, (0, 1)), 1))
    return Kernel((Operand(dtype, "read"), Operand(dtype, "write")), Space((), (rows,), (columns,)), body)


def layer_norm(rows: int, columns: int, inner: int = 1) -> Kernel:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift along the middle dim, and the mean and variance."""
    dense, along, row = Index(0, (columns * inner, inner, 1)), Index(0, (0, 1, 0)), Index(0, (inner, 0, 1))
    body = (
        Load(0, F32, dense), Scalar.of(F32, 1 / columns), Reduce("sum", F32, 0), Compute("multiply", F32, (2, 1)),
        Compute("subtract", F32, (0, 3)), Compute("multiply", F32, (4, 4)), Reduce("sum", F32, 5),
        Compute("multiply", F32, (6, 1)), Scalar.of(F32, 1e-5), Compute("add", F32, (7, 8)),
        Compute("sqrt", F32, (9,)), Compute("divide", F32, (4, 10)),
        Load(1, F32, along), Compute("multiply", F32, (11, 12)), Load(2, F32, along), Compute("add", F32, (13, 14)),
        Store(3, dense, 15), Store(4, row, 3), Store(5, row, 7),
    )  # fmt: skip
    operands = (*[Operand(F32, "read")] * 3, *[Operand(F32, "write")] * 3)
    return Kernel(operands, Space((rows,), (columns,), (inner,)), body)


@every_level
@pytest.mark.parametrize("shape", [(1, 1), (64, 10), (5, 63), (3, 64), (7, 200), (2, 70000)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_softmax(level: str, shape: tuple[int, int], dtype: str) -> None:
    kind = DTYPES[dtype]
    x = np.random.default_rng(6).normal(size=shape).astype(kind.numpy)
    compare(level, softmax(*shape, kind), [x.ravel(), np.zeros_like(x).ravel()], 8)


@every_level
@pytest.mark.parametrize(
    "shape", [(3, 5, 1), (64, 32, 1), (2, 3000, 1), (2, 40000, 1), (3, 7, 5), (2, 300, 33), (1, 9000, 20)]
)
def test_layer_norm(level: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    rows, columns, inner = shape
    buffers = [rng.normal(size=n).astype(np.float32) for n in (rows * columns * inner, columns, columns)]
    buffers += [np.zeros(n, np.float32) for n in (rows * columns * inner, rows * inner, rows * inner)]
    want = buffers[0].astype(np.float64).reshape(shape)
    mean, variance = want.mean(1, keepdims=True), want.var(1, keepdims=True)
    want = (want - mean) / np.sqrt(variance + 1e-5) * buffers[1][:, None] + buffers[2][:, None]
    run(level, assemble(layer_norm(*shape)), buffers)
    np.testing.assert_allclose(buffers[3], want.ravel(), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(buffers[4], mean.ravel(), atol=1e-7)
    np.testing.assert_allclose(buffers[5], variance.ravel(), rtol=1e-6)


@every_level
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("op", ["sum", "max", "min"])
@pytest.mark.parametrize(
    "shape", [(3, 1, 4), (5, 37, 1), (2, 300, 3), (4, 64, 10), (1, 20000, 1), (2, 6145, 1), (7, 15, 1), (1, 2000, 70)]
)
def test_reduction(level: str, shape: tuple[int, int, int], op: str, dtype: DType) -> None:
    rng = np.random.default_rng(8)
    size = int(np.prod(shape))
    x = values_of(rng, dtype, size, special=op != "sum" or size < 1000)
    if op == "sum" and dtype.is_float:
        x = np.abs(x)  # no cancellation, so that units in the last place mean something
    body = (Load(0, dtype, Index(0, strides_of(shape))), Reduce(op, dtype, 0), Store(1, Index(0, (shape[2], 0, 1)), 1))
    kernel = Kernel((Operand(dtype, "read"), Operand(dtype, "write")), Space(shape[:1], shape[1:2], shape[2:]), body)
    compare(level, kernel, [x, np.zeros(shape[0] * shape[2], dtype.numpy)], 16 if dtype is F64 else 1)


@every_level
def test_sums_are_accurate(level: str) -> None:
    """A float32 sum of a million terms is right to the last place; a float64 sum loses a few."""
    for dtype, most in ((F32, 1), (F64, 4)):
        x = (1 + np.random.default_rng(9).random(1 << 20)).astype(dtype.numpy)
        body = (Load(0, dtype, Index(0, (1,))), Reduce("sum", dtype, 0), Store(1, Index(0, (0,)), 1))
        kernel = Kernel((Operand(dtype, "read"), Operand(dtype, "write")), Space((), (x.size,), ()), body)
        compare(level, kernel, [x, np.zeros(1, dtype.numpy)], most)


# Memory --------------------------------------------------------------------------------------------------------------
@every_level
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 4), (0, 0)])
def test_empty_and_scalar_spaces(level: str, shape: tuple[int, ...]) -> None:
    operands = (Operand(F32, "read"), Operand(F32, "write"))
    dense = Index(0, strides_of(shape))
    body = (Load(0, F32, dense), Compute("add", F32, (0, 0)), Store(1, dense, 1))
    size = int(np.prod(shape))
    program = assemble(Kernel(operands, Space((), (), shape), body))
    assert program.tiles == (1 if size else 0)
    compare(
        level, Kernel(operands, Space((), (), shape), body), [np.full(size, 3, np.float32), np.zeros(size, np.float32)]
    )
    for cut in range(len(shape)):  # sums over nothing are 0
        space = Space(shape[:cut], shape[cut : cut + 1], shape[cut + 1 :])
        rest = int(np.prod(shape[:cut] + shape[cut + 1 :]))
        strides = list(strides_of(shape[:cut] + shape[cut + 1 :]))
        strides.insert(cut, 0)
        total = (
            Load(0, F32, dense),
            Reduce("sum", F32, 0),
            Scalar.of(F32, 1),
            Compute("add", F32, (1, 2)),
            Store(1, Index(0, tuple(strides)), 3),
        )
        compare(level, Kernel(operands, space, total), [np.zeros(size, np.float32), np.full(rest, 7, np.float32)])


@every_level
@pytest.mark.parametrize("count", [1, 30, 5000])
def test_in_place(level: str, count: int) -> None:
    """Written operands may be the memory of those read with the same index: an optimiser's step, and a swap."""
    index = Index(0, (1,))
    operands = (*[Operand(F32, "read")] * 2, *[Operand(F32, "write")] * 2)
    loads = (Load(0, F32, index), Load(1, F32, index))
    rng = np.random.default_rng(10)
    step = (
        *loads,
        Compute("multiply", F32, (1, 1)),
        Compute("subtract", F32, (0, 2)),
        Compute("add", F32, (3, 1)),
        Store(2, index, 3),
        Store(3, index, 4),
    )
    swap = (*loads, Store(2, index, 1), Store(3, index, 0))
    mixed = (
        *loads,
        Compute("add", F32, (0, 1)),
        Store(2, index, 2),
        Compute("subtract", F32, (0, 1)),
        Store(3, index, 4),
    )
    for body in (step, swap, mixed):
        buffers = [small_values(rng, F32, count) for _ in range(2)] + [np.zeros(count, np.float32) for _ in range(2)]
        compare(level, Kernel(operands, Space((), (), (count,)), body), buffers, shared=[(2, 0), (3, 1)])


@every_level
@pytest.mark.parametrize("shape", [(50, 10), (3, 20000)])
def test_row_program_in_place(level: str, shape: tuple[int, int]) -> None:
    """x - sum(x), also where the sum is taken in chunks before the first store."""
    index = Index(0, (shape[1], 1))
    body = (
        Load(0, F32, index),
        Scalar.of(F32, 1),
        Compute("add", F32, (0, 1)),
        Store(1, index, 2),
        Reduce("sum", F32, 2),
        Compute("subtract", F32, (2, 4)),
        Store(2, index, 5),
    )
    kernel = Kernel((Operand(F32, "read"), *[Operand(F32, "write")] * 2), Space(shape[:1], shape[1:], ()), body)
    x = small_values(np.random.default_rng(11), F32, shape[0] * shape[1])
    exchange = (Load(0, F32, index), Load(1, F32, index), Reduce("sum", F32, 1), Store(2, index, 1), Store(3, index, 0))
    both = Kernel((*[Operand(F32, "read")] * 2, *[Operand(F32, "write")] * 2), kernel.space, exchange)
    compare(level, both, [x, x[::-1].copy(), np.zeros_like(x), np.zeros_like(x)], shared=[(2, 0), (3, 1)])
    for written in (1, 2):
        compare(level, kernel, [x, np.zeros_like(x), np.zeros_like(x)], shared=[(written, 0)])


@every_level
@pytest.mark.parametrize("shape", [(3, 4, 5), (20, 17, 70), (90, 1, 300)])
def test_transposes(level: str, shape: tuple[int, int, int]) -> None:
    """Every order of three axes, read and written."""
    x = small_values(np.random.default_rng(12), F32, int(np.prod(shape)))
    dense = Index(0, strides_of(shape))
    operands = (Operand(F32, "read"), Operand(F32, "read"), Operand(F32, "write"))
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        permuted = strides_of([shape[d] for d in order])
        moved = Index(0, tuple(permuted[order.index(d)] for d in range(3)))
        for load, store in ((moved, dense), (dense, moved)):
            body = (Load(0, F32, load), Load(1, F32, dense), Compute("subtract", F32, (0, 1)), Store(2, store, 2))
            compare(level, Kernel(operands, Space((), (), shape), body), [x, x[::-1].copy(), np.zeros_like(x)])


@every_level
def test_padding_and_concatenation(level: str) -> None:
    """pad(concatenate(a, b, axis 1)): loads that continue each other."""
    for dtype in (F32, DTYPES["bfloat16"], DTYPES["int8"], BOOL):
        rng = np.random.default_rng(13)
        a, b = small_values(rng, dtype, 12), small_values(rng, dtype, 20)
        zero = Scalar.of(dtype, 0)
        first = Load(0, dtype, Index(-4, (3, 1)), 0)
        first = Load(0, dtype, Index(-4, (3, 1), ((0, 1, 5), (1, 1, 4))), 0)
        second = Load(1, dtype, Index(-9, (5, 1), ((0, 1, 5), (1, 4, 9))), 1)
        body = (zero, first, second, Store(2, Index(0, (11, 1)), 2))
        kernel = Kernel(
            (Operand(dtype, "read"), Operand(dtype, "read"), Operand(dtype, "write")), Space((), (), (7, 11)), body
        )
        got = compare(level, kernel, [a, b, np.ones(77, dtype.numpy)])
        want = np.pad(np.concatenate([a.reshape(4, 3), b.reshape(4, 5)], 1), ((1, 2), (1, 2)))
        np.testing.assert_array_equal(got[2], want.ravel())


# Sources -------------------------------------------------------------------------------------------------------------
@every_level
@pytest.mark.parametrize("count", [1, 3, 130, 600])
def test_random_bits(level: str, count: int) -> None:
    state = np.array([0x123456789ABCDEF0, 0xFFFFFFFF0], np.uint64).view(np.int64)
    u32 = DTYPES["uint32"]
    operands = (Operand(DTYPES["int64"], "read"), *[Operand(u32, "write")] * 3)
    body = (
        Random(0, 5, Index(2, (1,)), u32), Store(1, Index(0, (1,)), 0),
        Random(0, 9, Index(7, (3,)), u32), Store(2, Index(0, (1,)), 2),
        Random(0, 5, Index((1 << 34) - 22, (1,)), u32), Store(3, Index(0, (1,)), 4),  # across the 2**32nd block
    )  # fmt: skip
    compare(
        level,
        Kernel(operands, Space((), (), (count,)), body),
        [state, *(np.zeros(count, np.uint32) for _ in range(3))],
    )


def test_philox_is_philox() -> None:
    """Known answers of Philox4x32-10: counter and key of zeros, and of ones."""
    assert philox(np.arange(4), 0, 0, 0).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@every_level
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES.values() if dtype.kind != "bool"], ids=str)
def test_iota(level: str, dtype: DType) -> None:
    body = (
        Iota(dtype, Index(-3, (7, 1))),
        Store(0, Index(0, (30, 1)), 0),
        Iota(dtype, Index(5, (0, -2))),
        Store(1, Index(0, (30, 1)), 2),
    )
    kernel = Kernel((Operand(dtype, "write"),) * 2, Space((), (), (9, 30)), body)
    compare(level, kernel, [np.zeros(270, dtype.numpy), np.zeros(270, dtype.numpy)])


# Words from elsewhere ------------------------------------------------------------------------------------------------
def test_damaged_words_are_refused_or_harmless() -> None:
    """Programs with a word changed are refused, or stay within scratch and the bytes they declare."""
    program = assemble(layer_norm(6, 20, 3))
    words = program.words
    rng = np.random.default_rng(14)
    refused = 0
    for position in range(len(words)):
        for value in (-1, 2**62, int(rng.integers(0, 50))):
            damaged = (*words[:position], value, *words[position + 1 :])
            memory = decode(WIDEST, damaged)
            refused += memory is None
            # the header's words may ask for endless work: that is no matter of memory
            if memory is not None and position >= len(words) - 400 and position % 5 == 0:
                sizes = [tile_running.isa(WIDEST).operand_bytes(ctypes.addressof(memory), i) for i in range(6)]
                run(WIDEST, TileProgram(damaged, 1, program.scratch, 0), [np.ones(size, np.uint8) for size in sizes])
    assert refused > len(words)
    for cut in range(len(words)):
        assert decode(WIDEST, words[:cut]) is None


# The verifier --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ((Compute("add", F32, (0, 1)),), "not computed before"),
        ((Scalar.of(F32, 0), Compute("add", F32, (0, 1))), "not computed before"),
        ((Load(0, F32, Index(0, (1, 1))),), "over 2 dims in a space of 1"),
        ((Load(0, F32, Index(0, (1,), ((0, 0, 2),))),), "does not say what lies outside"),
        ((Load(1, F32, Index(0, (1,))),), "asks to read"),
        ((Load(0, F64, Index(0, (1,))),), "asks to read"),
        ((Scalar.of(F32, 0), Compute("add", F64, (0, 0))), "computes add of"),
        ((Scalar.of(F32, 0), Compute("bitwise_and", F32, (0, 0))), "computes bitwise_and"),
        ((Scalar.of(F32, 0), Compute("nothing", F32, (0,))), "computes nothing"),
        ((Scalar.of(F32, 0), Reduce("median", F32, 0)), "reduces float32"),
        ((Scalar.of(F32, 0), Store(1, Index(0, (0,)), 0)), "more than once"),
    ],
)
def test_verify(body: tuple[Statement, ...], message: str) -> None:
    kernel = Kernel((Operand(F32, "read"), Operand(F32, "write")), Space((), (), (4,)), body)
    with pytest.raises(InternalError, match=message):
        verify(kernel)


def test_a_wrong_kernel_is_caught() -> None:
    """The comparison itself fails when the machine runs another kernel than the oracle."""
    kernel = elementwise_kernel("add", [F32, F32], F32, 9)
    wrong = elementwise_kernel("subtract", [F32, F32], F32, 9)
    rng = np.random.default_rng(15)
    buffers = [rng.normal(size=9).astype(np.float32) for _ in range(2)] + [np.zeros(9, np.float32)]
    want = compare(WIDEST, kernel, buffers)[2]
    run(WIDEST, assemble(wrong), buffers)
    with pytest.raises(AssertionError, match="differ by more"):
        assert_close(buffers[2], want, F32, 4)


@pytest.mark.parametrize("resident", [True, False])
def test_a_slot_holds_what_is_read_from_it(resident: bool) -> None:
    """In the second round of a loop, and for the second tile, which has the first segment from the first one."""
    for seed in range(300):
        nest = Nest(RandomKernel(seed).kernel)
        if not nest.size:
            continue
        selection = select(nest, resident=resident)
        slots, holds = assign_slots(nest, selection).of, dict[int, int]()
        first, *rest = selection.segments
        for x in (x for s in (first, *rest, *rest) for x in s.instructions * (1 + s.looped)):
            assert all(holds[slots[value]] == value for value in x.reads if slots[value] >= 0)
            if x.target >= 0:
                holds[slots[x.target]] = x.target
