"""The documents tell the truth: programs print what is shown, tables name what there is, commands and files exist."""

from __future__ import annotations

import ast
import itertools
import math
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.table import NAMES
from graphc.cli import main
from tests import test_layers as layers
from tests.documents import ROOT, agree, documents, programs, section
from tests.runtime.support import needs_compiler

DOCUMENTS = documents()
README = DOCUMENTS["README.md"]
FUNCTIONS, BACKENDS, ARCHITECTURE = (
    DOCUMENTS[f"graphc/docs/{name}.md"] for name in ("functions", "backends", "architecture")
)
MARK = "=== next block ==="
ELSEWHERE = {"graphc/docs/add_an_op.md"}  # its program needs the op that it adds: test_add_an_op.py
RUNNING = [path for path, text in DOCUMENTS.items() if programs(text) and path not in ELSEWHERE]
COMPILING = [path for path in RUNNING if 'backend="c"' in DOCUMENTS[path] or ".export(" in DOCUMENTS[path]]
GRAMMARS = ("ir/text.py", "kernel/ir.py", "plan/plan.py")


def names_in(table_row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", table_row)


# Programs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=needs_compiler) if path in COMPILING else path for path in RUNNING]
)
def test_programs_print_what_is_shown(path: str, tmp_path: Path) -> None:
    """All blocks of a document run as one program, in a process of its own, as a reader would type them."""
    found = programs(DOCUMENTS[path])
    script = f"\nprint({MARK!r})\n".join(code for code, _, _ in found)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for (code, shown, note), printed in zip(found, done.stdout.split(MARK), strict=True):
        tolerance = math.inf if note == "numbers vary" else 0.02
        assert agree(shown, printed, tolerance), f"{code}\nprinted\n{printed}\nand not\n{shown}"


def test_documents_have_programs() -> None:
    assert len(programs(README)) >= 4
    assert {"README.md", *(f"graphc/docs/{name}.md" for name in ("architecture", "backends", "memory"))} <= {*RUNNING}


@pytest.mark.parametrize("printed", ["loss 1.5 in 3 steps", "loss 1.0 in 30 steps", "loss 1.0", "cost 1.0 in 3 steps"])
def test_other_output_is_noticed(printed: str) -> None:
    assert agree("loss 1.0 in 3 steps", "loss  1.001 in 3 steps", 0.02)
    assert not agree("loss 1.0 in 3 steps", printed, 0.02)


# Form ----------------------------------------------------------------------------------------------------------------
def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 200


@pytest.mark.parametrize("path", DOCUMENTS)
def test_lines_of_prose_are_short(path: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", DOCUMENTS[path], flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_and_files_exist(path: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCUMENTS[path]):
        assert ((ROOT / path).parent / target).is_file(), target
    for named in re.findall(r"`((?:graphc|kernels|benchmarks|tests)/[\w/.]+)`", DOCUMENTS[path]):
        assert (ROOT / named).exists(), named


def test_every_document_is_listed() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)\)", section(README, "Documents")))
    assert linked == DOCUMENTS.keys() - {"README.md"}


# Tables --------------------------------------------------------------------------------------------------------------
def test_every_public_name_is_in_the_table() -> None:
    rows = [line for line in section(FUNCTIONS, "The public API").splitlines() if line.startswith("| ")]
    module_rows = {names_in(row)[0]: row for row in rows if row.startswith("| `")}
    listed = [name for row in rows if not row.startswith("| `") for name in names_in(row)]
    assert sorted(listed) == sorted(gx.__all__)
    layers = [name for row in rows if row.startswith("| `nn`") for name in names_in(row)[1:]]
    assert sorted(layers) == sorted(nn.__all__)
    assert sorted(names_in(module_rows["optim"])[1:]) == sorted(optim.__all__)
    assert sorted(names_in(module_rows["optim.schedules"])[1:]) == sorted(optim.schedules.__all__)


def test_members_of_a_program_exist() -> None:
    x = gx.input("x", ())
    program = gx.compile([x], x + 1)
    members = section(FUNCTIONS, "The public API").split("besides, it", 1)[1].split("\n\n", 1)[0]
    for name in names_in(members):
        assert hasattr(program, name.partition("(")[0]), name


def test_backends_and_commands_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    engines = [names_in(line)[0].strip('"') for line in section(BACKENDS, "Engines").splitlines() if '| `"' in line]
    assert sorted(engines) == sorted(NAMES)
    commands = re.findall(r"^\| `graphc (\w+)", section(README, "The command line"), re.MULTILINE)
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([command, "-h"])
        assert end.value.code == 0
    with pytest.raises(SystemExit):
        main(["-h"])
    assert set(re.findall(r"^    (\w+)  ", capsys.readouterr().out.split("COMMAND")[-2], re.MULTILINE)) <= set(commands)


def test_the_rooms_are_those_of_the_layers() -> None:
    rows = [names_in(line.split("|")[1]) for line in section(ARCHITECTURE, "The rooms of the house").splitlines()
            if line.startswith("| `")]  # fmt: skip
    visitors = {name.strip("/").removesuffix(".py") for name in layers.VISITORS if not name.startswith("__")}
    found = [tuple(room for room in row if room in layers.LEVEL) for row in rows]
    assert [set(row) for row in found] == [set(row) for row in layers.ROOMS]
    assert {*itertools.chain(*rows)} - layers.LEVEL.keys() == visitors - layers.LEVEL.keys()


@pytest.mark.parametrize("path", GRAMMARS)
def test_grammars_are_those_of_the_modules(path: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / "graphc" / path).read_text())) or ""
    grammar = textwrap.dedent(text.split("\n\n")[1]).strip()
    assert grammar.count("=") >= 3
    assert f"```text\n{grammar}\n```" in ARCHITECTURE


def test_stages_are_those_of_the_pipeline() -> None:
    text = ast.get_docstring(ast.parse((ROOT / "graphc" / "pipeline.py").read_text())) or ""
    stages = re.findall(r"^\| (\w+) \|", ARCHITECTURE.split("\n## ")[0], re.MULTILINE)[1:]
    assert stages == re.findall(r"^    (\w+)  ", text, re.MULTILINE)


# Commands and settings -----------------------------------------------------------------------------------------------
def test_variables_of_the_environment_are_read_somewhere() -> None:
    named = set(re.findall(r"\bGRAPHC_[A-Z_]+\b", "".join(DOCUMENTS.values())))
    folders = (ROOT / "graphc", ROOT / "kernels", ROOT / "tests")
    sources = [path for folder in folders for path in folder.rglob("*.[ph]*") if path.suffix in (".py", ".h")]
    text = "".join(path.read_text() for path in [ROOT / "setup.py", *sources] if path != Path(__file__))
    assert {"GRAPHC_BACKEND", "GRAPHC_CACHE", "GRAPHC_ISA", "GRAPHC_VERIFY"} <= named
    assert [name for name in sorted(named) if name not in text] == []


def test_commands_install_extras_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for path, text in DOCUMENTS.items():
        named = re.findall(r"\.\[([\w,]+)\]", text)
        assert named or path != "README.md"
        assert {extra for names in named for extra in names.split(",")} <= set(extras), path


def test_continuous_integration_runs_the_test_command() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv") and "pytest" in line]
    assert len(commands) == 1
    assert "^python3 -m venv .*pytest" in (ROOT / ".ci" / "run").read_text()
