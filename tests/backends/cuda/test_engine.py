"""The engine on a driver that is watched: what is called when, what state does, and what happens after an error."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import optim
from graphc.backends.cuda.compiler.compiling import lack_of_compiler
from graphc.backends.cuda.engine.choosing import lack
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.engine import CudaEngine
from graphc.backends.cuda.simulator import SimulationError, Touched
from graphc.backends.cuda.simulator.driver import SimulatedDriver
from graphc.errors import BackendError
from graphc.ops.functions.loops import loop
from graphc.ops.guard import Storage
from graphc.plan.plan import Plan
from tests.backends.cuda.running import compiled, loaded_on, on_device

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype(np.float32)


class WatchedDriver(SimulatedDriver):
    """A simulated driver that notes the calls, and fails those that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing = ""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("cu"):
            return found

        def watched(*args: Any) -> Any:
            self.calls.append(name)
            return (1,) if name == self.failing else found(*args)

        return watched


def training() -> tuple[Any, Any, Any, Any]:
    x, w = gx.input("x", X.shape), gx.parameter("w", RNG.normal(size=(5, 3)).astype(np.float32))
    loss = gx.mean(gx.tanh(x @ w) ** 2)
    return w, [x], loss, optim.Adam(lr=0.1).minimize(loss, [w])


def watched() -> tuple[Any, CudaEngine, WatchedDriver]:
    w, *step = training()
    held, code = compiled(*step)
    driver = WatchedDriver()
    storages = [Storage(parameter.storage, parameter.guard) for parameter in held.parameters]
    return w, CudaEngine(held.plan, storages, held.constants, loaded_on(Device(driver), held.plan, code)), driver


def test_a_step_is_one_launch_and_allocates_nothing() -> None:
    _, engine, driver = watched()
    assert driver.calls.index("cuGraphCreate") > max(i for i, name in enumerate(driver.calls) if "Module" in name)
    out = np.zeros((), np.float32)
    for _ in range(2):  # the first moves parameters to the device
        driver.calls.clear()
        engine.run([X], [out])
    assert Counter(driver.calls) == {
        "cuCtxSetCurrent": 1, "cuMemcpyHtoDAsync": 1, "cuGraphLaunch": 1, "cuMemcpyDtoHAsync": 1,
        "cuStreamSynchronize": 1,
    }  # fmt: skip


def test_what_a_graph_needs_is_held_as_long_as_its_engine() -> None:
    _, engine, driver = watched()
    engine.run([X], [np.zeros((), np.float32)])
    assert not {"cuModuleUnload", "cuMemFree", "cuMemFreeHost", "cuGraphExecDestroy"} & {*driver.calls}
    del engine
    assert {"cuModuleUnload", "cuMemFree", "cuMemFreeHost", "cuGraphExecDestroy"} <= {*driver.calls}


@pytest.mark.parametrize("failing", ["cuMemcpyHtoDAsync", "cuGraphLaunch", "cuCtxSetCurrent", "cuStreamSynchronize"])
def test_after_an_error_parameters_and_step_are_as_before(failing: str) -> None:
    w, engine, driver = watched()
    out = np.zeros((), np.float32)
    engine.run([X], [out])
    before, loss, driver.failing = w.value, out.copy(), failing
    with pytest.raises(BackendError, match=r"the CUDA device failed while .*: invalid argument \(CUDA_ERROR"):
        engine.run([X], [out])
    driver.failing = ""
    driver.queue.clear()
    np.testing.assert_array_equal(w.value, before)
    assert (out == loss, engine.step) == (True, 1)
    engine.run([X], [out])
    assert engine.step == 2


def test_all_that_is_called_is_there_and_takes_as_many_arguments() -> None:
    if lack_of_compiler():
        pytest.skip("needs the extra cuda")
    import cuda.bindings.driver as bindings

    for name, function in inspect.getmembers(SimulatedDriver, inspect.isfunction):
        if name.startswith("cu"):
            told = re.sub(r"\[.*?\]\]?|:.*?(?=,|\))", "", (getattr(bindings, name).__doc__ or "").split("\n")[0])
            theirs = len(told[told.index("(") + 1 : told.rindex(")")].split(",")) if "()" not in told else 0
            ours = inspect.signature(function).parameters
            assert "rest" in ours or len(ours) - 1 == theirs, (name, told)
    given = bindings.CUDA_KERNEL_NODE_PARAMS()
    assert {"func", "gridDimX", "blockDimX", "sharedMemBytes", "kernelParams"} <= {*dir(given)}


