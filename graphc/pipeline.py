"""From a graph to a program: every stage by name, in order, with its verifier.

    close      DSL graph -> graph            checked, fresh streams numbered              api.build_graph
    optimise   graph -> graph                PASSES, then the backend's, then LAYOUT,     ir/verify.py after each pass
                                             each in bodies as well
    fuse       graph -> groups               which nodes run in one launch                fusion/verify.py
    sketch     groups -> sketches            a loop nest or a library call for each       kernel/verify.py
    schedule   sketches -> choices           order, and what is rematerialised            memory/rematerialise.py
    arrange    choice -> storage             who shares memory, where everything lies     plan/verify.py, with the plan
    plan       storage -> plan               buffers and launches, without code           plan/verify.py
    write      plan -> plan and code         the code of its launches, nothing else       plan/verify.py
    load       code -> what runs             the C compiler and its cache, or nothing     the library's digest
    execute    plan and what runs -> Program

Kernels and the plan that runs are always verified, all else where `ir.checking` says so. A graph that was compiled
before goes from its closing to its loading (reuse.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from graphc.aot.bundle import Exported
from graphc.aot.exporting import FORMS, export
from graphc.assembly.budgeted import Budgeted
from graphc.assembly.plan import SketchedProgram, sketch_program
from graphc.assembly.records import Planned
from graphc.assembly.write import Assembled, write
from graphc.backends.backend import Backend, Interpreting, Planning
from graphc.backends.c.backend import C
from graphc.backends.tile.backend import CYTHON
from graphc.dsl.naming import parameters_of
from graphc.dsl.state_dict import storages
from graphc.errors import BackendError
from graphc.fusion.fuse import fuse
from graphc.fusion.group import Group
from graphc.fusion.nesting import divide_stacks, nest_stacks
from graphc.fusion.results import separate_results
from graphc.fusion.verify import checked
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.ir.verify import verify as verify_graph
from graphc.ops.build import infer_type
from graphc.ops.guard import Storage, joined
from graphc.ops.index_ranges import index_ranges
from graphc.passes import (
    add_after_loops,
    everywhere,
    fill_empty,
    gather_terms,
    hoist_products,
    merge_products,
    pool_before_relu,
    prune_loops,
    resolve_marks,
    save_residuals,
    share_reciprocals,
    share_stacks,
    stabilise,
    sum_before_scatter,
    transpose_products,
)
from graphc.plan.memory_report import MemoryReport
from graphc.plan.state import state_keys
from graphc.plan.verify import verify as verify_plan
from graphc.reuse import program_key, recall_program, remember_program
from graphc.runtime.argument import Argument
from graphc.runtime.program import Program

__all__ = [
    "LAYOUT", "PASSES", "SAVING", "Settings", "compile_graph", "compile_plan", "make_program", "optimise", "ways_of",
    "write_program",
]  # fmt: skip

Pass = Callable[[Graph], Graph]
PASSES: tuple[Pass, ...] = (
    resolve_marks,  # stop_gradient goes; with_update becomes an update of the graph
    prune_loops,  # what loops compute for nobody
    save_residuals,  # what loops would compute again is stacked by those that have computed it
    hoist_products,  # products of slices alone, before their loops
    add_after_loops,  # sums of products, behind their loops
    prune_loops,  # what they have left behind
    fill_empty,  # what has no elements becomes a constant
    stabilise,  # constants folded, algebra that changes no value, stable forms of log(softmax(x)), log(1 + x), ...
    share_reciprocals,  # one reciprocal for each row that is divided by a standard deviation
    pool_before_relu,  # relu after pooling, and its gradient before it is spread
    sum_before_scatter,  # what a gradient spreads by pooling is summed before
    merge_products,  # many small matrices times one large one in a single product
    gather_terms,  # sums of paddings, of products and of sums as one concatenation, product or sum
    share_stacks,  # stacks that overlap as parts of one
    transpose_products,  # transposes go where a matrix product reads them for nothing
)
SAVING: tuple[Pass, ...] = (save_residuals,)
LAYOUT: tuple[Pass, ...] = (
    separate_results,  # every result in a buffer of its own
    nest_stacks,  # concatenations inside others that hold all their parts
    divide_stacks,  # concatenations of many parts as concatenations of a few
)


@dataclass(frozen=True)
class Settings:
    """How a program is to run: threads of a step, the seed of its random numbers, and its memory budget, if any."""

    threads: int
    seed: int = 0
    budget: int | float | None = None


# The stages ----------------------------------------------------------------------------------------------------------
def optimise(graph: Graph, backend: Backend = CYTHON, *, lean: bool = False) -> Graph:
    """`graph` after all passes; a `lean` one without those that take memory to save time."""
    _check(graph, "closing")
    passes = [rewrite for rewrite in PASSES if not lean or rewrite not in SAVING]
    for rewrite in (*passes, *_planning(backend).passes, *LAYOUT):
        before, graph = graph, everywhere(rewrite, graph)
        if graph is not before:
            _check(graph, rewrite.__name__)
    return graph


def _check(graph: Graph, stage: str) -> None:
    if verifies():
        verify_graph(graph, infer_type, stage)


def _grouped(graph: Graph, *, apart: bool = False) -> list[Group]:
    """The groups that compute `graph`; see `fuse`."""
    return checked(graph, fuse(graph, apart=apart))


def ways_of(graph: Graph, backend: Backend = CYTHON, threads: int = 2) -> Budgeted:
    """The plans of `graph` with more and with less memory: no code is written. Raises BackendError."""
    planning = _planning(backend)
    threads = min(threads, planning.most_threads)

    def ways(graph: Graph, others: Sequence[Callable[[], Budgeted]] = ()) -> Budgeted:
        def sketched(*, apart: bool) -> SketchedProgram:
            return sketch_program(graph, _grouped(graph, apart=apart), planning, threads)

        program = sketched(apart=False)
        more = [lambda: Budgeted(sketched(apart=True))] if program.values.pieces else []
        return Budgeted(program, [*more, *others])

    lean = [lambda: ways(optimise(graph, backend, lean=True))] if graph.bodies else []
    return ways(optimise(graph, backend), lean)


def compile_plan(
    graph: Graph, backend: Backend = CYTHON, threads: int = 2, budget: int | float | None = None
) -> Assembled:
    """The verified plan of `graph` and its code.

    `budget` is the most bytes that the program may hold, or a fraction of what it would hold without. Raises
    BackendError, MemoryBudgetError.
    """
    ways = ways_of(graph, backend, threads)
    return _written(graph, ways, ways.within(budget).planned)


def _written(graph: Graph, ways: Budgeted, planned: Planned) -> Assembled:
    found = write(planned, ways.program.writer, index_ranges(graph.nodes, graph.inputs))
    verify_plan(found.plan)
    return found


def _planning(backend: Backend) -> Planning:
    if not isinstance(backend.how, Planning):
        raise BackendError(f"the {backend.name} backend plans no memory; choose another one")
    return backend.how


# Programs ------------------------------------------------------------------------------------------------------------
def compile_graph(graph: Graph, backend: Backend, settings: Settings) -> tuple[Assembled, object]:
    """The plan and the code of a graph, and what runs it: from the cache where it was compiled before.

    Raises BackendError, MemoryBudgetError.
    """
    planning = _planning(backend)
    identity = (*planning.identity(), str(planning.alignment))
    key = program_key(graph, backend.name, identity, settings.threads, settings.budget)
    known = recall_program(key, graph, planning.code_of)
    found = known or compile_plan(graph, backend, settings.threads, settings.budget)
    runs, library = planning.load(found.plan, found.read, found.library)
    if known is None or library != known.library:
        found = replace(found, library=library)
        remember_program(key, graph, found)
    return found, runs


def make_program(graph: Graph, structure: str, backend: Backend, settings: Settings) -> Program:
    """The program of a closed graph on a backend, whose outputs are handed back in this structure.

    Raises BackendError, MemoryBudgetError.
    """
    make = _interpreted if isinstance(backend.how, Interpreting) else _planned
    return make(graph, structure, backend, settings)


def _planned(graph: Graph, structure: str, backend: Backend, settings: Settings) -> Program:
    def write_files(path: Path, level: str | None) -> None:
        _export(program, graph, held if backend.name in FORMS else None, settings, path, level)

    held, runs = compile_graph(graph, backend, settings)
    guarded = [Storage(parameter.storage, parameter.guard) for parameter in held.parameters]
    engine = _planning(backend).engine(
        held.plan, guarded, held.constants, runs, settings.threads, settings.seed
    )  # fmt: skip
    program = Program(
        engine, *_arguments(graph), structure,
        backend=backend.name, plan=held.plan, source=lambda: held.code.source, exporter=write_files,
        parameters=dict(zip(state_keys(held.plan), guarded, strict=True)), ranges=held.plan.ranges,
    )  # fmt: skip
    return program


def _interpreted(graph: Graph, structure: str, backend: Backend, settings: Settings) -> Program:
    if settings.budget is not None:
        raise BackendError(f"the {backend.name} backend plans no memory, so it cannot keep to a memory budget")
    assert isinstance(backend.how, Interpreting)
    program = Program(
        backend.how.engine(graph, settings.seed), *_arguments(graph), structure, backend=backend.name,
        parameters=storages(parameters_of(graph)), ranges=index_ranges(graph.nodes, graph.inputs),
        exporter=lambda path, level: _export(program, graph, None, settings, path, level),
    )  # fmt: skip
    return program


def _export(
    program: Program, graph: Graph, held: Assembled | None, settings: Settings, path: Path, level: str | None
) -> None:
    """Write a program as it is held, or in C where its backend's programs are not for files."""
    assembled, name = (held, program.backend) if held else (compile_graph(graph, C, settings)[0], C.name)
    random = partial(attrgetter("seed", "step"), program)
    export(Exported(name, assembled, program.structure, program.threads, program.guard, random), path, level)


def write_program(
    graph: Graph, structure: str, backend: Backend, settings: Settings, path: Path, level: str | None
) -> MemoryReport:
    """Write the program of a closed graph, which need not be able to run here; what it will hold.

    Raises BackendError, MemoryBudgetError, OSError.
    """
    if backend.name not in FORMS:
        raise BackendError(f"programs of the {backend.name} backend are not for files; choose {' or '.join(FORMS)}")
    threads = min(settings.threads, _planning(backend).most_threads)
    ways = ways_of(graph, backend, threads)
    planned = ways.within(settings.budget).planned
    assembled = _written(graph, ways, planned)
    guard = joined(parameter.guard for parameter in assembled.parameters)
    exported = Exported(backend.name, assembled, structure, threads, guard, lambda: (settings.seed, 0))
    export(exported, path, level)
    return ways.report(planned)


def _arguments(graph: Graph) -> tuple[list[Argument], list[Argument]]:
    """What the program takes and gives."""
    given = [Argument(node.attrs["name"], node.type, str(node.location or "")) for node in graph.inputs]
    pairs = zip(graph.names, graph.outputs, strict=True)
    return given, [Argument(name, node.type, str(node.location or "")) for name, node in pairs]
