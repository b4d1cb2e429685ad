"""Habits of the command line: numbers are checked, amounts of memory are read alike, lines fit 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import graphc as gx
from graphc.commands.checking import check
from graphc.commands.target import load_target
from tests.runtime.support import needs_compiler
from tests.test_cli import run

MODEL = """
import json
import graphc as gx
from graphc import nn, optim

def a_function_with_a_rather_long_name_of_its_own():
    x, y = gx.input("x", (64, 10)), gx.input("y", (64, 1))
    model = nn.Sequential(nn.Linear(10, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 1))
    loss = nn.mse_loss(model(x), y)
    return [x, y], {"loss": loss}, optim.AdamW(lr=1e-3).minimize(loss, model.parameters())

def crashing():
    return looked_up({})

def looked_up(table):
    return table["nothing"]

def within_a_library():
    return json.loads("{")
"""
BUILD = "a_function_with_a_rather_long_name_of_its_own"
BUFFERS = "id,lower,upper,size\na,0,3,4096\nb,2,5,1024\n"
COMMANDS = ("demo", "compile", "doctor", "inspect", "memory", "check", "place", "bench")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("a_folder_with_a_rather_long_name_of_its_own")
    (found / "model.py").write_text(MODEL)
    (found / "buffers.csv").write_text(BUFFERS)
    return found


# What is asked for ---------------------------------------------------------------------------------------------------
WRONG: dict[tuple[str, str], tuple[str, ...]] = {
    ("bench", "--seconds"): ("-1", "nan", "inf", "soon", ""),
    ("bench", "--threads"): ("0", "-1", "257", "1099511627776", "two", "9" * 5000),
    ("demo", "--epochs"): ("0", "-1", "1.5"),
    ("demo", "--seed"): ("-1", "1.5", "18446744073709551616", "9" * 5000),
    ("check", "--seed"): ("-1", "x"),
    ("check", "--directions"): ("0", "-3"),
    ("memory", "--threads"): ("0", "257"),
    ("memory", "--budget"): ("-1", "much", "1.5"),
    ("memory", "--plot"): ("picture.xyz", "picture"),
    ("compile", "--threads"): ("0", "257"),
    ("place", "--capacity"): ("0", "-1", "0.5", "much", "1 MBit"),
    ("place", "--alignment"): ("0", "-1", "x"),
    ("place", "--effort"): ("0", "-1", "x"),
    ("place", "--plot"): ("picture.xyz", "picture"),
}
NEEDED = {
    "check": ["model.py:build"], "memory": ["model.py:build"], "compile": ["model.py:build", "-o", "build"],
    "place": ["buffers.csv"],
}  # fmt: skip


@pytest.mark.parametrize(("command", "option"), WRONG)
def test_options_that_make_no_sense_are_usage_errors(
    capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    for text in WRONG[command, option]:
        code, out, err = run(capsys, command, *NEEDED.get(command, []), f"{option}={text}")
        assert (code, out) == (2, ""), text
        assert f"argument {option}: " in err, text
        assert "Traceback" not in err


@pytest.mark.parametrize(("text", "size"), [("1MiB", 1 << 20), ("6 KiB", 6144), ("5120", 5120), ("6kB", 6000)])
def test_a_capacity_is_an_amount_of_memory(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, size: int
) -> None:
    code, out, _ = run(capsys, "place", str(folder / "buffers.csv"), "--capacity", text, "--alignment", "1KiB")
    assert code == 0
    assert f"capacity  {size:,} bytes: met" in out


@needs_compiler
def test_memory_is_that_of_the_engine_that_compile_would_take(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{folder / 'model.py'}:{BUILD}"
    monkeypatch.delenv("GRAPHC_BACKEND")
    for backend in ("c", "cython"):
        if backend == "cython":
            monkeypatch.setenv("GRAPHC_BACKEND", backend)
        made = load_target(target)
        program = gx.compile(made.inputs, made.outputs, made.updates)
        assert program.backend == backend
        code, out, _ = run(capsys, "memory", target)
        assert code == 0
        assert f"as the {backend} engine runs it on {program.threads} thread" in out
        assert str(program.memory) in out


# What is said --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("function", "line", "source"),
    [
        ("crashing", 16, 'in looked_up\n    return table["nothing"]'),
        ("within_a_library", 19, 'in within_a_library\n    return json.loads("{")'),
    ],
)
def test_an_error_of_the_users_names_the_users_line(
    capsys: pytest.CaptureFixture[str], folder: Path, function: str, line: int, source: str
) -> None:
    code, _, err = run(capsys, "memory", f"{folder / 'model.py'}:{function}")
    assert code == 1
    assert f"at {folder / 'model.py'}:{line} {source}" in err
    assert "Traceback" not in err


def test_an_error_while_importing_names_the_users_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "broken_module.py"
    path.write_text("import json\n\nvalue = json.dumps(object())\n\ndef build():\n    pass\n")
    code, _, err = run(capsys, "check", f"{path}:build")
    assert code == 1
    assert f"at {path}:3 in <module>" in err


def test_check_shows_how_far_it_is(folder: Path) -> None:
    target = load_target(f"{folder / 'model.py'}:{BUILD}")
    for is_terminal in (True, False):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=is_terminal, width=100)
        assert check(target, console, directions=1) == 0
        assert ("gradient of loss, direction 1 of 1" in screen.getvalue()) == is_terminal
        assert ("cython on 2 threads" in screen.getvalue()) == is_terminal


# Lines fit -----------------------------------------------------------------------------------------------------------
def assert_fits(text: str) -> None:
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "…" not in text, "a table has left something out"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, *filter(None, [command]), "-h")
    assert code == 0
    assert_fits(out)
    assert not command or all(name in run(capsys, "-h")[1] for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("memory", "{target}"),
        ("memory", "{target}", "--frontier"),
        ("inspect", "{target}", "--section", "memory"),
        ("check", "{target}", "--directions", "1"),
        ("place", "{buffers}", "--capacity", "1MiB"),
        ("bench", "--seconds", "0", "--profile", "--backend", "cython"),
        pytest.param(("compile", "{target}", "-o", "build"), marks=needs_compiler),
    ],
    ids=" ".join,
)
def test_what_commands_print_fits_80_columns(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    given = [part.format(target=f"model.py:{BUILD}", buffers="buffers.csv") for part in arguments]
    code, out, _ = run(capsys, *given)
    assert code == 0
    assert_fits(out)
