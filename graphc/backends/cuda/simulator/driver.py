"""A simulated CUDA driver: the functions that device.py calls, on memory of this process and the simulator of kernels.

Work of a stream is done when somebody waits for it, not before; the time of an event is the host's, when it was done.
Nodes of a graph run in any order that its edges allow, another one for each launch; a node that touches what another
one writes, with no path between the two, is an error, as is an address outside all memory, or an operand that goes
beyond its block. A module is a kernel's record as JSON. What simulated libraries do comes by `begin`, and is recorded
like all that a stream is given while it records.
"""

from __future__ import annotations

import ctypes
import json
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.simulator import TYPES, SimulationError, Touched, simulate

__all__ = ["LibraryTask", "SimulatedDriver", "image_of"]

Array = np.ndarray[Any, Any]
_GARBAGE = 0xFF


def image_of(kernel: CudaKernel) -> bytes:
    """What stands for a kernel's cubin."""
    return json.dumps(astuple(kernel)).encode()


@dataclass
class _Event:
    name: str = "event"
    nanoseconds: int = -1


@dataclass(frozen=True)
class LibraryTask:
    """What a library does: `run` with arrays at addresses, of dtypes, of which it touches these elements.

    It writes those from the operand `written` on.
    """

    name: str
    operands: tuple[tuple[int, np.dtype[Any], Array], ...]
    written: int
    run: Callable[[list[Array]], None]


@dataclass(frozen=True)
class _Launched:
    """A kernel on operands."""

    kernel: CudaKernel
    pointers: tuple[Any, ...]

    @property
    def name(self) -> str:
        return self.kernel.name


_Work = _Launched | LibraryTask | _Event


@dataclass(frozen=True)
class _Node:
    works: tuple[_Work, ...]  # one after the other
    depends: tuple[int, ...]
    ancestors: int  # a bit for each node that is done before this one starts

    @property
    def name(self) -> str:
        return ", ".join(work.name for work in self.works)


@dataclass
class _Graph:
    nodes: list[_Node] = field(default_factory=list)

    def add(self, depends: Sequence[int], works: tuple[_Work, ...]) -> int:
        """The number of a new node, which waits for these."""
        ancestors = 0
        for number in depends:
            ancestors |= self.nodes[number].ancestors | 1 << number
        self.nodes.append(_Node(works, tuple(depends), ancestors))
        return len(self.nodes) - 1


