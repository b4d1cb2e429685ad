"""One CUDA device through the driver's own functions: memory, modules, graphs, copies.

`Driver` names what is called: `cuda.bindings.driver` has it, and so has what simulates a device (simulator/driver.py).
An error of the driver is a BackendError that says what was done. All work goes through one stream, in its order;
`wait` comes back when it is done. Nothing here knows plans.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.errors import BackendError

__all__ = [
    "Bytes", "Device", "DeviceEvent", "DeviceGraph", "DeviceMemory", "LibraryWork", "LoadedKernels", "Pointer", "Work",
]  # fmt: skip

Driver = Any  # cuInit, cuMemAlloc and so on, each of which answers with an error, 0 for none, and what it has made
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING


class Pointer(int):
    """An address on the device. `nbytes` from there on are meant, at which simulators look, and devices do not."""

    nbytes: int

    @classmethod
    def to(cls, address: int, nbytes: int) -> Pointer:
        pointer = cls(address)
        pointer.nbytes = nbytes
        return pointer


class DeviceMemory:
    """A block of memory of the device, freed with this object."""

    def __init__(self, device: Device, nbytes: int) -> None:
        self.nbytes = nbytes
        self.address = device.call(f"allocating {nbytes} bytes", "cuMemAlloc", max(nbytes, 1))
        weakref.finalize(self, device.free, self.address)

    def at(self, offset: int, nbytes: int) -> Pointer:
        return Pointer.to(int(self.address) + offset, nbytes)


class LoadedKernels:
    """Functions of loaded modules by name, which stay loaded as long as this object lives."""

    def __init__(self, device: Device, images: Mapping[str, bytes]) -> None:
        self._found: dict[str, Any] = {}
        for name, image in images.items():
            module = device.call(f"loading {name}", "cuModuleLoadData", image)
            weakref.finalize(self, device.driver.cuModuleUnload, module)
            self._found[name] = device.call(f"looking for {name}", "cuModuleGetFunction", module, name.encode())

    def __getitem__(self, name: str) -> Any:
        return self._found[name]


class DeviceEvent:
    """A moment in the device's work: when a graph last came to it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.handle = device.call("making an event", "cuEventCreate", 0)
        weakref.finalize(self, device.driver.cuEventDestroy, self.handle)

    def nanoseconds_since(self, earlier: DeviceEvent) -> float:
        """The time between two events of a graph that has run."""
        milliseconds = self._device.call("reading a time", "cuEventElapsedTime", earlier.handle, self.handle)
        return float(milliseconds) * 1e6


class LibraryWork(Protocol):
    """What a library does on the device's stream."""

    @property
    def name(self) -> str: ...

    def run(self, operands: Sequence[Pointer], /) -> None:
        """Begin to do it."""


Work = CudaKernel | LibraryWork


class DeviceGraph:
    """Work that runs with one launch: `nodes` are (work, pointers, positions of nodes before).

    An event notes when all nodes before it are done.
    """

    def __init__(
        self,
        device: Device,
        functions: LoadedKernels,
        nodes: Sequence[tuple[Work | DeviceEvent, Sequence[Pointer], Any]],
    ) -> None:
        self._device, self._functions = device, functions  # which have to stay loaded
        self._works = [work for work, _, _ in nodes]
        graph = device.call("making a graph", "cuGraphCreate", 0)
        self._handles: list[Any] = []
        for work, pointers, depends in nodes:
            before = [self._handles[number] for number in depends]
            self._handles.append(self._add(graph, work, pointers, before))
        self.executable = device.call("making a graph ready", "cuGraphInstantiate", graph, 0)
        weakref.finalize(self, device.driver.cuGraphExecDestroy, self.executable)
        weakref.finalize(self, device.driver.cuGraphDestroy, graph)

    def _add(self, graph: Any, work: Work | DeviceEvent, pointers: Sequence[Pointer], before: list[Any]) -> Any:
        """A node for work."""
        device, behind = self._device, (before, len(before))
        if isinstance(work, CudaKernel):
            given = device.parameters(self._functions, work, pointers)
            return device.call(f"a node for {work.name}", "cuGraphAddKernelNode", graph, *behind, given)
        if isinstance(work, DeviceEvent):
            return device.call("a node for an event", "cuGraphAddEventRecordNode", graph, *behind, work.handle)
        recorded = device.recorded(partial(work.run, pointers))
        node = device.call(f"a node for {work.name}", "cuGraphAddChildGraphNode", graph, *behind, recorded)
        device.call("forgetting what was recorded", "cuGraphDestroy", recorded)  # the node has a copy
        return node

    def move(self, number: int, pointers: Sequence[Pointer]) -> None:
        """Have the node of a kernel work on these operands from the next launch on."""
        kernel = self._works[number]
        assert isinstance(kernel, CudaKernel), "what libraries do stays where it was recorded"
        given = self._device.parameters(self._functions, kernel, pointers)
        moving = "cuGraphExecKernelNodeSetParams"
        self._device.call(f"moving operands of {kernel.name}", moving, self.executable, self._handles[number], given)


