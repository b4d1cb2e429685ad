"""`graphc place`: buffers of a CSV file with sizes and lifetimes get offsets in one arena.

The columns are id, lower, upper and size, in any order and among others: `lower` is the first step at which the buffer
is alive, `upper` the first at which it is no longer, `size` counts bytes. The answer is the same file with a column
`offset`. The placement is checked before anything is said about it, by code that shares nothing with the search.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from graphc.commands.arena_picture import Box, draw_arena
from graphc.errors import FormatError
from graphc.memory.placement import Block, Placement, check, place
from graphc.picture import check_picture
from graphc.plan.text import bytes_text

__all__ = ["EFFORT", "Table", "read_buffers", "run_place", "write_offsets"]

COLUMNS = ("id", "lower", "upper", "size")
EFFORT = 20_000_000_000  # about a minute
_MOST = 1 << 60  # that a number may be


@dataclass(frozen=True)
class Table:
    """A file of buffers: its header, its rows, and what the rows say."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    blocks: tuple[Block, ...]


def run_place(
    path: Path, output: Path | None, plot: Path | None, console: Console, *, capacity: int | None = None,
    alignment: int = 1, effort: int = EFFORT,
) -> int:  # fmt: skip
    """Place the buffers of the file at `path`, say how well, and write what was asked for.

    0 if they are placed, 1 if they are not within `capacity`; then no offsets are written. Raises FormatError for a
    file that is none of buffers, with the line, and OSError.
    """
    if plot is not None:
        check_picture(plot)
    table = read_buffers(path)
    begin = time.perf_counter()
    with console.status(f"placing {len(table.blocks):,} buffers") as status:
        placement = place(
            table.blocks, alignment=alignment, capacity=capacity, effort=effort,
            progress=lambda peak, part: status.update(f"placing: peak {peak:,} bytes, {part:.0%} of the effort"),
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    check(table.blocks, placement, alignment=alignment)
    fits = capacity is None or placement.peak <= capacity
    for name, text in _facts(table, placement, capacity, seconds):
        console.print(f"{name:<9} {text}", highlight=False, soft_wrap=True)
    if plot is not None:
        limit = "" if capacity is None else f", capacity {bytes_text(capacity)}"
        title = f"{path.name}: arena {bytes_text(placement.peak)}{limit}"
        draw_arena(_boxes(table, placement), placement.lower_bound, plot, title)
        console.print(f"wrote     {plot}", highlight=False, soft_wrap=True)
    if output is not None and fits:
        write_offsets(output, table, placement.offsets)
        console.print(f"wrote     {output}", highlight=False, soft_wrap=True)
    return 0 if fits else 1


def _facts(table: Table, placement: Placement, capacity: int | None, seconds: float) -> list[tuple[str, str]]:
    gap = placement.peak - placement.lower_bound
    part = f" ({gap / placement.lower_bound:.2%})" if gap else ""
    facts = [
        ("buffers", f"{len(table.blocks):,}"),
        ("bound", f"{placement.lower_bound:,} bytes ({bytes_text(placement.lower_bound)})"),
        ("peak", f"{placement.peak:,} bytes ({bytes_text(placement.peak)})"),
        ("gap", f"{gap:,} bytes{part}"),
        ("time", f"{seconds:.2f} s"),
    ]
    if capacity is not None:
        facts.append(("capacity", f"{capacity:,} bytes: {_verdict(placement, capacity)}"))
    return facts


def _verdict(placement: Placement, capacity: int) -> str:
    if placement.peak <= capacity:
        return "met"
    if placement.lower_bound > capacity:
        return "cannot be met, since more is alive at once"
    return f"not met, {placement.peak - capacity:,} bytes too many"


def _boxes(table: Table, placement: Placement) -> list[Box]:
    return [
        Box(block.first, block.last, offset, block.size, name)
        for name, block, offset in zip(table.names, table.blocks, placement.offsets, strict=True)
    ]


# Files -----------------------------------------------------------------------------------------------------------
def read_buffers(path: Path) -> Table:
    """The buffers of a CSV file. Raises FormatError with the line of whatever is wrong, and OSError."""
    contents = path.read_bytes()
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path}:{line}: this is no text in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(name.strip() for name in next(reader, []))
        columns = _columns(header, path)
        lines = [(reader.line_num, tuple(row)) for row in reader if row]
    except csv.Error as error:
        raise FormatError(f"{path}:{reader.line_num}: this is no line of a CSV file: {error}") from None
    seen: dict[str, int] = {}
    blocks = [_block(row, columns, len(header), f"{path}:{line}") for line, row in lines]
    for line, row in lines:
        name = row[columns[0]]
        if name in seen:
            raise FormatError(f"{path}:{line}: the id {name!r} is already that of line {seen[name]}")
        seen[name] = line
    return Table(header, tuple(row for _, row in lines), tuple(seen), tuple(blocks))


def _columns(header: Sequence[str], path: Path) -> list[int]:
    """Where the columns stand."""
    if missing := [name for name in COLUMNS if name not in header]:
        found = ", ".join(header)[:80] or "nothing"
        raise FormatError(
            f"{path}:1: the header lacks {', '.join(missing)}; it should name {', '.join(COLUMNS)}, and says {found}"
        )
    return [header.index(name) for name in COLUMNS]


def _block(row: Sequence[str], columns: Sequence[int], width: int, where: str) -> Block:
    if len(row) != width:
        raise FormatError(f"{where}: {len(row)} values under a header of {width}")
    lower, upper, size = (
        _number(row[column], name, where) for name, column in zip(COLUMNS[1:], columns[1:], strict=True)
    )
    if upper <= lower:
        raise FormatError(
            f"{where}: upper is {upper} and lower {lower}; upper is the first step after the buffer's life, so it must "
            "be larger"
        )
    if size < 0:
        raise FormatError(f"{where}: the size {size} is negative")
    return Block(size, lower, upper - 1)


def _number(text: str, name: str, where: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise FormatError(f"{where}: {name} is {text!r}, which is no whole number") from None
    if abs(number) > _MOST:
        raise FormatError(f"{where}: {name} is {number}, which is more than 2^60")
    return number


def write_offsets(path: Path, table: Table, offsets: Sequence[int]) -> None:
    """The rows of `table` with a last column `offset`, in place of one they may have had."""
    kept = [k for k, name in enumerate(table.header) if name != "offset"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(table.header[k] for k in kept), "offset"])
        writer.writerows([*(row[k] for k in kept), offset] for row, offset in zip(table.rows, offsets, strict=True))
