"""The tokens of a line of a graph's text. The grammar stands in `text.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from graphc.errors import FormatError

__all__ = ["Tokens"]

T = TypeVar("T")

_TOKEN = re.compile(
    r"""\s*(?:(?P<ref>%\d+)|(?P<serial>@\d+)|(?P<data>\$\d+)|(?P<body>&\d+)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<nan>nan:[0-9a-f]+)
    |(?P<number>-?(?:inf|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\b|nan\b)|(?P<name>[A-Za-z_]\w*)|(?P<mark><-|[(){}\[\]=:,])
    |(?P<end>(?:\#.*)?$))""",
    re.VERBOSE,
)


class Tokens:
    """The tokens of one line, from left to right."""

    def __init__(self, number: int, line: str) -> None:
        self.number, self.line, self.position = number, line, 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.line, self.position)
        if match is None or match.lastgroup is None:
            raise self.error("cannot be read")
        self.kind, self.text, self.position = match.lastgroup, match[match.lastgroup], match.end()

    def error(self, reason: str) -> FormatError:
        shown = self.line if len(self.line) <= 200 else self.line[:200] + "..."
        return FormatError(f"line {self.number} of a graph's text, at column {self.position + 1}, {reason}: {shown}")

    def take(self, kind: str) -> str:
        """The present token, which must be of this kind."""
        if self.kind != kind:
            raise self.error(f"has {self.text or 'its end'!r} where a {kind} should stand")
        text = self.text
        self.advance()
        return text

    def accept(self, text: str) -> bool:
        """Step over the present token if it reads `text`."""
        found = self.text == text and self.kind != "string"
        if found:
            self.advance()
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.error(f"has {self.text or 'its end'!r} where {text!r} should stand")

    def expect_end(self) -> None:
        if self.kind != "end":
            raise self.error(f"goes on with {self.text!r}")

    def several(self, read: Callable[[], T], stop: str) -> list[T]:
        """Items up to the token `stop` (the end of the line for ""), separated by commas. The last may have one."""
        items: list[T] = []
        separated = True
        while not (self.kind == "end" if stop == "" else self.accept(stop)):
            if not separated:
                raise self.error(f"has {self.text or 'its end'!r} where ',' or {stop or 'its end'!r} should stand")
            items.append(read())
            separated = self.accept(",")
        return items

    def integer(self) -> int:
        text = self.take("number")
        try:
            return int(text)
        except ValueError:
            raise self.error(f"has {text} where an integer should stand") from None
