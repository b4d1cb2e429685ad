"""`python -m tests.mutants [NAME ...] [--seconds 300] [--jobs 1]`: plant each bug, run its tests, tell what was caught.

A mutant is planted in a copy of the checkout, never in the checkout. It is caught where a test fails that passes
without it; one whose tests do not end within the time is not: a bug must make a test fail, not hang. Exit codes: 0 all
but three were caught (or all of those named), 1 fewer, 2 usage (a name that is no mutant, or code that no longer reads
as the table says).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from rich.console import Console

from tests.mutants.table import MUTANTS, Mutant

__all__ = ["main", "planted"]

ROOT = Path(__file__).parents[2]
ALLOWED = 3  # that may go unnoticed, of the whole table
_NOTHING_RUN = (4, 5)  # exit codes of pytest: a wrong command, and no tests
COPIED = ("graphc", "kernels", "tests", "benchmarks", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description="Planted bugs, and whether tests fail.")
    parser.add_argument("names", nargs="*", help="mutants by name; all by default")
    parser.add_argument("--seconds", type=float, default=300, help="that the tests of a mutant may take")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    options = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no mutant is called {', '.join(unknown)}")
    chosen = [known[name] for name in options.names] or list(MUTANTS)
    for mutant in chosen:
        if planted(mutant) is None:
            parser.error(f"{mutant.name}: {mutant.path} does not hold this line once: {mutant.line}")
    missed = [mutant.name for mutant, verdict in _verdicts(chosen, options) if not verdict.startswith("caught")]
    Console().print(
        f"{len(chosen) - len(missed)} of {len(chosen)} caught{'; not: ' if missed else ''}{', '.join(missed)}"
    )
    return int(len(missed) > (0 if options.names else ALLOWED))


def planted(mutant: Mutant) -> str | None:
    """The file of a mutant with the bug in it; None where the line to change is not there exactly once."""
    text = (ROOT / mutant.path).read_text()
    return text.replace(mutant.line, mutant.change) if text.count(mutant.line) == 1 else None


def _verdicts(chosen: Sequence[Mutant], options: argparse.Namespace) -> Iterator[tuple[Mutant, str]]:
    copies: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="graphc-mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        for number in range(options.jobs):
            copies.put(copy := _copy(Path(folder) / str(number)))
        paths = sorted({part for mutant in chosen for part in mutant.tests if part.startswith("tests/")})
        code, said = _tested(("--collect-only", *paths), copy, options.seconds)
        if code != 0:  # else whatever is wrong would pass for a caught bug
            raise SystemExit(f"the tests cannot run in a copy without a bug:\n{said[-2000:]}")

        def verdict(mutant: Mutant) -> str:
            copy = copies.get()
            try:
                return _verdict(mutant, copy, options.seconds)
            finally:
                copies.put(copy)

        for mutant, found in zip(chosen, pool.map(verdict, chosen), strict=True):
            Console().print(f"{mutant.name}: {found}", highlight=False, soft_wrap=True, markup=False)
            yield mutant, found


def _copy(target: Path) -> Path:
    """The checkout with its built modules, importable by its path alone."""
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    (target / "graphc" / "kernels").symlink_to(target / "kernels")
    return target


def _verdict(mutant: Mutant, copy: Path, seconds: float) -> str:
    """ "caught by TEST", "missed", "endless", "broken" where that test fails without the bug, too, or "untested" where
    the table names no test that can run."""
    path, text = copy / mutant.path, planted(mutant)
    assert text is not None
    before = path.read_text()
    path.write_text(text)
    try:
        code, said = _tested(mutant.tests, copy, seconds)
    finally:
        path.write_text(before)
    if code in (None, 0, *_NOTHING_RUN):
        return "endless" if code is None else "missed" if code == 0 else "untested"
    failed = [
        line.partition(" ")[2].partition(" - ")[0]
        for line in said.splitlines()
        if line.startswith(("FAILED ", "ERROR "))
    ]
    again, _ = _tested(failed[:1] or mutant.tests, copy, seconds)
    if again != 0:
        return f"broken: {failed[0] if failed else 'the tests'} does not pass without the bug"
    return f"caught by {failed[0] if failed else 'a crash'}"


def _tested(tests: Sequence[str], copy: Path, seconds: float) -> tuple[int | None, str]:
    """The exit code of pytest, None where it took too long, and what it said."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            code = None
        output.seek(0)
        return code, output.read()


if __name__ == "__main__":
    sys.exit(main())
