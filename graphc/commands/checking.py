"""`graphc check`: gradients against finite differences, and backends against the reference.

Derivatives are checked along random directions, so that the cost depends on the number of parameters, not on their
sizes. The program of each engine runs beside the reference on random inputs, then on one, two and four threads, which
must give the same bits. Parameters are as before when it is done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from graphc.api import build_graph, compile
from graphc.commands.target import Target, TargetError
from graphc.errors import GradientError
from graphc.ir.graph import Graph, replace, topological
from graphc.ir.node import Node
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, build_node, cast, constant
from graphc.ops.parameter import Parameter
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.passes import resolve_marks
from graphc.toolchain.compiler import compiler_or_reason
from graphc.transforms import check_gradients

__all__ = ["check"]

Array = np.ndarray[Any, Any]
Tell = Callable[[str], None]  # is told what is done next

THREADS = (1, 2, 4)
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
STEP, GRADIENT_TOLERANCE = 1e-6, 1e-4  # so small a step seldom meets a kink, as relu has


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    checked: str
    error: str
    passed: bool


def check(target: Target, console: Console, *, seed: int = 0, directions: int = 3) -> int:
    """Print what was found; 0 if everything agrees, else 1."""
    graph, _ = build_graph(target.inputs, target.outputs, target.updates)
    values = random_values(graph.inputs, target.values, np.random.default_rng(seed))
    backends = ("cython",) if isinstance(compiler_or_reason(), str) else ("cython", "c")
    losses = [(name, node) for name, node in zip(graph.names, graph.outputs, strict=True) if _is_loss(node)]
    with _progress(console, len(losses) * directions + 1 + len(backends) * len(THREADS)) as tell:
        findings = [*_gradients(losses, values, seed, directions, tell)]
        findings += _backends(target, graph, values, backends, tell)
    table = Table(title=target.name)
    for title in ("value", "checked", "error", ""):
        table.add_column(title)
    for finding in findings:
        verdict = "[green]right[/]" if finding.passed else "[bold red]wrong[/]"
        table.add_row(finding.name, finding.checked, finding.error, verdict)
    console.print(table)
    wrong = sum(not finding.passed for finding in findings)
    summary = f"{len(findings) - wrong} of {len(findings)} right, with random inputs from seed {seed}"
    console.print(summary, highlight=False)
    return 1 if wrong else 0


@contextmanager
def _progress(console: Console, steps: int) -> Iterator[Tell]:
    """A bar that a step begins on when it is told what the step is. None where nobody looks on."""
    columns = BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task, begun = progress.add_task("", total=steps), itertools.count()
        yield lambda text: progress.update(task, description=text, completed=next(begun), refresh=True)


def random_values(inputs: Sequence[Node], given: Mapping[str, Any], rng: np.random.Generator) -> dict[Node, Array]:
    """An array for each input: the one given by name, or random: normal floats, and integers that are 0 or 1.

    Raises TargetError for a name that no input has.
    """
    names = [node.attrs["name"] for node in inputs]
    if unknown := set(given) - set(names):
        raise TargetError(f"values are given for {sorted(unknown)}; the inputs are {names}")
    values = {}
    for node, name in zip(inputs, names, strict=True):
        random = rng.standard_normal(node.shape) if node.dtype.is_float else rng.integers(0, 2, node.shape)
        values[node] = np.asarray(given.get(name, random)).astype(node.dtype.numpy)
    return values


# Gradients -------------------------------------------------------------------------------------------------------
def _gradients(
    losses: list[tuple[str, Node]], values: Mapping[Node, Array], seed: int, directions: int, tell: Tell
) -> Iterator[Finding]:
    """Each scalar output that is a float: its derivative along random directions of what it depends on."""
    for name, loss in losses:
        variables = [node for node in topological([loss]) if _is_variable(node)]
        if variables:
            yield _gradient(name, loss, variables, values, seed, directions, tell)
    if not losses:
        yield Finding("gradients", "no output is a scalar of floats, so there is no gradient to check", "–", True)


def _is_loss(node: Node) -> bool:
    return node.shape == () and node.dtype.is_float


def _is_variable(node: Node) -> bool:
    weight = node.trainable if isinstance(node, Parameter) else node.op == "input"
    return weight and node.dtype.is_float and node.size > 0


def _gradient(
    name: str, loss: Node, variables: list[Node], values: Mapping[Node, Array], seed: int, directions: int, tell: Tell
) -> Finding:
    """Derivatives of the loss by t, where each variable v is v + t·d for a random direction d."""
    rng = np.random.default_rng(seed)
    title, worst = f"gradient of {name}", 0.0
    checked = f"{directions} derivatives by each of {len(variables)} tensors, against differences"
    for number in range(directions):
        tell(f"gradient of {name}, direction {number + 1} of {directions}")
        steps = [_scalar(f"{name} along {i}") for i in range(len(variables))]
        moved = {v: _moved(v, t, rng) for v, t in zip(variables, steps, strict=True)}
        (along,) = replace([loss], moved, lambda node, inputs: build_node(node.op, inputs, dict(node.attrs)))
        at = _held([along], {**values, **dict.fromkeys(steps, np.zeros(()))}, seed)
        try:
            worst = max(worst, check_gradients(along, steps, at, eps=STEP, rtol=GRADIENT_TOLERANCE, seed=seed))
        except GradientError as error:
            return Finding(title, checked, str(error).split("\n  at ")[0], False)
    return Finding(title, checked, f"{worst:.1e}", True)


def _held(results: list[Node], values: dict[Node, Array], seed: int) -> dict[Node, Array]:
    """`values`, and the values of what is under stop_gradient: to a gradient these are constants."""
    stops = [node for node in topological(results) if node.op == "stop_gradient"]
    return {**values, **dict(zip(stops, evaluate(stops, values, seed=seed), strict=True))}


def _scalar(name: str) -> Tensor:
    return apply("input", name=name, shape=(), dtype=DTYPES["float64"])


def _moved(variable: Node, step: Tensor, rng: np.random.Generator) -> Tensor:
    assert isinstance(variable, Tensor)
    direction = rng.standard_normal(variable.shape)
    return variable + cast(step, variable.dtype) * constant(direction / np.linalg.norm(direction), variable.dtype)


# Backends --------------------------------------------------------------------------------------------------------
def _backends(
    target: Target, graph: Graph, values: Mapping[Node, Array], backends: Sequence[str], tell: Tell
) -> Iterator[Finding]:
    """Every result of each engine that works here beside the reference's, and its bits on several thread counts."""
    plain, seed = resolve_marks(graph), target.options.get("seed", 0)
    tell("the reference")
    expected = evaluate(plain.results, values, seed=seed)
    shaken = evaluate(plain.results, _shaken(plain, values), seed=seed)
    for backend in backends:
        runs = []
        for count in THREADS:
            tell(f"{backend} on {count} thread{'s' * (count > 1)}")
            runs.append(_run(target, plain, list(values.values()), backend, count))
        rows = [_Row(*row) for row in zip(plain.results, runs[0], expected, shaken, strict=True)]
        yield from _compared(plain, rows, backend)
        same = all([array.tobytes() for array in run] == [array.tobytes() for array in runs[0]] for run in runs)
        yield Finding("all results", f"{backend}, the same bits on {', '.join(map(str, THREADS))} threads", "–", same)


