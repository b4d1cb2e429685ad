"""The engine of a CUDA program: a step is one copy to the device, one launch of one graph, one copy back.

Everything is prepared once: memory for inputs, outputs and the arena, loaded kernels, the graph with all addresses, and
pinned memory of the host where a call's arrays wait to be copied. A step allocates nothing. Parameters stay on the
device (residence.py). An error leaves parameters and the step as they were. One of the device itself, which is known
when the work should be done, takes what was there with it: then parameters are what they were when they were read last.

Arrays that are on the device already are not copied: kernels read inputs and write outputs where the caller's arrays
are (addresses.py), unless these begin at no multiple of 16 bytes; then a copy on the device goes between.

With `debug` a step runs launch by launch: an error, or a float that is no number, names the launch and the user's line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphc.backends.cuda.engine.addresses import Addresses
from graphc.backends.cuda.engine.binding import DeviceBinding
from graphc.backends.cuda.engine.debugging import run_by_launches
from graphc.backends.cuda.engine.device import Device, DeviceGraph, DeviceMemory, LibraryWork, LoadedKernels, Work
from graphc.backends.cuda.engine.nodes import KernelNode, Placed
from graphc.backends.cuda.engine.residence import residence_of
from graphc.backends.cuda.engine.staging import Staging, staged, staging_bytes
from graphc.backends.cuda.engine.timing import TimedGraph
from graphc.backends.cuda.kernel import WIDEST
from graphc.errors import BackendError
from graphc.ir.ranges import IndexRange
from graphc.ops.guard import Storage
from graphc.plan.plan import BufferNumber, Plan, copied_outputs
from graphc.runtime.argument import Argument

__all__ = ["CudaEngine", "Loaded"]

Array = np.ndarray[Any, Any]


class Library(Protocol):
    """What computes the nodes that are `by_library`. No two of them run at a time: they share `workspace` bytes."""

    @property
    def workspace(self) -> int: ...

    def prepared(self, workspace: int) -> Mapping[str, LibraryWork]:
        """What is done for each kernel, by name, with a workspace at this address."""


@dataclass(frozen=True)
class Loaded:
    """What a program runs on: its nodes, the image of each kernel's function as the device loads it, and the device."""

    nodes: Sequence[KernelNode]
    images: Mapping[str, bytes]
    device: Device
    debug: bool = False
    library: Library | None = None

    def works(self, workspace: int) -> list[Work]:
        """What each node does; what libraries need beside their operands is at this address."""
        prepared = {} if self.library is None else self.library.prepared(workspace)
        return [prepared[node.kernel.name] if node.by_library else node.kernel for node in self.nodes]


