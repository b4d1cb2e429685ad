"""`python -m benchmarks cuda-check`: all that is to be known of a CUDA device, within minutes, in one run.

Prints as it goes, and writes one JSON and one Markdown file after each part, so that a run that is ended keeps what it
has. `--dry` takes the same ways on a simulated device, with tiny sizes; it says nothing about time. Exit codes:
0 success; 1 a part failed, or a function, or a step's losses differ; 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.cuda_check.runner import Finding, run_sections
from benchmarks.cuda_check.sections import SECTIONS, sheet_of
from graphc.backends.cuda.engine.choosing import VARIABLE, lack

__all__ = ["main", "write"]

NAMES = tuple(section.name for section in SECTIONS)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    console = Console(width=max(Console().width, 140))
    if options.dry:
        os.environ[VARIABLE] = "simulate"
    if missing := lack():
        console.print(f"{missing}; --dry needs no device", style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    findings = run_sections(
        [section for section in SECTIONS if section.name in (options.only or NAMES)],
        60 * options.minutes,
        dry=options.dry,
        tell=lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        save=lambda findings: write(findings, options.out, options.dry),
    )
    for section in SECTIONS:
        for finding in findings:
            if finding.name == section.name:
                console.print(sheet_of(section, finding, options.dry))
    return 1 if any(finding.faults or any(row.get("fault") for row in finding.rows) for finding in findings) else 0


def write(findings: Sequence[Finding], folder: Path, dry: bool) -> None:
    """Write cuda-check.json and cuda-check.md."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"times": "simulated" if dry else "measured", "sections": [asdict(finding) for finding in findings]}
    _replace(folder / "cuda-check.json", json.dumps(told, indent=1))
    by_name = {section.name: section for section in SECTIONS}
    sheets = [sheet_of(by_name[finding.name], finding, dry).markdown() for finding in findings]
    _replace(folder / "cuda-check.md", "\n".join(["## A check of a CUDA device\n", *sheets]))


def _replace(path: Path, text: str) -> None:
    """Write a file at once: whoever is ended meanwhile leaves the one before."""
    fresh = path.with_name(f"{path.name}.part")
    fresh.write_text(text)
    fresh.replace(path)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    sections = "\n".join(f"  {section.name:11}{section.seconds:4.0f} s  {section.title}" for section in SECTIONS)
    parser = argparse.ArgumentParser(
        "python -m benchmarks cuda-check", description="All that is to be known of a CUDA device.",
        epilog=f"SECTION is any of, with the seconds that it may take,\n{sections}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--dry", action="store_true", help="on a simulated device, with tiny sizes")
    parser.add_argument("--only", choices=NAMES, action="append", metavar="SECTION", help="nothing but this; again")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all sections together (7.5)")
    parser.add_argument("--out", type=Path, default=Path("cuda-check"), metavar="DIR", help="for the two files")
    return parser.parse_args(arguments)
