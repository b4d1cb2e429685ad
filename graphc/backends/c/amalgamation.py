"""Headers as one text: generated C carries what it needs of `kernels/cpu/include/graphc`, so that it compiles alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from graphc.errors import InternalError
from graphc.kernels import cpu

__all__ = ["INCLUDE", "Amalgamation"]

INCLUDE = Path(cpu.__file__).parent / "include" / "graphc"
_OURS = re.compile(r'#\s*include\s+"(?:graphc/)?([a-z0-9_]+\.h)"')


@cache
def _text(name: str) -> str:
    try:
        return (INCLUDE / name).read_text()
    except FileNotFoundError:
        raise InternalError(f"amalgamation: there is no header {name}") from None


class Amalgamation:
    """Headers and all that they include of ours, in order.

    A header with an include guard appears once; one without (a template that is included several times with other
    macros) appears wherever it is included. Standard headers stay as they are.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def text(self, headers: Iterable[str]) -> str:
        """The text of `headers`, without what was given out before."""
        lines: list[str] = []
        for name in headers:
            self._append(name, lines)
        return "\n".join(lines)

    def _append(self, name: str, lines: list[str]) -> None:
        text = _text(name)
        if f"#ifndef GRAPHC_{name.removesuffix('.h').upper()}_H" in text:
            if name in self._seen:
                return
            self._seen.add(name)
        lines.append(f"/* {name} {'-' * (110 - len(name))} */")
        for line in text.splitlines():
            included = _OURS.match(line)
            if included:
                self._append(included[1], lines)
            else:
                lines.append(line)
