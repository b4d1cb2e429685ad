"""The C compiler: found, tried out and remembered; and what becomes of those that do not work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphc.errors import BackendError, GraphcWarning
from graphc.ir import notice
from graphc.kernels import cpu
from graphc.toolchain import cache, compiler, isa
from graphc.toolchain.compiler import (
    NATIVE,
    Compiler,
    compiler_or_reason,
    find_compiler,
    try_compilers,
    warn_of_fallback,
)

REAL = next(filter(None, map(shutil.which, compiler.CANDIDATES)), None)
needs_compiler = pytest.mark.skipif(REAL is None, reason="needs a C compiler")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of the test's own, and a process that has not looked for compilers yet."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(notice, "_given", set())
    for name in ("CC", isa.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    compiler._found.cache_clear()
    yield
    compiler._found.cache_clear()


Script = Callable[..., str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a compiler of shell commands."""

    def write(text: str, name: str = "compiler") -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


def asked(monkeypatch: pytest.MonkeyPatch, command: str) -> Compiler | str:
    monkeypatch.setenv("CC", command)
    return compiler_or_reason()


@needs_compiler
def test_the_first_that_works_is_found() -> None:
    found = find_compiler()
    assert found.command == (REAL,)
    assert found.version
    assert found.refused == ()
    assert try_compilers() == [found]
    assert REAL in str(found)


@needs_compiler
def test_arguments_belong_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, f"{os.path.basename(REAL or '')} -DNOTHING='a b'")
    assert isinstance(found, Compiler)
    assert found.command == (REAL, "-DNOTHING=a b")
    assert found.identity != asked(monkeypatch, "cc").identity


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/bin/false", "ended with status 1 without a word"),
        ("no-such-compiler -O2", "there is no program 'no-such-compiler'"),
        ("/no/such/compiler", "there is no program '/no/such/compiler'"),
        ("cc 'unfinished", "cannot be read"),
        ("/bin/true", "it made no library"),
    ],
)
def test_a_compiler_that_was_named_is_the_only_one(monkeypatch: pytest.MonkeyPatch, command: str, reason: str) -> None:
    found = asked(monkeypatch, command)
    assert isinstance(found, str)
    assert reason in found
    assert try_compilers() == [found]
    with pytest.raises(BackendError, match=r"install a C compiler.*or set CC"):
        find_compiler()


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert compiler_or_reason() == "there is no C compiler: none of cc, gcc, clang is in PATH"
    assert try_compilers() == []


