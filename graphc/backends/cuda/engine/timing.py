"""The time of each launch on a device: a graph whose nodes run one after the other, with an event between launches.

The device itself notes when it comes to an event, so the time in which the host launches kernels is in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from graphc.backends.cuda.engine.device import Device, DeviceEvent, DeviceGraph, LoadedKernels, Pointer, Work
from graphc.backends.cuda.engine.nodes import Placed

__all__ = ["TimedGraph"]


class TimedGraph:
    """The nodes of a step, each with its operands, in their order: `graph` is to be launched."""

    def __init__(self, device: Device, functions: LoadedKernels, nodes: Sequence[Placed]) -> None:
        self._events = [DeviceEvent(device)]
        self._launches = []
        chain: list[tuple[Work | DeviceEvent, Sequence[Pointer]]] = [(self._events[0], ())]
        for launch, group in groupby(nodes, key=lambda placed: placed[0].launch):
            self._launches.append(launch)
            self._events.append(DeviceEvent(device))
            chain += [*((work, pointers) for _, work, pointers in group), (self._events[-1], ())]
        placed = [(*link, [at - 1] if at else []) for at, link in enumerate(chain)]
        self.graph = DeviceGraph(device, functions, placed)

    def nanoseconds(self, launches: int) -> list[float]:
        """The time of each of the plan's `launches`, all iterations together, once the graph has run."""
        found = [0.0] * launches
        for launch, (before, behind) in zip(self._launches, pairwise(self._events), strict=True):
            found[launch] += behind.nanoseconds_since(before)
        return found
