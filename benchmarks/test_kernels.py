"""Single kernels on one thread, with pytest-benchmark: `pytest benchmarks --benchmark-only`.

Not part of the default test run. Each case is a program of one or a few launches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx

pytest.importorskip("pytest_benchmark")

Case = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]

CASES: dict[str, Case] = {
    "matmul 128x784x512": (gx.matmul, ((128, 784), (784, 512))),
    "matmul 512x512x512": (gx.matmul, ((512, 512), (512, 512))),
    "matmul of a transpose": (lambda a, b: a.T @ b, ((128, 784), (128, 512))),
    "matmul, bias, gelu": (lambda a, b, c: gx.gelu(a @ b + c), ((256, 256), (256, 1024), (1024,))),
    "conv2d 64x32x16x16": (lambda x, w: gx.conv2d(x, w, padding=1), ((64, 32, 16, 16), (64, 32, 3, 3))),
    "max_pool2d 64x32x32x32": (lambda x: gx.max_pool2d(x, 2), ((64, 32, 32, 32),)),
    "softmax 2048x256": (gx.softmax, ((2048, 256),)),
    "exp 1M": (gx.exp, ((1 << 20,),)),
    "multiply-add 1M": (lambda a, b: a * b + 1, ((1 << 20,), (1 << 20,))),
    "sum 1M": (gx.sum, ((1 << 20,),)),
    "sum of columns 1024x1024": (lambda x: gx.sum(x, axis=0), ((1024, 1024),)),
    "transpose 1024x1024": (lambda x: x.T + 0.5, ((1024, 1024),)),
    "normal 1M": (lambda: gx.normal(shape=(1 << 20,)), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel(benchmark: Any, name: str) -> None:
    function, shapes = CASES[name]
    inputs = [gx.input(f"x{i}", shape) for i, shape in enumerate(shapes)]
    program = gx.compile(inputs, function(*inputs), threads=1)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    result = np.empty_like(program(*arrays))
    benchmark(lambda: program(*arrays, out=result))
