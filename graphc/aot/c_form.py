"""Programs as C libraries.

NAME.c NAME.h        the program and how it is called; they need neither Python nor graphc
NAME.so              the same, compiled, with the digest of the interface in it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.aot.bundle import Bundle, Exported, Form, Made
from graphc.backends.c.interface import functions, interface_of
from graphc.backends.c.launches import CCode
from graphc.backends.c.parts import DRIVER
from graphc.backends.c.unit import header_text, unit_text
from graphc.backends.cpu.executing import executor
from graphc.errors import BackendError, FormatError
from graphc.ops.guard import Storage
from graphc.plan.plan import Plan
from graphc.runtime.executor import MOST_THREADS
from graphc.runtime.library import load_image, taken
from graphc.runtime.program import Engine
from graphc.toolchain.build import build
from graphc.toolchain.compiler import find_compiler
from graphc.toolchain.elf import is_cut
from graphc.toolchain.isa import chosen_level, usable_levels

__all__ = ["C_FORM"]

_LEVELS = {"x86-64": "baseline", "x86-64-v3": "avx2", "x86-64-v4": "avx512"}  # by the compilers' names


def _make(exported: Exported, name: str, level: str | None) -> Made:
    """The program's C file, its header, and the library. Raises BackendError, OSError."""
    _check_functions(name)
    compiler, code = find_compiler(), exported.assembled.code
    assert isinstance(code, CCode)
    level = _LEVELS.get(level or "", level) or chosen_level()
    facts: dict[str, str | int] = {"level": level, "threads": exported.threads, "structure": exported.structure}
    interface = interface_of(exported.assembled.plan, name, facts)
    unit = unit_text(interface, code, standalone=True)
    library = build(unit, level=level, compiler=compiler, parts=code.weights(DRIVER)).read_bytes()
    files = {"c": unit.encode(), "h": header_text(interface).encode(), "so": library}
    return Made(files, facts, {"compiler": compiler.version, "flags": list(compiler.flags(level))})


def _check_functions(name: str) -> None:
    if found := taken(functions(name)):
        raise BackendError(
            f"the last part of an export's path becomes the prefix of its C functions: with {name!r}, {found[0]} would "
            f"take the place of the system's own function in a program that links it; choose another name"
        )


def _memory(plan: Plan) -> dict[str, int]:
    interface = interface_of(plan, "program")
    return {"working": interface.memory_bytes(0), "each_thread": interface.scratch_bytes}


def _engine(
    bundle: Bundle, parameters: Sequence[Storage], constants: Sequence[np.ndarray[Any, Any]], threads: int | None
) -> Engine:
    """The executor with the library's launches. Raises FormatError, BackendError."""
    level, as_compiled = bundle.facts["level"], bundle.facts["threads"]
    if not 1 <= as_compiled <= MOST_THREADS:
        raise FormatError(f"{bundle.manifest}: threads are 1 to {MOST_THREADS}")
    library = bundle.path("so").resolve()
    if is_cut(bundle.files["so"]):
        raise FormatError(f"{library} is not whole: it ends before what its own tables name")
    if level not in usable_levels():
        raise BackendError(
            f"{bundle.manifest} was compiled for instruction set level {level!r}; usable here: "
            f"{', '.join(usable_levels())}; export it for one of these, or compile its C file here"
        )
    interface = interface_of(bundle.plan, bundle.name, bundle.facts)
    image = load_image(library, bundle.name, interface.digest)
    return executor(bundle.plan, parameters, constants, image, threads or as_compiled, 0)


C_FORM = Form(
    "c",
    suffixes=("c", "h", "so"),
    read=("so",),
    facts={"level": str, "threads": int, "structure": str},
    memory=_memory,
    make=_make,
    engine=_engine,
)
