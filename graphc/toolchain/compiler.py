"""The C compiler of this machine: found, tried out, and run.

CC names it, with arguments if need be; else it is the first of cc, gcc and clang that works. It works if it compiles a
tiny program that can be loaded and gives the right answer. That is tried once and remembered in the compile cache for
as long as the compiler's files stay as they are. What does not work is tried again by the next process: it may have
been mended.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graphc.errors import BackendError
from graphc.ir.notice import warn_once
from graphc.toolchain import isa
from graphc.toolchain.cache import Cache, digest, is_full, open_cache, use_cache
from graphc.toolchain.command import Outcome, run_bounded, run_side_by_side

__all__ = [
    "NATIVE",
    "Compiler",
    "compiler_or_reason",
    "find_compiler",
    "forget_trial",
    "run_compiler",
    "run_compilers",
    "system_identity",
    "try_compilers",
    "warn_of_fallback",
]

FORMAT = "1"  # of what is remembered about compilers
NATIVE = "native"  # the level of everything that this very processor has
TRIAL_SECONDS = 30.0  # of trying one compiler out, all in all
CANDIDATES = ("cc", "gcc", "clang")
MENDING = "to mend it: install a C compiler (for example gcc) or set CC; or choose backend='cython' to silence this"

_REQUIRED = ("-std=c11", "-O3", "-fPIC", "-shared", "-pthread", "-ffp-contract=off")
# Innermost loops begin with a line of the instruction cache, so that their speed does not depend on what stands before.
_DESIRED = ("-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-falign-loops=64")
_V3 = ("-msse4.2", "-mpopcnt", "-mcx16", "-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mmovbe")
_V4 = (*_V3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl")
_WIDE = "-mprefer-vector-width=512"
# The ways to ask for a level, the best first; compilers before GCC 11 and clang 12 know no names of levels.
_LEVELS: dict[str, tuple[tuple[str, ...], ...]] = {
    "baseline": (("-march=x86-64",),),
    "avx2": (("-march=x86-64-v3",), _V3),
    "avx512": (("-march=x86-64-v4", _WIDE), ("-march=x86-64-v4",), (*_V4, _WIDE), _V4),
    NATIVE: (("-march=native", _WIDE), ("-march=native",)),
}
_ELSEWHERE: dict[str, tuple[tuple[str, ...], ...]] = {
    "baseline": ((),),
    NATIVE: (("-mcpu=native",), ("-march=native",)),
}

_TRIAL = """\
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

typedef double pair __attribute__((vector_size(16)));

static void *nothing(void *argument) { return argument; }

__attribute__((visibility("default"))) int graphc_trial(int value) {
    pthread_t thread;
    if (value < 0)
        return pthread_create(&thread, 0, nothing, 0);
    const pair values = (pair){exp2(value), sqrt(value)} * 2.0;
    return (int)(int64_t)(values[0] + values[1]);
}
"""
_QUESTION, _ANSWER = 4, 36


@dataclass(frozen=True)
class Compiler:
    """A compiler that works: the command that runs it, what it says of itself, and the flags that it refuses."""

    command: tuple[str, ...]
    stamp: str  # of its files; another one means another compiler
    version: str
    target: str
    refused: tuple[str, ...] = ()

    def flags(self, level: str) -> tuple[str, ...]:
        """The flags of a library for an instruction set level, or for "native". Raises BackendError."""
        for choice in self._levels().get(level, ()):
            if not set(choice) & set(self.refused):
                return (*_REQUIRED, *(flag for flag in _DESIRED if flag not in self.refused), *choice)
        known = ", ".join(self._levels())
        raise BackendError(f"{self} does not compile for instruction set level {level!r}; levels: {known}")

    def optional_flags(self) -> tuple[str, ...]:
        """All flags, for any level, that a library can do without."""
        choices = [choice for ways in self._levels().values() for choice in ways]
        return tuple(dict.fromkeys([*_DESIRED, *(flag for choice in choices for flag in choice)]))

    def _levels(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        machine = self.target.partition("-")[0] or platform.machine()
        return _LEVELS if machine.lower() in ("x86_64", "amd64") else _ELSEWHERE

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from other compilers, and from itself before an upgrade."""
        return shlex.join(self.command), self.stamp, self.version, self.target

    def __str__(self) -> str:
        return f"{shlex.join(self.command)} ({self.version})"


