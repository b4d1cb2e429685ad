"""Nested structures: a tensor, None, or a tuple, list or dict of them, as users group what belongs together.

flatten(value, what)  = leaves, structure     leaves in order, dicts by their sorted keys
structure.filled(leaves)                      the same nesting around other leaves
structure.paths(what)                         what messages call each leaf: `init['h'][0]`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import GraphError, shown
from graphc.ops.build import as_tensor
from graphc.ops.tensor import Tensor

__all__ = ["Structure", "flatten"]

_NUMBERS = (bool, int, float, np.ndarray, np.generic)


@dataclass(frozen=True)
class Structure:
    """How leaves are nested: by a tuple, list or dict of parts; `kind` is None for a leaf, NoneType for nothing."""

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    parts: tuple[Structure, ...] = ()

    def filled(self, leaves: Sequence[Any]) -> Any:
        """The nesting around `leaves`."""
        return self._filled(iter(leaves))

    def _filled(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        if self.kind is type(None):
            return None
        found = [part._filled(leaves) for part in self.parts]
        if issubclass(self.kind, dict):
            return dict(zip(self.keys, found, strict=True))
        make: Callable[[Sequence[Any]], Any] = getattr(self.kind, "_make", self.kind)
        return make(found)

    def paths(self, what: str) -> list[str]:
        """What each leaf is called, in order."""
        if self.kind is None:
            return [what]
        return [
            path for key, part in zip(self.keys, self.parts, strict=True) for path in part.paths(f"{what}[{key!r}]")
        ]

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        if self.kind is type(None):
            return "None"
        parts = [str(part) for part in self.parts]
        if issubclass(self.kind, dict):
            inner = ", ".join(f"{key!r}: {part}" for key, part in zip(self.keys, parts, strict=True))
            return f"{{{inner}}}"
        if issubclass(self.kind, list):
            return f"[{', '.join(parts)}]"
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def flatten(value: Any, what: str) -> tuple[list[Tensor], Structure]:
    """The tensors in `value`, which messages call `what`, and how they are nested. Arrays and numbers become tensors.

    Raises GraphError for anything else.
    """
    leaves: list[Tensor] = []
    try:
        return leaves, _flattened(value, what, leaves)
    except RecursionError:
        raise GraphError(f"{what} nests too deep: it holds itself, or more levels than Python's stack") from None


def _flattened(value: Any, what: str, leaves: list[Tensor]) -> Structure:
    if value is None:
        return Structure(type(None))
    if isinstance(value, (Tensor, *_NUMBERS)):
        leaves.append(as_tensor(value))
        return Structure()
    if isinstance(value, dict):
        keys = tuple(sorted(value, key=str))
        return Structure(dict, keys, tuple(_flattened(value[key], f"{what}[{key!r}]", leaves) for key in keys))
    if isinstance(value, (tuple, list)):
        parts = tuple(_flattened(part, f"{what}[{at}]", leaves) for at, part in enumerate(value))
        return Structure(type(value), tuple(range(len(parts))), parts)
    raise GraphError(f"{what} is {shown(value)}; it must be a tensor, or a tuple, list or dict of tensors")