class SimulatedDriver:
    """The driver of one device. `order` is the seed of the orders in which nodes of graphs run."""

    CUDA_KERNEL_NODE_PARAMS = SimpleNamespace
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    CUpointer_attribute = SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL=9)

    def __init__(self, order: int = 0) -> None:
        self.random = np.random.default_rng(order)
        self.blocks: dict[int, Array] = {}  # by address
        self.addresses: list[int] = []  # in order
        self.queue: list[Callable[[], None]] = []
        self.recording: _Graph | None = None
        self.clock = time.perf_counter_ns

    # Devices ---------------------------------------------------------------------------------------------------------
    def cuInit(self, flags: int) -> tuple[int]:
        return (0,)

    def cuDeviceGet(self, number: int) -> tuple[int, int]:
        return 0, number

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, object]:
        return 0, self

    def cuCtxSetCurrent(self, context: object) -> tuple[int]:
        return (0,)

    def cuCtxPushCurrent(self, context: object) -> tuple[int]:
        return (0,)

    def cuCtxPopCurrent(self) -> tuple[int, object]:
        return 0, self

    def cuCtxSynchronize(self) -> tuple[int]:
        return self.cuStreamSynchronize(0)

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> tuple[int, int]:
        return 0, {75: 9, 76: 0}[attribute]

    def cuDeviceGetName(self, length: int, device: int) -> tuple[int, bytes]:
        return 0, b"simulated device\0"

    def cuDriverGetVersion(self) -> tuple[int, int]:
        return 0, 0

    def cuGetErrorName(self, error: int) -> tuple[int, bytes]:
        return 0, b"CUDA_ERROR_INVALID_VALUE"

    def cuGetErrorString(self, error: int) -> tuple[int, bytes]:
        return 0, b"invalid argument"

    # Memory ----------------------------------------------------------------------------------------------------------
    def cuMemAlloc(self, nbytes: int) -> tuple[int, int]:
        whole = np.full(nbytes + 256, _GARBAGE, np.uint8)
        block = whole[-whole.ctypes.data % 256 :][:nbytes]
        address = block.ctypes.data
        self.blocks[address] = block
        self.addresses = sorted(self.blocks)
        return 0, address

    def cuMemFree(self, address: int) -> tuple[int]:
        del self.blocks[int(address)]
        self.addresses = sorted(self.blocks)
        return (0,)

    def cuMemHostAlloc(self, nbytes: int, flags: int) -> tuple[int, int]:
        return self.cuMemAlloc(nbytes)

    def cuMemFreeHost(self, address: int) -> tuple[int]:
        return self.cuMemFree(address)

    def _block(self, pointer: int) -> int:
        """The address of the block that an address may be in, 0 for none."""
        at = bisect_right(self.addresses, pointer) - 1
        return self.addresses[at] if at >= 0 else 0

    def _found(self, pointer: int, nbytes: int) -> Array:
        """The bytes at an address. Raises SimulationError where they are in no block of memory."""
        address = self._block(pointer)
        start = int(pointer) - address
        if not address or start + nbytes > self.blocks[address].size:
            raise SimulationError(f"{nbytes} bytes at address {int(pointer):#x} are in no block of memory")
        return self.blocks[address][start : start + nbytes]

    def cuMemcpyHtoDAsync(self, target: int, source: int, nbytes: int, stream: int) -> tuple[int]:
        self.queue.append(lambda: _copy(self._found(target, nbytes).ctypes.data, source, nbytes))
        return (0,)

    def cuMemcpyDtoHAsync(self, target: int, source: int, nbytes: int, stream: int) -> tuple[int]:
        self.queue.append(lambda: _copy(target, self._found(source, nbytes).ctypes.data, nbytes))
        return (0,)

    def cuMemcpyDtoDAsync(self, target: int, source: int, nbytes: int, stream: int) -> tuple[int]:
        def copy() -> None:
            _copy(self._found(target, nbytes).ctypes.data, self._found(source, nbytes).ctypes.data, nbytes)

        self.queue.append(copy)
        return (0,)

    def cuPointerGetAttribute(self, attribute: int, pointer: int) -> tuple[int, int]:
        address = self._block(pointer)
        return (0, 0) if address and pointer - address < max(self.blocks[address].size, 1) else (1, 0)

    # Streams and modules ---------------------------------------------------------------------------------------------
    def cuStreamCreate(self, flags: int) -> tuple[int, int]:
        return 0, 1

    def cuStreamSynchronize(self, stream: int) -> tuple[int]:
        queue, self.queue = self.queue, []
        for work in queue:
            work()
        return (0,)

    def cuStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:
        self.recording = _Graph()
        return (0,)

    def cuStreamEndCapture(self, stream: int) -> tuple[int, _Graph | None]:
        found, self.recording = self.recording, None
        return 0, found

    def begin(self, task: LibraryTask) -> None:
        """Have a library's work done on the stream, or recorded."""
        if self.recording is None:
            self.queue.append(lambda: (self._library(task), None)[1])
        else:
            last = len(self.recording.nodes) - 1
            self.recording.add((last,) if last >= 0 else (), (task,))

    def cuModuleLoadData(self, image: bytes) -> tuple[int, CudaKernel]:
        return 0, CudaKernel.of(*json.loads(image))

    def cuModuleGetFunction(self, module: CudaKernel, name: bytes) -> tuple[int, CudaKernel]:
        return (0 if module.function == name.decode() else 500), module

    def cuModuleUnload(self, module: CudaKernel) -> tuple[int]:
        return (0,)

    # Events ----------------------------------------------------------------------------------------------------------
    def cuEventCreate(self, flags: int) -> tuple[int, _Event]:
        return 0, _Event()

    def cuEventDestroy(self, event: _Event) -> tuple[int]:
        return (0,)

    def cuEventElapsedTime(self, start: _Event, end: _Event) -> tuple[int, float]:
        return int(min(start.nanoseconds, end.nanoseconds) < 0), (end.nanoseconds - start.nanoseconds) / 1e6

    # Graphs ----------------------------------------------------------------------------------------------------------
    def cuGraphCreate(self, flags: int) -> tuple[int, _Graph]:
        return 0, _Graph()

    def cuGraphAddKernelNode(
        self, graph: _Graph, depends: Sequence[int], count: int, given: SimpleNamespace
    ) -> tuple[int, int]:
        work = _as_launched(given.func, given.gridDimX, given.blockDimX, given.kernelParams)
        return 0, graph.add(depends, (work,))

    def cuGraphAddEventRecordNode(
        self, graph: _Graph, depends: Sequence[int], count: int, event: _Event
    ) -> tuple[int, int]:
        return 0, graph.add(depends, (event,))

    def cuGraphAddChildGraphNode(
        self, graph: _Graph, depends: Sequence[int], count: int, child: _Graph
    ) -> tuple[int, int]:
        return 0, graph.add(depends, tuple(work for node in child.nodes for work in node.works))

    def cuGraphExecKernelNodeSetParams(self, graph: _Graph, node: int, given: SimpleNamespace) -> tuple[int]:
        work = _as_launched(given.func, given.gridDimX, given.blockDimX, given.kernelParams)
        graph.nodes[node] = replace(graph.nodes[node], works=(work,))
        return (0,)

    def cuGraphInstantiate(self, graph: _Graph, flags: int) -> tuple[int, _Graph]:
        return 0, _Graph(list(graph.nodes))

    def cuGraphDestroy(self, graph: _Graph) -> tuple[int]:
        return (0,)

    def cuGraphExecDestroy(self, graph: _Graph) -> tuple[int]:
        return (0,)

    def cuGraphLaunch(self, graph: _Graph, stream: int) -> tuple[int]:
        self.queue.append(lambda: self._run(graph))
        return (0,)

    def cuLaunchKernel(self, function: CudaKernel, *rest: Any) -> tuple[int]:
        blocks, _, _, threads, _, _, _, _, given, _ = rest
        work = _as_launched(function, blocks, threads, given)
        self.queue.append(lambda: (self._kernel(work), None)[1])
        return (0,)

    def _run(self, graph: _Graph) -> None:
        """All nodes, one of those that may start at a time."""
        waiting, done, touchers = dict(enumerate(graph.nodes)), set[int](), _NodeTouchers(self.blocks)
        while waiting:
            ready = [number for number, node in waiting.items() if done.issuperset(node.depends)]
            number = ready[int(self.random.integers(len(ready)))]
            node = waiting.pop(number)
            for work in node.works:
                for pointer, size, touched in self._done(work):
                    touchers.check(self._block(pointer), pointer, touched, size, number, node)
            done.add(number)

    def _done(self, work: _Work) -> list[tuple[int, int, Touched]]:
        """Do it. What it has touched, by address and bytes of an element."""
        if isinstance(work, _Event):
            work.nanoseconds = self.clock()
            return []
        return self._kernel(work) if isinstance(work, _Launched) else self._library(work)

    def _library(self, task: LibraryTask) -> list[tuple[int, int, Touched]]:
        """What a library's work has touched, by address and bytes of an element."""
        arrays, found = [], []
        for number, (pointer, dtype, elements) in enumerate(task.operands):
            count = int(elements.max()) + 1
            arrays.append(self._found(pointer, count * dtype.itemsize).view(dtype))
            touched = np.zeros(count, bool)
            touched[elements.reshape(-1)] = True
            is_written = number >= task.written
            found.append((int(pointer), dtype.itemsize, Touched(touched & (not is_written), touched & is_written)))
        task.run(arrays)
        return found

    def _kernel(self, work: _Launched) -> list[tuple[int, int, Touched]]:
        """What a kernel has touched, by address and bytes of an element."""
        kernel, operands, sizes = work.kernel, [], []
        for pointer, kind in zip(work.pointers, kernel.types, strict=True):
            size = np.dtype(TYPES[kind]).itemsize
            if pointer % size:
                raise SimulationError(f"{kernel.name} takes {kind} at the address {int(pointer):#x}")
            operands.append(self._found(pointer, pointer.nbytes // size * size).view(TYPES[kind]))
            sizes.append(size)
        touched = simulate(kernel, operands)
        return [(int(pointer), size, of) for pointer, size, of in zip(work.pointers, sizes, touched, strict=True)]


def _copy(target: int, source: int, nbytes: int) -> None:
    ctypes.memmove(target, source, nbytes)


def _as_launched(
    kernel: CudaKernel, blocks: int, threads: int, given: tuple[Sequence[Any], Sequence[type]]
) -> _Launched:
    """The kernel in these blocks, with the numbers and the operands that it is given.

    Raises SimulationError for threads or arguments for which it was not compiled.
    """
    values, types = given
    count = len(kernel.types)
    taken = [ctypes.c_void_p] * count + [ctypes.c_uint32] * len(kernel.numbers)
    if threads != kernel.threads or [*types] != taken or len(values) != len(taken):
        raise SimulationError(f"{kernel.function} is launched with {len(values)} arguments in {threads} threads")
    return _Launched(replace(kernel, blocks=blocks, numbers=tuple(values[count:])), tuple(values[:count]))


class _NodeTouchers:
    """Which nodes of a graph have touched each byte of memory: the last that wrote it, the last that read it."""

    def __init__(self, blocks: Mapping[int, Array]) -> None:
        self.blocks = blocks
        self.last: dict[int, tuple[Array, Array]] = {}

    def check(self, block: int, address: int, touched: Touched, size: int, number: int, node: _Node) -> None:
        """Note what a node has touched from an address on. Raises SimulationError where nothing orders it."""
        if block not in self.last:
            self.last[block] = tuple(np.full(self.blocks[block].size, -1, np.int32) for _ in range(2))  # type: ignore[assignment]
        start, stop = address - block, address - block + touched.read.size * size
        writer, reader = (last[start:stop] for last in self.last[block])
        read, written = np.repeat(touched.read, size), np.repeat(touched.written, size)
        for others in (*np.unique(writer[read | written]), *np.unique(reader[written])):
            if others not in (-1, number) and not node.ancestors >> int(others) & 1:
                raise SimulationError(
                    f"{node.name} touches what node {others} of its graph does: no edge says which comes first"
                )
        writer[written] = number
        reader[read] = number