def test_garbage_and_wrong_answers_are_noticed(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    assert "cannot be loaded" in asked(monkeypatch, script("head -c 5000 /dev/urandom > program.so", "random"))
    assert "cannot be loaded" in asked(monkeypatch, script("printf '\\177ELF' > program.so", "short"))
    assert "echoed" in asked(monkeypatch, script("echo echoed >&2; exit 1", "talkative"))
    assert "signal 11" in asked(monkeypatch, script("kill -SEGV $$", "crashing"))


@needs_compiler
def test_a_library_without_the_function_or_with_another_answer_is_noticed(
    monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    command = f'echo "{{}}" > program.c; exec {REAL} "$@"'
    assert "cannot be loaded" in asked(monkeypatch, script(command.format("int other;"), "other"))
    wrong = '__attribute__((visibility(\\"default\\"))) int graphc_trial(int x) { return x; }'
    assert "compute 4 instead of 36" in asked(monkeypatch, script(command.format(wrong), "wrong"))


def test_a_compiler_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    monkeypatch.setattr(compiler, "TRIAL_SECONDS", 0.5)
    began = time.monotonic()
    found = asked(monkeypatch, script("sleep 100"))
    assert isinstance(found, str)
    assert "in time" in found
    assert time.monotonic() - began < 20


@needs_compiler
def test_flags_that_are_refused_are_left_out(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    refuse = 'for flag; do case "$flag" in {}) echo "unknown $flag" >&2; exit 1;; esac; done; exec {} "$@"'
    found = asked(monkeypatch, script(refuse.format("-march=x86-64-v*|-mprefer*|-fno-trapping-math", REAL)))
    assert isinstance(found, Compiler), found
    for level in isa.usable_levels():
        flags = found.flags(level)
        assert "-fno-math-errno" in flags
        assert not {"-fno-trapping-math", "-mprefer-vector-width=512", "-march=x86-64-v4"} & set(flags)
        assert level != "avx2" or "-mavx2" in flags
        assert level != "avx512" or "-mavx512f" in flags
    found = asked(monkeypatch, script(refuse.format("-ffp-contract=off", REAL), "strict"))
    assert isinstance(found, str), "without it, the same program would give other bits"
    assert "unknown -ffp-contract=off" in found


def test_flags_follow_from_the_level() -> None:
    intel = Compiler(("cc",), "", "12", "x86_64-linux-gnu")
    assert "-march=x86-64" in intel.flags("baseline")
    assert "-march=x86-64-v3" in intel.flags("avx2")
    assert {"-march=x86-64-v4", "-mprefer-vector-width=512"} <= set(intel.flags("avx512"))
    assert "-march=native" in intel.flags(NATIVE)
    for level in (*cpu.LEVELS, NATIVE):
        assert {"-std=c11", "-O3", "-fPIC", "-shared", "-ffp-contract=off"} <= set(intel.flags(level))
        assert "-falign-loops=64" in intel.flags(level), "speed would be an accident"
        assert not {"-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-g", "-g1"} & set(intel.flags(level))
    arm = Compiler(("cc",), "", "12", "aarch64-linux-gnu")
    assert not any(flag.startswith("-m") for flag in arm.flags("baseline"))
    assert "-mcpu=native" in arm.flags(NATIVE)
    for chosen, level in ((arm, "avx2"), (intel, "abacus")):
        with pytest.raises(BackendError, match=f"does not compile for instruction set level '{level}'"):
            chosen.flags(level)


@needs_compiler
def test_it_is_tried_once_and_remembered(monkeypatch: pytest.MonkeyPatch, script: Script, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = script(f'echo "$@" >> {log}; exec {REAL} "$@"')
    first = asked(monkeypatch, command)
    tried = log.read_text()
    assert "program.c" in tried
    compiler._found.cache_clear()  # as in a new process
    assert asked(monkeypatch, command) == first
    assert log.read_text() == tried
    script(f'# another one\necho "$@" >> {log}; exec {REAL} "$@"')
    compiler._found.cache_clear()
    second = asked(monkeypatch, command)
    assert sorted(log.read_text().splitlines()) == sorted(2 * tried.splitlines())  # two questions at a time
    assert second.identity != first.identity
    (memory, *_) = sorted((tmp_path / "cache").glob("*.json"), key=lambda path: -path.stat().st_mtime_ns)
    for text in (
        "",
        "{}",
        '{"version": 1, "target": "", "refused": []}',
        '{"version": "", "target": "", "refused": 0}',
    ):
        memory.write_text(text)
        compiler._found.cache_clear()
        assert asked(monkeypatch, command) == second, "what cannot be read is found out again"


def test_failures_are_not_remembered_by_the_next_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked(monkeypatch, "/bin/false")
    assert list((tmp_path / "cache").iterdir()) == []


@needs_compiler
def test_knowing_it_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    find_compiler()

    def spent(again: Callable[[], object]) -> float:
        began = time.process_time()
        again()
        return time.process_time() - began

    def as_a_new_process() -> None:
        compiler._found.cache_clear()
        find_compiler()

    assert min(spent(as_a_new_process) for _ in range(20)) < 0.002


@needs_compiler
def test_a_folder_that_refuses_does_not_hide_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER, "/dev/null")
    with pytest.warns(GraphcWarning, match="for this process only"):
        assert isinstance(compiler_or_reason(), Compiler)


def test_nonsense_in_the_environment_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isa.VARIABLE, "abacus")
    assert "GRAPHC_ISA asks for it" in str(compiler_or_reason())
    monkeypatch.delenv(isa.VARIABLE)
    monkeypatch.setenv(cache.LIMIT, "plenty")
    assert "is no size" in str(compiler_or_reason())


def test_the_level_is_that_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isa.chosen_level() == isa.usable_levels()[-1] == isa.kernels().level
    monkeypatch.setenv(isa.VARIABLE, "baseline")
    assert isa.chosen_level() == "baseline"


def test_doing_without_is_told_once() -> None:
    with pytest.warns(GraphcWarning) as caught:
        [warn_of_fallback(reason) for reason in ("there is no C compiler", "something else")]
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "the C engine is not used: there is no C compiler; to mend it: install a C compiler (for example gcc) or set "
        "CC; or choose backend='cython' to silence this"
    )


def test_an_interrupted_trial_leaves_nothing(tmp_path: Path, script: Script) -> None:
    """Ctrl-C while the compiler runs ends the compiler, too."""
    pid = tmp_path / "pid"
    command = script(f"echo $$ > {pid}; exec sleep 100")
    code = (  # the handler is set, as a shell may have its background jobs ignore Ctrl-C
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from graphc.toolchain.compiler import compiler_or_reason as f\n"
        "try: f()\nexcept KeyboardInterrupt: print('end')"
    )
    environment = {**os.environ, "CC": command}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(2)
    assert process.communicate(timeout=60)[0] == "end\n"
    assert _has_ended(int(pid.read_text()))
    assert list((tmp_path / "cache").iterdir()) == []


def _has_ended(pid: int) -> bool:
    """Whether a process ends within a while; one that has ended but that nobody has asked for yet counts."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
