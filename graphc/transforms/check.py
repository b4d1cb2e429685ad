"""Gradients checked against finite differences.

The graph is rebuilt in float64, whatever float dtypes it uses, so that a disagreement is a fault of a rule and not of
rounding: the check is about the derivative of the mathematical function, at the given values. Derivatives are taken
by the centred difference of fourth order, (8 f(x+h) - 8 f(x-h) - f(x+2h) + f(x-2h)) / 12h, one element at a time
(Fornberg 1988, table 1), evaluated by the NumPy reference. It costs four evaluations for each element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import GradientError, InputError, shown, with_location
from graphc.ir.graph import interpret, topological
from graphc.ir.location import capture
from graphc.ir.node import Literal, Node
from graphc.ir.public import public
from graphc.ir.types import DTYPES, DType
from graphc.ops.build import apply, cast, constant
from graphc.ops.parameter import Parameter
from graphc.ops.record import Array
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from graphc.transforms.structure import checked_tensors

__all__ = ["check_gradients"]

_FLOAT64 = DTYPES["float64"]
_ROWS = 8
_STENCIL = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))  # offset in steps, weight over 12


@public
def check_gradients(
    outputs: Any,
    wrt: Any,
    values: Mapping[Any, Any],
    *,
    order: int = 1,
    eps: float = 1e-4,
    rtol: float = 1e-6,
    seed: int = 0,
) -> float:
    """The largest relative error of the symbolic gradients of `outputs` by `wrt` at `values`.

    `outputs` is a loss or a sequence of float tensors of any shapes (their sum under fixed random weights is
    checked); `wrt` a tensor or a sequence of them; `values` holds an array for each input (a parameter without an
    entry stands at its present value). An entry for an intermediate tensor cuts the graph there. `order=2` also
    checks the derivative of the gradient. `seed` is that of random ops.

    The step along an element x is eps * max(1, |x| / 1000); kinks and ties within two steps of a value cannot be
    checked. Errors are relative to the larger of the two derivatives, and at least to a thousandth of the largest in
    the tensor and to what rounding allows.

    Raises GradientError with a table of the worst elements when an error exceeds `rtol`, InputError for a missing
    or misshapen value.

    >>> x = input("x", (3,), dtype="float64")
    >>> check_gradients((x * x).sum(), x, {x: [1.0, 2.0, 3.0]}) < 1e-9
    True
    """
    if order not in (1, 2):
        raise with_location(GradientError(f"order is 1 or 2, not {shown(order)}"), capture())
    targets = checked_tensors(outputs, "what is differentiated").listed
    variables = checked_tensors(wrt, "what to differentiate with respect to").listed
    problem = _in_float64(targets, variables, values)
    rng = np.random.default_rng(20)
    total = _weighted_sum(problem.outputs, rng)
    differences = list(_compare(problem, total, eps, rtol, seed, 1))
    if order == 2:
        slopes = vjp([total], problem.variables, [1.0])
        differences += _compare(problem, _weighted_sum(slopes, rng), eps, rtol, seed, 2)
    worst = max((float(difference.errors.max()) for difference in differences if difference.errors.size), default=0.0)
    if not worst <= rtol:
        raise with_location(GradientError(_table(differences, variables, rtol)), capture())
    return worst


# The graph in float64 --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Problem:
    outputs: list[Tensor]
    variables: list[Tensor]
    values: dict[Node, Array]


def _in_float64(outputs: Sequence[Tensor], variables: Sequence[Tensor], values: Mapping[Any, Any]) -> _Problem:
    """The graph over float64 inputs in place of everything that has a value."""
    arrays: dict[Node, Array] = {}
    new: dict[Node, Tensor] = {}

    def widened(node: Node) -> Tensor:
        dtype = _FLOAT64 if node.dtype.is_float else node.dtype
        new[node] = apply("input", name=f"check {len(arrays)}", shape=node.shape, dtype=dtype)
        arrays[new[node]] = _value(node, values).astype(dtype.numpy)
        return new[node]

    for node in topological([*outputs, *variables]):
        if node in values or isinstance(node, Parameter) or node.op == "input":
            widened(node)
    for variable in variables:
        if variable not in new:
            raise with_location(InputError(f"{variable!r} is to be varied but has no entry in values"), capture())
    return _Problem(interpret(outputs, new, _widened), [new[node] for node in variables], arrays)


def _value(node: Node, values: Mapping[Any, Any]) -> Array:
    if node in values:
        array = np.array(values[node])
    elif isinstance(node, Parameter):
        array = node.value
    else:
        raise with_location(InputError(f"{node!r} has no entry in values"), node.location or capture())
    if array.shape != node.shape:
        raise with_location(InputError(f"{node!r} takes a value of shape {node.shape}; {array.shape} came"), capture())
    return array


def _widened(node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
    attrs = {name: _widened_attribute(value) for name, value in node.attrs.items()}
    return cast(inputs[0], attrs["dtype"]) if node.op == "cast" else apply(node.op, *inputs, **attrs)


def _widened_attribute(value: Any) -> Any:
    if isinstance(value, DType):
        return _FLOAT64 if value.is_float else value
    if isinstance(value, Literal) and value.type.dtype.is_float:
        return Literal(value.array.astype(np.float64))
    return value


def _weighted_sum(tensors: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """One scalar that depends on every element; a single scalar is itself."""
    if len(tensors) == 1 and tensors[0].shape == ():
        return tensors[0]
    total = constant(0.0, _FLOAT64)
    for tensor in tensors:
        weights = constant(rng.uniform(0.5, 1.5, tensor.shape) * rng.choice([-1.0, 1.0], tensor.shape), _FLOAT64)
        term = apply("multiply", tensor, weights)
        total = apply("add", total, apply("sum", term, axes=tuple(range(term.ndim))) if term.ndim else term)
    return total


# Comparison ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Difference:
    order: int
    position: int
    symbolic: Array
    numeric: Array
    errors: Array


def _compare(problem: _Problem, total: Tensor, eps: float, rtol: float, seed: int, order: int) -> Iterator[_Difference]:
    """The symbolic gradient of `total` beside its differences, for each variable."""
    slopes = vjp([total], problem.variables, [1.0])
    value, *symbolic = evaluate([total, *slopes], problem.values, seed=seed)
    noise = 16 * np.finfo(np.float64).eps * abs(float(value)) / eps
    for position, (variable, slope) in enumerate(zip(problem.variables, symbolic, strict=True)):
        numeric = _numeric(total, variable, problem.values, eps, seed)
        yield _Difference(order, position, slope, numeric, _errors(slope, numeric, noise / rtol))


def _numeric(total: Tensor, variable: Tensor, values: Mapping[Node, Array], eps: float, seed: int) -> Array:
    """The derivative of `total` by each element of `variable`."""
    point = values[variable].copy()
    moved = {**values, variable: point}
    result = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        x = float(point[index])
        step = eps * max(1.0, abs(x) / 1000)
        for offset, weight in _STENCIL:
            point[index] = x + offset * step
            result[index] += weight * float(evaluate([total], moved, seed=seed)[0])
        result[index] /= 12 * step
        point[index] = x
    return result


def _errors(symbolic: Array, numeric: Array, floor: float) -> Array:
    """Relative errors; infinite where either side is not finite, since that cannot be checked."""
    if not symbolic.size:
        return np.zeros(symbolic.shape)
    finite = np.isfinite(symbolic) & np.isfinite(numeric)
    a, b = np.where(finite, symbolic, 0.0), np.where(finite, numeric, 0.0)
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), max(1e-3 * float(np.abs(b).max()), floor, 1e-300))
    return np.where(finite, np.abs(a - b) / scale, np.inf)


def _table(differences: Sequence[_Difference], variables: Sequence[Tensor], rtol: float) -> str:
    """The worst elements of all variables, worst first."""
    rows = [
        (float(d.errors[index]), d, index)
        for d in differences
        for index in map(tuple, np.argwhere(~(d.errors <= rtol)))
    ]
    rows.sort(key=lambda row: -row[0])
    lines = [f"{len(rows)} derivative(s) differ from finite differences by more than {rtol:g}; the worst:"]
    lines.append(f"  {'order':5}  {'symbolic':>15}  {'difference':>15}  {'error':>9}  element")
    for error, d, index in rows[:_ROWS]:
        symbolic, numeric = float(d.symbolic[index]), float(d.numeric[index])
        element = f"{variables[d.position]!r}[{', '.join(map(str, index))}]"
        lines.append(f"  {d.order:5}  {symbolic:15.8g}  {numeric:15.8g}  {error:9.2g}  {element}")
    return "\n".join(lines)
