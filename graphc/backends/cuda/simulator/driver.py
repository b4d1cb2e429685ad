"""A simulated CUDA driver: the functions that device.py calls, on memory of this process and the simulator of kernels.

Work of a stream is done when somebody waits for it, not before; the time of an event is the host's, when it was done.
Nodes of a graph run in any order that its edges allow, another one for each launch; a node that touches what another
one writes, with no path between the two, is an error, as is an address outside all memory, or an operand that goes
beyond its block. A module is a kernel's record as JSON.
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

__all__ = ["SimulatedDriver", "image_of"]

Array = np.ndarray[Any, Any]
_GARBAGE = 0xFF


def image_of(kernel: CudaKernel) -> bytes:
    """What stands for a kernel's cubin."""
    return json.dumps(astuple(kernel)).encode()


@dataclass
class _Event:
    nanoseconds: int = -1


@dataclass(frozen=True)
class _Node:
    kernel: CudaKernel
    pointers: tuple[Any, ...]
    depends: tuple[int, ...]
    ancestors: int  # a bit for each node that is done before this one starts


@dataclass(frozen=True)
class _EventNode:
    event: _Event
    depends: tuple[int, ...]
    ancestors: int


@dataclass
class _Graph:
    nodes: list[_Node | _EventNode] = field(default_factory=list)

    def ancestors(self, depends: Sequence[int]) -> int:
        """The ancestors of a node that waits for these."""
        found = 0
        for number in depends:
            found |= self.nodes[number].ancestors | 1 << number
        return found


class SimulatedDriver:
    """The driver of one device. `order` is the seed of the orders in which nodes of graphs run."""

    CUDA_KERNEL_NODE_PARAMS = SimpleNamespace
    CUpointer_attribute = SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL=9)

    def __init__(self, order: int = 0) -> None:
        self.random = np.random.default_rng(order)
        self.blocks: dict[int, Array] = {}  # by address
        self.addresses: list[int] = []  # in order
        self.queue: list[Callable[[], None]] = []
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
        kernel, pointers = _as_launched(given.func, given.gridDimX, given.blockDimX, given.kernelParams)
        graph.nodes.append(_Node(kernel, pointers, tuple(depends), graph.ancestors(depends)))
        return 0, len(graph.nodes) - 1

    def cuGraphAddEventRecordNode(
        self, graph: _Graph, depends: Sequence[int], count: int, event: _Event
    ) -> tuple[int, int]:
        graph.nodes.append(_EventNode(event, tuple(depends), graph.ancestors(depends)))
        return 0, len(graph.nodes) - 1

    def cuGraphExecKernelNodeSetParams(self, graph: _Graph, node: int, given: SimpleNamespace) -> tuple[int]:
        kernel, pointers = _as_launched(given.func, given.gridDimX, given.blockDimX, given.kernelParams)
        moved = graph.nodes[node]
        assert isinstance(moved, _Node)
        graph.nodes[node] = replace(moved, kernel=kernel, pointers=pointers)
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
        kernel, pointers = _as_launched(function, blocks, threads, given)
        self.queue.append(lambda: (self._kernel(kernel, pointers), None)[1])
        return (0,)

    def _run(self, graph: _Graph) -> None:
        """All nodes, one of those that may start at a time."""
        waiting, done, touchers = dict(enumerate(graph.nodes)), set[int](), _NodeTouchers(self.blocks)
        while waiting:
            ready = [number for number, node in waiting.items() if done.issuperset(node.depends)]
            number = ready[int(self.random.integers(len(ready)))]
            node = waiting.pop(number)
            done.add(number)
            if isinstance(node, _EventNode):
                node.event.nanoseconds = self.clock()
                continue
            found = zip(node.pointers, node.kernel.types, self._kernel(node.kernel, node.pointers), strict=True)
            for pointer, kind, touched in found:
                size = np.dtype(TYPES[kind]).itemsize
                touchers.check(self._block(pointer), int(pointer), touched, size, number, node)

    def _kernel(self, kernel: CudaKernel, pointers: Sequence[Any]) -> list[Touched]:
        operands = []
        for pointer, kind in zip(pointers, kernel.types, strict=True):
            size = np.dtype(TYPES[kind]).itemsize
            if pointer % size:
                raise SimulationError(f"{kernel.name} takes {kind} at the address {int(pointer):#x}")
            operands.append(self._found(pointer, pointer.nbytes // size * size).view(TYPES[kind]))
        return simulate(kernel, operands)


def _copy(target: int, source: int, nbytes: int) -> None:
    ctypes.memmove(target, source, nbytes)


def _as_launched(
    kernel: CudaKernel, blocks: int, threads: int, given: tuple[Sequence[Any], Sequence[type]]
) -> tuple[CudaKernel, tuple[Any, ...]]:
    """The kernel in these blocks, with the numbers that it is given, and its operands.

    Raises SimulationError for threads or arguments for which it was not compiled.
    """
    values, types = given
    count = len(kernel.types)
    taken = [ctypes.c_void_p] * count + [ctypes.c_uint32] * len(kernel.numbers)
    if threads != kernel.threads or [*types] != taken or len(values) != len(taken):
        raise SimulationError(f"{kernel.function} is launched with {len(values)} arguments in {threads} threads")
    return replace(kernel, blocks=blocks, numbers=tuple(values[count:])), tuple(values[:count])


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
                    f"{node.kernel.name} touches what node {others} of its graph does: no edge says which comes first"
                )
        writer[written] = number
        reader[read] = number
