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
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

import numpy as np

__all__ = ["Location", "capture"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_EXAMPLES = os.path.join(_PACKAGE, "examples") + os.sep


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


def capture() -> Location | None:
    """The innermost user frame on the stack, or None when all frames are graphc's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not _is_ours(code.co_filename):
            return Location(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None
