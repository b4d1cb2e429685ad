"""The faults of a program on the engines: crashes, endless compilations, wrong values, bits that depend on threads.

Every engine compiles the program as it is, one also within a budget; each run starts in poisoned memory. A
fault names its kind first, which is what shrinking keeps: "InternalError on cython", "value on c", "bits on cython".
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from graphc.assembly.write import Assembled
from graphc.backends.backend import Backend, Planning
from graphc.backends.table import BACKENDS
from graphc.errors import GraphcError, MemoryBudgetError
from graphc.ir.collection import collection_paused
from graphc.ir.graph import Graph
from graphc.passes import resolve_marks
from graphc.pipeline import compile_plan
from graphc.runtime.executor import Executor
from tests.fuzz.grow import SEED, STEP
from tests.fuzz.oracle import Oracle
from tests.fuzz.program import Array, FuzzProgram

__all__ = ["ENGINES", "EndlessError", "faults", "time_limit"]


def compiled(backend: Backend, graph: Graph, threads: int, budget: Any) -> tuple[Assembled, object]:
    """The plan of a graph, and what runs it; not remembered."""
    assert isinstance(backend.how, Planning)
    found = compile_plan(graph, backend, threads, budget)
    return found, backend.how.load(found.plan, found.read, "")[0]


ENGINES: dict[str, Callable[..., tuple[Assembled, object]]] = {
    name: partial(compiled, BACKENDS[name]) for name in ("c", "cython")
}
BUDGETS: Mapping[str, Sequence[float | None]] = {"c": (None,), "cython": (None, 0.7)}  # budgets change no code
SECONDS = 30.0  # that a compilation and its runs may take


class EndlessError(Exception):
    """What was asked for did not come in time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises EndlessError in the main thread when the time is over."""

    def over(*_: Any) -> None:
        raise EndlessError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def faults(
    program: FuzzProgram, engines: Sequence[str] = tuple(ENGINES), seconds: float = SECONDS
) -> list[tuple[str, str]]:
    """Pairs of a kind and a description; none for a program that is computed as it should be."""
    graph = resolve_marks(program.graph)
    oracle = Oracle(graph, dict(zip(graph.inputs, program.arrays, strict=True)))
    found: list[tuple[str, str]] = []
    for engine in engines:
        try:
            with time_limit(seconds):
                found += _engine_faults(program, oracle, engine)
        except (GraphcError, EndlessError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
            found.append((f"{type(error).__name__} on {engine}", str(error)))
    return found


def _engine_faults(program: FuzzProgram, oracle: Oracle, engine: str) -> Iterator[tuple[str, str]]:
    first: list[Array] | None = None
    for budget in BUDGETS[engine]:
        try:
            runs = list(_runs(program, engine, budget))
        except MemoryBudgetError:
            continue
        if first is None:
            first = runs[0]
            yield from ((f"value on {engine}", fault) for fault in oracle.faults(first))
        names = [repr(node) for node in program.graph.results]
        for threads, run in zip(("1 thread", "2 threads", "2 threads, together"), runs, strict=True):
            for name, a, b in zip(names, first, run, strict=True):
                if a.tobytes() != b.tobytes():
                    yield f"bits on {engine}", f"{name}: other bits with {threads}, budget {budget}: {a} and {b}"


def _runs(program: FuzzProgram, engine: str, budget: Any) -> Iterator[list[Array]]:
    """Results with one thread, with two, and with two where every launch is shared; outputs first, then updates."""
    before = [(parameter, parameter.storage.copy()) for parameter in program.parameters]
    with collection_paused():
        made, code = ENGINES[engine](program.graph, 2, budget)
    storage = [parameter.storage for parameter in made.parameters]
    updated = dict(program.graph.updates)  # the keys in order
    for threads, together in ((1, False), (2, False), (2, True)):
        executor = Executor(made.plan, storage, made.constants, code, threads, SEED)
        executor.poison()
        executor.step = STEP
        outputs = [_unwritten(node) for node in program.graph.outputs]
        (executor.run_together if together else executor.run)(list(program.arrays), outputs)
        yield outputs + [parameter.storage.copy() for parameter in updated]  # type: ignore[attr-defined]
        for parameter, value in before:
            if parameter not in updated:
                assert parameter.storage.tobytes() == value.tobytes(), f"{parameter!r} has changed"
            parameter.storage[...] = value


def _unwritten(node: Any) -> Array:
    return np.frombuffer(b"\xff" * node.type.nbytes, node.dtype.numpy).reshape(node.shape).copy()
