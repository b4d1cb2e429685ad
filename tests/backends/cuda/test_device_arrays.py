"""Arrays that are on the device already: used where they are, as inputs and outputs, or refused if they do not fit."""

from __future__ import annotations

import ctypes
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.cuda.engine import choosing
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.lent import lent_by
from graphc.errors import BackendError, InputError
from graphc.runtime import dlpack
from tests.backends.cuda.test_engine import WatchedDriver

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(6, 5)).astype(np.float32) for _ in range(2))
COPIES = ("cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync", "cuGraphExecKernelNodeSetParams")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A watched device, which programs run on."""
    found = Device(WatchedDriver())
    monkeypatch.setenv("GRAPHC_CUDA", "simulate")
    monkeypatch.setattr(choosing, "_simulated", lambda: found)
    yield found
    found.driver.failing = ""


class FakeTensor:
    """Another library's array on a device, with the CUDA array interface."""

    def __init__(self, device: Device, array: Any, *, shift: int = 0, **facts: Any) -> None:
        self.device, self.shape, self.dtype = device, array.shape, array.dtype
        self.base = device.driver.cuMemAlloc(array.nbytes + 64)[1]
        self.address = self.base + shift
        self.values[...] = array
        self.facts = {"data": (self.address, False), "shape": array.shape, "typestr": array.dtype.str, "version": 3}
        self.facts |= {"strides": None, "stream": None, **facts}

    @property
    def values(self) -> Any:
        """What is there, as the host sees it."""
        count = int(np.prod(self.shape)) * self.dtype.itemsize
        return self.device.driver._found(self.address, count).view(self.dtype).reshape(self.shape)

    def __del__(self) -> None:
        self.device.driver.cuMemFree(self.base)


class Interfaced(FakeTensor):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.facts


class Capsuled(FakeTensor):
    """One with DLPack, which notes for which streams it has been asked."""

    number = 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.number

    def __dlpack__(self, stream: int) -> Any:
        self.streams = [*getattr(self, "streams", []), stream]
        return dlpack.lend(self, self.address, self.number, self.dtype.name, self.shape)


KINDS = [Interfaced, Capsuled]


def program(**options: Any) -> Any:
    x, y = gx.input("x", (6, 5)), gx.input("y", (6, 5))
    return gx.compile([x, y], gx.tanh(x) @ y.T, backend="cuda", **options)


def expected(x: Any, y: Any) -> Any:
    return np.tanh(x) @ y.T


def counted(device: Device, call: Any) -> Counter[str]:
    """Which copies a call makes, and how many nodes are told of moves."""
    device.driver.calls.clear()
    call()
    assert "cuMemAlloc" not in device.driver.calls
    return Counter(name for name in device.driver.calls if name in COPIES)


# Inputs --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_on_the_device_are_used_where_they_are(device: Device, kind: Any) -> None:
    run, x, y = program(), kind(device, X), kind(device, Y)
    np.testing.assert_allclose(run(x, y), expected(X, Y), rtol=1e-5)
    assert counted(device, lambda: run(x, y)) == {"cuMemcpyDtoHAsync": 1}
    x.values[...] = Y
    np.testing.assert_allclose(run(x, y=y), expected(Y, Y), rtol=1e-5)
    assert kind is Interfaced or x.streams == [device.stream] * 3


def test_nodes_are_told_once_of_arrays_that_are_elsewhere(device: Device) -> None:
    x, y = gx.input("x", (6, 5)), gx.input("y", (6, 5))
    run = gx.compile([x, y], [gx.sum(gx.exp(x), axis=1), gx.sum(gx.cos(y) * gx.flip(x, 0), axis=1)], backend="cuda")
    places = run._engine._addresses
    touching = [len(places._touching[number]) for number in run.plan.inputs]
    one, other, mine = (Interfaced(device, X) for _ in range(3))
    assert counted(device, lambda: run(one, Y))["cuGraphExecKernelNodeSetParams"] == touching[0]
    assert counted(device, lambda: run(one, Y))["cuGraphExecKernelNodeSetParams"] == 0
    assert counted(device, lambda: run(other, Y)) == {
        "cuGraphExecKernelNodeSetParams": touching[0], "cuMemcpyHtoDAsync": 1, "cuMemcpyDtoHAsync": 1,
    }  # fmt: skip
    both = len(places._touching[run.plan.inputs[0]] | places._touching[run.plan.inputs[1]])
    assert counted(device, lambda: run(one, mine))["cuGraphExecKernelNodeSetParams"] == both
    np.testing.assert_allclose(run(X, Y)[0], np.exp(X).sum(1), rtol=1e-5)


