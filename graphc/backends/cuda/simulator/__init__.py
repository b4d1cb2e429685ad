"""A simulator of CUDA kernels: runs the very text that would be compiled, all threads of many blocks at a time.

A local is an array with an element for each thread; control flow is a mask of threads. Types are Numba's: integers are
computed in 64 bits, a bare number is an int64 or a float64, and a local keeps its type. What would go wrong on a device
without a word is a SimulationError that names the line:

* an index outside an operand or a shared array, shared memory that is read before it was written
* an element that one thread writes and another reads or writes, in global memory at any time, in shared memory without
  a barrier in between
* a barrier that some threads of a block do not reach, a shuffle whose mask names threads that are not there
* a value of another type than the local, operand or shared array that it goes into: a float64 in a float32 kernel
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.simulator.functions import TYPES
from graphc.backends.cuda.simulator.grid import Grid
from graphc.backends.cuda.simulator.memory import SimulationError, memory_of
from graphc.backends.cuda.simulator.program import program_of

__all__ = ["TYPES", "SimulationError", "Touched", "simulate"]

Array = np.ndarray[Any, Any]
LANES = 1 << 16  # threads that are run at a time, in whole blocks


@dataclass(frozen=True)
class Touched:
    """Which elements of an operand a kernel has read, and which it has written."""

    read: Array
    written: Array


def simulate(kernel: CudaKernel, operands: Sequence[Array]) -> list[Touched]:
    """Run a kernel on flat arrays, one for each operand, of the types that the kernel has in memory.

    Answers with what it has touched of each.
    """
    for number, (array, kind) in enumerate(zip(operands, kernel.types, strict=True)):
        if array.dtype != TYPES[kind] or array.ndim != 1:
            raise SimulationError(f"operand {number} is {array.dtype}{list(array.shape)}, the kernel takes {kind}")
    names, run = program_of(kernel.text)
    memory = memory_of(names[: len(operands)], operands)
    told = dict(zip(names[len(operands) :], map(np.uint32, kernel.numbers), strict=True))
    step = max(1, LANES // kernel.threads)
    with np.errstate(all="ignore"):
        for first in range(0, kernel.blocks, step):
            grid = Grid(kernel, memory, first, min(step, kernel.blocks - first))
            grid.locals |= told
            run(grid, grid.all)
    touchers = [memory[name].blocks for name in names[: len(operands)]]
    return [Touched(blocks.reader != -1, blocks.writer != -1) for blocks in touchers]