# Faults --------------------------------------------------------------------------------------------------------------
def run_changed(plan_of: Callable[[Plan], Plan]) -> None:
    """Runs a program in several orders, its plan changed. Raises AssertionError for wrong values, SimulationError."""
    x = gx.input("x", (6, 5))
    outputs = [gx.sum(gx.exp(x)[:, None, :] * gx.cos(x)[None, :, :], axis=2), gx.cumsum(gx.sin(x) @ x.T, axis=0)]
    held, code = compiled([x], outputs)
    found = [np.zeros(output.shape, np.float32) for output in outputs]
    for order in range(4):
        plan, device = plan_of(held.plan), Device(SimulatedDriver(order))
        CudaEngine(plan, [], held.constants, loaded_on(device, plan, code)).run([X], found)
        for got, wanted in zip(found, gx.evaluate(outputs, {x: X}), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4)


def without_dependencies(plan: Plan) -> Plan:
    return replace(plan, launches=tuple(replace(launch, depends=()) for launch in plan.launches))


def in_one_place(plan: Plan) -> Plan:
    return replace(plan, buffers=tuple(replace(buffer, offset=0) for buffer in plan.buffers))


@pytest.mark.parametrize("fault", [without_dependencies, in_one_place])
def test_a_missing_edge_and_a_place_given_away_too_early_are_caught(fault: Callable[[Plan], Plan]) -> None:
    run_changed(lambda plan: plan)
    with pytest.raises((SimulationError, AssertionError)) as error:
        run_changed(fault)
    assert fault is in_one_place or "no edge says which comes first" in str(error.value)


def test_an_address_outside_memory_is_caught() -> None:
    driver = SimulatedDriver()
    device = Device(driver)
    device.send(4096, X)
    with pytest.raises(SimulationError, match="in no block of memory"):
        device.wait()


# State ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate")


@pytest.mark.usefixtures("_simulated")
def test_programs_share_parameters_wherever_they_run() -> None:
    w, inputs, loss, updates = training()
    step = gx.compile(inputs, loss, updates, backend="cuda")
    there, here, read = (gx.compile(inputs, loss, backend=backend) for backend in ("cuda", "cython", "numpy"))
    twin, *given = training()
    twin.value = w.value
    reference = gx.compile(*given, backend="cython")
    for _ in range(2):
        np.testing.assert_allclose(step(X), reference(X), rtol=1e-5)
        np.testing.assert_allclose(there(X), here(X), rtol=1e-5)
        np.testing.assert_allclose(read(X), here(X), rtol=1e-5)
    np.testing.assert_allclose(w.value, twin.value, rtol=1e-5)
    w.value = np.zeros((5, 3))
    assert there(X) == here(X) == 0
    step.load_state_dict({**step.state_dict(), "w": np.ones((5, 3), np.float32)})
    assert there(X) > 0
    np.testing.assert_allclose(there(X), here(X), rtol=1e-5)


@pytest.mark.usefixtures("_simulated")
def test_memory_is_to_the_byte_and_a_budget_is_kept() -> None:
    x, y = gx.input("x", (64, 64)), gx.input("y", (64, 64))
    gradient = gx.grad(gx.sum(reduce(lambda z, k: gx.tanh(z @ (y + k)), range(6), x)), x)
    whole = gx.compile([x, y], gradient, backend="cuda")
    half = gx.compile([x, y], gradient, backend="cuda", memory_budget=0.8)
    assert half.memory.peak_bytes <= 0.8 * whole.memory.peak_bytes
    values = RNG.normal(size=(2, 64, 64)).astype(np.float32)
    np.testing.assert_array_equal(whole(*values), half(*values))


def test_an_iteration_of_a_loop_waits_for_the_one_before() -> None:
    x = gx.input("x", (6, 5))
    (last,), _ = loop(lambda c, s: ([gx.sum(c[0] @ c[0].T, axis=1, keepdims=True) * 0.1 + s[0]], []), 6, [x], [x])
    for order in range(4):
        found = np.zeros((6, 5), np.float32)
        on_device([x], last, order=order).run([X], [found])
        np.testing.assert_allclose(found, gx.evaluate([last], {x: X})[0], rtol=1e-4)


