"""Libraries compiled from programs: loading one, finding its image, and what its symbols must not be."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphc.errors import BackendError

__all__ = ["load_image", "taken"]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_CAPSULE = b"graphc.image"  # GC_IMAGE_CAPSULE


def load_image(path: Path, name: str) -> Any:
    """The capsule of the image that the library at `path` has for the program `name`; `Executor` takes it.

    Loading a library runs its code: only load what you would run. It stays loaded. Raises BackendError.
    """
    try:
        library = ctypes.CDLL(str(path))
        image = ctypes.c_char.in_dll(library, f"{name}_image")
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} cannot be loaded as a compiled program: {error}") from None
    return _new_capsule(ctypes.addressof(image), _CAPSULE, None)


def taken(symbols: Iterable[str]) -> list[str]:
    """Those of `symbols` that the C library and its kin define: `sem_open`, `iconv_close`."""
    system = ctypes.CDLL(None)
    return [symbol for symbol in symbols if hasattr(system, symbol)]
