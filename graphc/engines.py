"""From a checked graph to a `Program`, one function for each backend; and programs to files and back.

`automatic` takes the C engine where a compiler works, else, with one warning, the Cython engine. The environment
variable GRAPHC_BACKEND says what "auto" is instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np

from graphc.aot.bundle import random_state, read_bundle, write_bundle
from graphc.aot.interface import Interface, functions, interface_of
from graphc.aot.unit import header_text, unit_text
from graphc.assembly.budgeted import LARGE_ARENA, Budgeted
from graphc.assembly.plan import Assembled
from graphc.backends.c.target import CTarget
from graphc.backends.numpy.interpreter import Interpreter
from graphc.backends.tile.target import TileTarget
from graphc.dsl.naming import parameters_of
from graphc.dsl.state_dict import storages
from graphc.errors import BackendError, FormatError
from graphc.ir.graph import Graph
from graphc.ir.public import public
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.guard import Guard, Storage
from graphc.ops.index_ranges import index_ranges
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Parameter, aligned_copy
from graphc.passes import resolve_marks
from graphc.pipeline import compile_plan, ways_of
from graphc.plan.state import state_keys
from graphc.reuse import program_key, recall_program, remember_program
from graphc.runtime.argument import Argument
from graphc.runtime.executor import Executor, return_freed_memory, table_bytes
from graphc.runtime.library import load_image, taken
from graphc.runtime.program import Program
from graphc.runtime.threads import checked_threads
from graphc.toolchain.build import build, library_key
from graphc.toolchain.compiler import compiler_or_reason, find_compiler, warn_of_fallback
from graphc.toolchain.isa import chosen_level, kernels, usable_levels
from graphc.version import __version__

__all__ = ["BACKENDS", "ENGINES", "VARIABLE", "Settings", "c_code", "cython_code", "load", "planned_backend", "plans"]

VARIABLE = "GRAPHC_BACKEND"
_LEVELS = {"x86-64": "baseline", "x86-64-v3": "avx2", "x86-64-v4": "avx512"}  # by the compilers' names
IN_PROCESS = "program"  # what a program is called that is compiled to be run here


@dataclass(frozen=True)
class Settings:
    """How a program is to run: threads of a step, the seed of its random numbers, and its memory budget, if any."""

    threads: int
    seed: int = 0
    budget: int | float | None = None


def automatic(graph: Graph, structure: str, settings: Settings) -> Program:
    """The fastest engine that works here."""
    wanted = _wanted()
    if wanted != "auto":
        return ENGINES[wanted](graph, structure, settings)
    reason = compiler_or_reason()
    if not isinstance(reason, str):
        try:
            return compiled(graph, structure, settings)
        except BackendError as error:
            reason = str(error)
    warn_of_fallback(reason)
    return tiled(graph, structure, settings)


def _wanted() -> str:
    """What "auto" is, by the environment. Raises BackendError."""
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in ENGINES:
        raise BackendError(f"{VARIABLE}={wanted} names no backend; choose from {', '.join(BACKENDS)}")
    return wanted


def compiled(graph: Graph, structure: str, settings: Settings) -> Program:
    """The C engine. Raises BackendError where no compiler works, MemoryBudgetError."""
    return _program(graph, structure, *c_code(graph, settings.threads, settings.budget), "c", settings)


def tiled(graph: Graph, structure: str, settings: Settings) -> Program:
    """The Cython engine: prebuilt kernels and the tile machine. Raises MemoryBudgetError."""
    return _program(graph, structure, *cython_code(graph, settings.threads, settings.budget), "cython", settings)


def c_code(graph: Graph, threads: int, budget: int | float | None = None) -> tuple[Assembled, Any]:
    """The plan of a graph for the C engine, and the image that an executor runs.

    Raises BackendError, MemoryBudgetError.
    """
    compiler, level = find_compiler(), chosen_level()
    key = program_key(graph, threads, budget, level, compiler)
    if found := recall_program(key, graph):
        assembled, library = found
        with contextlib.suppress(BackendError, FormatError):  # it is passed over then
            return assembled, load_image(library, IN_PROCESS, interface_of(assembled.plan, IN_PROCESS).digest)
    target = CTarget(threads)
    assembled = compile_plan(graph, target, budget)
    interface = interface_of(assembled.plan, IN_PROCESS)
    unit = unit_text(interface, target)
    built = partial(build, unit, level=level, compiler=compiler, parts=target.weights)
    try:
        image = load_image(built(), IN_PROCESS, interface.digest)
    except (BackendError, FormatError):
        image = load_image(built(anew=True), IN_PROCESS, interface.digest)
    remember_program(key, graph, assembled, library_key(unit, level, compiler))
    return assembled, image


def cython_code(graph: Graph, threads: int, budget: int | float | None = None) -> tuple[Assembled, Any]:
    """The plan of a graph for the Cython engine, and the table of kernels that an executor runs it with.

    Raises MemoryBudgetError.
    """
    code = kernels().table
    return compile_plan(graph, TileTarget(threads), budget, partial(table_bytes, code=code)), code


def planned_backend(backend: str) -> str:
    """The engine that runs what is compiled for `backend`. Raises BackendError for numpy, which plans no memory."""
    if backend == "auto":
        backend = _wanted()
    if backend == "numpy":
        raise BackendError("the numpy backend plans no memory; choose another one")
    if backend != "auto":
        return backend
    return "cython" if isinstance(compiler_or_reason(), str) else "c"


def plans(graph: Graph, backend: str, threads: int) -> Budgeted:
    """The ways to run `graph` on a backend, with more and with less memory: plans alone, no code is compiled.

    Raises BackendError for the numpy backend, which plans no memory.
    """
    if planned_backend(backend) == "c":
        return ways_of(graph, CTarget(threads))
    return ways_of(graph, TileTarget(threads), partial(table_bytes, code=kernels().table))


def _program(
    graph: Graph, structure: str, assembled: Assembled, code: Any, backend: str, settings: Settings
) -> Program:
    storage = [parameter.storage for parameter in assembled.parameters]
    held = [Storage(parameter.storage, parameter.guard) for parameter in assembled.parameters]
    if assembled.plan.arena_bytes >= LARGE_ARENA:
        return_freed_memory()  # of planning, lest it stand beside the arena
    program = Program(
        Executor(assembled.plan, storage, assembled.constants, code, settings.threads, settings.seed),
        *_arguments(graph), structure,
        backend=backend, plan=assembled.plan, source=assembled.source,
        parameters=dict(zip(state_keys(assembled.plan), held, strict=True)), ranges=assembled.plan.ranges,
        exporter=lambda path, level: _export(graph, program, settings.budget, path, level),
    )  # fmt: skip
    return program


def interpreted(graph: Graph, structure: str, settings: Settings) -> Program:
    """The reference: the interpreter of the tensor graph. Raises BackendError for a memory budget."""
    if settings.budget is not None:
        raise BackendError("the numpy backend plans no memory, so it cannot keep to a memory budget")
    plain = resolve_marks(graph)
    targets = [target.storage for target, _ in plain.updates if isinstance(target, Parameter)]

    def run(arrays: list[Any], seed: int, step: int) -> list[Any]:
        results: list[Any] = evaluate(plain.results, dict(zip(plain.inputs, arrays, strict=True)), seed=seed, step=step)
        return results

    program = Program(
        Interpreter(run, targets, settings.seed), *_arguments(graph), structure, backend="numpy",
        parameters=storages(parameters_of(plain)), ranges=index_ranges(graph.nodes, graph.inputs),
        exporter=lambda path, level: _export(graph, program, None, path, level),
    )  # fmt: skip
    return program


def _arguments(graph: Graph) -> tuple[list[Argument], list[Argument]]:
    """What the program takes and gives."""
    given = [Argument(node.attrs["name"], node.type, str(node.location or "")) for node in graph.inputs]
    pairs = zip(graph.names, graph.outputs, strict=True)
    return given, [Argument(name, node.type, str(node.location or "")) for name, node in pairs]


ENGINES: dict[str, Callable[[Graph, str, Settings], Program]] = {
    "auto": automatic, "c": compiled, "cython": tiled, "numpy": interpreted,
}  # fmt: skip
BACKENDS = tuple(ENGINES)


# Files ---------------------------------------------------------------------------------------------------------------
def _export(graph: Graph, program: Program, budget: int | float | None, path: Path, level: str | None) -> None:
    compiler, target = find_compiler(), CTarget(program.threads, standalone=True)
    level = _LEVELS.get(level or "", level) or chosen_level()
    assembled = compile_plan(graph, target, budget)
    facts: dict[str, str | int] = {"level": level, "threads": program.threads, "structure": program.structure}
    interface = interface_of(assembled.plan, _identifier(path.name), facts)
    unit = unit_text(interface, target)
    files = {"c": unit.encode(), "h": header_text(interface).encode()}
    files["so"] = build(unit, level=level, compiler=compiler, parts=target.weights).read_bytes()
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
        held: dict[int, Any] = dict(zip(plan.parameters, storage, strict=True))
        held.update(zip(plan.constants, assembled.constants, strict=True))
        held[plan.rng] = np.array([program.seed, program.step], np.uint64)
        return [np.array(held[stored.buffer]) for stored in interface.state]

    return program.guard.hold(copied)


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
