"""Products by a vendor's library: what it takes, how it is called, when it is chosen, what a program makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.cuda.calls.products import matmul_call, matmul_kernel
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.engine import CudaEngine
from graphc.backends.cuda.engine.staging import staging_bytes
from graphc.backends.cuda.simulator import SimulationError
from graphc.backends.cuda.simulator.cublaslt import WORKSPACE, SimulatedCublasLt
from graphc.backends.cuda.simulator.driver import SimulatedDriver
from graphc.backends.cuda.vendor import installed, trying
from graphc.backends.cuda.vendor.cublaslt import CublasLt
from graphc.backends.cuda.vendor.known import LIBRARIES
from graphc.backends.cuda.vendor.product import product_of
from graphc.errors import BackendError, GraphcWarning
from graphc.ir import notice
from graphc.ir.types import DTYPES
from graphc.kernel.operand import OperandView
from graphc.runtime.program import Program
from tests.backends.cuda.running import run, solve
from tests.kernel.support import small_values

RNG = np.random.default_rng(0)
Layout = tuple[tuple[int, ...], ...]


# What a library takes ------------------------------------------------------------------------------------------------
LAYOUTS: dict[str, tuple[str, tuple[int, int, int], Layout]] = {
    # dtype, (m, n, k), strides of a, b and c, those of the stack before those of the matrix
    "rows": ("float32", (5, 6, 7), ((7, 1), (6, 1), (6, 1))),
    "a turned": ("float32", (5, 6, 7), ((1, 5), (6, 1), (6, 1))),
    "b turned": ("float32", (5, 6, 7), ((7, 1), (1, 7), (6, 1))),
    "both turned": ("float64", (5, 6, 7), ((1, 5), (1, 7), (6, 1))),
    "result in columns": ("float32", (5, 6, 7), ((7, 1), (6, 1), (1, 5))),
    "all in columns": ("float32", (5, 6, 7), ((1, 5), (1, 7), (1, 5))),
    "parts of rows": ("float32", (5, 6, 7), ((19, 1), (11, 1), (8, 1))),
    "one row": ("float32", (1, 6, 7), ((1, 1), (6, 1), (6, 1))),
    "one column": ("float32", (5, 1, 7), ((7, 1), (1, 1), (1, 1))),
    "depth one": ("float32", (5, 6, 1), ((1, 1), (6, 1), (6, 1))),
    "a column of many": ("float32", (5, 1, 7), ((7, 1), (9, 1), (1, 1))),
    "bfloat16": ("bfloat16", (5, 6, 7), ((7, 1), (6, 1), (6, 1))),
    "float16": ("float16", (16, 9, 33), ((33, 1), (9, 1), (9, 1))),
    "stack": ("float32", (3, 5, 6, 7), ((35, 7, 1), (42, 6, 1), (30, 6, 1))),
    "one b for all": ("float32", (3, 5, 6, 7), ((35, 7, 1), (0, 6, 1), (30, 6, 1))),
    "two axes in one": ("float32", (2, 3, 5, 6, 7), ((105, 35, 7, 1), (126, 42, 6, 1), (90, 30, 6, 1))),
}  # fmt: skip

REFUSED: dict[str, tuple[str, tuple[int, ...], Layout]] = {
    "whole numbers": ("int32", (5, 6, 7), ((7, 1), (6, 1), (6, 1))),
    "no unit stride": ("float32", (5, 6, 7), ((14, 2), (6, 1), (6, 1))),
    "one row for all": ("float32", (5, 6, 7), ((0, 1), (6, 1), (6, 1))),
    "backwards": ("float32", (5, 6, 7), ((-7, 1), (6, 1), (6, 1))),
    "no depth": ("float32", (5, 6, 0), ((0, 1), (6, 1), (6, 1))),
    "axes apart": ("float32", (2, 3, 5, 6, 7), ((105, 35, 7, 1), (0, 42, 6, 1), (90, 30, 6, 1))),
}


def params_of(case: tuple[str, tuple[int, ...], Layout]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The parameters of a call, and how many elements each of its matrices takes."""
    dtype, (*stack, m, n, k), strides = case
    shapes = [(*stack, m, k), (*stack, k, n), (*stack, m, n)]
    views = [OperandView(DTYPES[dtype], shape, step) for shape, step in zip(shapes, strides, strict=True)]
    sizes = [
        1 + sum((extent - 1) * abs(step) for extent, step in zip(view.shape, view.strides, strict=True))
        for view in views
    ]
    return matmul_call(views[:2], views[2]).params, tuple(sizes)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("number", [0, 1], ids=["first algorithm", "second algorithm"])
