"""Lines of C text with their indentation."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["TextWriter"]


@dataclass
class TextWriter:
    """Collects lines; `open` and `close` write braces."""

    lines: list[str] = field(default_factory=list)
    depth: int = 1

    def line(self, text: str) -> None:
        """A line at the present depth."""
        self.lines.append("    " * self.depth + text)

    def open(self, text: str) -> None:
        """`text {`, and one step further in."""
        self.line(text + " {")
        self.depth += 1

    def close(self, count: int = 1) -> None:
        """`count` closing braces."""
        for _ in range(count):
            self.depth -= 1
            self.line("}")
