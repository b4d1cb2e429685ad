"""The plan as nodes of a CUDA graph: one for each kernel of a launch, along the plan's own dependencies.

A loop's launches become nodes for each of its iterations, the next of which begins when all of one are done; what moves
with the iteration has its place in each of them. So a step is one graph, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from graphc.backends.cuda.engine.device import Pointer, Work
from graphc.backends.cuda.kernel import WIDEST, CudaKernel
from graphc.backends.cuda.writer import CudaCode
from graphc.errors import BackendError
from graphc.plan.plan import REGISTERS, BufferNumber, Launch, LaunchNumber, Loop, Plan, Ref

__all__ = ["KernelNode", "Placed", "Stretch", "for_launch", "nodes_of"]

MOST_NODES = 1 << 17
_NONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Stretch:
    """`nbytes` bytes of a buffer, which is no slice, from `offset` on."""

    buffer: BufferNumber
    offset: int
    nbytes: int


@dataclass(frozen=True)
class KernelNode:
    """A kernel on its operands, or `by_library` the call alone that it computes.

    `depends` are the positions of nodes before it for which it waits.
    """

    kernel: CudaKernel
    operands: tuple[Stretch, ...]
    depends: tuple[int, ...]
    launch: LaunchNumber
    by_library: bool = False


Placed = tuple[KernelNode, Work, Sequence[Pointer]]
"""A node, what does it, and its operands."""


def for_launch(kernel: CudaKernel, launch: Launch) -> CudaKernel:
    """The kernel, or the one that stores no result where the launch leaves it in registers."""
    is_local = bool(launch.operands) and launch.operands[-1].buffer == REGISTERS
    return kernel.unstored if is_local and kernel.unstored is not None else kernel


def nodes_of(plan: Plan, code: CudaCode, by_library: Mapping[str, int] = _NONE) -> list[KernelNode]:
    """The nodes of a step, each behind those that it waits for. Raises BackendError for more than a graph can hold.

    `by_library` are the names of kernels whose calls a library computes where it can, and how many bytes it needs for
    that: those who need any have the same ones, one after the other.
    """
    found = _Nodes(plan, code, by_library)
    found.add_range(LaunchNumber(0), LaunchNumber(len(plan.launches)), plan.loops, ())
    return found.nodes


class _Nodes:
    """The nodes as they grow. `ends` is the last node of each launch so far, `slices` where slices lie just now."""

    def __init__(self, plan: Plan, code: CudaCode, by_library: Mapping[str, int]) -> None:
        self.plan, self.code, self.by_library = plan, code, by_library
        self.nodes: list[KernelNode] = []
        self.ends: dict[LaunchNumber, int] = {}
        self.slices: dict[BufferNumber, Stretch] = {}
        self.in_workspace: tuple[int, ...] = ()  # the last node that needs it

    def add_range(
        self, first: LaunchNumber, last: LaunchNumber, loops: Sequence[Loop], before: tuple[int, ...]
    ) -> None:
        """Launches and loops; those that wait for none of the range begin after the nodes `before`."""
        at, every = first, {loop.first: loop for loop in reversed(loops)}  # of two with one first the outer one
        while at < last:
            loop = every.get(at)
            if loop is None:
                self._add_launch(at, first, before)
                at = LaunchNumber(at + 1)
            else:
                inner = [other for other in loops if other is not loop and loop.first <= other.first < loop.last]
                self._add_loop(loop, inner, before)
                at = loop.last

    def _add_loop(self, loop: Loop, inner: Sequence[Loop], before: tuple[int, ...]) -> None:
        for iteration in range(loop.count):
            for part in loop.slices:
                nbytes = self.plan.buffers[part.buffer].nbytes
                self.slices[part.buffer] = self._place(part.of, part.offset + part.step * iteration, nbytes)
            start = len(self.nodes)
            self.add_range(loop.first, loop.last, inner, before)
            needed = {number for node in self.nodes[start:] for number in node.depends}
            before = tuple(number for number in range(start, len(self.nodes)) if number not in needed) or before

    def _add_launch(self, number: LaunchNumber, start: LaunchNumber, before: tuple[int, ...]) -> None:
        launch = self.plan.launches[number]
        ends = [self.ends[earlier] for earlier in launch.depends if earlier in self.ends]
        is_first = all(earlier < start for earlier in launch.depends)
        depends = tuple(sorted({*ends, *(before if is_first else ())}))
        for kernel in self.code.launches[launch.kernel]:
            kernel = for_launch(kernel, launch)
            operands = self._operands(kernel, launch)
            if kernel.name in self.by_library and self._is_aligned([WIDEST] * 3, operands[:3]):
                depends = self._add_library_work(kernel, operands[:3], depends, number)
                if kernel.finish is None:
                    continue
                kernel = kernel.finish
                operands = self._operands(kernel, launch)
            if kernel.narrow is not None and not self._is_aligned(kernel.widths, operands):
                kernel = kernel.narrow
            self.nodes.append(KernelNode(kernel, operands, depends, number))
            depends = (len(self.nodes) - 1,)
        self.ends[number] = len(self.nodes) - 1
        if len(self.nodes) > MOST_NODES:
            raise BackendError(
                f"a step of this program takes more than {MOST_NODES} kernels on a CUDA device, as each iteration of "
                "its loops has kernels of its own; choose backend='c' for loops of many short iterations"
            )

    def _add_library_work(
        self, kernel: CudaKernel, operands: tuple[Stretch, ...], depends: tuple[int, ...], number: LaunchNumber
    ) -> tuple[int, ...]:
        """Let a library compute the call of a kernel; what comes next waits for it."""
        needs = self.by_library[kernel.name] > 0
        waits = tuple(sorted({*depends, *(self.in_workspace if needs else ())}))
        self.nodes.append(KernelNode(kernel, operands, waits, number, by_library=True))
        made = (len(self.nodes) - 1,)
        if needs:
            self.in_workspace = made
        return made

    def _is_aligned(self, widths: Sequence[int], operands: Sequence[Stretch]) -> bool:
        """Whether all operands are at multiples of these widths; buffers begin at multiples of all of them."""
        at = (self.plan.buffers[operand.buffer].offset + operand.offset for operand in operands)
        return not any(width and start % width for start, width in zip(at, widths, strict=True))

    def _operands(self, kernel: CudaKernel, launch: Launch) -> tuple[Stretch, ...]:
        refs: Sequence[Ref] = (*launch.operands, *launch.program_operands)
        places = kernel.places or tuple((at, 0) for at in range(len(refs)))
        return tuple(self._place(refs[at].buffer, refs[at].offset + start) for at, start in places)

    def _place(self, buffer: BufferNumber, offset: int, nbytes: int | None = None) -> Stretch:
        """The bytes from `offset` on of a buffer, which may be a slice: all, or so many."""
        whole = self.slices.get(buffer) or Stretch(buffer, 0, self.plan.buffers[buffer].nbytes)
        return Stretch(whole.buffer, whole.offset + offset, whole.nbytes - offset if nbytes is None else nbytes)
