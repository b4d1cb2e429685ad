"""The backends that there are, by name, and which of them a program gets.

The environment variable GRAPHC_BACKEND says what "auto" is instead.
"""

from __future__ import annotations

import os

from graphc.backends.backend import Backend, Deferred
from graphc.backends.c.backend import C
from graphc.backends.numpy.backend import NUMPY
from graphc.backends.tile.backend import CYTHON
from graphc.errors import BackendError

__all__ = ["AUTO", "BACKENDS", "NAMES", "VARIABLE", "candidates", "usable"]

VARIABLE = "GRAPHC_BACKEND"
AUTO = "auto"
BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        C,
        CYTHON,
        Deferred("cuda", "graphc.backends.cuda.backend", automatic=False),
        NUMPY,
    )
}  # as "auto" tries them
NAMES = (AUTO, *BACKENDS)


def candidates(name: str) -> list[Backend]:
    """The backends that a program may run on that was asked for by this name, first those to be tried first.

    The last works everywhere. Raises BackendError where GRAPHC_BACKEND is no backend.
    """
    if name == AUTO:
        name = os.environ.get(VARIABLE) or AUTO
        if name not in NAMES:
            raise BackendError(f"{VARIABLE}={name} names no backend; choose from {', '.join(NAMES)}")
    if name == AUTO:
        return [backend for backend in BACKENDS.values() if backend.automatic]
    return [BACKENDS[name]]


def usable(name: str) -> Backend:
    """The first of the `candidates` that works here. Raises BackendError."""
    found = candidates(name)
    return next((backend for backend in found if not backend.lack()), found[-1])
