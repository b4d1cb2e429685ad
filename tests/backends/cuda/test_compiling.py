"""Kernels through Numba and NVIDIA's linker, where these are installed: no device is needed."""

from __future__ import annotations

import re

import pytest

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
    compiled = compile_kernel(kernel, "fused")
    assert compiled.cubin
    assert compiled.spills == 0
    assert "st.local" not in compiled.ptx
    assert ".f64" not in compiled.ptx or "f64" in kernel.types


@needs_numba
def test_the_kernels_of_a_training_step_compile() -> None:
    for name, kernel in on_device(*training()).code.kernels.items():
        compiled = compile_kernel(kernel, name)
        assert re.search(rf"\.entry {name}\(", compiled.ptx)
        assert compiled.spills == 0
        assert compiled.registers <= 64
