"""Plans and amounts as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphc.plan.plan import Buffer, Launch, Loop, Plan, Slice

__all__ = ["bytes_text", "plan_text", "short_place"]

_MOST_LISTED = 6  # numbers in a cell


def plan_text(plan: Plan, *, lines: bool = True) -> str:
    """The plan as two tables, of buffers and of launches, and one of loops where it has some; `lines` adds the user's.

    Buffers are written `%number`; a slice says what it is in iteration i of its loop (`%3 + 0 + 256 i`). What lies in
    the arena says which bytes and during which launches; a launch says what it waits for, what it writes over
    (`%2 over %0`), and what it rematerialises. Scratch memory is told of where launches have some.
    """
    head = (
        f"plan: {len(plan.launches)} launches, {len(plan.buffers)} buffers, {len(plan.programs)} tile programs; "
        f"arena {bytes_text(plan.arena_bytes)} (lower bound {bytes_text(plan.lower_bound)})"
    ) + (f", scratch {bytes_text(plan.scratch_bytes)} a thread" if plan.scratch_bytes else "")
    line = ["line"] if lines else []
    buffers = [["buffer", "name", "type", "where", "launches", *line]]
    slices: dict[int, Slice] = {part.buffer: part for loop in plan.loops for part in loop.slices}
    buffers += [_buffer_cells(i, buffer, lines, slices.get(i)) for i, buffer in enumerate(plan.buffers)]
    launches = [["launch", "kernel", "writes", "reads", "tiles", "after", "", "computes", *line]]
    launches += [_launch_cells(position, launch, lines) for position, launch in enumerate(plan.launches)]
    loops = [["loop", "launches", "times", "computes", *line]]
    loops += [_loop_cells(number, loop, lines) for number, loop in enumerate(plan.loops)]
    tables = [buffers, launches, *([loops] if plan.loops else [])]
    return "\n".join([head, *(line for table in tables for line in ("", *_aligned(table)))])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal columns; one that is empty all the way down is left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _buffer_cells(position: int, buffer: Buffer, lines: bool, part: Slice | None) -> list[str]:
    in_arena = buffer.space == "arena"
    where = f"arena {buffer.offset}..{buffer.offset + buffer.nbytes}" if in_arena else buffer.space
    where = where if part is None else f"%{part.of} + {part.offset} + {part.step} i"
    shape = f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
    during = f"{buffer.first}..{buffer.last}" if in_arena else ""
    return [f"%{position}", buffer.name, shape, where, during, *([short_place(buffer.location)] if lines else [])]


def _loop_cells(number: int, loop: Loop, lines: bool) -> list[str]:
    cells = [str(number), f"{loop.first}..{loop.last - 1}", str(loop.count), loop.label]
    return [*cells, *([short_place(loop.location)] if lines else [])]


def _launch_cells(position: int, launch: Launch, lines: bool) -> list[str]:
    kernel = launch.kernel + (f" #{launch.program}" if launch.program >= 0 else "")
    notes = [f"%{written} over %{read}" for read, written in launch.in_place]
    notes += [f"part of %{index}" for index in launch.shares]
    notes += [f"again {launch.rematerialises}"] if launch.rematerialises >= 0 else []
    writes, reads = ([f"%{index}" for index in touched] for touched in (launch.writes, launch.reads))
    cells = [kernel, _listed(writes), _listed(reads), str(launch.tiles), _listed(map(str, launch.depends))]
    return [
        str(position), *cells, ", ".join(notes), launch.label, *([short_place(launch.location)] if lines else [])
    ]  # fmt: skip


def _listed(items: Iterable[str]) -> str:
    found = list(items)
    more = len(found) - _MOST_LISTED
    return " ".join(found[:_MOST_LISTED]) + (f" +{more}" if more > 0 else "")


def short_place(location: str) -> str:
    """A line of the user's as a table has room for it: without folders, and without "in <module>".

    >>> short_place("/home/me/model.py:7 in build")
    'model.py:7 in build'
    """
    return location.rpartition("/")[2].removesuffix(" in <module>")


def bytes_text(count: int) -> str:
    """A number of bytes for people: exact below 1 KiB, else to two decimals.

    >>> bytes_text(1536)
    '1.50 KiB'
    """
    if count < 1024:
        return f"{count} B"
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.2f} {units[0]}"
