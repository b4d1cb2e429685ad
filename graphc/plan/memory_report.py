"""What a program needs in bytes, exactly, known before its first run: by purpose, over time, and at the peak.

All of it is read off the plan: a report needs neither compiled code nor a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

from graphc.ir.indices import numbers
from graphc.plan.liveness import Span, arena_spans, bytes_alive
from graphc.plan.plan import BufferNumber, LaunchNumber, Plan
from graphc.plan.rematerialisation import Rematerialised, gathered, rematerialisation_of
from graphc.plan.text import bytes_text, short_place

__all__ = ["MemoryReport", "Resident", "memory_report"]

WIDTH = 80  # columns of a report
SHOWN = 10  # tensors at the peak that the report prints
REMATERIALISED = 5  # and kinds of tensors that are rematerialised


@dataclass(frozen=True)
class Resident:
    """A tensor in the arena: the op that made it, its type, the launches that it is kept for, the user's line."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    first: int
    last: int
    location: str

    def cells(self) -> tuple[str, ...]:
        """What a line of a report says, in columns: name, type, launches, the user's line."""
        type = f"{self.dtype}[{', '.join(map(str, self.shape))}]"
        return self.name, type, f"launches {self.first} to {self.last}", self.location


@dataclass(frozen=True)
class MemoryReport:
    """Bytes by purpose, and what the arena holds when.

    `parameter` is what is trained; `state` what else outlives the calls: an optimiser's moments, running statistics,
    counters. `input` are the staging places for inputs, `output` the arrays of one call's results, `workspace` the
    temporary memory of kernels, of all threads together, `table` the launch list and tile programs (kilobytes; 0 where
    there is no code yet). `lower_bound` is what any arena for this launch order would need, `gap` how much more this
    one takes.

    `timeline` are the bytes alive in the arena during each launch. They are most during `peak_launch`, whose ops and
    user's line are `peak_label`; `at_peak` are the tensors that stand there, largest first, each piece of memory once.

    `recomputed` are the tensors that are dropped and rematerialised, largest first, by `repeated` launches; they cost
    `overhead`, as a part of the cost of a step that computes nothing twice, by the model that budgets are met by.

    >>> print(step.memory)
    >>> [(tensor.name, tensor.nbytes, tensor.location) for tensor in step.memory.at_peak]
    """

    parameter: int
    state: int
    constant: int
    input: int
    output: int
    arena: int
    workspace: int
    table: int
    lower_bound: int
    timeline: tuple[int, ...] = field(default=(), repr=False)
    peak_launch: int = 0
    peak_label: str = ""
    at_peak: tuple[Resident, ...] = field(default=(), repr=False)
    repeated: int = 0
    overhead: float = 0.0
    recomputed: tuple[Rematerialised, ...] = field(default=(), repr=False)

    @property
    def peak_bytes(self) -> int:
        """Everything that is held while a step runs."""
        outlives = self.parameter + self.state + self.constant
        return outlives + self.input + self.output + self.arena + self.workspace + self.table

    @property
    def gap(self) -> int:
        """The bytes of the arena that a perfect placement would spare."""
        return self.arena - self.lower_bound

    def __str__(self) -> str:
        rows = [
            ("parameters", self.parameter, ""),
            ("state", self.state, ""),
            ("constants", self.constant, ""),
            ("inputs", self.input, ""),
            ("outputs", self.output, ""),
            ("arena", self.arena, f"lower bound {bytes_text(self.lower_bound)}{self._gap_text()}"),
            ("workspaces", self.workspace, ""),
            *([("tables", self.table, "")] if self.table else []),
            ("peak", self.peak_bytes, f"{self.peak_bytes:,} bytes"),
        ]
        lines = [f"{name:<11}{bytes_text(size):>12}  {note}".rstrip() for name, size, note in rows]
        return "\n".join([*lines, *self._peak_lines(), *self._rematerialised_lines()])

    def _gap_text(self) -> str:
        return f", {self.gap / self.lower_bound:.1%} above" if self.gap and self.lower_bound else ""

    def _peak_lines(self) -> list[str]:
        if not self.at_peak:
            return []
        title = f"the arena is fullest in launch {self.peak_launch} of {len(self.timeline)}, {self.peak_label}:"
        return [*wrap(title, WIDTH, subsequent_indent="    "), *_lines(self.at_peak, SHOWN)]

    def _rematerialised_lines(self) -> list[str]:
        if not self.repeated:
            return []
        launches = f"{self.repeated} launch{'es' * (self.repeated > 1)}"
        made = bytes_text(sum(tensor.nbytes for tensor in self.recomputed))
        title = f"computed again: {launches}, {made}, about {self.overhead:.1%} of a step"
        return [title + ":", *_lines(gathered(self.recomputed), REMATERIALISED)]


def _lines(tensors: Sequence[Resident] | Sequence[Rematerialised], shown: int) -> list[str]:
    """The first tensors, a line each, in columns; and what the rest takes."""
    first, left = tensors[:shown], tensors[shown:]
    rows = [(*tensor.cells()[:-1], short_place(tensor.cells()[-1])) for tensor in first]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for size, row in zip([tensor.nbytes for tensor in first], rows, strict=True):
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        line = f"{bytes_text(size):>12}  {cells}".rstrip()
        lines.append(line if len(line) <= WIDTH else line[: WIDTH - 1] + "~")
    rest = [f"{bytes_text(sum(tensor.nbytes for tensor in left)):>12}  in {len(left)} more"] if left else []
    return [*lines, *rest]


def memory_report(plan: Plan, threads: int = 1, table: int = 0) -> MemoryReport:
    """The bytes a plan needs on `threads` threads."""

    def total(positions: Iterable[BufferNumber]) -> int:
        return sum(plan.buffers[position].nbytes for position in positions)

    spans = arena_spans(plan)
    timeline = bytes_alive(spans, len(plan.launches), plan.alignment)
    peak = max(numbers(LaunchNumber, len(timeline)), key=timeline.__getitem__, default=LaunchNumber(0))
    found = rematerialisation_of(plan)
    return MemoryReport(
        parameter=total(plan.parameters) - total(plan.states),
        state=total(plan.states),
        constant=total(plan.constants),
        input=total(plan.inputs),
        output=total(plan.outputs),
        arena=plan.arena_bytes,
        workspace=-(-max(plan.scratch_bytes, 1) // 64) * 64 * threads,
        table=table,
        lower_bound=plan.lower_bound,
        timeline=timeline,
        peak_launch=peak,
        peak_label=_label(plan, peak),
        at_peak=_residents(plan, spans, peak),
        repeated=found.launches,
        overhead=found.overhead,
        recomputed=found.tensors,
    )


def _label(plan: Plan, launch: LaunchNumber) -> str:
    if not plan.launches:
        return ""
    found = plan.launches[launch]
    return f"{found.label} ({short_place(found.location)})" if found.location else found.label


def _residents(plan: Plan, spans: Sequence[Span], launch: LaunchNumber) -> tuple[Resident, ...]:
    """The tensors in the arena during a launch, largest first; of those that share memory, the one written last."""
    found = []
    for span in spans:
        if span.first <= launch <= span.last:
            position = [i for i in span.buffers if plan.buffers[i].first <= launch][-1]
            found.append((-plan.buffers[position].nbytes, position))
    held = [plan.buffers[position] for _, position in sorted(found)]
    return tuple(Resident(b.name, b.dtype, b.shape, b.nbytes, b.first, b.last, b.location) for b in held)
