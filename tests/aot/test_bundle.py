"""Exported programs: they compile alone, are called from C and loaded again; what is not right is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import graphc as gx
from graphc.errors import BackendError, FormatError, InputError, ShapeError
from tests.aot.programs import arrays_for, compiled

CC = shutil.which("cc")
NAMES = ("inference", "training", "nothing")  # a budget makes no other bundle: test_standalone runs that program
pytestmark = pytest.mark.skipif(CC is None, reason="needs a C compiler")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# What a C program may need of the system: libc, libm, threads.
SYSTEM = re.compile(
    r"mem(cpy|set|move|cmp)|pthread_\w+|sched_yield|sigfillset|clock_gettime|__register_atfork|__stack_chk_fail"
    r"|(sqrt|pow|exp|log|exp2|log2|log10|log1p|expm1|fmod|floor|ceil|rint|trunc|copysign|fabs|fma|sin|cos|tan|asin|acos"
    r"|atan|atan2|sinh|cosh|tanh|asinh|acosh|atanh|erf|erfc|ldexp|frexp|round|nearbyint)f?"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, gx.Program]]]:
    """Each program, exported once, and the program itself."""
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for name in NAMES:
        program = compiled(name, "c")
        program.export(folder / name / "step")
        found[name] = folder / name, program
    return found


def compile_alone(folder: Path, target: Path, *flags: str) -> Path:
    command = [CC or "cc", "-std=c11", *WARNINGS, *flags, "-shared", "-fPIC", str(folder / "step.c"), "-o", str(target)]
    subprocess.run([*command, "-lm"], check=True)
    return target


def steps(program: gx.Program, count: int = 3) -> list[Any]:
    arrays = arrays_for(program)
    return [np.concatenate([np.ravel(v) for v in results(program(*arrays))]).tobytes() for _ in range(count)]


def results(answer: Any) -> list[Any]:
    return list(answer.values()) if isinstance(answer, dict) else [answer]


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_program_goes_on_as_the_exported_one(exported: Any, name: str) -> None:
    loaded, program = gx.load(exported[name][0]), compiled(name, "c")
    assert [str(i) for i in loaded.inputs] == [str(i) for i in program.inputs]
    assert steps(loaded) == steps(program)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bits_do_not_depend_on_threads(exported: Any, threads: int) -> None:
    folder, _ = exported["training"]
    assert steps(gx.load(folder, threads=threads)) == steps(gx.load(folder, threads=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_engines_agree(exported: Any, name: str) -> None:
    folder, _ = exported[name]
    loaded, reference = gx.load(folder), compiled(name, "numpy")
    arrays = arrays_for(loaded)
    for _ in range(3):
        for one, other in zip(results(loaded(*arrays)), results(reference(*arrays)), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flags", [("-O3",), ("-O1", "-DGRAPHC_SINGLE_THREAD")], ids=" ".join)
def test_the_c_file_compiles_alone_without_warnings(
    exported: Any, name: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    compile_alone(exported[name][0], tmp_path / "alone.so", *flags)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_system_is_needed(exported: Any, name: str) -> None:
    folder, _ = exported[name]
    symbols = subprocess.run(["nm", "-u", folder / "step.so"], check=True, capture_output=True, text=True).stdout
    needed = {line.split()[-1].partition("@")[0] for line in symbols.splitlines() if line.split()[0] == "U"}
    assert {symbol for symbol in needed if not SYSTEM.fullmatch(symbol)} == set()


def test_only_the_interface_is_visible(exported: Any) -> None:
    folder, _ = exported["training"]
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", folder / "step.so"], check=True, capture_output=True, text=True
    )
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert names == {"step_open", "step_run", "step_close", "step_image"}


def test_the_state_is_plain_safetensors(exported: Any) -> None:
    folder, program = exported["training"]
    tensors = safetensors.numpy.load_file(folder / "step.safetensors")
    assert set(program.state_dict()) < set(tensors)
    assert "(random)" in tensors
    data = (folder / "step.safetensors").read_bytes()
    assert (8 + int.from_bytes(data[:8], "little")) % 64 == 0


def test_state_can_be_read_and_set(exported: Any) -> None:
    loaded, other = gx.load(exported["training"][0]), gx.load(exported["training"][0])
    arrays = arrays_for(loaded)
    for _ in range(3):
        loaded(*arrays)
    other.load_state_dict(loaded.state_dict())
    other.step = loaded.step
    assert steps(other) == steps(loaded)
    with pytest.raises(InputError, match="missing: "):
        other.load_state_dict({})
    with pytest.raises(ShapeError, match="takes values of shape"):
        other.load_state_dict({name: np.zeros(1) for name in other.state_dict()})
    with pytest.raises(BackendError, match="loaded from files"):
        other.export("again")


# What is refused ---------------------------------------------------------------------------------------------------
def changed(folder: Path, target: Path, change: Any) -> Path:
    shutil.copytree(folder, target)
    manifest = json.loads((target / "step.json").read_text())
    change(manifest)
    (target / "step.json").write_text(json.dumps(manifest))
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "is not the manifest"),
        (lambda m: m.update(version=99), "version 99"),
        (lambda m: m.update(name="../step"), "no identifier"),
        (lambda m: m.pop("structure"), "structure"),
        (lambda m: m["plan"].update(arena_bytes="many"), "arena_bytes"),
        (lambda m: m["state"].pop(), "state"),
        (lambda m: m["state"][0].update(key="other"), "not what follows from the plan"),
        (lambda m: m["memory"].update(state=0), "not what follows from the plan"),
        (lambda m: m["files"].update(so="0" * 64), "is not the file"),
        (lambda m: m["files"].pop("safetensors"), "is not the file"),
    ],
)
def test_a_wrong_manifest_is_refused(exported: Any, tmp_path: Path, change: Any, message: str) -> None:
    folder = changed(exported["training"][0], tmp_path / "changed", change)
    with pytest.raises(FormatError, match=message):
        gx.load(folder)


def test_a_truncated_manifest_is_refused(exported: Any, tmp_path: Path) -> None:
    folder = changed(exported["training"][0], tmp_path / "changed", lambda m: None)
    (folder / "step.json").write_text((folder / "step.json").read_text()[:-40])
    with pytest.raises(FormatError, match="the manifest of a program, is JSON; this text is not"):
        gx.load(folder)


def test_an_unknown_instruction_set_is_refused(exported: Any, tmp_path: Path) -> None:
    folder = changed(exported["training"][0], tmp_path / "changed", lambda m: m.update(level="avx4096"))
    with pytest.raises(BackendError, match="avx4096"):
        gx.load(folder)
    with pytest.raises(BackendError, match="does not compile for"):
        exported["training"][1].export(tmp_path / "step", isa="avx4096")


def test_a_folder_must_hold_one_program(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="should hold one program, it holds none"):
        gx.load(tmp_path)


def test_a_name_must_be_an_identifier(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no C identifier"):
        exported["nothing"][1].export(tmp_path / "my-step")
