"""A table that can be shown on a terminal and written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["Sheet"]


@dataclass(frozen=True)
class Sheet:
    """Rows of text below a title; `notes` are sentences that stand below them. The first `left` columns are words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    left: int = 1

    def __rich__(self) -> Group:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", box=SIMPLE)
        for number, column in enumerate(self.columns):
            words = number < self.left
            table.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(table, *(Text(f"  {note}") for note in self.notes), "")

    def markdown(self) -> str:
        """For a file."""
        marks = [":--" if number < self.left else "--:" for number in range(len(self.columns))]
        cells = [self.columns, marks, *self.rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        return "\n".join([f"### {self.title}", "", *lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"