class Device:
    """The first device that the driver shows, in its primary context, with a stream of its own."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._process = os.getpid()
        self.call("starting the driver", "cuInit", 0)
        self.number = 0
        number = self.call("looking for a device", "cuDeviceGet", self.number)
        self._context = self.call("making a context", "cuDevicePrimaryCtxRetain", number)
        self.enter()
        ask = partial(self.call, "asking the device")
        major, minor = (int(ask("cuDeviceGetAttribute", what, number)) for what in (_MAJOR, _MINOR))
        self.capability = major, minor
        self.name = _text(ask("cuDeviceGetName", 128, number)).split("\0")[0]
        self.version = int(ask("cuDriverGetVersion"))
        self._stream = self.call("making a stream", "cuStreamCreate", _NON_BLOCKING)
        self.stream = int(self._stream)  # as other libraries are told of it

    def call(self, doing: str, function: str, *args: Any) -> Any:
        """What a function of the driver answers with. Raises BackendError."""
        error, *values = getattr(self.driver, function)(*args)
        if int(error):
            name, said = (getattr(self.driver, ask)(error)[1] for ask in ("cuGetErrorName", "cuGetErrorString"))
            raise BackendError(f"the CUDA device failed while {doing}: {_text(said)} ({_text(name)})")
        return values[0] if values else None

    def enter(self) -> None:
        """Let this thread use the device. Raises BackendError in a child after a fork."""
        if os.getpid() != self._process:
            raise BackendError(
                "a CUDA device cannot be used in a process forked from one that uses it: start it by "
                "multiprocessing's 'spawn' method"
            )
        self.call("entering its context", "cuCtxSetCurrent", self._context)

    # Memory ----------------------------------------------------------------------------------------------------------
    def pinned(self, nbytes: int) -> Bytes:
        """Memory of the host from which and to which copies go fast; freed with the array."""
        address = self.call(f"allocating {nbytes} pinned bytes", "cuMemHostAlloc", max(nbytes, 1), 0)
        block = (ctypes.c_uint8 * nbytes).from_address(int(address))
        weakref.finalize(block, self.driver.cuMemFreeHost, address)
        return np.frombuffer(memoryview(block), np.uint8) if nbytes else np.empty(0, np.uint8)

    def free(self, address: Any) -> None:
        """Give memory back, in any thread, whose context stays what it is."""
        if os.getpid() == self._process and not int(self.driver.cuCtxPushCurrent(self._context)[0]):
            self.driver.cuMemFree(address)
            self.driver.cuCtxPopCurrent()

    def holder_of(self, address: int) -> int | None:
        """The number of the device in whose memory an address is, None where it is in no device's."""
        asked = self.driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        error, number = self.driver.cuPointerGetAttribute(asked, address)
        return None if int(error) else int(number)

    def send(self, target: int, source: np.ndarray[Any, Any]) -> None:
        """Begin to copy a contiguous array to the device: it stays as it is until `wait`."""
        if source.nbytes:
            self.call("copying", "cuMemcpyHtoDAsync", target, source.ctypes.data, source.nbytes, self._stream)

    def receive(self, target: np.ndarray[Any, Any], source: int) -> None:
        """Begin to copy from the device to a contiguous array, which has it after `wait`."""
        if target.nbytes:
            self.call("copying", "cuMemcpyDtoHAsync", target.ctypes.data, source, target.nbytes, self._stream)

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Begin to copy from one place of the device to another."""
        if nbytes:
            self.call("copying", "cuMemcpyDtoDAsync", target, source, nbytes, self._stream)

    # Kernels ---------------------------------------------------------------------------------------------------------
    def parameters(self, functions: LoadedKernels, kernel: CudaKernel, pointers: Sequence[Pointer]) -> Any:
        """How a kernel is launched, as a graph wants to know it."""
        given = self.driver.CUDA_KERNEL_NODE_PARAMS()
        given.func = functions[kernel.function]
        given.gridDimX, given.gridDimY, given.gridDimZ = kernel.blocks, 1, 1
        given.blockDimX, given.blockDimY, given.blockDimZ = kernel.threads, 1, 1
        given.sharedMemBytes = 0
        given.kernelParams = _arguments(kernel, pointers)
        return given

    def launch(self, graph: DeviceGraph) -> None:
        self.call("launching a program", "cuGraphLaunch", graph.executable, self._stream)

    def recorded(self, work: Callable[[], None]) -> Any:
        """What a library begins on the stream, as a graph, instead of running it."""
        mode = self.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self.call("recording a library", "cuStreamBeginCapture", self._stream, mode)
        try:
            work()
        except BaseException:  # an interruption, too, would leave the stream recording for ever
            self.driver.cuStreamEndCapture(self._stream)
            raise
        return self.call("recording a library", "cuStreamEndCapture", self._stream)

    def run(self, functions: LoadedKernels, work: Work, pointers: Sequence[Pointer]) -> None:
        """Run a single kernel, or what a library does."""
        if not isinstance(work, CudaKernel):
            work.run(pointers)
            return
        kernel = work
        grid, block = (kernel.blocks, 1, 1), (kernel.threads, 1, 1)
        function, given = functions[kernel.function], _arguments(kernel, pointers)
        self.call("launching a kernel", "cuLaunchKernel", function, *grid, *block, 0, self._stream, given, 0)

    def wait(self) -> None:
        self.call("running", "cuStreamSynchronize", self._stream)

    def wait_for(self, stream: int | None) -> None:
        """Wait for the work of another library's stream, or of all streams."""
        if stream is None:
            self.call("waiting for other streams", "cuCtxSynchronize")
        else:
            self.call("waiting for another stream", "cuStreamSynchronize", stream)


def _arguments(kernel: CudaKernel, pointers: Sequence[Pointer]) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """What a kernel's function takes, and of which types."""
    types = (*[ctypes.c_void_p] * len(pointers), *[ctypes.c_uint32] * len(kernel.numbers))
    return (*pointers, *kernel.numbers), types


def _text(said: Any) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
