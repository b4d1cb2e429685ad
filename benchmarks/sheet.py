"""A table that can be shown on a terminal and written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["Sheet"]


@dataclass(frozen=True)
class Sheet:
    """Rows of text below a title; `notes` are sentences that stand below them. The first `left` columns are words,
    and so is the column `wide`, which may take several lines.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    left: int = 1
    wide: int | None = None

    def __rich__(self) -> Group:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", box=SIMPLE)
        for number, column in enumerate(self.columns):
            side: Literal["left", "right"] = "left" if number < self.left or number == self.wide else "right"
            table.add_column(column, justify=side, overflow="fold", no_wrap=number != self.wide)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(table, *(Text(f"  {note}") for note in self.notes), "")

    def markdown(self) -> str:
        """For a file."""
        words = {*range(self.left), self.wide}
        marks = [":--" if number in words else "--:" for number in range(len(self.columns))]
        cells = [self.columns, marks, *self.rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        return "\n".join([f"### {self.title}", "", *lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"
