"""Compilers as tools of tests: sanitizers, other compilers, other processors. What is absent skips, and says why.

    compile_quietly(TARGETS["clang aarch64"], text, folder)     # without any warning
    run_sanitized(text, folder, "thread")                       # ends at the first fault

clang is the one in PATH, or the one that the Python package `ziglang` brings along, which compiles for every processor.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from graphc.kernels import cpu

__all__ = [
    "FLAGS", "INCLUDE", "SANITIZERS", "TARGETS", "Target", "check_quietly", "compile_quietly", "run_sanitized",
    "run_target",
]  # fmt: skip

INCLUDE = Path(cpu.__file__).parent / "include"
FLAGS = ("-std=c11", "-O2", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
SANITIZERS = ("address,undefined", "thread")

_HERE = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
_LEVELS = {"x86_64": ("x86-64", "x86-64-v3", "x86-64-v4"), "aarch64": ("armv8-a",)}


@dataclass(frozen=True)
class Target:
    """A family of compilers, and the processor and instruction set that it compiles for."""

    family: str  # "gcc" or "clang"
    machine: str
    level: str

    def __str__(self) -> str:
        return f"{self.family} {self.level if self.machine == 'x86_64' else self.machine}"

    @property
    def command(self) -> list[str]:
        """The compiler, with the flags that choose the target. Skips the test where there is none."""
        native = shutil.which(self.family)
        if self.family == "gcc" and self.machine != _HERE:
            native = shutil.which(f"{self.machine}-linux-gnu-gcc")
        if native and (self.family == "gcc" or self.machine == _HERE):
            return [native, f"-march={self.level}"]
        if self.family == "clang" and find_spec("ziglang") is not None:
            library, level = "musl", []  # which links statically, for the emulator
            if self.machine == _HERE == "x86_64":
                library, level = "gnu", [f"-march={self.level.replace('-', '_')}"]
            return [sys.executable, "-m", "ziglang", "cc", "-target", f"{self.machine}-linux-{library}", *level]
        pytest.skip(f"there is no {self.family} for {self.machine} here (clang: pip install ziglang)")

    @property
    def runner(self) -> list[str]:
        """What runs its programs: nothing, or an emulator. Skips the test where they do not run."""
        if self.machine == _HERE:
            usable = dict(zip(cpu.LEVELS, _LEVELS["x86_64"], strict=True))
            if self.machine == "x86_64" and self.level not in map(usable.get, cpu.supported_levels()):
                pytest.skip(f"this processor does not run {self.level}")
            return []
        emulator = shutil.which(f"qemu-{self.machine}")
        if emulator is None:
            pytest.skip(f"there is no qemu-{self.machine} here")
        return [emulator]


TARGETS = {
    str(target): target
    for target in (
        Target(family, machine, level)
        for family in ("gcc", "clang")
        for machine, levels in _LEVELS.items()
        for level in levels
    )
}


def compile_quietly(target: Target, text: str, folder: Path, *flags: str) -> Path:
    """The program or, with -c or -shared among the flags, the object made of a C text. A warning is an error."""
    command = [*target.command, *FLAGS, *WARNINGS, f"-I{INCLUDE}"]
    static = [] if {"-c", "-shared"} & set(flags) or target.machine == _HERE else ["-static"]
    return _compiled([*command, *static, *flags], text, folder)


def check_quietly(target: Target, texts: Mapping[str, str], folder: Path) -> None:
    """Compile several C texts, by name, in one run of the compiler. A warning is an error."""
    for name, text in texts.items():
        (folder / f"{name}.c").write_text(text)
    command = [*target.command, *FLAGS, *WARNINGS, f"-I{INCLUDE}", "-c", *(f"{name}.c" for name in texts)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join([" ".join(command), *done.stderr.splitlines()[:40]])


def run_target(target: Target, program: Path, timeout: float = 120) -> str:
    """What a program prints, on its own processor or an emulated one. It must end with status 0."""
    done = subprocess.run([*target.runner, str(program)], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_sanitized(text: str, folder: Path, sanitizer: str, *flags: str, timeout: float = 120) -> str:
    """What a C program prints under a sanitizer of SANITIZERS, which ends it with an AssertionError at a fault."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no compiler with sanitizers")
    command = [compiler, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g1", *FLAGS, f"-I{INCLUDE}"]
    _skip_without(command, folder, sanitizer)
    program = _compiled([*command, *flags], text, folder)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run([str(program)], env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the sanitizer cannot run in this address space")
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _compiled(command: Sequence[str], text: str, folder: Path) -> Path:
    source, result = folder / "program.c", folder / "program"
    source.write_text(text)
    done = subprocess.run(
        [*command, str(source), "-o", str(result), "-lm"], capture_output=True, text=True, check=False
    )
    lines = done.stderr.splitlines()[:40]
    assert done.returncode == 0, "\n".join([" ".join(command), *lines])
    return result


def _skip_without(command: Sequence[str], folder: Path, sanitizer: str) -> None:
    """Skip the test if the compiler lacks the sanitizer's library."""
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    done = subprocess.run([*command, "empty.c", "-o", "empty"], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the compiler has no {sanitizer} sanitizer")