def _compared(graph: Graph, rows: Sequence[_Row], backend: str) -> Iterator[Finding]:
    """Outputs one by one, updates together."""
    for name, row in zip(graph.names, rows, strict=False):
        checked = f"{row.node.type}, {backend} against the reference"
        yield Finding(name, checked, f"{row.error:.1e}", row.error <= row.allowed)
    if updates := rows[len(graph.outputs) :]:
        name, error = f"{len(updates)} update{'s' * (len(updates) > 1)}", max(row.error for row in updates)
        passed = all(row.error <= row.allowed for row in updates)
        yield Finding(name, f"next values, {backend} against the reference", f"{error:.1e}", passed)


@dataclass(frozen=True)
class _Row:
    """A result of the backend, of the reference, and of the reference where its inputs are rounded otherwise."""

    node: Node
    result: Array
    expected: Array
    shaken: Array

    @property
    def allowed(self) -> float:
        return TOLERANCES.get(self.node.dtype.name, 0.0)

    @property
    def error(self) -> float:
        """The relative error; beyond the tolerance, only what rounding alone does not do to such a result."""
        error = _difference(self.result, self.expected)
        return error if error <= self.allowed else max(0.0, error - 10 * _difference(self.shaken, self.expected))


def _shaken(graph: Graph, values: Mapping[Node, Array]) -> dict[Node, Array]:
    """All inputs and weights, each float changed by about a rounding error."""
    rng = np.random.default_rng(0)
    weights = [node for node in graph.nodes if isinstance(node, Parameter) and _is_variable(node)]
    start: dict[Node, Array] = {**{node: node.value for node in weights}, **values}
    return {node: _rounded_otherwise(node, value, rng) for node, value in start.items()}


def _rounded_otherwise(node: Node, value: Array, rng: np.random.Generator) -> Array:
    if not node.dtype.is_float:
        return value
    spacing = float(ml_dtypes.finfo(node.dtype.numpy).eps)  # type: ignore[no-untyped-call]
    return (value * (1.0 + spacing * rng.uniform(-2.0, 2.0, value.shape))).astype(node.dtype.numpy)


def _run(target: Target, graph: Graph, arrays: list[Array], backend: str, threads: int) -> list[Array]:
    """Outputs, then what was written into parameters, of one call; the parameters keep their values."""
    options = {**target.options, "memory_budget": None, "backend": backend, "threads": threads}
    program = compile(target.inputs, list(graph.outputs), dict(graph.updates), **options)  # type: ignore[arg-type]
    parameters = [node for node, _ in graph.updates if isinstance(node, Parameter)]
    saved = [parameter.value for parameter in parameters]
    try:
        return [*program(*arrays), *(parameter.value for parameter in parameters)]
    finally:
        for parameter, value in zip(parameters, saved, strict=True):
            parameter.value = value


def _difference(result: Array, expected: Array) -> float:
    """The largest error relative to the largest value; infinite where infinities or NaN stand elsewhere."""
    a, b = np.asarray(result).astype(np.float64), np.asarray(expected).astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.where(finite, 0.0, b), np.where(np.isfinite(a), 0.0, a), equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(float(np.abs(b[finite]).max()), 1e-30)
    return float(np.abs(a[finite] - b[finite]).max()) / scale