def test_only_random_state_is_sent_where_all_is_there(device: Device) -> None:
    x = gx.input("x", (6, 5))
    run = gx.compile([x], nn.Dropout(0.5)(x), backend="cuda", seed=3)
    twin = gx.compile([x], nn.Dropout(0.5)(x), backend="cuda", seed=3)
    sent: list[int] = []
    send = device.send
    device.send = lambda target, source: (sent.append(source.nbytes), send(target, source))[1]  # type: ignore[method-assign]
    np.testing.assert_array_equal(run(Interfaced(device, X)), twin(X))
    assert sent[0] == 16


def test_a_misaligned_input_is_copied_on_the_device(device: Device) -> None:
    run, x, y = program(), Interfaced(device, X, shift=4), Capsuled(device, Y)
    assert counted(device, lambda: run(x, y))["cuMemcpyDtoDAsync"] == 1
    np.testing.assert_allclose(run(x, y), expected(X, Y), rtol=1e-5)
    with pytest.raises(InputError, match=r"input 'x' .* at an address that is no multiple of 4 bytes"):
        run(Interfaced(device, X, data=(x.base + 2, False)), y)


def test_empty_arrays_and_bfloat16(device: Device) -> None:
    x, y = gx.input("x", (0, 5)), gx.input("y", (4,), "bfloat16")
    run = gx.compile([x, y], [gx.sum(x), y.astype("float32")], backend="cuda")
    values = np.arange(4).astype(ml_dtypes.bfloat16)
    nothing = Interfaced(device, np.empty((0, 5), np.float32), data=(0, False))
    for kind in KINDS:
        found = run(nothing, kind(device, values))
        np.testing.assert_array_equal(found[1], [0, 1, 2, 3])


REFUSED = [
    ({"array": X.astype(np.float64)}, r"input 'x' takes float32\[6, 5\], got float64\[6, 5\] .*convert it .*float32"),
    ({"array": X.T.copy()}, r"got float32\[5, 6\] on the device: the shape must be \(6, 5\)"),
    ({"array": X, "strides": (4, 24)}, r"not C-contiguous; make it so first, as by \.contiguous\(\)"),
    ({"array": X, "data": (4096, False)}, "its address is in no device's memory"),
    ({"array": X, "mask": X}, "it has a mask"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "said"), REFUSED)
def test_what_does_not_fit_is_said(device: Device, facts: dict[str, Any], said: str) -> None:
    run, x = program(), Interfaced(device, **facts)
    with pytest.raises(InputError, match=said):
        run(x, Y)
    with pytest.raises(InputError, match="the program takes 2 inputs"):
        run(x, x, x)
    with pytest.raises(InputError, match="no input called 'z'"):
        run(Y, z=x)
    np.testing.assert_allclose(run(X, Y), expected(X, Y), rtol=1e-5)


def test_another_device_and_another_engine_are_said(device: Device) -> None:
    x = Capsuled(device, X)
    with pytest.raises(InputError, match=r"(?s)input 'a' .*lies on a device.*\.cpu\(\).*backend='cuda'"):
        gx.compile([a := gx.input("a", (6, 5))], a + 1, backend="cython")(x)
    with pytest.raises(InputError, match=r"(?s)out= for.*lies on a device"):
        gx.compile([a := gx.input("a", (6, 5))], a + 1, backend="cython")(X, out=x)
    with pytest.raises(InputError, match="'device' with backend='cuda'"):
        gx.compile([a := gx.input("a", (6, 5))], a + 1, backend="cython")(X, out="device")
    x.number = 1
    with pytest.raises(InputError, match="it lies on device 1, the program's is device 0"):
        program()(x, Y)


def test_what_an_array_raises_itself_is_said(device: Device) -> None:
    class Refusing(Capsuled):
        def __dlpack__(self, stream: int) -> Any:
            raise BufferError("it requires a gradient, use detach()")

    with pytest.raises(InputError, match=r"input 'x' takes .* got Refusing: it requires a gradient, use detach\(\)"):
        program()(Refusing(device, X), Y)


@pytest.mark.parametrize(("stream", "waited"), [(None, []), (7, [7]), ("unknown", [None])])
def test_streams_of_others_are_waited_for(device: Device, stream: Any, waited: list[Any]) -> None:
    x, found = Interfaced(device, X, stream=stream), []
    device.wait_for = found.append  # type: ignore[method-assign]
    if stream == "unknown":
        del x.facts["stream"]
    lent_by(device, x)
    assert found == waited


