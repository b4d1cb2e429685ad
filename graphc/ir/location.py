"""Where in the user's code a node was written.

`capture()` finds the innermost frame outside graphc, its examples excepted, and outside those who call it for users:
NumPy, for `np.mean(tensor)`, and Python's `copy`. A location is kept beside a node, outside its identity; nodes that
graphc derives inherit the location of the node they were derived from.
"""

from __future__ import annotations

import copy
import linecache
import os
import sys
import sysconfig
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

import numpy as np

__all__ = ["Location", "capture", "raised_at"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_EXAMPLES = os.path.join(_PACKAGE, "examples") + os.sep
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class Location(NamedTuple):
    """A line of the user's code."""

    filename: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """The source line, or empty where the file cannot be read."""
        return linecache.getline(self.filename, self.line).strip()

    def __str__(self) -> str:
        text = self.text
        return f"{self.filename}:{self.line} in {self.function}" + (f"\n    {text}" if text else "")


@lru_cache(maxsize=4096)
def _is_ours(filename: str) -> bool:
    ours = filename.startswith(_PACKAGE) and not filename.startswith(_EXAMPLES)
    return ours or filename.startswith(_NUMPY) or filename == copy.__file__


def raised_at(error: BaseException) -> Location | None:
    """The innermost line of the user's that an error came through; one of a library's where there is none."""
    found, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if not _is_ours(code.co_filename) and not code.co_filename.startswith("<frozen"):
            found.append(Location(code.co_filename, frame.tb_lineno, code.co_name))
        frame = frame.tb_next
    own = [place for place in found if not place.filename.startswith(_LIBRARIES)]
    places = own or found
    return places[-1] if places else None


def capture() -> Location | None:
    """The innermost user frame on the stack, or None when all frames are graphc's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not _is_ours(code.co_filename):
            return Location(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None
