"""Where the buffers of a program lie on the device: at home, or from call to call where an array of the caller is.

The graph has all addresses in it. When a buffer moves, the nodes that touch it are told before the next launch, and
only they: arrays that come again cost nothing. A node that could not be told remains to be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from graphc.backends.cuda.engine.device import DeviceGraph, DeviceMemory, Pointer
from graphc.backends.cuda.engine.nodes import KernelNode
from graphc.plan.plan import BufferNumber

__all__ = ["Addresses"]


class Addresses:
    """Where buffers lie that are no slices. `homes` says in which memory each lies, and from which byte on."""

    def __init__(self, homes: Mapping[BufferNumber, tuple[DeviceMemory, int]], nodes: Sequence[KernelNode]) -> None:
        self._homes = {number: int(memory.address) + start for number, (memory, start) in homes.items()}
        self._addresses = dict(self._homes)
        self._nodes = nodes
        touching = defaultdict[BufferNumber, set[int]](set)
        for at, node in enumerate(nodes):
            for operand in node.operands:
                touching[operand.buffer].add(at)
        self._touching = dict(touching)
        self._away: set[BufferNumber] = set()
        self._untold: set[int] = set()  # nodes that the graph has with old addresses

    def __getitem__(self, number: BufferNumber) -> int:
        return self._addresses[number]

    @property
    def are_away(self) -> bool:
        """Whether some buffer is not at home, or the graph does not know that all are."""
        return bool(self._away or self._untold)

    def move(self, number: BufferNumber, address: int | None) -> None:
        """Let a buffer lie at an address, or at home."""
        new = self._homes[number] if address is None else address
        if self._addresses[number] != new:
            self._addresses[number] = new
            (self._away.discard if address is None else self._away.add)(number)
            self._untold |= self._touching.get(number, set())

    def tell(self, graph: DeviceGraph) -> None:
        """Tell a graph of these nodes of all moves."""
        for at in sorted(self._untold):
            graph.move(at, self.pointers(self._nodes[at]))
            self._untold.discard(at)

    def pointers(self, node: KernelNode) -> list[Pointer]:
        """The operands of a node."""
        return [
            Pointer.to(self._addresses[operand.buffer] + operand.offset, operand.nbytes) for operand in node.operands
        ]