def test_indices_on_the_device_are_checked(device: Device) -> None:
    rows, w = gx.input("rows", (3,), "int64"), gx.input("w", (6, 5))
    run = gx.compile([rows, w], gx.take(w, rows, axis=0), backend="cuda")
    good, bad = (Interfaced(device, np.array(at)) for at in ([0, 5, 2], [0, 6, 2]))
    np.testing.assert_array_equal(run(good, X), X[[0, 5, 2]])
    with pytest.raises(InputError, match=r"input 'rows' holds 6 at \[1\]"):
        run(bad, X)


# Outputs -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_written_where_they_are(device: Device, kind: Any) -> None:
    run, x, y, out = program(), kind(device, X), kind(device, Y), kind(device, np.zeros((6, 6), np.float32))
    assert run(x, y, out=out) is out
    np.testing.assert_allclose(out.values, expected(X, Y), rtol=1e-5)
    assert counted(device, lambda: run(x, y, out=out)) == {}
    shifted = kind(device, np.zeros((6, 6), np.float32), shift=4)
    assert counted(device, lambda: run(x, y, out=shifted))["cuMemcpyDtoDAsync"] == 1
    np.testing.assert_array_equal(shifted.values, out.values)
    out.values[...] = 0
    np.testing.assert_array_equal(run(x, y), shifted.values)
    assert not out.values.any()


def test_outputs_that_are_copied_and_outputs_of_both_kinds(device: Device) -> None:
    x = gx.input("x", (6, 5))
    tanh = gx.tanh(x)
    run = gx.compile([x], [x, tanh, tanh, gx.exp(x)], backend="cuda")
    out: list[Any] = [Interfaced(device, 0 * X), Capsuled(device, 0 * X), Interfaced(device, 0 * X), 0 * X]
    given = Interfaced(device, X)
    for inputs in (given, X):
        run(inputs, out=out)
        np.testing.assert_array_equal(out[0].values, X)
        np.testing.assert_allclose(out[1].values, np.tanh(X), rtol=1e-5)
        np.testing.assert_array_equal(out[1].values, out[2].values)
        np.testing.assert_allclose(out[3], np.exp(X), rtol=1e-5)
    assert all(type(found) is np.ndarray for found in run(given))


def test_outputs_that_cannot_be_written_are_said(device: Device) -> None:
    run, x = gx.compile([a := gx.input("a", (6, 5))], [a + 1, a + 2], backend="cuda"), Interfaced(device, X)
    out = Interfaced(device, X)
    for arrays, said in [
        ([x, out], "overlaps an input"),
        ([out, out], "overlaps another out= array"),
        ([Interfaced(device, X, data=(out.address, True)), 0 * X], "is read-only"),
        ([Interfaced(device, X[:5]), 0 * X], "out= for .* takes"),
        ([out], "out= takes a list of 2 arrays"),
    ]:
        with pytest.raises(InputError, match=said):
            run(x, out=arrays)


def test_results_stay_on_the_device_where_that_is_asked(device: Device) -> None:
    run, blocks = program(), device.driver.blocks
    held = len(blocks)
    first = run(X, Y, out="device")
    assert isinstance(first, gx.DeviceArray)
    assert len(blocks) == held + 1
    assert (first.shape, first.dtype, first.__dlpack_device__()) == ((6, 6), np.float32, (2, 0))
    assert repr(first) == "<DeviceArray float32[6, 6] on device 0>"
    np.testing.assert_allclose(first.numpy(), expected(X, Y), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(first), first.numpy())
    z = gx.input("z", (6, 6))
    then = gx.compile([z], {"a": z * 2, "b": z}, backend="cuda")
    found = then(first, out="device")
    np.testing.assert_array_equal(found["a"].numpy(), 2 * first.numpy())
    np.testing.assert_array_equal(found["b"].numpy(), first.numpy())
    then(X @ Y.T, out=found)
    np.testing.assert_array_equal(found["b"].numpy(), X @ Y.T)
    with pytest.raises(BufferError, match="numpy"):
        first.__dlpack__(copy=True)
    held = len(blocks)
    del first, found
    gc.collect()
    assert len(blocks) == held - 3


