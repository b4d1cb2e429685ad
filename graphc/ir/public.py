"""`public`: the boundary of the functions that users call.

What a function cannot do with its arguments is said as an ArgumentError at the user's line, with the call, where Python
or NumPy would name a line of graphc's. PyTorch's names for axes are understood wherever an axis is taken.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from graphc.errors import ArgumentError, GraphcError, shown, with_location
from graphc.ir.location import capture

__all__ = ["make_public", "public"]

F = TypeVar("F", bound=Callable[..., Any])

_OTHER_NAMES = {"dim": ("axis",), "dims": ("axis", "axes"), "keepdim": ("keepdims",)}
_OF_ARGUMENTS = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError)


def public(function: F) -> F:
    """`function` as users call it: `dim`, `dims` and `keepdim` stand for `axis`, `axes` and `keepdims` where it has
    these; what it cannot take is an ArgumentError; every error names the user's line."""
    parameters = inspect.signature(function).parameters
    names = {other: name for other, own in _OTHER_NAMES.items() for name in own if name in parameters}
    names = {other: name for other, name in names.items() if other not in parameters}

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs and names and not names.keys().isdisjoint(kwargs):
                kwargs = _renamed(kwargs, names)
            return function(*args, **kwargs)
        except GraphcError as error:
            with_location(error, capture())
            raise
        except RecursionError:
            raise  # of whoever calls so deep
        except _OF_ARGUMENTS as error:
            raise _translated(function, args, kwargs, error) from error

    return cast(F, called)


def _renamed(kwargs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Keywords by their own names. Raises ArgumentError for one that is given by two names."""
    result: dict[str, Any] = {}
    for name, value in kwargs.items():
        own = names.get(name, name)
        if own in result or (own != name and own in kwargs):
            raise with_location(ArgumentError(f"{name} is another name of {own}; give one of them"), capture())
        result[own] = value
    return result


def _translated(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception
) -> ArgumentError:
    """What a function raised, as an error of its arguments, with the call; the first error stays behind it."""
    owner, _, name = function.__qualname__.rpartition(".")
    called = owner if name == "__init__" else name
    given = [shown(value) for value in (args[1:] if owner else args)]
    given += [f"{name}={shown(value)}" for name, value in kwargs.items()]
    return with_location(ArgumentError(f"{called}({', '.join(given)}): {error}"), capture())


def make_public(owner: type, names: tuple[str, ...]) -> None:
    """Make methods that the class itself defines public, if it is one of graphc's: what users write stays as it is."""
    if owner.__module__.startswith("graphc."):
        for name in names:
            if name in vars(owner):
                setattr(owner, name, public(vars(owner)[name]))
