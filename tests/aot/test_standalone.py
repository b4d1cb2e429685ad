"""Exported programs without Python: the same bits as in process, and nothing for sanitizers to complain about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aot.programs import PROGRAMS, arrays_for, compiled
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.runtime.support import needs_compiler

pytestmark = needs_compiler
STEPS = 4


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_as_in_process(name: str, tmp_path: Path) -> None:
    program = compiled(name, "c")
    assert (program.memory.repeated > 0) == (name == "budgeted")
    arrays = arrays_for(program)
    flags = [flag for flag in _level_flags() if not flag.startswith(("-shared", "-fPIC"))]
    runner = build_runner(program, tmp_path, flags)
    for threads in (1, 2):
        found, _ = run(program, runner, arrays, steps=STEPS, threads=threads)
        again = compiled(name, "c")
        for outputs in found:
            answer = again(*arrays)
            expected = list(answer.values()) if isinstance(answer, dict) else [answer]
            assert [a.tobytes() for a in outputs] == [a.tobytes() for a in expected]


@pytest.mark.parametrize(
    ("name", "sanitizer"), [("training", "address"), ("budgeted", "address"), ("training", "thread")]
)
def test_sanitizers_find_nothing(name: str, sanitizer: str, tmp_path: Path) -> None:
    program = compiled(name, "cython")
    runner = build_runner(program, tmp_path, SANITIZERS[sanitizer])
    run(program, runner, arrays_for(program), steps=STEPS, threads=3)


def _level_flags() -> tuple[str, ...]:
    from graphc.toolchain.compiler import find_compiler
    from graphc.toolchain.isa import chosen_level

    return find_compiler().flags(chosen_level())
