"""`compile`: a graph becomes a `Program`.

What is asked for is checked first (names, missing inputs, what is updated); then a backend's engine makes the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphc.backends.table import BACKENDS, NAMES, candidates
from graphc.errors import BackendError, DTypeError, GraphError, MemoryBudgetError, ShapeError, shown, with_location
from graphc.ir.collection import collection_paused
from graphc.ir.data import MOST_SEED, whole_number
from graphc.ir.fresh import fresh_numbers
from graphc.ir.graph import Graph
from graphc.ir.location import capture
from graphc.ir.node import Node
from graphc.ir.numbering import number_fresh
from graphc.ir.public import public
from graphc.memory.quantity import checked_budget
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.random import check_streams
from graphc.ops.tensor import Tensor
from graphc.passes import chain_updates, drop_index_marks
from graphc.pipeline import Settings, make_program, write_program
from graphc.plan.memory_report import MemoryReport
from graphc.runtime.program import Program
from graphc.runtime.threads import checked_threads
from graphc.toolchain.compiler import warn_of_fallback

__all__ = ["Outputs", "build_graph", "checked_request", "compile", "located", "write_files"]

Outputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


@public
def compile(
    inputs: Tensor | Sequence[Tensor],
    outputs: Outputs,
    updates: Mapping[Parameter, Tensor] | None = None,
    *,
    backend: str = "auto",
    threads: int | None = None,
    memory_budget: int | str | float | None = None,
    seed: int = 0,
    check_indices: bool = True,
) -> Program:
    """A program that computes `outputs` from `inputs` and then gives parameters their next values.

    `inputs` are tensors made by `gx.input`, in the order of the call; `outputs` a tensor, a sequence or a dict, which
    is what a call answers with (an array, a list, a dict). `updates` maps parameters to the tensors of their next
    values: all are computed from the old values, then written. `backend` is "c" (the program as generated C, compiled
    here), "cython" (prebuilt kernels: no compiler needed, ready at once), "numpy" (the reference interpreter), or
    "auto": the first of "c" and "cython" that works here. `threads` is how many threads a step may use (all by default;
    results do not depend on it). `memory_budget` is the most that `Program.memory.peak_bytes` may reach: bytes, a text
    such as "180MiB", or a fraction of what the program takes that computes nothing twice. Values are then dropped and
    computed again, at the least cost that will do; results are the same to the bit. Without a budget, a program of much
    memory computes again what is worth it, for up to 3.5 % of a step. `seed` starts the program's random numbers; its
    step counter makes every call draw new ones. `check_indices` checks what inputs give as indices (of `take`, `x[i]`,
    embeddings, class labels, also through views and casts) in every call, which takes less than a nanosecond for each:
    one out of range is an InputError. Without it, and where an index is computed, the nearest one is taken.

    Raises GraphError (an input that is missing, duplicate or no input; an update that is no parameter), ShapeError and
    DTypeError (an update of another type), BackendError, MemoryBudgetError.

    >>> x = gx.input("x", (3,))
    >>> double = gx.compile([x], x * 2)
    >>> double(np.ones(3, np.float32))
    array([2., 2., 2.], dtype=float32)
    """
    checked_request(backend, threads)
    try:
        settings = _settings(threads, memory_budget, seed)
        graph, structure = _closed(inputs, outputs, updates, check_indices)
        with collection_paused():
            return _program(graph, structure, backend, settings)
    except (GraphError, MemoryBudgetError) as error:
        raise located(error) from None


def write_files(
    inputs: Tensor | Sequence[Tensor],
    outputs: Outputs,
    updates: Mapping[Parameter, Tensor] | None,
    path: Path,
    *,
    backend: str,
    isa: str | None = None,
    threads: int | None = None,
    memory_budget: int | str | float | None = None,
    seed: int = 0,
    check_indices: bool = True,
) -> MemoryReport:
    """Write the files of a program for a backend that need not work here, as `Program.export` would; what it will hold.

    Raises what `compile` raises, and OSError.
    """
    checked_request(backend, threads)
    try:
        settings = _settings(threads, memory_budget, seed)
        graph, structure = _closed(inputs, outputs, updates, check_indices)
        with collection_paused():
            return write_program(graph, structure, BACKENDS[backend], settings, path, isa)
    except (GraphError, MemoryBudgetError) as error:
        raise located(error) from None


def _settings(threads: int | None, budget: int | str | float | None, seed: int) -> Settings:
    start = whole_number(seed, "a seed", 0, MOST_SEED)
    return Settings(checked_threads(threads), start, checked_budget(budget))


def _closed(
    inputs: Tensor | Sequence[Tensor], outputs: Outputs, updates: Mapping[Parameter, Tensor] | None, check_indices: bool
) -> tuple[Graph, str]:
    graph, structure = build_graph(inputs, outputs, updates)
    return (graph if check_indices else drop_index_marks(graph)), structure


def _program(graph: Graph, structure: str, name: str, settings: Settings) -> Program:
    """The program on the first backend that works, with one warning for each that should and does not."""
    *others, last = candidates(name)
    for backend in others:
        reason = backend.lack()
        if not reason:
            try:
                return make_program(graph, structure, backend, settings)
            except BackendError as error:
                reason = str(error)
        warn_of_fallback(reason)
    return make_program(graph, structure, last, settings)


def checked_request(backend: str, threads: int | None) -> None:
    """Raise BackendError unless there is such a backend, and so many threads can be asked for."""
    if backend not in NAMES:
        raise located(BackendError(f"backend {shown(backend)} is unknown here; choose from {', '.join(NAMES)}"))
    try:
        checked_threads(threads)
    except BackendError as error:
        raise located(error) from None


def build_graph(
    inputs: Tensor | Sequence[Tensor], outputs: Outputs, updates: Mapping[Parameter, Tensor] | None = None
) -> tuple[Graph, str]:
    """The checked graph of a program, and the structure of its outputs: "array", "list" or "dict"."""
    given = _checked_inputs([inputs] if isinstance(inputs, Tensor) else inputs)
    names, results, structure = _checked_outputs(outputs)
    graph = Graph(given, results, _checked_updates(updates or {}), names)
    check_streams(graph.nodes)
    graph = number_fresh(chain_updates(graph), fresh_numbers(graph.nodes))
    known = set(given)
    for node in graph.nodes:
        if node.op == "input" and node not in known:
            listed = ", ".join(repr(source.attrs["name"]) for source in given) or "none"
            what = f"input {node.attrs['name']!r} ({node.type})"
            message = f"the outputs depend on {what}, which is not among the inputs: {listed}"
            raise with_location(GraphError(message), node.location)
    return graph, structure


def _checked_inputs(inputs: Any) -> tuple[Node, ...]:
    if isinstance(inputs, (str, Mapping)) or not isinstance(inputs, Sequence):
        raise located(GraphError(f"inputs is a sequence of tensors made by gx.input, not {shown(inputs)}"))
    seen: dict[str, Node] = {}
    for node in inputs:
        if not isinstance(node, Tensor) or node.op != "input":
            raise located(GraphError(f"inputs are tensors made by gx.input; {shown(node)} is not one"))
        if node.attrs["name"] in seen:
            raise with_location(
                GraphError(f"two inputs are called {node.attrs['name']!r}; names must differ"), node.location
            )
        seen[node.attrs["name"]] = node
    return tuple(seen.values())


def _checked_outputs(outputs: Any) -> tuple[tuple[str, ...], tuple[Node, ...], str]:
    if isinstance(outputs, Tensor):
        return ("output",), (outputs,), "array"
    if isinstance(outputs, Mapping):
        names, results, structure = tuple(outputs), tuple(outputs.values()), "dict"
    elif isinstance(outputs, Sequence) and not isinstance(outputs, str):
        names, results, structure = tuple(f"output{i}" for i in range(len(outputs))), tuple(outputs), "list"
    else:
        raise located(GraphError(f"outputs is a tensor, a sequence or a dict of tensors, not {shown(outputs)}"))
    for name, result in zip(names, results, strict=True):
        if not isinstance(name, str) or not isinstance(result, Tensor):
            raise located(GraphError(f"output {shown(name)} is {shown(result)}; outputs are tensors, named by strings"))
    return names, results, structure


def _checked_updates(updates: Any) -> tuple[tuple[Node, Node], ...]:
    if not isinstance(updates, Mapping):
        raise located(GraphError(f"updates maps parameters to tensors; {shown(updates)} does not"))
    for target, value in updates.items():
        if not isinstance(target, Parameter):
            raise located(GraphError(f"updates are for parameters and states; {shown(target)} is neither"))
        if not isinstance(value, Tensor):
            raise located(GraphError(f"the next value of {target!r} is a tensor, not {shown(value)}"))
        if value.shape != target.shape:
            raise with_location(
                ShapeError(f"{target!r} has shape {target.shape}; its next value has {value.shape}"), value.location
            )
        if value.dtype is not target.dtype:
            raise with_location(
                DTypeError(f"{target!r} holds {target.dtype}; its next value is {value.dtype}; use astype"),
                value.location,
            )
    return tuple(updates.items())


def located(error: Any) -> Any:
    """`error`, naming the user's line unless it names one."""
    return with_location(error, capture())
