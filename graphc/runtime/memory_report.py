"""What a program needs in bytes, exactly, known before its first run."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.runtime.plan import Plan

__all__ = ["MemoryReport", "bytes_text", "memory_report"]


@dataclass(frozen=True)
class MemoryReport:
    """Bytes by purpose.

    `parameter` is storage that outlives the calls (weights and optimiser state), `input` the staging places for
    inputs, `output` the arrays of one call's results, `scratch` the temporary memory of all threads together, `table`
    the launch list and tile programs. `lower_bound` is what any arena for this launch order would need.
    """

    parameter: int
    constant: int
    input: int
    output: int
    arena: int
    scratch: int
    table: int
    lower_bound: int

    @property
    def peak_bytes(self) -> int:
        """Everything that is held while a step runs."""
        return self.parameter + self.constant + self.input + self.output + self.arena + self.scratch + self.table

    def __str__(self) -> str:
        rows = [
            ("parameters", self.parameter, ""),
            ("constants", self.constant, ""),
            ("inputs", self.input, ""),
            ("outputs", self.output, ""),
            ("arena", self.arena, f"lower bound {bytes_text(self.lower_bound)}{self._gap()}"),
            ("scratch", self.scratch, ""),
            ("tables", self.table, ""),
            ("peak", self.peak_bytes, f"{self.peak_bytes:,} bytes"),
        ]
        return "\n".join(f"{name:<11}{bytes_text(size):>12}  {note}".rstrip() for name, size, note in rows)

    def _gap(self) -> str:
        return f", {self.arena / self.lower_bound - 1:.1%} above" if self.arena > self.lower_bound > 0 else ""


def memory_report(plan: Plan, threads: int = 1, table: int = 0) -> MemoryReport:
    """The bytes a plan needs on `threads` threads."""

    def total(positions: tuple[int, ...]) -> int:
        return sum(plan.buffers[position].nbytes for position in positions)

    scratch = -(-max(plan.scratch_bytes, 1) // 64) * 64 * threads
    return MemoryReport(
        parameter=total(plan.parameters),
        constant=total(plan.constants),
        input=total(plan.inputs),
        output=total(plan.outputs),
        arena=plan.arena_bytes,
        scratch=scratch,
        table=table,
        lower_bound=plan.lower_bound,
    )


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
