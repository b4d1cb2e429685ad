"""The smallest program that still has a fault of the same kind, and a script that shows it.

Each step makes the program simpler and keeps it if the fault stays: fewer results, or earlier ones; a node replaced by
an input that holds its value, or by one of its own inputs of the same type; plain values. Each kept step lessens the
tuple (nodes, results, leaves that are no inputs, elements that are not 0 or 1), so it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import graphc as gx
from graphc.ir.body import Body
from graphc.ir.graph import Graph, replace, topological
from graphc.ir.node import Literal, Node
from graphc.ir.types import DType
from graphc.ops.reference import evaluate
from graphc.passes.rewriting import rebuilt
from tests.fuzz.grow import SEED, STEP
from tests.fuzz.program import Array, FuzzProgram

__all__ = ["script", "shrunk"]

Fails = Callable[[FuzzProgram], bool]


def shrunk(program: FuzzProgram, fails: Fails, tries: int = 2_000) -> FuzzProgram:
    """The simplest program found within so many tries; `program` itself if it does not fail."""
    if not fails(program):
        return program
    best = program
    progress = True
    while progress and tries > 0:
        progress = False
        for candidate in _simpler(best):
            if _measure(candidate) >= _measure(best):
                continue
            tries -= 1
            if fails(candidate):
                best, progress = candidate, True
                break
            if tries <= 0:
                break
    return best


def _measure(program: FuzzProgram) -> tuple[int, int, int, int]:
    """What every step lessens."""
    nodes, results = program.graph.nodes, program.graph.results
    held = sum(node.op in ("parameter", "constant") for node in nodes)
    awkward = sum(int(((array != 0) & (array != 1)).sum()) for array in program.arrays)
    return len(nodes), len(results), held, awkward


def _simpler(program: FuzzProgram) -> Iterator[FuzzProgram]:
    """Simpler programs, those first that leave out most."""
    yield from _fewer_results(program)
    yield from _earlier_results(program)
    yield from _cut(program)
    yield from _bypassed(program)
    yield from _plain_values(program)


def _fewer_results(program: FuzzProgram) -> Iterator[FuzzProgram]:
    graph = program.graph
    if len(graph.results) < 2:
        return
    for output in graph.outputs:
        yield _with(program, Graph(graph.inputs, (output,), (), ("output",)))
    if graph.updates:
        yield _with(program, Graph(graph.inputs, graph.outputs, (), graph.names))
    for i in range(len(graph.outputs)):
        kept = graph.outputs[:i] + graph.outputs[i + 1 :]
        yield _with(program, Graph(graph.inputs, kept, graph.updates, tuple(f"output{k}" for k in range(len(kept)))))
    for i in range(len(graph.updates)):
        updates = graph.updates[:i] + graph.updates[i + 1 :]
        yield _with(program, Graph(graph.inputs, graph.outputs, updates, graph.names))


def _earlier_results(program: FuzzProgram) -> Iterator[FuzzProgram]:
    """An output replaced by what it was computed from."""
    graph = program.graph
    for i, output in enumerate(graph.outputs):
        for source in output.inputs:
            results = (*graph.outputs[:i], source, *graph.outputs[i + 1 :])
            yield _with(program, Graph(graph.inputs, results, graph.updates, graph.names))


def _cut(program: FuzzProgram) -> Iterator[FuzzProgram]:
    """Each node as an input of its own, which holds its value; those first that stand on most."""
    graph = program.graph
    under = {node: len(topological([node])) for node in graph.nodes}
    nodes = [n for n in graph.nodes if n.op not in ("input", "stop_gradient")]
    updated = {target for target, _ in graph.updates}
    values = _values(program, nodes)
    for node in sorted(nodes, key=lambda node: -under[node]):
        if node not in updated and node in values:
            fresh = _fresh_input(program, node)
            yield _substituted(program, node, fresh, values[node])


def _values(program: FuzzProgram, nodes: list[Node]) -> dict[Node, Array]:
    given = dict(zip(program.graph.inputs, program.arrays, strict=True))
    plain = [node for node in nodes if node.op != "with_update"]
    return dict(zip(plain, evaluate(plain, given, seed=SEED, step=STEP), strict=True))


def _fresh_input(program: FuzzProgram, node: Node) -> Node:
    taken = {source.attrs["name"] for source in program.graph.inputs}
    name = next(f"v{i}" for i in range(len(taken) + 1) if f"v{i}" not in taken)
    return gx.input(name, node.shape, node.dtype)


def _substituted(program: FuzzProgram, node: Node, new: Node, value: Array) -> FuzzProgram:
    graph = program.graph
    results = replace(graph.results, {node: new}, rebuilt)
    wider = Graph((*graph.inputs, new), graph.outputs, graph.updates, graph.names).with_results(results)
    return _with(FuzzProgram(wider, (*program.arrays, value), program.origin), wider)


def _bypassed(program: FuzzProgram) -> Iterator[FuzzProgram]:
    """Each node replaced by an input of its type."""
    graph = program.graph
    for node in reversed(graph.nodes):
        for source in node.inputs:
            if source.type == node.type:
                results = replace(graph.results, {node: source}, rebuilt)
                yield _with(program, graph.with_results(results))


def _plain_values(program: FuzzProgram) -> Iterator[FuzzProgram]:
    for i, array in enumerate(program.arrays):
        for value in (0, 1):
            arrays = list(program.arrays)
            arrays[i] = np.full_like(array, value)
            yield FuzzProgram(program.graph, tuple(arrays), program.origin)


def _with(program: FuzzProgram, graph: Graph) -> FuzzProgram:
    """`program` with another graph; inputs that nothing reads any more are left out."""
    read = set(graph.nodes)
    pairs = [pair for pair in zip(program.graph.inputs, program.arrays, strict=True) if pair[0] in read]
    inputs = tuple(node for node, _ in pairs)
    return FuzzProgram(
        Graph(inputs, graph.outputs, graph.updates, graph.names), tuple(array for _, array in pairs), program.origin
    )


# Scripts -------------------------------------------------------------------------------------------------------------
def script(program: FuzzProgram) -> str:
    """Python that builds the graph, compiles it, and prints what an engine answers beside the reference."""
    graph = program.graph
    names: dict[Node, str] = {}
    lines = [
        "import numpy as np", "", "import graphc as gx", "from graphc.ir.node import Literal",
        "from graphc.ir.reading import parse_graph", "from graphc.ir.text import body_of",
        "from graphc.ir.types import DTYPES", "from graphc.ops.build import apply, build_node",
        "from numpy import inf, nan", "",
    ]  # fmt: skip
    for node in topological((*graph.inputs, *graph.results, *(target for target, _ in graph.updates))):
        names[node] = f"n{len(names)}"
        lines.append(f"{names[node]} = {_statement(node, names)}")
    inputs = ", ".join(names[node] for node in graph.inputs)
    outputs = ", ".join(names[node] for node in graph.outputs)
    updates = ", ".join(f"{names[target]}: {names[value]}" for target, value in graph.updates)
    lines += ["", "arrays = ["] + [f"    {_array(array)}," for array in program.arrays] + ["]"]
    lines += ["for backend in ('numpy', 'cython', 'c'):"]
    lines += [f"    program = gx.compile([{inputs}], [{outputs}], {{{updates}}}, backend=backend, seed={SEED})"]
    lines += [f"    program.step = {STEP}", "    print(backend, program(*arrays))"]
    return "\n".join(lines) + "\n"


def _statement(node: Node, names: dict[Node, str]) -> str:
    if node.op == "input":
        return f"gx.input({node.attrs['name']!r}, {node.shape}, {node.dtype.name!r})"
    if node.op == "parameter":
        make = "parameter" if node.dtype.is_float else "state"
        return f"gx.{make}({node.attrs['name']!r}, {_array(node.storage)})"  # type: ignore[attr-defined]
    given = [names[source] for source in node.inputs]
    given += [f"{name}={_attribute(value)}" for name, value in node.attrs.items()]
    return f"apply({', '.join([repr(node.op), *given])})"


def _attribute(value: Any) -> str:
    if isinstance(value, DType):
        return f"DTYPES[{value.name!r}]"
    if isinstance(value, Body):
        return f"body_of(parse_graph({value.text!r}, build_node))"
    return f"Literal({_array(value.array)})" if isinstance(value, Literal) else repr(value)


def _array(array: Array) -> str:
    if array.dtype.name == "bfloat16":
        return f"np.array({array.astype(np.float32).tolist()!r}).astype(DTYPES['bfloat16'].numpy)"
    return f"np.array({array.tolist()!r}, {array.dtype.name!r})" + ("" if array.size else f".reshape({array.shape})")
