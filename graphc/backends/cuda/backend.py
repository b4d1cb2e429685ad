"""The backend "cuda" as a record."""

from __future__ import annotations

from graphc.backends.backend import Backend, Planning
from graphc.backends.cuda.compiling import lack
from graphc.backends.cuda.writer import CudaCode, CudaWriter, cuda_call

__all__ = ["CUDA"]

CUDA = Backend(
    "cuda",
    lack=lack,
    how=Planning(
        passes=(),
        lowering=cuda_call,
        writer=CudaWriter,
        identity=lambda: ("cuda",),
        code_of=CudaCode.of,
        load=lambda plan, read, library: (read(), ""),
    ),
    automatic=False,
)
