"""Products of which an operand or the result is a vector, in every float dtype, on every backend and exported.

The C engine compiles only those kernels that its products are foreseen to need (heights.h): here, what is not foreseen
ends the program, and elsewhere it costs time alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.aot import c_form
from graphc.backends.cpu.matmul import is_vector_product, product_shapes
from graphc.kernel.ir import LibraryCall
from graphc.kernels import cpu
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.compilers import TARGETS
from tests.ops.helpers import difference
from tests.runtime.support import needs_compiler

FLOATS = ("bfloat16", "float16", "float32", "float64")
BACKENDS = ["cython", pytest.param("c", marks=needs_compiler)]
Build = Callable[..., Any]


def linear(x: gx.Tensor, columns: int) -> gx.Tensor:
    """A layer of the dtype of `x`."""
    nn.seed(0)
    return nn.Linear(x.shape[1], columns, dtype=x.dtype)(x)


PRODUCTS: dict[str, tuple[list[tuple[int, ...]], Build]] = {
    "matrix-column": ([(16, 16), (16, 1)], lambda a, w: a @ w),
    "row-matrix": ([(1, 16), (16, 16)], lambda a, w: a @ w),
    "matrix-vector": ([(33, 40), (40,)], lambda a, w: a @ w),
    "vector-matrix": ([(40,), (40, 33)], lambda a, w: a @ w),
    "turned": ([(40, 33), (40,)], lambda a, w: a.T @ w),
    "long": ([(3, 1000), (1000, 1)], lambda a, w: a @ w),
    "wide": ([(1, 3), (3, 1000)], lambda a, w: a @ w),
    "dot": ([(50,), (50,)], gx.dot),
    "outer": ([(50, 1), (1, 20)], lambda a, w: a @ w),
    "stack": ([(5, 9, 16), (5, 16, 1)], lambda a, w: a @ w),
    "einsum": ([(6, 16, 20), (20,)], lambda a, w: gx.einsum("ijk,k->ij", a, w)),
    "einsum-dot": ([(4, 25), (4, 25)], lambda a, w: gx.einsum("ij,ij->i", a, w)),
    "Linear-1": ([(16, 24)], lambda x: linear(x, 1)),
    "Linear-batch-1": ([(1, 24)], lambda x: linear(x, 17)),
    "gradients": ([(16, 24), (24, 1)], lambda a, w: gx.grad(gx.sum(gx.tanh(a @ w)), [a, w])),
}


def program(dtype: str) -> tuple[list[gx.Tensor], list[gx.Tensor]]:
    """All the products over inputs of their own."""
    inputs, outputs = list[gx.Tensor](), list[gx.Tensor]()
    for name, (shapes, build) in PRODUCTS.items():
        given = [gx.input(f"{name} {dtype} {i}", shape, dtype) for i, shape in enumerate(shapes)]
        result = build(*given)
        inputs += given
        outputs += result if isinstance(result, list) else [result]
    return inputs, outputs


def arrays(inputs: list[gx.Tensor]) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(3)
    return [rng.uniform(-1, 1, x.shape).astype(x.dtype.numpy) for x in inputs]


def check(dtype: str, inputs: list[gx.Tensor], outputs: list[gx.Tensor], got: list[Any]) -> None:
    expected = gx.compile(inputs, outputs, backend="numpy")(*arrays(inputs))
    found = [difference(np.asarray(a), b, dtype) for a, b in zip(got, expected, strict=True)]
    assert [fault for fault in found if fault] == []


@pytest.mark.parametrize("backend", [*BACKENDS, "numpy"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_product_with_a_column_of_16_bits(dtype: str, backend: str) -> None:
    a, w = gx.input("a", (16, 16), dtype), gx.input("w", (16, 1), dtype)
    ones = np.ones((16, 16), a.dtype.numpy), np.ones((16, 1), a.dtype.numpy)
    assert gx.compile([a, w], a @ w, backend=backend)(*ones).tolist() == [[16]] * 16


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_product_with_a_vector(dtype: str, backend: str) -> None:
    inputs, outputs = program(dtype)
    check(dtype, inputs, outputs, gx.compile(inputs, outputs, backend=backend)(*arrays(inputs)))


@needs_compiler
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_exported_products_need_is_foreseen(dtype: str, tmp_path: Path) -> None:
    inputs, outputs = program(dtype)
    exported = gx.compile(inputs, outputs, backend="numpy")
    runner = build_runner(exported, tmp_path, [*SANITIZERS["undefined"], "-DGC_UNFORESEEN=__builtin_trap()"])
    check(dtype, inputs, outputs, run(exported, runner, arrays(inputs))[0][0])


@needs_compiler
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_not_foreseen_costs_time_alone(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any kernel that products need, the right values all the same."""
    x, w = gx.input("x", (29, 70), dtype), gx.input("w", (70, 45), dtype)
    exported = gx.compile([x, w], x @ w, backend="numpy")
    monkeypatch.setattr("graphc.backends.c.launches.product_shapes", lambda calls: [(16, 16, 0)])
    runner = build_runner(exported, tmp_path, ["-O1", "-march=native"])
    check(dtype, [x, w], [x @ w], run(exported, runner, arrays([x, w]))[0][0])


@pytest.mark.parametrize("name", ["gemm_bf16", "gemm_f16", "gemm_f32", "gemm_f64", "gemm_i64"])
def test_only_wide_floats_go_by_gemv(name: str) -> None:
    """Which is why all other products of floats are among those whose kernels are compiled."""
    params = (16, 1, 16, 16, 1, 1, 1, 1, 16, 16, 1, 1, 1, 16, 0, 0, 0)
    call = LibraryCall(name, params, 1, 0, 512, 0)
    assert is_vector_product(call) == (name in ("gemm_f32", "gemm_f64"))
    assert bool(product_shapes([call])) == (name in ("gemm_bf16", "gemm_f16"))


# Traps -------------------------------------------------------------------------------------------------------------
def traps(binary: Path) -> list[str]:
    """The instructions that end a process by design."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("there is no objdump")
    command = [objdump, "-d", "--no-show-raw-insn", str(binary)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert len(text) > 10_000
    return re.findall(r"^.*\t(?:ud[012][abw]?|int3|brk|hlt)\b.*$", text, re.M)


@pytest.mark.parametrize("level", cpu.LEVELS)
def test_no_prebuilt_kernel_holds_a_trap(level: str) -> None:
    found = sorted(Path(cpu.__file__).parent.glob(f"{level}.*.so"))
    if not found:
        pytest.skip(f"level {level} is not built")
    assert traps(found[0]) == []


@pytest.mark.parametrize("target", [name for name in TARGETS if "x86-64" in name])
def test_no_generated_kernel_holds_a_trap(target: str, tmp_path: Path) -> None:
    """The products in a narrow and a wide dtype, at a level that need not run here."""
    command = [*TARGETS[target].command, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "step.c"]
    pairs = [program(dtype) for dtype in ("bfloat16", "float64")]
    inputs, outputs = ([tensor for pair in pairs for tensor in pair[side]] for side in (0, 1))
    with mock.patch.object(c_form, "build", return_value=Path(os.devnull)):
        gx.compile(inputs, outputs, backend="numpy").export(tmp_path / "step")
    subprocess.run(command, cwd=tmp_path, check=True)
    assert traps(tmp_path / "step.o") == []
