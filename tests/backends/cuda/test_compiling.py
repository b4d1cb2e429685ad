"""Kernels through Numba and NVIDIA's linker, where these are installed: no device is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import graphc as gx
from graphc.backends.cuda.compiler import cubins, images
from graphc.backends.cuda.compiler.compiling import Compiled, compile_kernel, lack_of_compiler, link_kernel
from graphc.backends.cuda.compiler.lint import lint
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.printer.loop_nest import print_kernel
from graphc.errors import BackendError
from graphc.ops.build import apply
from graphc.toolchain.cache import FOLDER
from tests.backends.cuda.running import compiled
from tests.backends.cuda.test_device import training
from tests.kernel.support import RandomKernel

FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))
needs_numba = pytest.mark.skipif(bool(lack_of_compiler()), reason="needs the extra cuda")


def check(kernels: Iterable[CudaKernel]) -> list[Compiled]:
    """The kernels, compiled, with nothing wrong about them."""
    pairs = [(kernel, compile_kernel(kernel)) for kernel in kernels]
    faults = {kernel.name: lint(found).faults(kernel) for kernel, found in pairs}
    assert not any(faults.values()), faults
    return [found for _, found in pairs]


def kinds(kernels: Iterable[CudaKernel]) -> set[str]:
    return {kernel.name.rsplit("_", 1)[0] for kernel in kernels}


def test_what_is_missing_is_said() -> None:
    assert lack_of_compiler() == "" or "pip install 'graphc[cuda]'" in lack_of_compiler()


@needs_numba
@pytest.mark.parametrize("seed", range(0, 40, 5))
def test_random_kernels_compile(seed: int) -> None:
    kernel = print_kernel(RandomKernel(seed).kernel, "fused")
    check([kernel, *([kernel.narrow] if kernel.narrow else [])])


@needs_numba
def test_the_kernels_of_a_training_step_compile() -> None:
    for found in check(compiled(*training())[1].kernels):
        assert re.search(rf"\.entry {found.name}\(", found.ptx)
        assert found.registers <= 64


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"] if FULL else ["float32", "bfloat16"])
def test_hand_written_kernels_compile(dtype: str) -> None:
    x, w = gx.input("x", (2, 4, 12, 12), dtype), gx.input("w", (6, 4, 3, 3), dtype)
    y = gx.relu(gx.conv2d(x, w, padding=1))
    pooled = gx.avg_pool2d(gx.max_pool2d(y, 2), 2)
    gradients = gx.grad(gx.sum(pooled * pooled), [x, w])
    flat = gx.reshape(y, (2, -1))
    along = [gx.argmax(flat, 1), gx.cumsum(flat, 1), gx.cumprod(flat, 1), gx.take(flat, gx.argmin(y, 1)[0, 0], 1)]
    kernels = compiled([x, w], [*gradients, *along])[1].kernels
    assert kinds(kernels) >= {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"}
    check(kernels)


@needs_numba
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "bfloat16", "int64", "int8", "uint32"] if FULL else ["float32"]
)
def test_kernels_that_sort_compile(dtype: str) -> None:
    x, wanted = gx.input("x", (3, 5000), dtype), gx.input("wanted", (3, 70), dtype)
    index, updates = gx.input("index", (2000,), "int64"), gx.input("updates", (3, 2000), dtype)
    outputs = [gx.sort(x, 1, descending=True), *gx.topk(x, 5), gx.searchsorted(x, wanted)]
    outputs.append(apply("scatter_add", x, index, updates, axis=1))
    kernels = compiled([x, wanted, index, updates], outputs)[1].kernels
    assert {kernel.name.split("_")[0] for kernel in kernels} >= {"sort", "searchsorted", "scatter"}
    check(kernels)


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"] if FULL else ["bfloat16"])
def test_long_sums_of_scattered_updates_compile(dtype: str) -> None:
    x, updates = gx.input("x", (3, 5), dtype), gx.input("updates", (3, 200), dtype)
    index = gx.input("index", (200,), "int64")
    check(compiled([x, index, updates], apply("scatter_add", x, index, updates, axis=1))[1].kernels)


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"] if FULL else ["float32"])
def test_attention_compiles(dtype: str) -> None:
    q, k, v = (gx.input(name, (2, 8, 256, 64), dtype) for name in "qkv")
    mask = gx.input("mask", (256, 256), "bool" if dtype == "bfloat16" else dtype)
    y = gx.scaled_dot_product_attention(gx.flip(q, 2), k, v, mask, is_causal=dtype == "float64")
    made = compiled([q, k, v, mask], [y, *gx.grad(gx.sum(y * y), [q, k, v])])[1].kernels
    kernels = [kernel for kernel in made if kernel.name.startswith("attention")]
    assert len(kernels) == 3
    check(kernels)


@needs_numba
@pytest.mark.parametrize("dtype", ["uint32", "uint8", "bool"])
def test_unsigned_integers_go_through_shuffles(dtype: str) -> None:
    x = gx.input("x", (3, 500), dtype)
    assert all("shfl" in found.ptx for found in check(compiled([x], [gx.max(x, 1), gx.argmax(x, 1)])[1].kernels))


# What the lint finds -------------------------------------------------------------------------------------------------
PLANTED = {
    "float64": (
        "def f(o0, o1):\n    c = u32(cuda.threadIdx.x)\n    o1[c] = f32(o0[c] * 0.3)\n",
        (), "instructions on float64",
    ),
    "local": (
        "def f(o0, o1):\n    m = cuda.local.array(8, f32)\n    c = u32(cuda.threadIdx.x)\n    for k in range(8):\n"
        "        m[k] = o0[u32(c + u32(k))]\n    o1[c] = m[u32(c % u32(8))]\n",
        (), "accesses to local memory",
    ),
    "narrow": (
        "def f(o0, o1):\n    c = u32(cuda.threadIdx.x)\n    o1[c] = o0[c]\n", (16, 16), "no access of several elements"
    ),
    "shared": (
        "def f(o0, o1):\n    s = cuda.shared.array(16384, f32)\n    c = u32(cuda.threadIdx.x)\n    s[c] = o0[c]\n"
        "    cuda.syncthreads()\n    o1[c] = s[u32(c ^ u32(64))]\n",
        (), "bytes of shared memory",
    ),
}  # fmt: skip


@needs_numba
@pytest.mark.parametrize("fault", PLANTED)
def test_what_makes_a_kernel_slow_is_found(fault: str) -> None:
    text, widths, message = PLANTED[fault]
    kernel = CudaKernel("f", text, ("f32", "f32"), 1, 256, (), widths)
    try:
        found = lint(compile_kernel(kernel)).faults(kernel)
    except BackendError as error:  # the linker refuses so much shared memory
        found = [str(error)] if fault == "shared" else []
    assert any(message in what or "refuses" in what for what in found), found


@needs_numba
def test_compiled_kernels_are_found_again_and_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gx.input("x", (64, 8))
    kernels = [print_kernel(RandomKernel(seed).kernel, "fused").signed() for seed in range(3)]
    kernels += compiled([x], [gx.softmax(x, 1), gx.exp(x), gx.sum(x, 0)])[1].kernels
    monkeypatch.setattr(cubins, "MANY", 2)
    monkeypatch.setattr(cubins, "processors", lambda: 2)
    first = cubins.compiled(kernels, (9, 0))
    monkeypatch.setattr(cubins, "compile_kernel", None)
    assert cubins.compiled(kernels, (9, 0)) == first


@needs_numba
def test_images_are_linked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    x = gx.input("x", (64, 8))
    kernels = compiled([x], [gx.softmax(x, 1), gx.sum(x, 0)])[1].kernels
    first = images.images_of(kernels)
    assert [*first] == ["sm_80", "sm_90", "sm_100", "compute_80"]
    assert len({of[kernels[0].function] for of in first.values()}) == 4
    for name, image in first["sm_90"].items():
        assert image == link_kernel(first["compute_80"][name].decode(), name, (9, 0))[0]
    monkeypatch.setattr(cubins, "compile_kernel", None)
    monkeypatch.setattr(cubins, "link_kernel", None)
    assert images.images_of(kernels) == first
    monkeypatch.setattr(images, "ARCHITECTURES", ((8, 0), (8, 9)))
    with pytest.raises(TypeError, match="not callable"):
        images.images_of(kernels)