# Finding ---------------------------------------------------------------------------------------------------------
def find_compiler() -> Compiler:
    """The compiler of this machine. Raises BackendError if none works."""
    found = compiler_or_reason()
    if isinstance(found, str):
        raise BackendError(f"the C engine cannot be used here: {found}; {MENDING}")
    return found


def compiler_or_reason() -> Compiler | str:
    """The compiler of this machine, or why there is none. Asked again, it knows; a new process reads one small file."""
    try:
        return _found(os.environ.get("CC", ""), os.environ.get("PATH", ""), isa.chosen_level())
    except BackendError as error:  # the environment asks for what there is not
        return str(error)


@functools.lru_cache(maxsize=8)
def _found(named: str, path: str, level: str) -> Compiler | str:
    """The arguments are what the answer depends on."""
    reasons = []
    for command, fault in _commands(named):
        found = fault or _remembered(command, level)
        if isinstance(found, Compiler):
            return found
        reasons.append(found)
    return "; ".join(reasons) or f"there is no C compiler: none of {', '.join(CANDIDATES)} is in PATH"


def try_compilers() -> list[Compiler | str]:
    """Why each compiler that is considered does not work, and the one that does; tried out now. Raises BackendError."""
    found: list[Compiler | str] = []
    for command, fault in _commands(os.environ.get("CC", "")):
        found.append(fault or _tried(command, isa.chosen_level()))
        if isinstance(found[-1], Compiler):
            break
    return found


