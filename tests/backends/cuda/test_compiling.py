"""Kernels through Numba and NVIDIA's linker, where these are installed: no device is needed."""

from __future__ import annotations

import re

import pytest

import graphc as gx
from graphc.backends.cuda.compiling import compile_kernel, lack_of_compiler
from graphc.backends.cuda.kernel import print_kernel
from graphc.ops.build import apply
from tests.backends.cuda.running import compiled
from tests.backends.cuda.test_device import training
from tests.kernel.support import RandomKernel

needs_numba = pytest.mark.skipif(bool(lack_of_compiler()), reason="needs the extra cuda")


def test_what_is_missing_is_said() -> None:
    assert lack_of_compiler() == "" or "pip install 'graphc[cuda]'" in lack_of_compiler()


@needs_numba
@pytest.mark.parametrize("seed", range(0, 40, 5))
def test_random_kernels_compile(seed: int) -> None:
    kernel = print_kernel(RandomKernel(seed).kernel, "fused")
    found = compile_kernel(kernel)
    assert found.cubin
    assert found.spills == 0
    assert "st.local" not in found.ptx
    assert ".f64" not in found.ptx or "f64" in kernel.types


@needs_numba
def test_the_kernels_of_a_training_step_compile() -> None:
    for kernel in compiled(*training())[1].kernels:
        found = compile_kernel(kernel)
        assert re.search(rf"\.entry {kernel.name}\(", found.ptx)
        assert found.spills == 0
        assert found.registers <= 64


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_hand_written_kernels_compile(dtype: str) -> None:
    x, w = gx.input("x", (2, 4, 12, 12), dtype), gx.input("w", (6, 4, 3, 3), dtype)
    y = gx.relu(gx.conv2d(x, w, padding=1))
    pooled = gx.avg_pool2d(gx.max_pool2d(y, 2), 2)
    gradients = gx.grad(gx.sum(pooled * pooled), [x, w])
    flat = gx.reshape(y, (2, -1))
    along = [gx.argmax(flat, 1), gx.cumsum(flat, 1), gx.cumprod(flat, 1), gx.take(flat, gx.argmin(y, 1)[0, 0], 1)]
    kernels = compiled([x, w], [*gradients, *along])[1].kernels
    assert {kernel.name.rsplit("_", 1)[0] for kernel in kernels} >= {
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
    }
    for kernel in kernels:
        found = compile_kernel(kernel)
        assert found.spills == 0
        assert found.registers <= 128, kernel.name


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int8", "uint32"])
def test_kernels_that_sort_compile(dtype: str) -> None:
    x, wanted = gx.input("x", (3, 5000), dtype), gx.input("wanted", (3, 70), dtype)
    index, updates = gx.input("index", (2000,), "int64"), gx.input("updates", (3, 2000), dtype)
    outputs = [gx.sort(x, 1, descending=True), *gx.topk(x, 5), gx.searchsorted(x, wanted)]
    outputs.append(apply("scatter_add", x, index, updates, axis=1))
    kernels = compiled([x, wanted, index, updates], outputs)[1].kernels
    assert {kernel.name.split("_")[0] for kernel in kernels} >= {"sort", "searchsorted", "scatter"}
    for kernel in kernels:
        found = compile_kernel(kernel)
        assert found.spills == 0
        assert found.registers <= 64, kernel.name  # a block of 1024 threads has no more
        assert ".f64" not in found.ptx or dtype == "float64"


@needs_numba
@pytest.mark.parametrize("dtype", ["uint32", "uint8", "bool"])
def test_unsigned_integers_go_through_shuffles(dtype: str) -> None:
    x = gx.input("x", (3, 500), dtype)
    for kernel in compiled([x], [gx.max(x, 1), gx.argmax(x, 1)])[1].kernels:
        assert "shfl" in compile_kernel(kernel).ptx
