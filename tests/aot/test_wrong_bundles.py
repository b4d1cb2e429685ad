"""Bundles that lie or are damaged are refused with a clear error, or give the right answers; nothing dies of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.aot import bundle as module
from graphc.errors import BackendError, FormatError
from tests.aot.damage import LIES
from tests.conftest import ROOT
from tests.mutations import nested
from tests.runtime.support import needs_compiler

pytestmark = needs_compiler
X = np.arange(6, dtype=np.float32)


def program() -> gx.Program:
    """Two parameters of one type, two outputs of one type, a constant, a random state, intermediate values."""
    x = gx.input("x", (6,))
    a, b = gx.parameter("a", np.ones(6, np.float32)), gx.parameter("b", np.full(6, 2, np.float32))
    table = gx.constant(np.linspace(0, 1, 6, dtype=np.float32))
    hidden = gx.cumsum(x * a + table)
    outputs = {"y": gx.flip(hidden) * b, "z": gx.cumsum(hidden * gx.uniform((6,)))}
    return gx.compile([x], outputs, {a: a * 2, b: b + 1}, backend="c", threads=1, seed=3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "whole"
    program().export(folder / "step")
    return folder


@pytest.fixture(scope="module")
def outcomes(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By what was damaged: the error that loading it ended with, "right" for the right answers, or what went wrong."""
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("outcomes") / "whole")
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "tests.aot.damage", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}\n{done.stderr[-2000:]}"
    return dict(zip(lines[::2], lines[1::2], strict=True))


def test_whatever_is_damaged_is_refused_or_does_no_harm(outcomes: dict[str, str]) -> None:
    wrong = [f"{what}: {how}" for what, how in outcomes.items() if how not in ("FormatError", "BackendError", "right")]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(outcomes)}", *wrong[:20]])
    assert len(outcomes) > 2000
    assert sum(how == "right" for how in outcomes.values()) < len(outcomes) / 5


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_must_be_that_of_its_library(outcomes: dict[str, str], lie: str) -> None:
    assert outcomes[f"lie: {lie}"] == "FormatError"


@pytest.mark.parametrize("part", ["half of", "a third of"])
def test_a_part_of_a_library_is_not_opened(outcomes: dict[str, str], part: str) -> None:
    assert outcomes[f"step.so: {part} it, signed"] == "FormatError"


def changed(folder: Path, target: Path, change: Callable[[Any], None]) -> Path:
    shutil.copytree(folder, target)
    manifest = json.loads((target / "step.json").read_text())
    change(manifest)
    (target / "step.json").write_text(json.dumps(manifest))
    return target


def test_the_library_of_another_program_is_refused(exported: Path, tmp_path: Path) -> None:
    x = gx.input("x", (6,))
    gx.compile([x], x * 2, backend="c").export(tmp_path / "other/step")

    def exchange(manifest: Any) -> None:
        data = (tmp_path / "other/step.so").read_bytes()
        (tmp_path / "mixed/step.so").write_bytes(data)
        manifest["files"]["so"] = hashlib.sha256(data).hexdigest()

    with pytest.raises(FormatError, match="was compiled for another program"):
        gx.load(changed(exported, tmp_path / "mixed", exchange))


def test_a_manifest_nested_too_deep_is_refused(exported: Path, tmp_path: Path) -> None:
    for text in ("[" * 100_000, json.dumps({"format": nested(500), "plan": nested(500)})):
        folder = changed(exported, tmp_path / f"nested{len(text)}", lambda manifest: None)
        (folder / "step.json").write_text(text)
        with pytest.raises(FormatError):
            gx.load(folder)


def test_a_program_exported_again_is_what_is_loaded(tmp_path: Path) -> None:
    """The system gives a library that is open already for the one that has replaced it."""
    x = gx.input("x", (6,))
    for factor in (2, 3):
        gx.compile([x], x * factor, backend="c").export(tmp_path / "step")
        np.testing.assert_array_equal(gx.load(tmp_path / "step")(X), X * factor)


# What is asked for --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("threads", [0, -1, 257, 1 << 40, 2.0, "2", True])
def test_threads_that_cannot_be_are_refused(exported: Path, threads: Any) -> None:
    x = gx.input("x", (6,))
    for asked in (
        lambda: gx.load(exported, threads=threads),
        lambda: gx.compile([x], x, backend="cython", threads=threads),
        lambda: gx.memory_frontier([x], x + 1, backend="cython", threads=threads),
    ):
        with pytest.raises(BackendError, match="threads must be an integer from 1 to 256"):
            asked()


def test_a_machine_may_have_more_processors_than_a_step_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(1000))
    x = gx.input("x", (6,))
    assert gx.compile([x], x + 1, backend="cython").threads == 256


@pytest.mark.parametrize("path", [5, None, 1.5, b"step", ["step"]])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(TypeError, match=r"gx\.load takes the path of an exported program"):
        gx.load(path)


# Writing ------------------------------------------------------------------------------------------------------------
def test_an_export_that_fails_leaves_the_program_that_was_there(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(exported, tmp_path / "old")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "step.so").unlink()
    (folder / "step.so").mkdir()
    x = gx.input("x", (6,))
    other = gx.compile([x], x * 2, backend="c")
    with pytest.raises(IsADirectoryError, match=r"it is as it was before: .*step\.so"):
        other.export(folder / "step")
    (folder / "step.so").rmdir()
    (folder / "step.so").write_bytes(before["step.so"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    gx.load(folder)


def test_a_bundle_of_another_version_says_so(exported: Path, tmp_path: Path) -> None:
    folder = changed(exported, tmp_path / "old", lambda manifest: manifest.update(version=module.VERSION - 1))
    with pytest.raises(FormatError, match="export the program again"):
        gx.load(folder)


def test_a_broken_library_in_the_cache_is_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has the right hash, and is no library."""
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    x = gx.input("x", (6,))
    for broken in (b"no library", None):
        program = gx.compile([x], x * 5, backend="c")
        np.testing.assert_array_equal(program(X), X * 5)
        for library in (tmp_path / "cache").glob("*.so"):
            data = library.read_bytes()
            content = broken or data[: len(data) // 2]
            library.unlink()
            library.write_bytes(content)
            library.with_suffix(".sum").write_text(hashlib.blake2b(content, digest_size=32).hexdigest())
    np.testing.assert_array_equal(gx.compile([x], x * 5, backend="c")(X), X * 5)
