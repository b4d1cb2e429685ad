"""The documents, as the tests read them: fenced blocks, the programs among them, and the output that is shown below."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

__all__ = ["ROOT", "agree", "blocks", "documents", "programs", "section"]

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\S*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
SHOWN = ("text", "c")  # what output is shown as


def documents() -> dict[str, str]:
    """The README and all documents of the package, by path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "graphc" / "docs").glob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def blocks(text: str) -> list[tuple[str, str, str]]:
    """The fenced blocks: language, what else the fence says, content."""
    return [(match[1], match[2], match[3]) for match in FENCE.finditer(text)]


def programs(text: str) -> list[tuple[str, str, str]]:
    """Each Python block: its code, the output shown below it, and what the fence says of that."""
    return [
        (code, output if kind in SHOWN else "", note)
        for (language, _, code), (kind, note, output) in pairwise([*blocks(text), ("", "", "")])
        if language == "python"
    ]


def section(text: str, title: str) -> str:
    """The text under a heading, down to the next one that is no lower."""
    level, rest = re.split(rf"^(#+) {re.escape(title)}\n", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def agree(shown: str, printed: str, tolerance: float) -> bool:
    """Whether two texts are equal up to blanks and the last digits of their numbers."""
    words = [NUMBER.sub("#", text).split() for text in (shown, printed)]
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (shown, printed)]
    close = (math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-6) for a, b in zip(*numbers, strict=False))
    return words[0] == words[1] and len(numbers[0]) == len(numbers[1]) and (tolerance == math.inf or all(close))
