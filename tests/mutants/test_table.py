"""The table of planted bugs stays true of the code, and the command tells caught ones from others."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants.table import MUTANTS, Mutant

LEAST = 60
HALF = "def half(x):\n    return x / 2\n"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_line_stands_there_once_and_changes(mutant: Mutant) -> None:
    text = command.planted(mutant)
    assert text is not None
    assert text != (command.ROOT / mutant.path).read_text()
    if mutant.path.endswith(".py"):
        ast.parse(text)  # what is no Python at all would be caught by anything
    paths = [part for part in mutant.tests if part.startswith("tests/")]
    assert paths
    assert all((command.ROOT / path).exists() for path in paths)


def test_there_are_enough_in_many_rooms() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= LEAST
    assert len({Path(mutant.path).parent for mutant in MUTANTS}) >= 12


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of one function, and its tests."""
    (tmp_path / "halving.py").write_text(HALF)
    (tmp_path / "test_halving.py").write_text(
        "from halving import half\ndef test_four(): assert half(4) == 2\ndef test_zero(): assert half(0) == 0\n"
    )
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


VERDICTS = {
    "caught by test_halving.py::test_four": Mutant("third", "halving.py", "x / 2", "x / 3", ("test_halving.py",)),
    "missed": Mutant("third", "halving.py", "x / 2", "x / 3", ("test_halving.py", "-k", "zero")),
    "untested": Mutant("third", "halving.py", "x / 2", "x / 3", ("test_halving.py", "-k", "nothing")),
    "caught by a crash": Mutant("crash", "halving.py", "x / 2", "__import__('os').abort()", ("test_halving.py",)),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_verdicts(checkout: Path, verdict: str) -> None:
    assert command._verdict(VERDICTS[verdict], checkout, 60) == verdict
    assert (checkout / "halving.py").read_text() == HALF


def test_what_fails_without_the_bug_catches_nothing(checkout: Path) -> None:
    (checkout / "test_halving.py").write_text("def test_four(): assert False\n")
    verdict = command._verdict(Mutant("third", "halving.py", "x / 2", "x / 3", ("test_halving.py",)), checkout, 60)
    assert verdict == "broken: test_halving.py::test_four does not pass without the bug"


def test_what_does_not_end_is_ended(checkout: Path) -> None:
    mutant = Mutant("sleep", "halving.py", "x / 2", "__import__('time').sleep(60)", ("test_halving.py",))
    assert command._verdict(mutant, checkout, 0.5) == "endless"


def test_a_line_that_is_not_there_once_is_not_planted(checkout: Path) -> None:
    def of(line: str) -> str | None:
        return command.planted(Mutant("", "halving.py", line, "y", ()))

    assert of("x / 2") == HALF.replace("x / 2", "y")
    assert of("x") is None
    assert of("z") is None
