"""Runs CUDA kernels in the simulator, on NumPy's arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.simulator import TYPES, simulate
from tests.kernel.oracle import Array

__all__ = ["run"]


def run(kernel: CudaKernel, buffers: Sequence[Array]) -> None:
    """Run a kernel on flat buffers, one for each operand."""
    simulate(kernel, [buffer.view(np.dtype(TYPES[kind])) for buffer, kind in zip(buffers, kernel.types, strict=True)])
