"""Programs to files and back: `export` writes what `load` reads."""

from __future__ import annotations

import os
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np

from graphc.aot.bundle import random_state, read_bundle, write_bundle
from graphc.assembly.write import Assembled
from graphc.backends.c.interface import Interface, functions, interface_of
from graphc.backends.c.launches import CCode
from graphc.backends.c.parts import DRIVER
from graphc.backends.c.unit import header_text, unit_text
from graphc.errors import BackendError
from graphc.ir.public import public
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.guard import Guard, Storage
from graphc.ops.parameter import aligned_copy
from graphc.plan.plan import BufferNumber
from graphc.plan.state import state_keys
from graphc.runtime.argument import Argument
from graphc.runtime.executor import Executor
from graphc.runtime.library import load_image, taken
from graphc.runtime.program import Program
from graphc.runtime.threads import checked_threads
from graphc.toolchain.build import build
from graphc.toolchain.compiler import find_compiler
from graphc.toolchain.isa import chosen_level, usable_levels
from graphc.version import __version__

__all__ = ["export", "load"]

_LEVELS = {"x86-64": "baseline", "x86-64-v3": "avx2", "x86-64-v4": "avx512"}  # by the compilers' names


def export(program: Program, assembled: Assembled, path: Path, level: str | None) -> None:
    """Write `program` as a C library, of the plan and the code that it has on the C backend.

    Raises BackendError, OSError.
    """
    compiler, code = find_compiler(), assembled.code
    assert isinstance(code, CCode)
    level = _LEVELS.get(level or "", level) or chosen_level()
    facts: dict[str, str | int] = {"level": level, "threads": program.threads, "structure": program.structure}
    interface = interface_of(assembled.plan, _identifier(path.name), facts)
    unit = unit_text(interface, code, standalone=True)
    files = {"c": unit.encode(), "h": header_text(interface).encode()}
    files["so"] = build(unit, level=level, compiler=compiler, parts=code.weights(DRIVER)).read_bytes()
    about = {"graphc": __version__, "compiler": compiler.version, "flags": list(compiler.flags(level))}
    write_bundle(path.parent, interface, files, _state_arrays(interface, assembled, program), about)


def _identifier(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        raise BackendError(
            f"the last part of an export's path becomes the prefix of its C functions: {name!r} is no C identifier"
        )
    if found := taken(functions(name)):
        raise BackendError(
            f"the last part of an export's path becomes the prefix of its C functions: with {name!r}, {found[0]} would "
            f"take the place of the system's own function in a program that links it; choose another name"
        )
    return name


def _state_arrays(interface: Interface, assembled: Assembled, program: Program) -> list[Any]:
    """What the program holds now: one moment of it."""
    plan, storage = interface.plan, [parameter.storage for parameter in assembled.parameters]

    def copied() -> list[Any]:
        held: dict[BufferNumber, Any] = dict(zip(plan.parameters, storage, strict=True))
        held.update(zip(plan.constants, assembled.constants, strict=True))
        held[plan.rng] = np.array([program.seed, program.step], np.uint64)
        return [np.array(held[stored.buffer]) for stored in interface.state]

    return program.guard.hold(copied, changes=False)


@public
def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Program:
    """The program that `Program.export` or `graphc compile` wrote to `path`, with its initial state.

    `path` is what was given to export, or a folder that holds one program. `threads` is how many a step may use (as
    when it was compiled, by default). The library is a program that runs in this process: only load what you trust.
    Its parameters are its own: `state_dict` reads them, `load_state_dict` sets them.

    Raises FormatError (a damaged or foreign file, a manifest that is not that of its library), BackendError
    (instructions that this processor lacks, threads that cannot be), OSError.

    >>> step.export("build/step")
    >>> again = gx.load("build/step")
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"gx.load takes the path of an exported program, not {type(path).__name__}: {shown(path)}")
    wanted = None if threads is None else checked_threads(threads)
    bundle = read_bundle(Path(path))
    if bundle.level not in usable_levels():
        raise BackendError(
            f"{os.fspath(path)} was compiled for instruction set level {bundle.level!r}; usable here: "
            f"{', '.join(usable_levels())}; export it for one of these, or compile its C file here"
        )
    image = load_image(bundle.library, bundle.interface.name, bundle.interface.digest)
    plan, (seed, step) = bundle.plan, random_state(bundle)
    arrays = {stored.buffer: aligned_copy(bundle.state[stored.key]) for stored in bundle.interface.state}
    storage = [arrays[position] for position in plan.parameters]
    constants = [arrays[position] for position in plan.constants]
    engine = Executor(plan, storage, constants, image, wanted or bundle.threads, seed)
    engine.step = step
    arguments = [
        Argument(name, TensorType(DTYPES[plan.buffers[position].dtype], plan.buffers[position].shape))
        for name, position in zip(plan.names, (*plan.inputs, *plan.outputs), strict=True)
    ]
    count, guard = len(plan.inputs), Guard()
    return Program(
        engine, arguments[:count], arguments[count:], bundle.structure, backend="c", plan=plan,
        parameters={name: Storage(array, guard) for name, array in zip(state_keys(plan), storage, strict=True)},
        ranges=plan.ranges,
    )  # fmt: skip
