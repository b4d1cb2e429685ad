"""The sections in their order, and the table of each: what is right comes first, what takes longest comes last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.cuda_check import facts, kernels, ops, steps
from benchmarks.cuda_check.runner import Finding, Row, Section
from benchmarks.sheet import Sheet

__all__ = ["SECTIONS", "sheet_of"]

GOAL_SHARE, GOAL_LAUNCH = 0.9, 10.0  # of a copy's bytes per second; microseconds
BYTES = "{:,.0f}"


@dataclass(frozen=True)
class Columns:
    """A section's table: how cells of each column are written; those in `times` are empty after a dry run."""

    words: Sequence[str]
    numbers: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    is_shown: Callable[[Row], bool] = lambda row: True
    notes: Callable[[Sequence[Row]], list[str]] = lambda rows: []


def _rows_parts() -> list[str]:
    return [f"{name} {size} {dtype}" for dtype in kernels.DTYPES_MEASURED for name in kernels.ROWS
            for size in kernels.COLUMNS]  # fmt: skip


SECTIONS = (
    Section("versions", "versions", 15, facts.versions, ("packages", "device"), ("packages", "device")),
    Section("ops", "functions against the reference", 70, ops.ops, ops.ops_parts(), ("0", "1")),
    Section("bandwidth", "elementwise kernels beside a copy on the device", 25, kernels.bandwidth,
            kernels.DTYPES_MEASURED, kernels.DTYPES_MEASURED),
    Section("rows", "rows of 128 or 64 MiB in all beside a copy on the device", 55, kernels.rows, _rows_parts(),
            [f"{name} 1k {dtype}" for dtype in kernels.DTYPES_MEASURED for name in kernels.ROWS]),
    Section("launch", "launches", 15, kernels.launch, ("tiny", "chain"), ("tiny", "chain")),
    Section("memory", "memory planned and taken", 25, facts.memory, ("gpt",), ("gpt",)),
    Section("steps", "training steps beside peers", 300, steps.steps, steps.STEPS, steps.DRY_STEPS),
)  # fmt: skip


# Notes ---------------------------------------------------------------------------------------------------------------
def _ops_notes(rows: Sequence[Row]) -> list[str]:
    functions, dtypes = {row["function"] for row in rows}, {row["dtype"] for row in rows}
    faults = sum(bool(row["fault"]) for row in rows)
    return [f"{len(rows)} cases of {len(functions)} functions in {len(dtypes)} dtypes; {faults} faults."]


def _share_notes(rows: Sequence[Row]) -> list[str]:
    good = sum(row["share"] >= GOAL_SHARE for row in rows)
    return [f"GB/s counts each operand and each result once. Goal: {GOAL_SHARE:.0%} of a copy, met by "
            f"{good} of {len(rows)}."]  # fmt: skip


def _launch_notes(rows: Sequence[Row]) -> list[str]:
    slow = [row["program"] for row in rows if row["program"] == "tiny" and row["launch"] > GOAL_LAUNCH]
    return [f"Microseconds. Goal: at most {GOAL_LAUNCH:.0f} a launch" + (": not met." if slow else ".")]


TABLES = {
    "versions": Columns(("what", "is")),
    "ops": Columns(("function", "dtype", "sample", "fault"), is_shown=lambda row: bool(row["fault"]),
                   notes=_ops_notes),
    "bandwidth": Columns(("kernel", "dtype"), {"kernels": "{}"},
                         {"GB/s": "{:,.0f}", "copy": "{:,.0f}", "share": "{:.0%}"}, notes=_share_notes),
    "rows": Columns(("function", "what", "dtype"), {"columns": "{:,}", "kernels": "{}"},
                    {"GB/s": "{:,.0f}", "copy": "{:,.0f}", "share": "{:.0%}"}, notes=_share_notes),
    "launch": Columns(("program",), {"nodes": "{}"}, {"launch": "{:.2f}", "node": "{:.2f}", "call": "{:.2f}"},
                      notes=_launch_notes),
    "memory": Columns(("workload", "dtype"), {"planned": BYTES, "arena": BYTES, "pinned": BYTES, "made": BYTES,
                      "taken": BYTES, "ratio": "{:.3f}"}, notes=lambda rows: ["Bytes."]),
    "steps": Columns(("workload", "setting", "engine", "left out", "fault"), {},
                     {"step": "{:,.1f}", "kernels": "{:,.1f}", "ratio": "{:.2f}", "first": "{:.1f} s"},
                     notes=lambda rows: ["Microseconds; ratio: how many times as long as graphc's."]),
}  # fmt: skip


def sheet_of(section: Section, finding: Finding, dry: bool) -> Sheet:
    """What a section found, for people."""
    table = TABLES[section.name]
    formats = {**dict.fromkeys(table.words, "{}"), **table.numbers, **({} if dry else table.times)}
    cells = [[formats[name].format(row[name]) if row.get(name, "") != "" else "" for name in formats]
             for row in finding.rows if table.is_shown(row)]  # fmt: skip
    notes = ["Simulated: times mean nothing and are left out."] if dry and table.times else []
    notes += table.notes(finding.rows) if finding.rows and not (dry and table.times) else []
    notes += [f"{part}: {fault}" for part, fault in finding.faults.items()]
    notes += [finding.left_out] if finding.left_out else []
    return Sheet(f"{section.title} ({finding.seconds:.0f} s)", [*formats], cells, notes, left=len(table.words))
