"""Names are data: none reaches text that is compiled but through `plain`, and none collides as a prefix.

A program with hostile names must have the very text that it has with tame ones, but for the insides of comments.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from unittest import mock

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.aot import c_form
from graphc.backends.c.amalgamation import INCLUDE, Amalgamation
from graphc.backends.c.plain import MOST, plain
from graphc.errors import BackendError
from graphc.ops.record import OPS
from tests.compilers import TARGETS
from tests.runtime.support import needs_compiler

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")
ENDINGS = ("*\\", "*/", "*??/", "*\\\n/", "*\\*//", "*?/?/", "*/*", "//\\\n", "//??/\n", "\\", "??/", "??/\n", "/*")
HOSTILE = (
    *(f"a{ending} int evil(void) {{ return 1; }} /*{ending}" for ending in ENDINGS),
    *(f"{ending}{ending}" for ending in ENDINGS),
    "new\nline", "\r\n#include <evil.h>\n", "\v\f\t\b", "\x00", "".join(map(chr, range(1, 32))), "\x7f\x80\x9b",
    "\u2028", "ümlaut", "\N{ZERO WIDTH SPACE}", "*\N{FULLWIDTH SOLIDUS}", "\U0001f600", '"; evil(); "', "%s%n",
    "{evil}", "??'??=", '_Pragma("evil")', "#define int evil", "*\\" * 5, "?" * 9 + "/", "w (2)", "(random)",
    "(constant 0)", "a" * 1_000_000, "*\\" * 500_000,
)  # fmt: skip


# Names of tensors --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_left_of_a_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.?]+", plain(name))
    assert "??" not in plain(name)
    assert len(plain(name)) <= MOST + 3


@pytest.mark.parametrize("name", ["x", "0.weight", "Linear.weight.exp_avg_sq", "a" * MOST])
def test_a_tame_name_stays(name: str) -> None:
    assert plain(name) == name


def test_ops_are_called_by_identifiers() -> None:
    assert [name for name in OPS if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def program(names: Sequence[str]) -> dict[str, Any]:
    """A program with each of the names as an input, an output, a parameter and a state."""
    inputs = [gx.input(name, (3,)) for name in names]
    parameters = [gx.parameter(name, np.ones(3, np.float32)) for name in names]
    states = [gx.state(name, np.zeros((), np.int32)) for name in names]
    outputs = {name: x * w for name, x, w in zip(names, inputs, parameters, strict=True)}
    updates: dict[gx.Parameter, gx.Tensor] = {w: w + x for w, x in zip(parameters, inputs, strict=True)}
    return {"inputs": inputs, "outputs": outputs, "updates": {**updates, **{s: s + 1 for s in states}}}


def export(program: gx.Program, path: Path) -> dict[str, str]:
    """The texts of an exported program, by suffix; its library is not compiled."""
    with mock.patch.object(c_form, "build", return_value=Path(os.devnull)):
        program.export(path)
    return {suffix: path.with_suffix(f".{suffix}").read_text() for suffix in ("c", "h", "json")}


def without_comments(text: str) -> str:
    """The text as a compiler sees it: trigraphs and spliced lines first, then comments.

    Without what names may change: the length of a file's header that holds them, and the digest of a plan that does.
    """
    text = re.sub(r'(?<=_HEADER_BYTES )\d+|(?<=")[0-9a-f]{64}(?=")', "0", text)
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", re.sub(r"(\\|\?\?/)\n", "", text), flags=re.S)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str], Path]:
    """The texts of the program with tame names and with hostile ones, and the folder of the latter."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folders = [tmp_path_factory.mktemp(name) for name in ("tame", "hostile")]
    tame = [f"n{number}" for number in range(len(HOSTILE))]
    pairs = zip((tame, HOSTILE), folders, strict=True)
    exported = [export(gx.compile(**program(names), backend="cython"), folder / "step") for names, folder in pairs]
    return exported[0], exported[1], folders[1]


@pytest.mark.parametrize("suffix", ["c", "h"])
def test_names_change_nothing_but_comments(texts: Any, suffix: str) -> None:
    tame, hostile, _ = texts
    assert without_comments(hostile[suffix]) == without_comments(tame[suffix])
    assert re.fullmatch(r"[ -~\n]*", hostile[suffix])
    assert len(hostile[suffix]) < len(tame[suffix]) + 3 * len(HOSTILE) * (MOST + 8)


def test_the_manifest_holds_names_as_json(texts: Any) -> None:
    """In full, and escaped: it is data, and `load` gives the names back."""
    text, written = texts[1]["json"], json.loads(texts[1]["json"])
    assert re.fullmatch(r"[ -~\n]*", text)
    assert written["plan"]["names"] == [*HOSTILE, *HOSTILE]
    assert {entry["key"] for entry in written["state"]} >= set(HOSTILE) - {"(random)", "(constant 0)"}


