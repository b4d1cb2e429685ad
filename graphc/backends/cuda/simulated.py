"""A simulated device: runs the launches of a plan in the simulator, in an arena of its own.

Launches run in any order that their dependencies allow, another one for each `seed`: what a plan does not order, a
device does not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.simulator import TYPES, simulate
from graphc.backends.cuda.writer import CudaCode
from graphc.plan.plan import Launch, Loop, Plan, Ref, copied_outputs

__all__ = ["SimulatedDevice"]

Array = np.ndarray[Any, Any]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class SimulatedDevice:
    """A plan made ready to run; see `Executor`, whose place it takes."""

    threads = 1
    table_bytes = 0

    def __init__(
        self, plan: Plan, parameters: Sequence[Array], constants: Sequence[Array], code: CudaCode, seed: int = 0,
        order: int = 0,
    ) -> None:  # fmt: skip
        self.plan, self.code = plan, code
        self.seed, self.step = seed, 0
        self.random = np.random.default_rng(order)
        self.arena = np.full(plan.arena_bytes, 0xFF, np.uint8)
        self.state = np.zeros(2, np.uint64)
        self.buffers: dict[int, Any] = {
            number: self.arena[buffer.offset : buffer.offset + buffer.nbytes]
            for number, buffer in enumerate(plan.buffers) if buffer.space == "arena"
        }  # fmt: skip
        for positions, arrays in ((plan.parameters, parameters), (plan.constants, constants)):
            self.buffers |= {number: _bytes(array) for number, array in zip(positions, arrays, strict=True)}
        if plan.rng >= 0:
            self.buffers[plan.rng] = _bytes(self.state)

    def run(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Run one step: read the arrays `inputs`, fill the arrays `outputs`."""
        self.state[:] = self.seed, self.step
        copies = copied_outputs(self.plan)
        self.buffers |= {number: _bytes(array) for number, array in zip(self.plan.inputs, inputs, strict=True)}
        for position, (number, array) in enumerate(zip(self.plan.outputs, outputs, strict=True)):
            if position not in copies:
                self.buffers[number] = _bytes(array)
        self._launches(0, len(self.plan.launches), list(self.plan.loops))
        for position in copies:
            _bytes(outputs[position])[:] = self.buffers[self.plan.outputs[position]][: outputs[position].nbytes]
        self.step += 1

    def _launches(self, first: int, last: int, loops: list[Loop]) -> None:
        """Run launches and loops of a range, one of those that may start at a time."""
        units: list[tuple[int, int, Loop | None]] = []
        while first < last:
            loop = next((loop for loop in loops if loop.first == first), None)
            end = loop.last if loop else first + 1
            units.append((first, end, loop))
            first = end
        start, done = units[0][0] if units else 0, set[int]()
        while units:
            ready = [unit for unit in units if self._may_start(unit, start, last, done)]
            unit = ready[int(self.random.integers(len(ready)))]
            units.remove(unit)
            self._unit(*unit, loops)
            done.update(range(unit[0], unit[1]))

    def _may_start(self, unit: tuple[int, int, Loop | None], start: int, last: int, done: set[int]) -> bool:
        needed = {n for launch in self.plan.launches[unit[0] : unit[1]] for n in launch.depends}
        return all(n in done for n in needed if start <= n < last and not unit[0] <= n < unit[1])

    def _unit(self, first: int, last: int, loop: Loop | None, loops: list[Loop]) -> None:
        if loop is None:
            self._launch(self.plan.launches[first])
            return
        inner = [other for other in loops if other is not loop]
        for iteration in range(loop.count):
            for part in loop.slices:
                start = part.offset + part.step * iteration
                nbytes = self.plan.buffers[part.buffer].nbytes
                self.buffers[part.buffer] = self.buffers[part.of][start : start + nbytes]
            self._launches(first, last, [other for other in inner if first <= other.first and other.last <= last])

    def _launch(self, launch: Launch) -> None:
        refs = (*launch.operands, *launch.program_operands)
        for kernel in self.code.launches[launch.kernel]:
            places = kernel.places or tuple((number, 0) for number in range(len(refs)))
            given = [
                self._operand(refs[at], start, kind) for (at, start), kind in zip(places, kernel.types, strict=True)
            ]
            simulate(kernel, given)

    def _operand(self, ref: Ref, start: int, kind: str) -> Array:
        memory, size = self.buffers[ref.buffer][ref.offset + start :], np.dtype(TYPES[kind]).itemsize
        return memory[: len(memory) // size * size].view(TYPES[kind])  # type: ignore[no-any-return]


def _bytes(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)
