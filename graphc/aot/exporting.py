"""Programs to files and back: `export` writes what `load` reads."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np

from graphc.aot.bundle import Exported, Form, Made, random_state, read_bundle, write_bundle
from graphc.aot.c_form import C_FORM
from graphc.errors import BackendError
from graphc.ir.public import public
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.guard import Guard, Storage
from graphc.ops.parameter import aligned_copy
from graphc.plan.plan import BufferNumber
from graphc.plan.state import state_keys
from graphc.runtime.argument import Argument
from graphc.runtime.program import Program
from graphc.runtime.state_layout import StateLayout, layout_of
from graphc.runtime.threads import checked_threads
from graphc.version import __version__

__all__ = ["FORMS", "export", "load"]

FORMS: dict[str, Callable[[], Form]] = {
    "c": lambda: C_FORM,
    "cuda": lambda: importlib.import_module("graphc.aot.cuda_form").CUDA_FORM,  # imported when first asked for
}


def export(exported: Exported, path: Path, level: str | None) -> None:
    """Write a program, with its present state, as its backend's form has it.

    Raises BackendError, OSError.
    """
    form = FORMS[exported.backend]()
    name = _identifier(path.name, form)
    made = form.make(exported, name, level)
    made = Made(made.files, made.facts, {"graphc": __version__, **made.about})
    layout = layout_of(exported.assembled.plan)
    write_bundle(path.parent, form, name, made, layout, _state_arrays(layout, exported))


def _identifier(name: str, form: Form) -> str:
    if not name.isidentifier() or not name.isascii():
        what = "the prefix of its C functions" if form is C_FORM else "the program's name"
        raise BackendError(f"the last part of an export's path becomes {what}: {name!r} is no C identifier")
    return name


def _state_arrays(layout: StateLayout, exported: Exported) -> list[Any]:
    """What the program holds now: one moment of it."""
    plan, assembled = layout.plan, exported.assembled
    storage = [parameter.storage for parameter in assembled.parameters]

    def copied() -> list[Any]:
        held: dict[BufferNumber, Any] = dict(zip(plan.parameters, storage, strict=True))
        held.update(zip(plan.constants, assembled.constants, strict=True))
        held[plan.rng] = np.array(exported.random(), np.uint64)
        return [np.array(held[stored.buffer]) for stored in layout.parts]

    return exported.guard.hold(copied, changes=False)


@public
def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Program:
    """The program that `Program.export` or `graphc compile` wrote to `path`, with its initial state.

    `path` is what was given to export, or a folder that holds one program. `threads` is how many a step may use (as
    when it was compiled, by default; none on another device). A library, and the kernels of a CUDA program, are
    programs that run here: only load what you trust. Its parameters are its own: `state_dict` reads them,
    `load_state_dict` sets them. Compilers are not needed, and to run CUDA programs just a device and the extra
    `cuda-run`.

    Raises FormatError (a damaged or foreign file, a manifest that is not that of its kernels), BackendError
    (instructions that this processor lacks, no kernels for this device, threads that cannot be), OSError.

    >>> step.export("build/step")
    >>> again = gx.load("build/step")
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"gx.load takes the path of an exported program, not {type(path).__name__}: {shown(path)}")
    wanted = None if threads is None else checked_threads(threads)
    bundle = read_bundle(Path(path), FORMS)
    plan, form, guard = bundle.plan, bundle.form, Guard()
    arrays = {stored.buffer: aligned_copy(bundle.state[stored.key]) for stored in bundle.layout.parts}
    storage = [Storage(arrays[position], guard) for position in plan.parameters]
    engine = form.engine(bundle, storage, [arrays[position] for position in plan.constants], wanted)
    engine.seed, engine.step = random_state(bundle)
    arguments = [
        Argument(name, TensorType(DTYPES[plan.buffers[position].dtype], plan.buffers[position].shape))
        for name, position in zip(plan.names, (*plan.inputs, *plan.outputs), strict=True)
    ]
    count, text = len(plan.inputs), bundle.files[form.source].decode() if form.source else ""
    return Program(
        engine, arguments[:count], arguments[count:], bundle.facts["structure"], backend=form.backend, plan=plan,
        parameters=dict(zip(state_keys(plan), storage, strict=True)), ranges=plan.ranges,
        source=lambda: text,
    )  # fmt: skip
