"""The vendors' libraries that may be installed, and which calls each computes; nothing of them is imported."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.backends.cuda.compiler.compiling import is_there
from graphc.backends.cuda.engine.choosing import asked, is_simulated

__all__ = ["LIBRARIES", "KnownLibrary", "is_by_library", "libraries_here", "library_for"]


@dataclass(frozen=True)
class KnownLibrary:
    """A library: its name, the module through which it is called, the extra that installs both.

    `calls` are the calls of kernels whose place it may take, `computes` says in a word what they compute.
    """

    name: str
    module: str
    extra: str
    computes: str
    calls: tuple[str, ...]

    @property
    def is_here(self) -> bool:
        """Whether it may be used: it is installed, and the environment does not say `own`."""
        words = asked()
        if "own" in words:
            return False
        return "libraries" in words if is_simulated() else is_there(self.module)


LIBRARIES = (
    KnownLibrary("cuBLASLt", "nvmath.bindings.cublasLt", "cuda-libraries", "products", ("matmul",)),
    KnownLibrary("cuDNN", "cudnn", "cuda-cudnn", "convolutions", ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")),
)


def libraries_here() -> tuple[KnownLibrary, ...]:
    """The libraries that may be used. Raises BackendError for an environment that means nothing."""
    return tuple(library for library in LIBRARIES if library.is_here)


def library_for(call: str) -> KnownLibrary | None:
    """The library that knows a call, whether it is installed or not."""
    return next((library for library in LIBRARIES if call in library.calls), None)


def is_by_library(call: str) -> bool:
    """Whether a library that knows a call may be used here."""
    library = library_for(call)
    return library is not None and library.is_here
