"""The README tells the truth: programs print what it shows, tables name what there is, commands and files exist."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.table import NAMES
from graphc.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\S*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
MARK = "=== next block ==="


def programs() -> list[tuple[str, str, str]]:
    """Each Python block: its code, the output shown below it, and what the fence says of that."""
    blocks = [match.groups() for match in FENCE.finditer(README)]
    return [
        (code, following[2] if following[0] == "text" else "", following[1])
        for (language, _, code), following in zip(blocks, [*blocks[1:], ("", "", "")], strict=True)
        if language == "python"
    ]


def section(title: str) -> str:
    """The text under a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def names_in(table_row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", table_row)


def agree(shown: str, printed: str, tolerance: float) -> bool:
    """Whether two texts are equal up to blanks and the last digits of their numbers."""
    words = [NUMBER.sub("#", text).split() for text in (shown, printed)]
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (shown, printed)]
    close = (math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-6) for a, b in zip(*numbers, strict=False))
    return words[0] == words[1] and len(numbers[0]) == len(numbers[1]) and (tolerance == math.inf or all(close))


def test_programs_print_what_is_shown(tmp_path: Path) -> None:
    """All blocks run as one program, in a process of its own, as a reader would type them."""
    found = programs()
    assert len(found) >= 4
    script = f"\nprint({MARK!r})\n".join(code for code, _, _ in found)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for (code, shown, note), printed in zip(found, done.stdout.split(MARK), strict=True):
        tolerance = math.inf if note == "numbers vary" else 0.02
        assert agree(shown, printed, tolerance), f"{code}\nprinted\n{printed}\nand not\n{shown}"


@pytest.mark.parametrize("printed", ["loss 1.5 in 3 steps", "loss 1.0 in 30 steps", "loss 1.0", "cost 1.0 in 3 steps"])
def test_other_output_is_noticed(printed: str) -> None:
    assert agree("loss 1.0 in 3 steps", "loss  1.001 in 3 steps", 0.02)
    assert not agree("loss 1.0 in 3 steps", printed, 0.02)


def test_every_public_name_is_in_the_table() -> None:
    rows = [line for line in section("The public API").splitlines() if line.startswith("| ")]
    module_rows = {names_in(row)[0]: row for row in rows if row.startswith("| `")}
    listed = [name for row in rows if not row.startswith("| `") for name in names_in(row)]
    assert sorted(listed) == sorted(gx.__all__)
    layers = [name for row in rows if row.startswith("| `nn`") for name in names_in(row)[1:]]
    assert sorted(layers) == sorted(nn.__all__)
    assert sorted(names_in(module_rows["optim"])[1:]) == sorted(optim.__all__)
    assert sorted(names_in(module_rows["optim.schedules"])[1:]) == sorted(optim.schedules.__all__)


def test_backends_and_commands_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    backends = [names_in(line)[0].strip('"') for line in section("Backends").splitlines() if line.startswith('| `"')]
    assert sorted(backends) == sorted(NAMES)
    commands = re.findall(r"^\| `graphc (\w+)", section("The command line"), re.MULTILINE)
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([command, "-h"])
        assert end.value.code == 0
    with pytest.raises(SystemExit):
        main(["-h"])
    assert set(re.findall(r"^    (\w+)  ", capsys.readouterr().out.split("COMMAND")[-2], re.MULTILINE)) <= set(commands)


def test_members_of_a_program_and_files_exist() -> None:
    x = gx.input("x", ())
    program = gx.compile([x], x + 1)
    members = section("The public API").split("besides, it", 1)[1].split("\n\n", 1)[0]
    for name in names_in(members):
        assert hasattr(program, name.partition("(")[0]), name
    for path in re.findall(r"`((?:graphc|kernels|benchmarks|tests)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_commands_install_extras_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"\.\[([\w,]+)\]", README)
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def test_continuous_integration_runs_the_test_command() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv") and "pytest" in line]
    assert len(commands) == 1
    assert "^python3 -m venv .*pytest" in (ROOT / ".ci" / "run").read_text()
