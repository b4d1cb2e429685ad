"""Matrix products as generated C has them, against NumPy: params are constants, only the kernels asked for exist.

Every shape in every form at the widest level; elsewhere, and alone, each in some forms or one dtype, and in all of them
with GRAPHC_TEST_FULL=1.
"""

import ctypes
import os
import shutil
from typing import Any

import numpy as np
import pytest

from benchmarks.products import compiled
from graphc.backends.c.launches import products_macro
from graphc.backends.cpu.matmul import matmul
from graphc.ir.types import TensorType, dtype_of
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView
from graphc.kernels import cpu
from tests.kernels.abi import guarded, intact

COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or ""
FLAGS = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-DGC_UNFORESEEN=__builtin_trap()"]
MACHINES = {"baseline": "x86-64", "avx2": "x86-64-v3", "avx512": "x86-64-v4"}
FULL = bool(os.environ.get("GRAPHC_TEST_FULL"))
FORMS = ("NN", "NT", "TN", "TT")
DTYPES = ("float32", "float64")
LEVELS = [level for level in cpu.supported_levels() if level in MACHINES]

SHAPES = [  # rows, depth, columns
    (64, 10, 32), (10, 64, 32), (33, 70, 65), (1, 50, 40), (40, 50, 1), (15, 300, 17), (21, 5, 9), (200, 130, 100),
    (300, 1024, 96), (257, 600, 200), (128, 900, 130), (5, 0, 7), (784, 40, 64), (36, 33, 48),
]  # fmt: skip

pytestmark = pytest.mark.skipif(not (COMPILER and LEVELS), reason="needs a C compiler and an x86-64 processor")


def operands(rng: np.random.Generator, shape: tuple[int, int, int], form: str, dtype: str) -> list[np.ndarray]:
    """A and B, each transposed where `form` has a T."""
    rows, depth, columns = shape
    pairs = [(rows, depth), (depth, columns)]
    return [
        rng.standard_normal(pair).astype(dtype) if letter == "N" else rng.standard_normal(pair[::-1]).astype(dtype).T
        for pair, letter in zip(pairs, form, strict=True)
    ]


def lowered(a: np.ndarray, b: np.ndarray) -> LibraryCall:
    views = [OperandView(dtype_of(x.dtype), x.shape, tuple(step // x.itemsize for step in x.strides)) for x in (a, b)]
    return matmul(views, OperandView.contiguous(TensorType(dtype_of(a.dtype), (a.shape[0], b.shape[1]))), 2)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_with_constants(level: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    chosen = [
        (shape, form)
        for i, shape in enumerate(SHAPES)
        for j, form in enumerate(FORMS)
        if FULL or level == LEVELS[-1] or (i + j + LEVELS.index(level)) % 2 == 0
    ]
    cases = [operands(rng, shape, form, dtype) for shape, form in chosen]
    calls = [lowered(a, b) for a, b in cases]
    library = compiled(calls, [COMPILER, *FLAGS, f"-march={MACHINES[level]}"])
    for i, ((a, b), call) in enumerate(zip(cases, calls, strict=True)):
        check(library[f"product_{i}"], a, b, call)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [(shape, dtype) for i, shape in enumerate(SHAPES) for dtype in (DTYPES if FULL else [DTYPES[i % 2]])],
)
def test_a_product_alone_has_its_kernels(shape: tuple[int, int, int], dtype: str) -> None:
    a, b = operands(np.random.default_rng(9), shape, "NN", dtype)
    call = lowered(a, b)
    library = compiled([call], [COMPILER, *FLAGS, f"-march={MACHINES[LEVELS[-1]]}"])
    check(library["product_0"], a, b, call)


def check(product: Any, a: np.ndarray, b: np.ndarray, call: LibraryCall) -> None:
    """Run a compiled product once, within its scratch memory, and compare it with NumPy's."""
    scratch, out = guarded(call.scratch), guarded(a.shape[0] * b.shape[1] * a.itemsize)
    buffers = (ctypes.c_void_p * 3)(a.ctypes.data, b.ctypes.data, out.ctypes.data)
    product(buffers, ctypes.c_void_p(scratch.ctypes.data), ctypes.c_int64(1))
    assert intact(scratch)
    assert intact(out)
    got = out[:-64].view(a.dtype).reshape(a.shape[0], b.shape[1])
    want = a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a).astype(np.float64) @ np.abs(b)
    assert (np.abs(got - want) <= 4 * np.finfo(a.dtype).eps * np.sqrt(max(a.shape[1], 1)) * size).all()


def test_the_macro_names_what_needs_kernels() -> None:
    rng = np.random.default_rng(8)
    calls = [lowered(*operands(rng, shape, "NN", "float32")) for shape in [(64, 10, 32), (64, 32, 1), (64, 128, 512)]]
    one = "#define GC_PRODUCTS(F, ...) F(64, 32, 0, __VA_ARGS__)\n#define GC_PRODUCT_ROWS(F) F(64)"
    assert products_macro([calls[0], calls[1]]) == one
    assert products_macro(calls[1:2]) == "#define GC_PRODUCTS(F, ...)\n#define GC_PRODUCT_ROWS(F)"
    both = "F(64, 32, 0, __VA_ARGS__) F(64, 512, 1, __VA_ARGS__)"
    assert products_macro(calls) == f"#define GC_PRODUCTS(F, ...) {both}\n#define GC_PRODUCT_ROWS(F) F(64)"
