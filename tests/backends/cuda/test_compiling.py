"""Kernels through Numba and NVIDIA's linker, where these are installed: no device is needed."""

from __future__ import annotations

import re

import pytest

import graphc as gx
from graphc.backends.cuda.compiling import compile_kernel, lack
from graphc.backends.cuda.kernel import print_kernel
from tests.backends.cuda.test_device import on_device, training
from tests.kernel.support import RandomKernel

needs_numba = pytest.mark.skipif(bool(lack()), reason="needs the extra cuda")


def test_what_is_missing_is_said() -> None:
    assert lack() == "" or "pip install 'graphc[cuda]'" in lack()


@needs_numba
@pytest.mark.parametrize("seed", range(0, 40, 5))
def test_random_kernels_compile(seed: int) -> None:
    kernel = print_kernel(RandomKernel(seed).kernel, "fused")
    compiled = compile_kernel(kernel)
    assert compiled.cubin
    assert compiled.spills == 0
    assert "st.local" not in compiled.ptx
    assert ".f64" not in compiled.ptx or "f64" in kernel.types


@needs_numba
def test_the_kernels_of_a_training_step_compile() -> None:
    for kernel in on_device(*training()).code.kernels:
        compiled = compile_kernel(kernel)
        assert re.search(rf"\.entry {kernel.name}\(", compiled.ptx)
        assert compiled.spills == 0
        assert compiled.registers <= 64


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_hand_written_kernels_compile(dtype: str) -> None:
    x, w = gx.input("x", (2, 4, 12, 12), dtype), gx.input("w", (6, 4, 3, 3), dtype)
    y = gx.relu(gx.conv2d(x, w, padding=1))
    pooled = gx.avg_pool2d(gx.max_pool2d(y, 2), 2)
    gradients = gx.grad(gx.sum(pooled * pooled), [x, w])
    flat = gx.reshape(y, (2, -1))
    along = [gx.argmax(flat, 1), gx.cumsum(flat, 1), gx.cumprod(flat, 1), gx.take(flat, gx.argmin(y, 1)[0, 0], 1)]
    kernels = on_device([x, w], [*gradients, *along]).code.kernels
    assert {kernel.name.rsplit("_", 1)[0] for kernel in kernels} >= {
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
    }
    for kernel in kernels:
        compiled = compile_kernel(kernel)
        assert compiled.spills == 0
        assert compiled.registers <= 128, kernel.name


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_attention_compiles(dtype: str) -> None:
    """Full tiles of heads of 64: all that a thread has in arrays of its own is in registers."""
    q, k, v = (gx.input(name, (2, 8, 256, 64), dtype) for name in "qkv")
    mask = gx.input("mask", (256, 256), "bool" if dtype == "bfloat16" else dtype)
    y = gx.scaled_dot_product_attention(gx.flip(q, 2), k, v, mask, is_causal=dtype == "float64")
    device = on_device([q, k, v, mask], [y, *gx.grad(gx.sum(y * y), [q, k, v])])
    kernels = [kernel for kernel in device.code.kernels if kernel.name.startswith("attention")]
    assert len(kernels) == 3
    for kernel in kernels:
        compiled = compile_kernel(kernel)
        assert compiled.spills == 0
        assert compiled.registers <= 224, kernel.name
        assert ".local" not in compiled.ptx
        assert ".f64" not in compiled.ptx or dtype == "float64"
        shared = re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", compiled.ptx)
        assert 0 < sum(map(int, shared)) < 48 * 1024