def test_texts_with_hostile_names_compile(texts: Any) -> None:
    """As C with trigraphs, which is what -std=c11 means, and the header as C++, too."""
    _, _, folder = texts
    (folder / "user.cpp").write_text(
        '#include "step.h"\nint main() { return step_open(nullptr, nullptr, 1) != nullptr; }\n'
    )
    subprocess.run(["cc", "-std=c11", *WARNINGS, "-fsyntax-only", "step.c"], cwd=folder, check=True)
    if shutil.which("c++"):
        subprocess.run(["c++", "-std=c++11", *WARNINGS, "-fsyntax-only", "user.cpp"], cwd=folder, check=True)


@needs_compiler
def test_a_name_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prototype's end, a constructor, which is called when a library is loaded, and the beginning of a prototype."""
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    end, begin = "*\\ const float *input0, float *output0);", "void evil(int x, \\*"
    run = f'static void f(void) {{ system("echo > {tmp_path}/ran"); }}'
    x = gx.input(f"a{end} int system(const char *); __attribute__((constructor)) {run} {begin}", (3,))
    np.testing.assert_array_equal(gx.compile([x], x * 2, backend="c")(np.ones(3, np.float32)), np.full(3, 2))
    assert not (tmp_path / "ran").exists()


@needs_compiler
def test_a_program_with_hostile_names_is_loaded_again(tmp_path: Path) -> None:
    names = HOSTILE[:3]
    compiled = gx.compile(**program(names), backend="c")
    compiled.export(tmp_path / "step")
    loaded, arrays = gx.load(tmp_path / "step"), [np.full(3, i, np.float32) for i in range(3)]
    assert [argument.name for argument in loaded.inputs] == list(names)
    assert {k: v.tolist() for k, v in loaded(*arrays).items()} == {k: v.tolist() for k, v in compiled(*arrays).items()}


@needs_compiler
@pytest.mark.parametrize("name", ["(random)", "(constant 0)", "w (2)"])
def test_a_name_that_the_state_has_already(name: str, tmp_path: Path) -> None:
    """Two parameters of one name, a constant and random numbers beside it: all are stored, and found again."""
    x, table = gx.input("x", (3,)), gx.constant(np.arange(3, dtype=np.float32))
    a, b, c = (gx.parameter(text, np.full(3, i, np.float32)) for i, text in enumerate(("w", "w", name), 1))
    outputs = {"y": nn.Dropout(0.5)(x * a + table) + b, "c": c * x}
    compiled = gx.compile([x], outputs, updates={a: a + b, c: c + 1}, backend="c")
    compiled.export(tmp_path / "step")
    loaded, ones = gx.load(tmp_path / "step"), np.ones(3, np.float32)
    for _ in range(2):
        assert {k: v.tolist() for k, v in loaded(ones).items()} == {k: v.tolist() for k, v in compiled(ones).items()}


# The user's code ---------------------------------------------------------------------------------------------------
def renamed(function: FunctionType, filename: str) -> Callable[[], Any]:
    """The function as if it stood in a file of this name, and were called so, too."""
    code: CodeType = function.__code__.replace(co_filename=filename, co_name=filename)
    return FunctionType(code, function.__globals__, filename, function.__defaults__, function.__closure__)


@pytest.mark.parametrize("filename", ["*\\ evil.py", "*/ evil.py", "evil??/\n.py", "//\\\nevil.py", "evil\udcff.py"])
def test_lines_of_the_user_stay_out_of_text(filename: str, tmp_path: Path) -> None:
    """Plans tell them, text that is compiled does not: not even where the file is called what it should not be."""

    def build() -> gx.Program:
        x = gx.input("x", (4, 4))
        return gx.compile([x], gx.softmax(gx.tanh(x) @ x), backend="cython")

    written = export(renamed(build, filename)(), tmp_path / "step")
    assert "evil" not in written["c"] + written["h"]
    assert any("evil" in launch["location"] for launch in json.loads(written["json"])["plan"]["launches"])


# Prefixes ----------------------------------------------------------------------------------------------------------
WORDS = """
state memory threads program input0 output0 arena launches stages team step progress buffers i x0 x1 auto break case
char const continue default do double else enum extern float for goto if inline int long register restrict return
short signed sizeof static struct switch typedef union unsigned void volatile _Bool _Atomic _Generic _Alignas
_Static_assert asm typeof bool true false nullptr class namespace new template this try catch operator public and or
not xor_eq import module co_await __attribute__ exp main printf malloc free memcpy memset exit abort errno NULL EOF
stdin signal time read write close pthread pthread_create size_t int64_t uint16_t UINT64_C INFINITY NAN stdint _stdint
_STDINT _stddef linux unix defined __FILE__ __LINE__ __func__ __STDC__ __ ___ mem str f d graphc GRAPHC gc GC gc_run
gc_step gc_team gc_call gc_tile gc_kernel gc_program gc_launch GC_PART GC_LEVEL call call_0 fused fused_0
fused_0_region launch launch_fused stage stage_depends program_launches GC_REAL
"""
PREFIXES = tuple(WORDS.split())
ALONE = ("state", "memory", "threads", "exp", "main", "int", "printf", "graphc", "gc", "gc_step", "gc_team", "fused_0")
ENDS = ("open", "run", "close", "image", "program")  # of what the C file of an exported program declares for others
MACROS = r"\w+_(HEADER_BYTES|STATE_BYTES|STATE_\d+|MEMORY_BYTES)"


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with all that declares something, exported under every prefix."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("prefixed")
    x, w = gx.input("x", (3,)), gx.parameter("w", np.ones(3, np.float32))
    compiled = gx.compile([x], x * w, updates={w: w + 1}, backend="cython")
    for prefix in PREFIXES:
        export(compiled, folder / prefix)
    return folder