def test_a_product_is_that_of_the_own_kernel(device: Device, name: str, number: int) -> None:
    params, sizes = params_of(LAYOUTS[name])
    dtype = DTYPES[LAYOUTS[name][0]]
    hosts = [small_values(RNG, dtype, size) for size in sizes[:2]] + [np.zeros(sizes[2], dtype.numpy)]
    expected = [host.copy() for host in hosts]
    run(matmul_kernel(params, "product"), expected)
    product, library = product_of(params), installed.library_of(device, LIBRARIES[0])
    assert product is not None
    assert library is not None
    algorithm = [*library.algorithms(product, 2)][number]
    assert algorithm.workspace == (0, WORKSPACE)[number]
    solve(device, library, product, algorithm, hosts)
    np.testing.assert_array_equal(hosts[2], expected[2])


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_library_takes(name: str) -> None:
    assert product_of(params_of(REFUSED[name])[0]) is None


# Programs ------------------------------------------------------------------------------------------------------------
def training() -> tuple[list[Any], Any, Any]:
    nn.init.seed(1)
    x, y = gx.input("x", (32, 20)), gx.input("y", (32,), "int64")
    model = nn.Sequential(nn.Linear(20, 48), nn.GELU(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 10))
    one_hot = (gx.reshape(y, (32, 1)) == gx.arange(10, dtype="int64")).astype("float32")
    loss = -gx.mean(gx.sum(gx.log_softmax(model(x)) * one_hot, axis=1))
    return [x, y], loss, optim.Adam(lr=0.01).minimize(loss, model.parameters())


X, Y = RNG.normal(size=(32, 20)).astype(np.float32), RNG.integers(0, 10, 32)


def engine_of(program: Program) -> CudaEngine:
    found = program._engine
    assert isinstance(found, CudaEngine)
    return found


def by_library(program: Program) -> int:
    return sum(node.by_library for node in engine_of(program)._nodes)


@pytest.mark.usefixtures("device", "fast")
def test_a_training_step_has_the_losses_of_the_other_engines() -> None:
    step, other = gx.compile(*training(), backend="cuda"), gx.compile(*training(), backend="cython")
    np.testing.assert_allclose([step(X, Y) for _ in range(4)], [other(X, Y) for _ in range(4)], rtol=1e-5)
    assert by_library(step) >= 5
    assert any(node.kernel.finish for node in engine_of(step)._nodes)
    assert engine_of(step)._fixed


@pytest.mark.usefixtures("device", "fast")
def test_bits_do_not_depend_on_the_order_of_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    step = gx.compile(*training(), backend="cuda")
    expected = [step(X, Y) for _ in range(2)]
    for order in range(1, 3):
        monkeypatch.setattr("graphc.backends.cuda.backend.chosen_device", lambda n=order: Device(SimulatedDriver(n)))
        assert [gx.compile(*training(), backend="cuda")(X, Y)] == expected[:1]


