"""`graphc/docs/add_an_op.md` carried out: its changes are made to a copy of the sources, which is built and tested.

The changes and the program are those of the document. Building and testing take a minute or more, so both are done with
GRAPHC_TEST_FULL=1 only, as the checks of a commit (`.ci/run`) do; that the changes still fit is always tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.documents import ROOT, agree, blocks, documents, programs
from tests.runtime.support import needs_compiler

DOCUMENT = documents()["graphc/docs/add_an_op.md"]
COPIED = ("graphc", "kernels", "tests", "benchmarks", "setup.py", "pyproject.toml", "README.md", "LICENSE")
DERIVED = ("test_registry.py", "test_backends.py", "test_documentation.py", "test_points.py")
FULL = bool(os.environ.get("GRAPHC_TEST_FULL"))


def changes() -> list[tuple[str, str, str]]:
    """The path, the text and the new text of every change that the document shows."""
    found = []
    for _, _, content in (block for block in blocks(DOCUMENT) if block[0] == "diff"):
        head, *lines = content.splitlines()
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[:1] != sign) for sign in "+-")
        found.append((head.removeprefix("+++ "), old, new))
    return found


def copied(target: Path) -> Path:
    """The sources, without anything that was built, importable by their path alone."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, target / name)
    (target / "graphc" / "kernels").symlink_to(target / "kernels")
    return target


def run(copy: Path, *arguments: str, **environment: str) -> str:
    """The output of Python in the copy, where graphc is the copy's."""
    own = {name: value for name, value in os.environ.items() if name != "GRAPHC_ISA"}  # baseline is all that is built
    own |= {"PYTHONPATH": str(copy), "GRAPHC_CACHE": str(copy / "cache"), **environment}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=own, capture_output=True, text=True, cwd=copy, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_three_places_are_changed_and_all_are_there() -> None:
    assert len({path for path, _, _ in changes()}) == 3
    for path, old, new in changes():
        assert (ROOT / path).read_text().count(old) == 1, f"{path} does not hold once\n{old}"
        assert old != new


@needs_compiler
@pytest.mark.skipif(not FULL, reason="builds and tests graphc: GRAPHC_TEST_FULL=1")
@pytest.mark.skipif(find_spec("Cython") is None, reason="needs Cython")
def test_the_new_op_works_on_every_backend(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    for path, old, new in changes():
        file = copy / path
        file.write_text(file.read_text().replace(old, new))
    compiler = os.environ.get("CC", "cc")
    cached = {"CC": f"ccache {compiler}"} if shutil.which("ccache") and "ccache" not in compiler else {}
    build = {**cached, "GRAPHC_BUILD_LEVELS": "baseline", "CCACHE_BASEDIR": str(copy), "CCACHE_NOHASHDIR": "1"}
    run(copy, "setup.py", "-q", "build_ext", "--inplace", **build)

    ((code, shown, _),) = programs(DOCUMENT)
    printed = run(copy, "-c", f"import graphc\nassert graphc.__file__.startswith({str(copy)!r})\n{code}")
    assert agree(shown, printed, 0.0), printed

    tests = [f"tests/ops/{name}" for name in DERIVED]
    run(copy, "-m", "pytest", "-p", "no:cacheprovider", *tests, "tests/scalar", "-k", "sech or points or scalar")
