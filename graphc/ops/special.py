"""SciPy's special functions, for references: imported when one is first called, as that takes a while."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["special"]


class _Special:
    """`scipy.special`, later: its functions by their names."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **options: Any) -> Any:
            return getattr(import_module("scipy.special"), name)(*args, **options)

        call.__name__ = name
        return call


special = _Special()
