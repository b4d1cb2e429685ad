"""The elementary functions keep to 2 ulp in float32 and 4 in float64, vectorise, and give the same bits either way.

Here on a coarse grid, around every point where an implementation changes its mind, and at random; in full by
`python -m benchmarks.vmath`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.vmath import FLAGS, INCLUDE, LEVELS, Accuracy, Checker, build, compiler, functions, markdown
from graphc.kernels import cpu

CC = compiler()
pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")

STRIDE, REACH, SAMPLES = 20_011, 2, 10_000  # a prime stride ends on all kinds of bits
UNARY = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid", "softplus"),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Each check takes milliseconds: less than threads that wait for each other where other tests run, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module", params=cpu.supported_levels())
def checker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checker:
    return build(request.param, tmp_path_factory.mktemp("vmath"))


def test_every_function_keeps_its_limit(checker: Checker) -> None:
    names = functions(checker, [])
    assert {f"{name}_{kind}" for name in (*UNARY, "power", "atan2") for kind in ("f32", "f64")} <= set(names)
    found = [checker.check(name, STRIDE, REACH, SAMPLES) for name in names]
    assert [each for each in found if not each.is_good] == []
    assert min(each.seen for each in found) > 150_000
    exact = [each.worst for each in found if each.function.startswith(("negative", "abs", "sign", "round", "relu"))]
    assert set(exact) == {0.0}


def test_near_angles_give_the_same_bits(checker: Checker) -> None:
    assert checker.near_differences(STRIDE) == 0


def test_vectors_give_the_same_bits(checker: Checker, tmp_path: Path) -> None:
    plain = build(checker.level, tmp_path, flags=("-O1", "-fno-tree-vectorize"))
    for name in functions(checker, []):
        assert checker.digest(name, 400_009, 1, 1000) == plain.digest(name, 400_009, 1, 1000), name


@pytest.mark.parametrize("mistake", [("0x1.fffffcp-2f", "0x1.ffffa0p-2f"), ("x < -104.0f ? 0.0f :", "")])
def test_mistakes_are_found(tmp_path: Path, mistake: tuple[str, str]) -> None:
    """A coefficient wrong in its sixth digit, and an underflow that is forgotten."""
    shutil.copytree(INCLUDE, tmp_path / "include")
    header = tmp_path / "include" / "graphc" / "vmath.h"
    text = header.read_text()
    assert text.count(mistake[0]) == 1
    header.write_text(text.replace(*mistake))
    wrong = build("baseline", tmp_path, include=tmp_path / "include", flags=["-O1"])
    found = wrong.check("exp_f32", STRIDE, REACH, SAMPLES)
    assert found.worst > 2.0
    assert not found.is_good


def test_loops_are_vectorised_without_calls(tmp_path: Path) -> None:
    """At every level, float32 loops run in vectors, as the compiler says, and call nothing."""
    calls = [f"gc_{name}_f32(x[i])" for name in UNARY] + ["gc_power_f32(x[i], y[i])", "gc_atan2_f32(x[i], y[i])"]
    arguments = "float *restrict to, const float *restrict x, const float *restrict y"
    loops = [
        f"void loop_{i}({arguments}) {{\n    (void)y;\n    for (int i = 0; i < 1024; i++) to[i] = {call};\n}}\n"
        for i, call in enumerate(calls)
    ]
    source = tmp_path / "loops.c"
    source.write_text('#include "graphc/vmath.h"\n' + "".join(loops))
    is_clang = "clang" in subprocess.run([CC, "--version"], check=True, capture_output=True, text=True).stdout
    say = "-Rpass=loop-vectorize" if is_clang else "-fopt-info-vec-optimized"
    for level in cpu.supported_levels():
        if is_clang and level == "baseline":
            continue  # there, clang thinks that some are not worth it
        command = [CC, *FLAGS, *LEVELS.get(level, ()), "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", say, "-S", source]
        made = subprocess.run([*command, "-o", tmp_path / "loops.s"], check=True, capture_output=True, text=True)
        vectorised = set(re.findall(r"loops\.c:(\d+):\d+: (?:optimized|remark)", made.stderr))
        assert len(vectorised) == len(loops), f"{level}: {made.stderr}"
        assert re.findall(r"\bcallq?\s+(?!\*?.*sqrtf)\S+", (tmp_path / "loops.s").read_text()) == []


def test_results_as_markdown() -> None:
    worst = {"baseline": 0.9, "avx2": 0.87}
    found = [Accuracy(level, "exp_f32", ulps, 1.0, 0.0, 2.7, 10) for level, ulps in worst.items()]
    lines = markdown(found).splitlines()
    assert lines[0] == "| function | baseline | avx2 |"
    assert lines[2] == "| `exp_f32` | 0.90 | 0.87 |"
