"""The error classes users see, and the warning.

Every error that graphc raises on purpose derives from `GraphcError`, and also from the built-in class a NumPy
user would expect (`ValueError`, `TypeError`, ...). A message says what was asked, what came, why it cannot be and
what to do; `with_location` adds the user's line. An `InternalError` is always a fault of graphc itself.
"""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

__all__ = [
    "ArgumentError",
    "BackendError",
    "BusyError",
    "DTypeError",
    "FormatError",
    "GradientError",
    "GraphError",
    "GraphcError",
    "GraphcWarning",
    "InputError",
    "InternalError",
    "MemoryBudgetError",
    "MissingError",
    "ShapeError",
    "shown",
    "with_location",
]


class GraphcError(Exception):
    """Base of all errors raised by graphc. `location` is the user's line as text, or empty."""

    location: str = ""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  at {self.location}" if self.location else message


class ShapeError(GraphcError, ValueError):
    """Shapes, axes or indices do not fit together."""


class DTypeError(GraphcError, TypeError):
    """An element type is unknown, not supported by the operation, or does not match."""


class ArgumentError(GraphcError, TypeError, ValueError):
    """An argument, or what is done with a tensor, is nothing that there is. The message says what to do instead."""


class MissingError(GraphcError, AttributeError):
    """A tensor has no such attribute, though another library's have. The message says what there is instead."""


class GraphError(GraphcError, ValueError):
    """A graph is put together wrongly: a missing or duplicate input, an update of what is no parameter."""


class GradientError(GraphcError, ValueError):
    """A gradient was asked for that does not exist."""


class InputError(GraphcError, ValueError):
    """A program was called with arrays it does not accept. State is as before the call."""


class BackendError(GraphcError, RuntimeError):
    """A backend was asked for that cannot run here."""


class BusyError(GraphcError, RuntimeError):
    """What was asked for would wait for what the same thread is in the middle of. Nothing has changed."""


class FormatError(GraphcError, ValueError):
    """A text or a file is not in the format it claims."""


class MemoryBudgetError(GraphcError, MemoryError):
    """A memory budget cannot be met. The message names the smallest that can."""


class InternalError(GraphcError, AssertionError):
    """A fault of graphc: a pass broke a promise. The message names the pass and shows the neighbourhood."""


class GraphcWarning(UserWarning):
    """Something works less well than it could here. The message says why, and how to mend it."""


E = TypeVar("E", bound=GraphcError)


def with_location(error: E, location: object) -> E:
    """`error`, naming the user's line unless it already names one."""
    if not error.location and location is not None:
        error.location = str(location)
    return error


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 4, 120, 200


def shown(value: Any) -> str:
    """`repr` of whatever a user gave, for a message: short, however long, deep or strange it is."""
    return _SHORT.repr(value)