def _commands(named: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The commands to consider, each with what is wrong with it, or "". A compiler that was named is the only one."""
    if not named.strip():
        yield from (((found,), "") for found in map(shutil.which, CANDIDATES) if found)
        return
    try:
        program, *arguments = shlex.split(named)
    except ValueError as error:
        yield (named,), f"CC={named!r} cannot be read: {error}"
        return
    found = shutil.which(program)
    yield (
        (os.path.abspath(found or program), *arguments),
        "" if found else f"CC={named!r}: there is no program {program!r}",
    )


def _remembered(command: tuple[str, ...], level: str) -> Compiler | str:
    """What `_tried` says, remembered if the compiler works."""
    stamp, cache = _stamp(command), open_cache()
    key = _trial_key(command, stamp, level)
    match cache.recall(key):
        case {"version": str(version), "target": str(target), "refused": [*refused]}:
            return Compiler(command, stamp, version, target, tuple(refused))
    found = _tried(command, level)
    if isinstance(found, Compiler):
        facts = {"version": found.version, "target": found.target, "refused": found.refused}
        use_cache(lambda cache: cache.remember(key, facts))
    return found


def forget_trial(compiler: Compiler) -> None:
    """Have the compiler tried anew by the next process that uses it."""
    open_cache().forget(_trial_key(compiler.command, compiler.stamp, isa.chosen_level()))


def _trial_key(command: Sequence[str], stamp: str, level: str) -> str:
    return digest("compiler", FORMAT, shlex.join(command), stamp, system_identity(), level)


def _stamp(command: Sequence[str]) -> str:
    """What changes when a program of the command is replaced: CC may be a launcher followed by the compiler."""
    programs = filter(None, (shutil.which(word) for word in command if not word.startswith("-")))
    facts = [os.stat(program) for program in programs]
    return " ".join(f"{fact.st_mtime_ns}:{fact.st_size}" for fact in facts)


@functools.cache
def system_identity() -> str:
    """What compiled code may depend on besides the compiler: the architecture, and the version of the C library."""
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        library = ""
    return f"{platform.system()} {platform.machine()} {library}"


# Trying out ------------------------------------------------------------------------------------------------------
def _tried(command: tuple[str, ...], level: str) -> Compiler | str:
    """Try a compiler out at a level that this processor runs: the compiler, or why it does not work."""
    try:
        return use_cache(lambda cache: _try_in(cache, command, level))
    except BackendError as error:
        return str(error)


def _try_in(cache: Cache, command: tuple[str, ...], level: str) -> Compiler | str:
    name, deadline = shlex.join(command), time.monotonic() + TRIAL_SECONDS
    with cache.workspace() as folder:
        questions = [[*command, word] for word in ("--version", "-dumpmachine")]
        version, target = run_side_by_side(questions, folder, deadline)
        if version.timed_out:
            return f"{name} {version}"
        compiler = Compiler(command, _stamp(command), _first_line(version), _first_line(target))
        outcome = run_compiler(compiler.command, compiler.flags(level), _TRIAL, folder, deadline)
        if not outcome.succeeded and not outcome.timed_out:
            compiler, outcome = _try_without(compiler, level, folder, deadline)
        if not outcome.succeeded:
            return f"{name}, asked to compile a tiny program, {outcome}"
        fault = _load_fault(folder / "program.so")
    return f"{name} {fault}" if fault else compiler


def _first_line(outcome: Outcome) -> str:
    return next(iter(outcome.output.splitlines()), "").strip() if outcome.succeeded else ""


def _try_without(compiler: Compiler, level: str, folder: Path, deadline: float) -> tuple[Compiler, Outcome]:
    """Find the flags that the compiler refuses, and try it without them."""
    plain = run_compiler(compiler.command, _REQUIRED, _TRIAL, folder, deadline)
    if not plain.succeeded:
        return compiler, plain

    def refuses(flag: str) -> bool:
        command = [*compiler.command, "-std=c11", flag, "-c", "program.c", "-o", "program.o"]
        return not run_bounded(command, folder, deadline).succeeded

    compiler = replace(compiler, refused=tuple(flag for flag in compiler.optional_flags() if refuses(flag)))
    return compiler, run_compiler(compiler.command, compiler.flags(level), _TRIAL, folder, deadline)


def _load_fault(library: Path) -> str:
    """What is wrong with the compiled trial, or ""."""
    try:
        answer = ctypes.CDLL(str(library)).graphc_trial(_QUESTION)
    except (OSError, AttributeError) as error:
        return f"makes libraries that cannot be loaded from the cache folder: {error}"
    return "" if answer == _ANSWER else f"makes programs that compute {answer} instead of {_ANSWER}"


def run_compiler(command: Sequence[str], flags: Sequence[str], source: str, folder: Path, deadline: float) -> Outcome:
    """Compile `source` to program.so in `folder`. The names are always the same, so that the result is, too.

    Raises OSError if there is no room in the folder: the linker does not always live to say so.
    """
    (folder / "program.c").write_text(source)
    return _linked(run_bounded([*command, *flags, "program.c", "-o", "program.so", "-lm"], folder, deadline), folder)


def run_compilers(
    command: Sequence[str], flags: Sequence[str], source: str, masks: Sequence[int], folder: Path, deadline: float
) -> Outcome:
    """As run_compiler, with a compiler at work on each of `masks`, the parts of the source that it is to compile."""
    (folder / "program.c").write_text(source)
    objects = [f"part{number}.o" for number in range(len(masks))]
    alone = [*command, *(flag for flag in flags if flag != "-shared"), "-c", "program.c"]
    parts = [[*alone, f"-DGC_PARTS={mask}", "-o", name] for mask, name in zip(masks, objects, strict=True)]
    outcomes = run_side_by_side(parts, folder, deadline)
    outcome = next((outcome for outcome in outcomes if not outcome.succeeded), None)
    if outcome is None:
        outcome = run_bounded([*command, *flags, *objects, "-o", "program.so", "-lm"], folder, deadline)
    return _linked(outcome, folder)


def _linked(outcome: Outcome, folder: Path) -> Outcome:
    """The outcome, if there is a library where it says so. Raises OSError if there was no room for it."""
    if not outcome.succeeded and is_full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if outcome.succeeded and not (folder / "program.so").is_file():
        return Outcome(1, "it made no library")
    return outcome


# Doing without ---------------------------------------------------------------------------------------------------
def warn_of_fallback(reason: str) -> None:
    """Tell the user, once in a process, that another engine stands in for the C engine, and why."""
    warn_once("engine", f"the C engine is not used: {reason}; {MENDING}")
