"""The package as it is installed: versions agree, kernels lie under graphc, headers come along, every level works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

from graphc.errors import BackendError
from graphc.kernels import cpu
from graphc.toolchain import isa

ROOT = Path(__file__).parent.parent


def test_metadata_is_that_of_the_checkout() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = metadata("graphc")
    assert installed["Version"] == project["version"]
    assert installed["License-Expression"] == "BSD-3-Clause"
    runtime = [requirement for requirement in requires("graphc") or [] if "extra ==" not in requirement]
    assert len(runtime) == len(project["dependencies"])


def test_no_global_package_is_called_kernels() -> None:
    command = [sys.executable, "-c", "import graphc.kernels.cpu, sys; assert 'kernels' not in sys.modules"]
    subprocess.run(command, check=True, cwd=ROOT)


def test_headers_come_along() -> None:
    headers = {path.name for path in (Path(cpu.__file__).parent / "include" / "graphc").glob("*.h")}
    assert {"launch.h", "threads.h", "execute.h", "isa.h"} <= headers


def test_levels() -> None:
    levels = isa.usable_levels()
    assert levels[0] == "baseline"
    assert [cpu.load(level).level for level in levels] == list(levels)
    assert len({cpu.load(level).kernels for level in levels}) == 1, "every level has the same kernels"


def test_the_environment_asks_for_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(isa.VARIABLE, raising=False)
    assert isa.kernels().level == isa.usable_levels()[-1]
    monkeypatch.setenv(isa.VARIABLE, "baseline")
    assert isa.kernels().level == "baseline"
    monkeypatch.setenv(isa.VARIABLE, "abacus")
    with pytest.raises(BackendError, match=r"'abacus'; usable here: baseline.*GRAPHC_ISA asks for it"):
        isa.kernels()


def test_nothing_wider_than_the_processor_is_loaded() -> None:
    """Importing the executor and choosing kernels loads one level only."""
    code = "import graphc.runtime.executor, graphc.toolchain.isa as isa, sys; isa.kernels(); print(*sys.modules)"
    environment = {**os.environ, isa.VARIABLE: "baseline"}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "graphc.kernels.cpu.baseline" in output.stdout
    assert "graphc.kernels.cpu.avx" not in output.stdout
