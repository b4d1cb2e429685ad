"""The backend "c": the whole program as one C file, compiled here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from graphc.backends.backend import Backend, Code, Planning
from graphc.backends.c.interface import interface_of
from graphc.backends.c.launches import CCode, CWriter
from graphc.backends.c.unit import unit_text
from graphc.backends.cpu.executing import executor
from graphc.backends.cpu.library import library_call
from graphc.backends.cpu.passes import PASSES
from graphc.errors import BackendError, FormatError
from graphc.plan.plan import Plan
from graphc.runtime.library import load_image
from graphc.toolchain.build import build, library_key
from graphc.toolchain.cache import open_cache
from graphc.toolchain.compiler import compiler_or_reason, find_compiler
from graphc.toolchain.isa import chosen_level

__all__ = ["IN_PROCESS", "C"]

IN_PROCESS = "program"  # what a program is called that is compiled to be run here


def _load(plan: Plan, read: Callable[[], Code], library: str) -> tuple[object, str]:
    """The image of the program's library, compiled unless the cache has it, and its key. Raises BackendError."""
    interface = interface_of(plan, IN_PROCESS)
    path = open_cache().lookup(library) if library else None
    if path is not None:
        with contextlib.suppress(BackendError, FormatError):  # it is passed over then
            return load_image(path, IN_PROCESS, interface.digest), library
    code, level, compiler = read(), chosen_level(), find_compiler()
    assert isinstance(code, CCode)
    unit = unit_text(interface, code)
    built = partial(build, unit, level=level, compiler=compiler, parts=code.weights())
    try:
        image = load_image(built(), IN_PROCESS, interface.digest)
    except (BackendError, FormatError):  # what the cache holds may be no library, or another program's
        image = load_image(built(anew=True), IN_PROCESS, interface.digest)
    return image, library_key(unit, level, compiler)


def _lack() -> str:
    reason = compiler_or_reason()
    return reason if isinstance(reason, str) else ""


C = Backend(
    "c",
    lack=_lack,
    how=Planning(
        passes=PASSES,
        lowering=library_call,
        writer=CWriter,
        identity=lambda: (library_key("", chosen_level(), find_compiler()),),
        code_of=CCode.of,
        load=_load,
        engine=executor,
    ),
)