@pytest.mark.usefixtures("fast")
def test_algorithms_that_share_a_workspace_run_one_after_the_other(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = CublasLt.algorithms
    monkeypatch.setattr(CublasLt, "algorithms", lambda *args: [*choose(*args)][1:])
    a, b = gx.input("a", (8, 8)), gx.input("b", (8, 8))
    both = gx.compile([a, b], [a @ b, b @ a], backend="cuda")
    arrays = [RNG.normal(size=(8, 8)).astype(np.float32) for _ in range(2)]
    np.testing.assert_allclose(both(*arrays)[0], arrays[0] @ arrays[1], rtol=1e-5)
    assert by_library(both) == 2
    assert both.memory.table == staging_bytes(both.plan) + WORKSPACE
    engine = engine_of(both)
    engine._nodes = [replace(node, depends=()) for node in engine._nodes]
    engine._graph = engine._make_graph()
    with pytest.raises(SimulationError, match="cuBLASLt touches what node"):
        both(*arrays)


@pytest.mark.usefixtures("device", "fast")
def test_arrays_on_the_device_are_copied_to_what_a_library_reads() -> None:
    a, b = gx.input("a", (8, 8)), gx.input("b", (8, 8))
    product = gx.compile([a, b], gx.tanh(a @ b), backend="cuda")
    arrays = [RNG.normal(size=(8, 8)).astype(np.float32) for _ in range(2)]
    expected = product(*arrays)
    there = gx.compile([a, b], [a + 0, b + 0], backend="cuda")(*arrays, out="device")
    np.testing.assert_array_equal(product(*there), expected)


@pytest.mark.usefixtures("fast")
def test_one_that_debugs_runs_libraries_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate,libraries,debug")
    a, b = gx.input("a", (8, 8)), gx.input("b", (8, 8))
    product = gx.compile([a, b], gx.log(a @ b), backend="cuda")
    with pytest.raises(BackendError, match=r"nan where there was none(.|\n)*test_library"):
        product(-np.ones((8, 8), np.float32), np.ones((8, 8), np.float32))


# Choosing ------------------------------------------------------------------------------------------------------------
def compiled_product() -> Program:
    a, b = gx.input("a", (8, 8)), gx.input("b", (8, 8))
    return gx.compile([a, b], gx.tanh(a @ b), backend="cuda")


def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often algorithms are asked for."""
    asked, choose = list[int](), CublasLt.algorithms
    monkeypatch.setattr(CublasLt, "algorithms", lambda self, *args: (asked.append(1), choose(self, *args))[1])
    return asked


@pytest.mark.usefixtures("device", "fast")
def test_a_product_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_for(monkeypatch)
    assert [by_library(compiled_product()) for _ in range(2)] == [1, 1]
    assert len(asked) == 1


@pytest.mark.usefixtures("device", "fast")
def test_a_slower_library_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    times, timed = iter([1.0, 2.0, 3.0]), trying._Trial.timed
    monkeypatch.setattr(trying._Trial, "timed", lambda *args: (timed(*args), next(times))[1])
    assert by_library(compiled_product()) == 0
    assert by_library(compiled_product()) == 0  # recalled: there are no more times


@pytest.mark.usefixtures("device", "fast")
def test_one_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_given", set())
    with monkeypatch.context() as failing:
        failing.setattr(CublasLt, "run", lambda *_: 1 / 0)
        with pytest.warns(GraphcWarning, match="division by zero"):
            program = compiled_product()
    assert (by_library(program), by_library(compiled_product())) == (0, 1)


@pytest.mark.usefixtures("device", "fast")
def test_a_call_that_the_simulated_library_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SimulatedCublasLt, "_shape", lambda *_: SimulatedCublasLt.matrix_layout_create(None, 9, 1, 1, 1)
    )
    with pytest.raises(SimulationError, match="no matrix of type 9"):
        compiled_product()


@pytest.mark.parametrize(
    ("fault", "message"),
    [(lambda *_: 1 / 0, "division by zero"), (lambda *_: None, "not those of the own kernel")],
    ids=["an error", "other numbers"],
)
@pytest.mark.usefixtures("device", "fast")
def test_a_library_that_fails_is_not_chosen(monkeypatch: pytest.MonkeyPatch, fault: Any, message: str) -> None:
    monkeypatch.setattr(CublasLt, "run", fault)
    monkeypatch.setattr(notice, "_given", set())
    with pytest.warns(GraphcWarning, match=f"cuBLASLt is not used for .*{message}"):
        program = compiled_product()
    assert by_library(program) == 0
    ones = np.ones((8, 8), np.float32)
    np.testing.assert_allclose(program(ones, ones), np.tanh(8 * ones), rtol=1e-6)


@pytest.mark.usefixtures("fast")
def test_the_environment_can_say_own(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate,libraries,own")
    assert by_library(compiled_product()) == 0
    assert not engine_of(compiled_product())._workspace


def test_a_library_that_does_not_start_is_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedCublasLt, "create", lambda _: 1 / 0)
    monkeypatch.setattr(notice, "_given", set())
    monkeypatch.setattr(installed, "is_simulated", lambda: False)
    monkeypatch.setattr(installed.importlib, "import_module", lambda _: SimulatedCublasLt(device.driver))
    with pytest.warns(GraphcWarning, match="cuBLASLt is installed, but cannot be used.*division by zero"):
        assert installed.library_of(device, LIBRARIES[0]) is None


@pytest.mark.usefixtures("device", "fast")
def test_bundles_have_own_kernels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compiled_product()
    program.export(tmp_path / "product")
    monkeypatch.setattr("graphc.aot.cuda_form.chosen_device", lambda: Device(SimulatedDriver()))
    loaded, ones = gx.load(tmp_path), np.ones((8, 8), np.float32)
    np.testing.assert_array_equal(loaded(ones, ones), program(ones, ones))
