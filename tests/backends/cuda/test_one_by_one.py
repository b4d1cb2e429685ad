"""The simulator against its own oracle: what it computes for all threads together, each thread computes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.backends.cuda.engine.nodes import nodes_of
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.printer.loop_nest import print_kernel
from graphc.backends.cuda.simulator import TYPES, simulate
from graphc.ops.build import apply
from tests.backends.cuda.one_by_one import run_one_by_one
from tests.backends.cuda.running import compiled
from tests.kernel.support import RandomKernel

RNG = np.random.default_rng(0)


def agree(kernel: CudaKernel, arrays: list[np.ndarray[Any, Any]]) -> None:
    """Both give the same bits, on arrays of the kernel's types; what is nan for the one is nan for the other."""
    alone = [array.copy() for array in arrays]
    run_one_by_one(kernel, alone)
    simulate(kernel, arrays)
    for found, wanted in zip(arrays, alone, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", range(30))
def test_random_kernels(seed: int) -> None:
    made = RandomKernel(seed)
    kernel = print_kernel(made.kernel)
    if kernel.blocks <= 4:
        buffers = [buffer.view(np.dtype(TYPES[kind])) for buffer, kind in zip(made.buffers, kernel.types, strict=True)]
        agree(kernel, buffers)


def programs() -> dict[str, Any]:
    x, w = gx.input("x", (5, 20)), gx.input("w", (20, 9))
    index, image = gx.input("index", (6,), "int32"), gx.input("image", (1, 2, 6, 6))
    filters = gx.input("filters", (3, 2, 3, 3))
    return {
        "softmax": ([x], gx.softmax(x, axis=1)), "log softmax": ([x], gx.log_softmax(x, axis=1)),
        "columns": ([x], gx.sum(x * x, axis=0)), "product": ([x, w], gx.tanh(x @ w)),
        "convolution": ([image, filters], gx.relu(gx.conv2d(image, filters, padding=1))),
        "pooling": ([image], gx.max_pool2d(image, 2)), "argmax": ([x], gx.argmax(x, 1)),
        "sort": ([x], gx.sort(x, 1)), "running sum": ([x], gx.cumsum(x, 1)),
        "scatter": ([index, w], apply("scatter_add", w, index, w[:6], axis=0)),
        "attention": ([x], gx.scaled_dot_product_attention(x, x, x, is_causal=True)),
    }  # fmt: skip


@pytest.mark.parametrize("name", programs())
def test_kernels_of_a_program(name: str) -> None:
    """Each kernel alone, on values of its own: small ones, which are indices where they are whole."""
    inputs, output = programs()[name]
    held, code = compiled(inputs, output)
    for node in nodes_of(held.plan, code):
        arrays = []
        for stretch, kind in zip(node.operands, node.kernel.types, strict=True):
            dtype = np.dtype(TYPES[kind])
            size = stretch.nbytes // dtype.itemsize
            arrays.append((RNG.normal(size=size) if dtype.kind == "f" else RNG.integers(0, 5, size)).astype(dtype))
        agree(node.kernel, arrays)
