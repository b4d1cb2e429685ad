"""Whole programs on a simulated device: plans run in any order that they allow, and give what other engines do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.cuda.calls.products import matmul_call, matmul_kernel
from graphc.backends.cuda.engine.engine import CudaEngine
from graphc.backends.cuda.writer import cuda_call
from graphc.errors import BackendError
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.operand import OperandView
from graphc.ops.functions.loops import loop
from graphc.plan.format import from_json, to_json, verified
from graphc.plan.memory_report import memory_report
from graphc.plan.plan import REGISTERS, Ref
from tests.backends.cuda.running import compiled, on_device, run
from tests.kernel.support import small_values

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 20)).astype(np.float32), RNG.integers(0, 10, 32)


def training() -> tuple[list[Any], Any, Any]:
    nn.init.seed(1)
    x, y = gx.input("x", X.shape), gx.input("y", Y.shape, "int64")
    model = nn.Sequential(nn.Linear(20, 48), nn.LayerNorm(48), nn.GELU(), nn.Dropout(0.1), nn.Linear(48, 10))
    one_hot = (gx.reshape(y, (32, 1)) == gx.arange(10, dtype="int64")).astype("float32")
    loss = -gx.mean(gx.sum(gx.log_softmax(model(x)) * one_hot, axis=1))
    return [x, y], loss, optim.Adam(lr=0.01).minimize(loss, model.parameters())


def losses(device: CudaEngine, steps: int) -> list[float]:
    out, found = np.zeros((), np.float32), []
    for _ in range(steps):
        device.run([X, Y], [out])
        found.append(float(out))
    return found


def test_a_training_step_has_the_losses_of_the_other_engines() -> None:
    step = gx.compile(*training(), backend="cython", seed=5)
    np.testing.assert_allclose(losses(on_device(*training()), 3), [float(step(X, Y)) for _ in range(3)], rtol=1e-5)


def test_bits_do_not_depend_on_the_order_of_launches_or_the_budget() -> None:
    expected = losses(on_device(*training()), 2)
    for order in range(1, 3):
        assert losses(on_device(*training(), order=order), 2) == expected
    assert losses(on_device(*training(), budget=0.97), 2) == expected


def test_a_loop_runs_on_a_device() -> None:
    xs, w = gx.input("xs", (6, 5)), gx.input("w", (5, 5))
    (last,), (ys,) = loop(lambda c, s: ([gx.tanh(c[0] @ w + s[0])], [c[0] * 2]), 6, [gx.zeros((5,))], [xs])
    outputs = [last, ys, *gx.grad(gx.sum(last * last) + gx.sum(gx.sin(ys)), [xs, w])]
    arrays = [RNG.normal(size=node.shape).astype(np.float32) for node in (xs, w)]
    found = [np.zeros(output.shape, np.float32) for output in outputs]
    on_device([xs, w], outputs, order=3).run(arrays, found)
    for got, wanted in zip(found, gx.evaluate(outputs, dict(zip((xs, w), arrays, strict=True))), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_an_op_without_a_kernel_says_so() -> None:
    with pytest.raises(BackendError, match="op 'fold' has no CUDA kernel"):
        cuda_call("fold", {}, [], TensorType(DTYPES["float32"], (5,)))


def test_a_result_for_an_epilogue_alone_stays_in_registers_and_takes_no_memory() -> None:
    x, w, y = gx.input("x", (8, 5)), gx.input("w", (5, 7)), gx.input("y", (1, 2, 6, 6))
    plan = compiled([x, w, y], [gx.tanh(x @ w), gx.exp(gx.conv2d(y, y[:, :, :3, :3]))])[0].plan
    assert [launch.operands[-1] for launch in plan.launches if launch.operands] == [Ref(REGISTERS)] * 2
    assert plan.scratch_bytes == 0
    assert "scratch" not in str(plan)
    assert verified(from_json(to_json(plan))) == plan


@pytest.mark.parametrize("budget", [None, 0.97])
def test_buffers_of_the_arena_begin_where_the_driver_would_begin_blocks(budget: float | None) -> None:
    xs, w = gx.input("xs", (6, 5)), gx.input("w", (5, 5))
    (last,), (ys,) = loop(lambda c, s: ([gx.tanh(c[0] @ w + s[0])], [c[0] * 2]), 6, [gx.zeros((5,))], [xs])
    gradients = gx.grad(gx.sum(last * last) + gx.sum(gx.sin(ys)), [xs, w])
    for made in (compiled(*training(), budget=budget), compiled([xs, w], gradients)):
        plan = made[0].plan
        offsets = [buffer.offset for buffer in plan.buffers if buffer.space == "arena"]
        assert len({*offsets}) > 2
        assert not any(offset % 256 for offset in offsets)
        assert (plan.alignment, plan.arena_bytes % 256) == (256, 0)
        assert max(memory_report(plan).timeline) == plan.lower_bound <= plan.arena_bytes == memory_report(plan).arena


# Products ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int64", "int32", "int8", "uint8"])
@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (1, 64, 64, 16), (2, 70, 33, 50), (4, 5, 130, 7)])
def test_products(dtype: str, shape: tuple[int, int, int, int]) -> None:
    for turned in itertools.product((False, True), repeat=2) if dtype == "float32" else [(True, False)]:
        check_product(dtype, shape, turned)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_products_of_what_is_turned_round(axes: tuple[int, ...]) -> None:
    x, y = gx.input("x", (2, 5, 7)), gx.input("y", (2, 7, 3))
    outputs = [gx.matmul(gx.flip(x, axes), y), gx.matmul(x, gx.flip(y, axes))]
    arrays = [RNG.normal(size=node.shape).astype(np.float32) for node in (x, y)]
    found = [np.zeros(output.shape, np.float32) for output in outputs]
    on_device([x, y], outputs).run(arrays, found)
    for got, wanted in zip(found, gx.evaluate(outputs, dict(zip((x, y), arrays, strict=True))), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def check_product(dtype: str, shape: tuple[int, int, int, int], turned: tuple[bool, bool]) -> None:
    """Whole numbers, whose products are exact; batches two by two, of which the second operand has one for all."""
    kind, (batches, m, n, k) = DTYPES[dtype], shape
    a = small_values(RNG, kind, batches * m * k)
    b = small_values(RNG, kind, k * n)
    outer = (2, batches // 2) if batches % 2 == 0 else (1, batches)
    a_matrix, b_matrix = (1, m) if turned[0] else (k, 1), (1, k) if turned[1] else (n, 1)
    views = [
        OperandView(kind, (*outer, m, k), (outer[1] * m * k, m * k, *a_matrix)),
        OperandView(kind, (*outer, k, n), (0, 0, *b_matrix)),
        OperandView(kind, (*outer, m, n), (outer[1] * m * n, m * n, n, 1)),
    ]
    result = np.zeros(batches * m * n, kind.numpy)
    params = matmul_call(views[:2], views[2]).params
    kernel, longer = (matmul_kernel((rows, *params[1:]), "product").signed() for rows in (m, m + 9))
    assert kernel.function == longer.function
    assert kernel.name != longer.name
    run(kernel, [a, b, result])
    wide = np.float64 if kind.is_float else np.int64
    left = a.astype(wide).reshape((batches, k, m) if turned[0] else (batches, m, k))
    right = b.astype(wide).reshape((n, k) if turned[1] else (k, n))
    expected = (left.swapaxes(1, 2) if turned[0] else left) @ (right.T if turned[1] else right)
    np.testing.assert_array_equal(result.astype(wide), expected.astype(kind.numpy).astype(wide).reshape(-1))