# Profiles ------------------------------------------------------------------------------------------------------------
class TimedDriver(SimulatedDriver):
    """A simulated driver on which a kernel takes as many nanoseconds as it has blocks, and nothing else any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.clock = lambda: self.now

    def _kernel(self, work: Any) -> list[tuple[int, int, Touched]]:
        self.now += work.kernel.blocks
        return super()._kernel(work)


def test_a_profile_has_the_time_of_each_launch_in_all_its_iterations() -> None:
    x = gx.input("x", (6, 5))
    (last,), _ = loop(lambda c, s: ([gx.sum(c[0] @ c[0].T, axis=1, keepdims=True) * 0.1 + s[0]], []), 6, [x], [x])
    held, code = compiled([x], [last, gx.cumsum(gx.ones((70000,)) * x[0, 0])])
    loaded = loaded_on(Device(TimedDriver()), held.plan, code)
    expected = [0.0] * len(held.plan.launches)
    for node in loaded.nodes:
        expected[node.launch] += node.kernel.blocks
    outputs = [np.zeros(shape, np.float32) for shape in ((6, 5), (70000,))]
    engine = CudaEngine(held.plan, [], held.constants, loaded)
    assert len(expected) < len(loaded.nodes)
    for _ in range(2):
        np.testing.assert_allclose(engine.run_profiled([X], outputs), expected)
    np.testing.assert_allclose(outputs[0], gx.evaluate([last], {x: X})[0], rtol=1e-4)


@pytest.mark.usefixtures("_simulated")
def test_a_profile_leaves_no_trace() -> None:
    w, *given = training()
    step, other = (gx.compile(*given, backend=backend) for backend in ("cuda", "cython"))
    twin, *same = training()
    twin.value = w.value
    reference = gx.compile(*same, backend="cuda")
    step(X), reference(X)
    before, state = w.value, step.state_dict()
    profile = step.profile(X, runs=3)
    assert [row.label for row in profile.rows] == [launch.label for launch in step.plan.launches]
    assert profile.runs == 3
    assert min(row.microseconds for row in profile.rows) > 0
    assert "median of 3 runs" in str(profile)
    assert (step.step, [row.location for row in profile.rows if "test_engine.py" in row.location] != []) == (1, True)
    np.testing.assert_array_equal(w.value, before)
    for name, value in step.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    np.testing.assert_array_equal(step(X), reference(X))
    np.testing.assert_array_equal(w.value, twin.value)
    step.profile(X, runs=1)
    np.testing.assert_allclose(other(X), reference(X), rtol=1e-5)


@pytest.mark.usefixtures("_simulated")
def test_a_profile_that_fails_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    w, *given = training()
    step = gx.compile(*given, backend="cuda")
    loss, before = step(X), w.value
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedDriver, "cuEventElapsedTime", lambda self, start, end: (1, 0.0))
        with pytest.raises(BackendError, match="failed while reading a time"):
            step.profile(X)
    np.testing.assert_array_equal(w.value, before)
    assert step.step == 1
    assert step(X) < loss


# Finding mistakes ----------------------------------------------------------------------------------------------------
def test_debugging_names_the_launch_that_makes_a_nan() -> None:
    x = gx.input("x", (6, 5))
    y = gx.log(x) @ gx.ones((5, 2))
    out = np.zeros((6, 2), np.float32)
    on_device([x], y, debug=True).run([np.ones((6, 5), np.float32)], [out])
    with pytest.raises(
        BackendError, match=r"nan where there was none, \d+ in .*made by launch 0, .*log.*\n  at .*test_eng"
    ):
        on_device([x], y, debug=True).run([X], [out])


def test_debugging_leaves_parameters_as_before() -> None:
    w = gx.parameter("w", np.ones(5, np.float32))
    x = gx.input("x", (5,))
    engine = on_device([x], gx.log(gx.sum(w * x)), {w: w - 1 + 0 * gx.sum(x)}, debug=True)
    with pytest.raises(BackendError, match="nan where there was none"):
        engine.run([-np.ones(5, np.float32)], [np.zeros((), np.float32)])
    np.testing.assert_array_equal(w.value, 1)


def test_what_is_lacking_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHC_CUDA", raising=False)
    x = gx.input("x", (3,))
    if reason := lack():
        assert "pip install 'graphc[cuda]'" in reason or "GRAPHC_CUDA=simulate" in reason
        with pytest.raises(BackendError, match=re.escape(reason)):
            gx.compile([x], x, backend="cuda")
    monkeypatch.setenv("GRAPHC_CUDA", "simulated")
    with pytest.raises(
        BackendError, match="GRAPHC_CUDA=simulated means nothing; choose from simulate, own, libraries, debug"
    ):
        gx.compile([x], x, backend="cuda")
