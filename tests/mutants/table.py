"""The table of planted bugs: a file, the line that stands there once, what is put in its place, the tests that run.

Each change is what a hand might write by mistake: a wrong sign, bound, dtype, order, a condition dropped. Tests are
those of the room the file stands in, and of the rooms that use it; none is named for the mutant's sake.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A bug to plant. `line` is text that stands exactly once in the file at `path`; `change` takes its place."""

    name: str
    path: str
    line: str
    change: str
    tests: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = ()
