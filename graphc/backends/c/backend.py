"""The backend "c": the whole program as one C file, compiled here."""

from __future__ import annotations

from functools import partial

from graphc.backends.backend import Backend, Code, Planning
from graphc.backends.c.interface import interface_of
from graphc.backends.c.launches import CCode, CWriter
from graphc.backends.c.unit import unit_text
from graphc.backends.cpu.library import library_call
from graphc.backends.cpu.passes import PASSES
from graphc.errors import BackendError, FormatError
from graphc.plan.plan import Plan
from graphc.runtime.library import load_image
from graphc.toolchain.build import build, library_key
from graphc.toolchain.compiler import compiler_or_reason, find_compiler
from graphc.toolchain.isa import chosen_level

__all__ = ["IN_PROCESS", "C"]

IN_PROCESS = "program"  # what a program is called that is compiled to be run here


def _load(plan: Plan, code: Code) -> object:
    """The image of the program's library, compiled unless the cache has it. Raises BackendError."""
    assert isinstance(code, CCode)
    interface = interface_of(plan, IN_PROCESS)
    built = partial(
        build, unit_text(interface, code), level=chosen_level(), compiler=find_compiler(), parts=code.weights()
    )
    try:
        return load_image(built(), IN_PROCESS, interface.digest)
    except (BackendError, FormatError):  # what the cache holds may be no library, or another program's
        return load_image(built(anew=True), IN_PROCESS, interface.digest)


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
    ),
)