class CudaEngine:
    """A plan made ready to run on a device; see `Executor`, whose place it takes."""

    threads = 0
    is_elsewhere = True

    def __init__(
        self, plan: Plan, parameters: Sequence[Storage], constants: Sequence[Array], loaded: Loaded, seed: int = 0
    ) -> None:
        self.plan, self.seed, self.step = plan, seed, 0
        room = loaded.library.workspace if loaded.library is not None else 0
        self.table_bytes = staging_bytes(plan) + room
        self._device, self._debug = loaded.device, loaded.debug
        self._device.enter()
        self._residences = [residence_of(self._device, storage) for storage in parameters]
        written = {number for launch in plan.launches for number in launch.writes}
        pairs = zip(plan.parameters, self._residences, strict=True)
        self._updated = [residence for number, residence in pairs if number in written]
        self._constants = [_held(self._device, array) for array in constants]
        self._arena = DeviceMemory(self._device, plan.arena_bytes)
        given, taken = staged(plan)
        self._given, self._taken = Staging(self._device, given), Staging(self._device, taken)
        self._copied = copied_outputs(plan)
        self._nodes = loaded.nodes
        self._workspace = DeviceMemory(self._device, room) if room else None
        self._works = loaded.works(int(self._workspace.address) if self._workspace else 0)
        self._addresses = Addresses(self._find_homes(), self._nodes)
        self._fixed = {operand.buffer for node in self._nodes if node.by_library for operand in node.operands}
        self._functions = LoadedKernels(self._device, loaded.images)
        self._graph = None if self._debug else self._make_graph()

    def _find_homes(self) -> dict[BufferNumber, tuple[DeviceMemory, int]]:
        """Where each buffer lies at first that is no slice: a block of the device, and a byte of it."""
        plan = self.plan
        found = {
            BufferNumber(number): (self._arena, buffer.offset)
            for number, buffer in enumerate(plan.buffers) if buffer.space == "arena"
        }  # fmt: skip
        found.update(zip(plan.parameters, ((r.memory, 0) for r in self._residences), strict=True))
        found.update(zip(plan.constants, ((memory, 0) for memory in self._constants), strict=True))
        given = [*plan.inputs, *([plan.rng] if plan.rng >= 0 else [])]
        found.update(zip(given, ((self._given.memory, offset) for offset in self._given.offsets), strict=True))
        own = [number for at, number in enumerate(plan.outputs) if at not in self._copied]
        places = (self._taken.offsets[at] for at in range(len(plan.outputs)) if at not in self._copied)
        found.update(zip(own, ((self._taken.memory, offset) for offset in places), strict=True))
        return found

    def _make_graph(self) -> DeviceGraph:
        nodes = [(work, pointers, node.depends) for node, work, pointers in self._placed()]
        return DeviceGraph(self._device, self._functions, nodes)

    def _placed(self) -> list[Placed]:
        """The nodes, what does each, and where its operands are now."""
        pairs = zip(self._nodes, self._works, strict=True)
        return [(node, work, self._addresses.pointers(node)) for node, work in pairs]

    def binding(
        self,
        inputs: Sequence[Argument],
        outputs: Sequence[Argument],
        structure: str,
        protected: Iterable[Any],
        ranges: Sequence[IndexRange],
    ) -> DeviceBinding:
        """How the arrays of a call find their places, in which those on the device stay there."""
        given, taken = (
            [view.reshape(argument.type.shape) for view, argument in zip(staging.views, arguments, strict=False)]
            for staging, arguments in ((self._given, inputs), (self._taken, outputs))
        )  # the plan's buffers may have other shapes
        return DeviceBinding(inputs, outputs, structure, protected, ranges, self._device, given, taken)

    # Running ---------------------------------------------------------------------------------------------------------
    def run(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Run one step: read the arrays `inputs`, fill the arrays `outputs`. Each is NumPy's, or on the device."""
        self._run(inputs, outputs, self._compute)

    def run_profiled(self, inputs: list[Any], outputs: list[Any]) -> list[float]:
        """`run` with one launch after the other; answers with the nanoseconds that each took."""
        timed: list[TimedGraph] = []

        def compute() -> None:
            timed.append(TimedGraph(self._device, self._functions, self._placed()))
            self._device.launch(timed[0].graph)

        self._run(inputs, outputs, compute)
        return timed[0].nanoseconds(len(self.plan.launches))

    def _run(self, inputs: list[Any], outputs: list[Any], compute: Callable[[], None]) -> None:
        self._device.enter()
        sent = tuple([isinstance(array, np.ndarray) for array in inputs])
        fetched = tuple([isinstance(array, np.ndarray) for array in outputs])
        if self._addresses.are_away or not (all(sent) and all(fetched)):
            self._move(inputs, outputs)
        self._send(inputs, sent)
        compute()
        for residence in self._updated:
            residence.is_newer = True
        self.step += 1
        try:
            self._receive(outputs, fetched)
        except BackendError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """The step has failed: what the device has is not to be relied upon."""
        self.step -= 1
        for residence in self._residences:
            with contextlib.suppress(BackendError):
                if residence not in self._updated:
                    residence.fetch()
            residence.changed()

    def _move(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Let the buffers of inputs and outputs lie where the arrays are, where kernels can use them there."""
        for number, array in zip(self.plan.inputs, inputs, strict=True):
            self._addresses.move(number, self._usable(number, array))
        for at, (number, array) in enumerate(zip(self.plan.outputs, outputs, strict=True)):
            if at not in self._copied:
                self._addresses.move(number, self._usable(number, array))
        if self._graph is not None:
            self._addresses.tell(self._graph)

    def _usable(self, number: BufferNumber, array: Any) -> int | None:
        """The address of an array on the device where kernels can use it there; what libraries touch stays at home."""
        if isinstance(array, np.ndarray) or array.address % WIDEST or not array.nbytes or number in self._fixed:
            return None
        return int(array.address)

    def _send(self, inputs: list[Any], sent: tuple[bool, ...]) -> None:
        """Bring to the device what is on the host: the inputs that are `sent`, parameters that were written there."""
        device, given = self._device, self._given
        for view, array, is_sent in zip(given.views, inputs, sent, strict=False):
            if is_sent:
                np.copyto(view, array.reshape(view.shape))
        if self.plan.rng >= 0:
            given.views[-1].view(np.uint64)[:] = self.seed, self.step
            sent = (*sent, True)
        for residence in self._residences:
            residence.settle()
        for place, host in given.parts(sent):
            device.send(place, host)
        if not all(sent):
            for number, array in zip(self.plan.inputs, inputs, strict=True):
                self._copy_within(array, self._addresses[number], is_input=True)

    def _receive(self, outputs: list[Any], fetched: tuple[bool, ...]) -> None:
        """Fill the outputs: those that are `fetched` are on the host."""
        device, taken, numbers = self._device, self._taken, self.plan.outputs
        direct = tuple([is_host and at not in self._copied for at, is_host in enumerate(fetched)])
        for place, host in taken.parts(direct):
            device.receive(host, place)
        for at in self._copied:
            if fetched[at]:
                device.receive(taken.views[at].reshape(-1), self._addresses[numbers[at]])
        if not all(fetched):
            for number, array in zip(numbers, outputs, strict=True):
                self._copy_within(array, self._addresses[number], is_input=False)
        device.wait()
        for array, view, is_host in zip(outputs, taken.views, fetched, strict=True):
            if is_host:
                np.copyto(array, view.reshape(array.shape))

    def _copy_within(self, array: Any, place: int, *, is_input: bool) -> None:
        """Begin to copy an array on the device to the place of its buffer, or from there, if it is another one."""
        if not isinstance(array, np.ndarray) and array.address != place:
            target, source = (place, array.address) if is_input else (array.address, place)
            self._device.copy(target, source, array.nbytes)

    def _compute(self) -> None:
        if self._graph is None:
            run_by_launches(self._device, self._functions, self.plan, self._placed(), self._updated)
        else:
            self._device.launch(self._graph)


def _held(device: Device, array: Array) -> DeviceMemory:
    """Memory of the device with a copy of the array."""
    memory, contiguous = DeviceMemory(device, array.nbytes), np.ascontiguousarray(array).reshape(-1)
    device.send(memory.address, contiguous)
    device.wait()
    return memory
