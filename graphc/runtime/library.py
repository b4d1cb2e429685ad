"""Libraries compiled from programs: loading one, finding its image, and what its symbols must not be."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphc.errors import BackendError, FormatError
from graphc.runtime.executor import IMAGE_FORMAT

__all__ = ["load_image", "taken"]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_CAPSULE = b"graphc.image"  # GC_IMAGE_CAPSULE


class _Image(ctypes.Structure):
    """gc_compiled of step.h."""

    _fields_ = (
        ("format", ctypes.c_int64), ("launch_count", ctypes.c_int64), ("launches", ctypes.c_void_p),
        ("loop_count", ctypes.c_int64), ("loops", ctypes.c_void_p), ("digest", ctypes.c_char_p),
    )  # fmt: skip


def load_image(path: Path, name: str, digest: str) -> Any:
    """The capsule of the image that the library at `path` has for the program `name`; `Executor` takes it.

    `digest` is that of the program (backends/c/interface.py), which the library must have been compiled for. Loading a
    library runs its code: only load what you would run. It stays loaded. Raises BackendError, FormatError (another
    program's).
    """
    try:
        image = _Image.in_dll(_opened(path), f"{name}_image")
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} cannot be loaded as a compiled program: {error}") from None
    if image.format != IMAGE_FORMAT:
        raise BackendError(f"{path} is of another version of graphc; compile the program again")
    if image.digest != digest.encode():
        raise FormatError(f"{path} was compiled for another program than the one it is loaded for")
    return _new_capsule(ctypes.addressof(image), _CAPSULE, None)


def taken(symbols: Iterable[str]) -> list[str]:
    """Those of `symbols` that the C library and its kin define: `sem_open`, `iconv_close`."""
    system = ctypes.CDLL(None)
    return [symbol for symbol in symbols if hasattr(system, symbol)]


def _opened(path: Path) -> ctypes.CDLL:
    """The library that is at `path` now.

    The system takes a library that it has opened for the file of its name, whatever has replaced that file since: such
    a one is opened by another name. Opening the same file twice is the same library.
    """
    try:
        ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
    except OSError:
        return ctypes.CDLL(str(path))
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder:
        other = Path(folder) / path.name
        other.symlink_to(path.resolve())
        return ctypes.CDLL(str(other))