def test_a_capsule_keeps_its_array_until_it_is_given_back(device: Device) -> None:
    run, blocks = program(), device.driver.blocks
    held = len(blocks)
    capsule = run(X, Y, out="device").__dlpack__(stream=-1)
    address, number, dtype, shape, strides, is_read_only = dlpack.read(capsule)
    assert (number, dtype, shape, strides, is_read_only) == (0, "float32", (6, 6), (6, 1), False)
    assert address in blocks
    del capsule
    assert len(blocks) == held
    with pytest.raises(ValueError, match="no capsule"):
        dlpack.read(None)


def test_a_taken_capsule_is_given_back_by_its_taker(device: Device) -> None:
    run, blocks = program(), device.driver.blocks
    held, api = len(blocks), ctypes.pythonapi
    named, used = (ctypes.py_object, ctypes.c_char_p), b"used_dltensor"
    api.PyCapsule_GetPointer.restype, api.PyCapsule_GetPointer.argtypes = ctypes.c_void_p, named
    api.PyCapsule_SetName.argtypes = named
    capsule = run(X, Y, out="device").__dlpack__()
    managed = api.PyCapsule_GetPointer(capsule, b"dltensor")
    deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.c_void_p.from_address(managed + 56).value)
    api.PyCapsule_SetName(capsule, used)
    with pytest.raises(ValueError, match="still to be read"):
        dlpack.read(capsule)
    del capsule
    assert len(blocks) == held + 1
    deleter(managed)
    assert len(blocks) == held


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_capsules_of_numpy_are_read(version: Any) -> None:
    for dtype in ("float64", "float16", "int64", "int8", "uint32", "bool", "int16"):
        array = np.ones((2, 3), dtype).T[1:]
        address, number, name, shape, strides, _ = dlpack.read(array.__dlpack__(max_version=version))
        assert (address, number, name, shape, strides) == (array.ctypes.data, 0, dtype, (2, 2), (1, 3))
    array.flags.writeable = version is None
    assert dlpack.read(array.__dlpack__(max_version=version))[-1] == (version is not None)


@pytest.mark.parametrize("backend", ["cuda", "cython"])
def test_arrays_of_the_host_come_by_dlpack_alone(device: Device, backend: str) -> None:
    class Bare:
        def __dlpack_device__(self) -> tuple[int, int]:
            return dlpack.CPU, 0

        def __dlpack__(self, **options: Any) -> Any:
            return X.__dlpack__()

    a = gx.input("a", (6, 5))
    np.testing.assert_array_equal(gx.compile([a], a * 2, backend=backend)(Bare()), 2 * X)


# State ---------------------------------------------------------------------------------------------------------------
def training() -> tuple[Any, Any]:
    nn.init.seed(1)
    x, y = gx.input("x", (6, 5)), gx.input("y", (6, 3))
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 3))
    loss = nn.mse_loss(model(x), y)
    step = gx.compile([x, y], loss, optim.Adam(lr=0.1).minimize(loss, model.parameters()), backend="cuda", seed=2)
    return step, model


def test_training_with_device_batches_has_the_bits_of_the_hosts(device: Device) -> None:
    batches = [tuple(RNG.normal(size=(6, n)).astype(np.float32) for n in (5, 3)) for _ in range(3)]
    (here, one), (there, other) = training(), training()
    for at, batch in enumerate(batches):
        kind = KINDS[at % 2]
        assert here(*batch) == there(*(kind(device, array) for array in batch))
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name])


@pytest.mark.parametrize("failing", ["cuGraphExecKernelNodeSetParams", "cuGraphLaunch", "cuMemcpyDtoDAsync"])
def test_after_an_error_state_and_addresses_are_right(device: Device, failing: str) -> None:
    (step, model), (twin, _), y = training(), training(), RNG.normal(size=(6, 3)).astype(np.float32)
    x, shifted = Interfaced(device, X), Interfaced(device, Y, shift=4)
    assert step(x, y) == twin(X, y)
    before = model.state_dict()
    device.driver.failing = failing
    with pytest.raises(BackendError, match="the CUDA device failed"):
        step(shifted, y)
    device.driver.failing = ""
    device.driver.queue.clear()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert step(shifted, y) == twin(Y, y)
    assert step(x, y) == twin(X, y)


def test_debugging_takes_them(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA", "simulate,debug")
    out = Interfaced(device, np.zeros((6, 6), np.float32))
    program()(Interfaced(device, X), Y, out=out)
    np.testing.assert_allclose(out.values, expected(X, Y), rtol=1e-5)
