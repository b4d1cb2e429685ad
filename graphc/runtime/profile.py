"""Where the time of a step goes: one row for each launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.plan.loops import iterations, touched_bytes
from graphc.plan.plan import Launch, Plan

__all__ = ["Profile", "ProfileRow", "profile_of"]


@dataclass(frozen=True)
class ProfileRow:
    """One launch: its median time in microseconds, its share of the step, and the rates that follow from its size."""

    label: str
    kernel: str
    microseconds: float
    share: float
    gigabytes_per_second: float
    gigaops_per_second: float
    location: str


@dataclass(frozen=True)
class Profile:
    """The rows in launch order, measured one after the other. Printing sorts them by time."""

    rows: tuple[ProfileRow, ...]
    runs: int

    @property
    def microseconds(self) -> float:
        """Time of a whole step: the sum over its launches."""
        return sum(row.microseconds for row in self.rows)

    def __str__(self) -> str:
        head = f"{'launch':<26}{'kernel':<20}{'us':>10}{'share':>8}{'GB/s':>8}{'Gop/s':>8}"
        lines = [head, "-" * len(head)]
        for row in sorted(self.rows, key=lambda row: -row.microseconds):
            lines.append(
                f"{_cut(row.label, 25):<26}{_cut(row.kernel, 19):<20}{row.microseconds:>10.2f}{row.share:>8.1%}"
                f"{row.gigabytes_per_second:>8.1f}{row.gigaops_per_second:>8.1f}"
            )
        lines.append(f"{'total':<46}{self.microseconds:>10.2f}   median of {self.runs} runs")
        return "\n".join(lines)


def profile_of(plan: Plan, nanoseconds: Sequence[float], runs: int) -> Profile:
    """The profile for the median `nanoseconds` of each launch, of all its iterations where it is in a loop."""
    total, counts = sum(nanoseconds) or 1.0, iterations(plan.loops, len(nanoseconds))
    rows = [
        ProfileRow(
            launch.label,
            launch.kernel,
            time / 1e3,
            time / total,
            _bytes_touched(plan, launch) * count / max(time, 1.0),
            launch.work * count / max(time, 1.0),
            launch.location,
        )
        for launch, time, count in zip(plan.launches, nanoseconds, counts, strict=True)
    ]
    return Profile(tuple(rows), runs)


def _bytes_touched(plan: Plan, launch: Launch) -> int:
    sizes = touched_bytes(plan, launch)
    return sum(sizes[position] for position in (*launch.reads, *launch.writes))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
