"""Libraries are compiled once, found again, and never mistaken for one another."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graphc.errors import BackendError, GraphcWarning
from graphc.ir import notice
from graphc.toolchain import build as module
from graphc.toolchain import cache, compiler, isa
from graphc.toolchain.build import build, library_key
from graphc.toolchain.compiler import NATIVE, Compiler, compiler_or_reason, find_compiler

SOURCE = '__attribute__((visibility("default"))) int answer(void) { return 42; }\nint hidden(void) { return 0; }\n'
LEVEL = "baseline"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and a compiler."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(notice, "_given", set())
    compiler._found.cache_clear()
    if isinstance(reason := compiler_or_reason(), str):
        pytest.skip(reason)
    yield tmp_path / "cache"
    compiler._found.cache_clear()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were compiled, as they are."""
    run, seen = module.run_compiler, []

    def watched(command, flags, source, folder, deadline):
        seen.append(source)
        return run(command, flags, source, folder, deadline)

    monkeypatch.setattr(module, "run_compiler", watched)
    return seen


def answer(path: Path) -> int:
    return ctypes.CDLL(str(path)).answer()


def test_it_is_compiled_once(compilations: list[str], folder: Path) -> None:
    path = build(SOURCE, level=LEVEL)
    assert answer(path) == 42
    assert path.parent == folder
    assert build(SOURCE, level=LEVEL) == path
    assert compilations == [SOURCE]


@pytest.mark.parametrize("level", [*isa.usable_levels(), NATIVE])
def test_every_level_that_runs_here(level: str) -> None:
    assert answer(build(SOURCE, level=level)) == 42


def test_only_what_is_meant_to_be_seen_is_seen() -> None:
    library = ctypes.CDLL(str(build(SOURCE, level=LEVEL)))
    with pytest.raises(AttributeError):
        _ = library.hidden


def test_keys_hold_everything_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_compiler()
    others = [replace(found, **{name: "another"}) for name in ("stamp", "version")]
    others += [replace(found, command=("other",)), replace(found, refused=("-fno-math-errno",))]
    keys = [library_key(SOURCE, LEVEL, found), library_key(SOURCE + " ", LEVEL, found)]
    keys += [library_key(SOURCE, level, found) for level in (*isa.usable_levels()[1:], NATIVE)]
    keys += [library_key(SOURCE, LEVEL, other) for other in others]
    for name, level in (("system_identity", LEVEL), ("_processor", NATIVE)):
        monkeypatch.setattr(module, name, lambda: "another")
        keys.append(library_key(SOURCE, level, found))
    assert len(set(keys)) == len(keys)


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "from graphc.toolchain.build import *; from graphc.toolchain.compiler import find_compiler\n"
        f"print(library_key({SOURCE!r}, {LEVEL!r}, find_compiler()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == library_key(SOURCE, LEVEL, find_compiler())


@pytest.mark.parametrize("damage", [b"", b"\x7fELF garbage"])
def test_a_damaged_library_is_built_again(compilations: list[str], damage: bytes) -> None:
    path = build(SOURCE, level=LEVEL)
    path.write_bytes(damage)
    assert answer(build(SOURCE, level=LEVEL)) == 42
    assert len(compilations) == 2


def test_errors_show_the_compilers_first_lines_and_keep_the_source(folder: Path) -> None:
    wrong = "int answer(void) { return nothing; }\n"
    with pytest.raises(BackendError, match="nothing") as caught:
        build(wrong, level=LEVEL)
    message = str(caught.value)
    assert "ended with status 1" in message
    assert str(find_compiler()) in message
    kept = Path(message.rpartition("kept in ")[2])
    assert kept.parent == folder
    assert kept.read_text() == wrong
    assert not list(folder.glob("building-*"))


def test_a_compiler_that_breaks_is_tried_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    command = tmp_path / "compiler"
    broken = tmp_path / "broken"
    real = find_compiler().command[0]
    command.write_text(f'#!/bin/sh\n[ -e {broken} ] && echo "out of order" && exit 1\nexec {real} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("CC", str(command))
    build(SOURCE, level=LEVEL)
    broken.touch()
    with pytest.raises(BackendError, match="out of order"):
        build(SOURCE + "\n", level=LEVEL)
    assert answer(build(SOURCE, level=LEVEL)) == 42, "what was built stays"
    compiler._found.cache_clear()  # as in a new process
    assert "out of order" in str(compiler_or_reason())


def test_a_compiler_may_be_given(tmp_path: Path, compilations: list[str]) -> None:
    found = find_compiler()
    other = Compiler((*found.command, "-DOTHER"), found.stamp, found.version, found.target)
    source = SOURCE.replace("42", "43") + "#ifndef OTHER\n#error other\n#endif\n"
    assert answer(build(source, level=LEVEL, compiler=other)) == 43


def test_a_compiler_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_compiler()
    monkeypatch.setattr(module, "BUILD_SECONDS", 0.2)
    slow = replace(found, command=("/bin/sh", "-c", "sleep 100"))
    with pytest.raises(BackendError, match="gave no answer in time"):
        build(SOURCE, level=LEVEL, compiler=slow)


def test_a_full_disk_is_replaced(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The compiler fails where there is no room; elsewhere there is."""
    found = find_compiler()
    monkeypatch.setattr(compiler, "is_full", lambda place: folder in place.parents)
    limited = replace(
        found, command=("/bin/sh", "-c", f'case "$PWD" in {folder}/*) exit 1;; esac; exec "$@"', "sh", *found.command)
    )
    with pytest.warns(GraphcWarning, match="No space left"):
        path = build(SOURCE, level=LEVEL, compiler=limited)
    assert folder not in path.parents
    assert answer(path) == 42
    assert build(SOURCE, level=LEVEL, compiler=limited) == path


def test_processes_that_build_the_same_do_not_disturb_each_other(folder: Path) -> None:
    code = (
        "import ctypes; from graphc.toolchain.build import build\n"
        f"print(*(ctypes.CDLL(str(build({SOURCE!r} + ' ' * i, level={LEVEL!r}))).answer() for i in range(3)))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=120)[0].split() for process in running] == [["42"] * 3] * 4
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] + [".so"] * 3 + [".sum"] * 3


def test_finding_it_again_costs_little() -> None:
    """A program of a usual size: 100 kB of source, a library of 200 kB."""
    source = f"{SOURCE}/*{'x' * 100_000}*/ __attribute__((used)) static const char data[200000] = {{1}};\n"
    build(source, level=LEVEL)

    def spent() -> float:
        began = time.process_time()
        build(source, level=LEVEL)
        return time.process_time() - began

    assert min(spent() for _ in range(30)) < 0.002


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="the system does not tell what its processor is")
def test_the_processor_is_known() -> None:
    assert len(module._processor().splitlines()) >= 2