def test_any_prefix_compiles_alone(prefixed: Path) -> None:
    files = [f"{prefix}.c" for prefix in (*PREFIXES[::8], *ALONE)]
    subprocess.run(["cc", "-std=c11", *WARNINGS, "-fsyntax-only", *files], cwd=prefixed, check=True)


@pytest.mark.parametrize("command", [["cc", "-std=c11"], ["c++", "-std=c++11"]], ids=["c", "c++"])
def test_all_headers_fit_into_one_file(prefixed: Path, command: list[str]) -> None:
    """Beside each other and the C library's, and each declares what it should."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    chosen = [prefix for prefix in PREFIXES if prefix not in ("GRAPHC", "GC", "_STDINT")]  # macros are in upper case
    system = ("math", "signal", "stdio", "stdlib", "string", "time", "unistd", "pthread", "semaphore")
    lines = [f"#include <{name}.h>" for name in system] + [f'#include "{prefix}.h"' for prefix in chosen]
    calls = [f"{p}_close({p}_open(0, 0, (int){p.upper()}_STATE_BYTES));" for p in chosen]
    source = prefixed / ("user.c" if command[0] == "cc" else "user.cpp")
    source.write_text("\n".join([*lines, "int main(void) {", *calls, "return 0;", "}"]))
    subprocess.run([*command, *WARNINGS, "-fsyntax-only", source.name], cwd=prefixed, check=True)


def test_programs_of_any_prefix_are_linked_together(prefixed: Path) -> None:
    chosen = ["int", "main", "exp", "gc", "graphc", "state"]
    declared = [f"void *{p}_open(void *, void *, int);" for p in chosen]
    calls = " || ".join(f"{p}_open(0, 0, 1)" for p in chosen)
    (prefixed / "user.c").write_text("\n".join([*declared, f"int main(void) {{ return {calls}; }}"]))
    files = ["user.c", *(f"{prefix}.c" for prefix in chosen)]
    command = ["cc", "-std=c11", "-O0", *files, "-o", "user", "-lm", "-pthread"]
    subprocess.run(command, cwd=prefixed, check=True)
    subprocess.run(["./user"], cwd=prefixed, check=True)


@pytest.mark.parametrize("target", ["gcc x86-64", "gcc x86-64-v4", "clang x86-64-v3"])
def test_nothing_of_ours_ends_as_the_interface_does(target: str, tmp_path: Path) -> None:
    """Which is why no prefix collides. All headers that generated C may carry, and those of the system below them."""
    skip = ("library.h", "isa.h", "level.h", "features.h")  # the prebuilt modules'; the tile machine's go with them
    names = [path.name for path in INCLUDE.glob("*.h") if path.name not in skip and not path.name.startswith("tile")]
    guarded = [name for name in names if f"GRAPHC_{name[:-2].upper()}_H" in (INCLUDE / name).read_text()]
    text = "#define _POSIX_C_SOURCE 200809L\n#define GC_GENERATED 1\n" + Amalgamation().text(
        ["generated.h", *sorted(guarded)]
    )
    (tmp_path / "all.c").write_text(text)
    command = [*TARGETS[target].command, "-std=c11", "-E", "all.c"]
    plain_text, macros = (
        subprocess.run([*command, *more], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        for more in ([], ["-dM"])
    )
    declared = set(re.findall(r"\b[A-Za-z_]\w*\b", re.sub(r"^#.*$", "", plain_text, flags=re.M)))
    assert len(declared) > 1500
    assert sorted(name for name in declared if name.endswith(tuple(f"_{end}" for end in ENDS))) == []
    defined = re.findall(r"^#define (\w+)", macros, re.M)
    assert [name for name in defined if re.fullmatch(MACROS, name) or name.startswith("GRAPHC_PROGRAM_")] == []


@needs_compiler
@pytest.mark.parametrize("prefix", ["sem", "iconv", "_"])
def test_a_prefix_that_would_replace_the_system_s_functions_is_refused(prefix: str, tmp_path: Path) -> None:
    x = gx.input("x", (3,))
    with pytest.raises(BackendError, match=rf"with '{prefix}', {prefix}_open would take the place of"):
        gx.compile([x], x + 1, backend="cython").export(tmp_path / prefix)
