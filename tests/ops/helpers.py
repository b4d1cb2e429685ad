"""Cases derived from the table of functions: arrays for the samples, graphs over them, comparisons, differences."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from graphc.errors import GraphcError
from graphc.ir.graph import topological
from graphc.ir.types import DTYPES, DType, dtype_of
from graphc.ops.build import apply
from graphc.ops.record import FUNCTIONS, OPS, WIDE_FLOAT, Arg, Function, Kind, Sample
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.forward import jvp
from graphc.transforms.reverse import vjp

Array = np.ndarray[Any, Any]


# Cases --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """One sample of a function in one dtype."""

    function: Function
    dtype: str
    position: int

    @property
    def sample(self) -> Sample:
        return self.function.samples[self.position]

    def __str__(self) -> str:
        return f"{self.function.name}, {self.dtype}, sample {self.position}: {self.sample}"


def cases(function: Function, dtypes: Sequence[str] | None = None) -> list[Case]:
    """All samples of a function in all its dtypes (that are among `dtypes`)."""
    chosen = [dtype for dtype in function.dtypes if dtypes is None or dtype in dtypes]
    return [Case(function, dtype, position) for dtype in chosen for position in range(len(function.samples))]


def all_cases() -> list[Case]:
    return [case for function in FUNCTIONS.values() for case in cases(function)]


def random_array(arg: Arg, dtype: str, rng: np.random.Generator) -> Array:
    """An array for an `Arg`, in its own dtype or else in `dtype`."""
    target = DTYPES[arg.dtype or dtype]
    if arg.values is not None:
        values = np.array(arg.values, dtype=object).astype(np.float64).reshape(arg.shape)
        return _converted(values, target)
    if target.kind == "bool":
        return rng.integers(0, 2, arg.shape).astype(bool)
    if target.is_integer:
        low = max(math.ceil(arg.low), 0 if target.kind == "uint" else -100)
        high = max(math.ceil(arg.high), low + 1)
        choices = [value for value in range(low, high) if value not in arg.away_from] or [max(low, 1)]
        return rng.choice(np.array(choices), arg.shape).astype(target.numpy)
    return _random_floats(arg, rng).astype(target.numpy)


def _converted(values: Array, target: DType) -> Array:
    if target.kind == "uint":
        values = np.abs(values)
    if not target.is_float:
        values = np.nan_to_num(values, posinf=100, neginf=-100 if target.kind == "int" else 0)
    with np.errstate(all="ignore"):
        return values.astype(target.numpy)


def _random_floats(arg: Arg, rng: np.random.Generator) -> Array:
    count = math.prod(arg.shape)
    if arg.distinct:
        step = max((arg.high - arg.low) / max(count, 1), 0.08)  # many values reach beyond `high`
        values = arg.low + step * (rng.permutation(count) + rng.uniform(0.1, 0.3, count))
    else:
        values = rng.uniform(arg.low, arg.high, count)
    for point in arg.away_from:
        near = np.abs(values - point) < 0.1
        values = np.where(near, point + np.where(values < point, -1, 1) * rng.uniform(0.1, 0.2, count), values)
    return values.reshape(arg.shape)


@dataclass(frozen=True)
class Built:
    """A case as a graph: inputs with their arrays, the outputs, the arguments as a formula takes them."""

    case: Case
    inputs: list[Tensor]
    arrays: list[Array]
    variables: list[int]  # positions of the inputs that have gradients
    outputs: list[Tensor]
    formula_args: tuple[Any, ...]

    @property
    def values(self) -> dict[Tensor, Array]:
        return dict(zip(self.inputs, self.arrays, strict=True))


def build(case: Case) -> Built:
    """The graph of a case, over fresh inputs; the arrays depend on the case alone."""
    key = f"{case.function.name} {case.dtype} {case.position}"
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    inputs: list[Tensor] = []
    arrays: list[Array] = []
    variables: list[int] = []

    def place(arg: Any) -> tuple[Any, Any]:
        if isinstance(arg, (list, tuple)) and any(isinstance(item, (Arg, list)) for item in arg):
            pairs = [place(item) for item in arg]
            return type(arg)(pair[0] for pair in pairs), type(arg)(pair[1] for pair in pairs)
        if not isinstance(arg, Arg):
            return arg, arg
        array = random_array(arg, case.dtype, rng)
        tensor = input_tensor(f"{key} {len(inputs)}", array)
        if arg.grad and arg.dtype is None and tensor.dtype.is_float:
            variables.append(len(inputs))
        inputs.append(tensor)
        arrays.append(array)
        return tensor, widened(array)

    placed = [place(arg) for arg in case.sample.args]
    keywords = {name: place(value) for name, value in case.sample.keywords.items()}
    result = case.function.build(*(pair[0] for pair in placed), **{name: pair[0] for name, pair in keywords.items()})
    with np.errstate(all="ignore"):
        formula_args = (tuple(pair[1] for pair in placed), {name: pair[1] for name, pair in keywords.items()})
    return Built(case, inputs, arrays, variables, flatten(result), formula_args)


def input_tensor(name: str, array: Array) -> Tensor:
    return apply("input", name=name, shape=array.shape, dtype=dtype_of(array.dtype))


def widened(array: Array) -> Array:
    """16-bit floats as float32, as formulas take them."""
    return array.astype(np.float32) if array.dtype in (ml_dtypes.bfloat16, np.float16) else array


def flatten(result: Any) -> list[Any]:
    """The results of a function as a list."""
    if isinstance(result, dict):
        return list(result.values())
    return list(result) if isinstance(result, (list, tuple)) else [result]


# Comparisons --------------------------------------------------------------------------------------
# (relative, absolute as a multiple of the largest magnitude): 16-bit floats are rounded after every step.
_TOLERANCES = {"float64": (1e-12, 1e-13), "float32": (4e-6, 2e-6), "float16": (4e-3, 4e-3), "bfloat16": (3e-2, 3e-2)}


def difference(got: Array, expected: Any, precision: str = "float64") -> str:
    """What is wrong with `got`, or nothing. Shapes and dtypes must agree, floats within the tolerance of the dtypes."""
    expected = np.asarray(expected)
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    if not _same_dtype(got.dtype, expected.dtype):
        return f"dtype {got.dtype}, expected {expected.dtype}"
    a, b = (np.asarray(x).astype(np.float64) for x in (got, expected))
    if np.issubdtype(expected.dtype, np.floating) or expected.dtype == ml_dtypes.bfloat16:
        loosest = max((dtype_of(got.dtype).name, precision), key=lambda name: _TOLERANCES[name][0])
        relative, absolute = _TOLERANCES[loosest]
        finite = b[np.isfinite(b)]
        scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
        close = np.isclose(a, b, relative, absolute * scale, equal_nan=True)
        if loosest == "float16":  # what overflows there is finite in the formula's float32
            close |= np.isinf(a) & (np.abs(b) > 65504)
    else:
        close = a == b
    if close.all():
        return ""
    index = tuple(int(i) for i in np.argwhere(~close)[0])
    return (
        f"{(~close).sum()} of {close.size} elements differ, first {index}: {got[index]!r}, expected {expected[index]!r}"
    )


def _same_dtype(got: Any, expected: Any) -> bool:
    wider = {"int16": "int32", "uint16": "uint32", "uint64": "int64"}
    names = got.name, wider.get(expected.name, expected.name)
    return names[0] == names[1] or (names[1] == "float32" and names[0] in ("bfloat16", "float16"))


def precision(case: Case) -> str:
    """The dtype whose tolerance a case asks for."""
    return case.dtype if DTYPES[case.dtype].is_float else "float64"


def report(faults: list[str]) -> str:
    return f"{len(faults)} fault(s)\n  " + "\n  ".join(faults[:8])


def first_gradients(built: Built) -> list[Tensor]:
    """The cotangents of a case's inputs under random weights, where there are any: also where differences say nothing,
    at kinks, ties, infinities and on slopes too steep for them, engines have one convention."""
    outputs = [output for output in built.outputs if output.dtype.is_float]
    variables = [built.inputs[i] for i in built.variables]
    wide = built.case.dtype in WIDE_FLOAT and built.case.function.differentiable
    if not (wide and outputs and variables):
        return []
    weights = weights_like(outputs, np.random.default_rng(3))
    return vjp(outputs, variables, [w.astype(o.dtype.numpy) for w, o in zip(weights, outputs, strict=True)])


@cache
def elementwise_arity(name: str, dtype: str = "float32") -> int:
    """The number of array arguments of a function that works element by element on `dtype` alone, or 0."""
    item = FUNCTIONS[name]
    args = item.samples[0].args
    if dtype not in item.dtypes or not args or not all(isinstance(a, Arg) and a.dtype is None for a in args):
        return 0
    tensors = [input_tensor(f"a{i}", np.zeros(3, dtype)) for i in range(len(args))]
    try:
        nodes = topological([item.build(*tensors)])
    except (GraphcError, AttributeError):
        return 0
    passed = {"input", "constant", "broadcast_to", "stop_gradient"}
    return len(args) if all(n.op in passed or OPS[n.op].kind is Kind.ELEMENTWISE for n in nodes) else 0


# Derivatives --------------------------------------------------------------------------------------
_STENCIL = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))  # offsets in steps, weights over 12: Fornberg 1988, table 1
_STEP = 5e-4
_DIRECTIONS = 2


def weights_like(tensors: Sequence[Tensor], rng: np.random.Generator) -> list[Array]:
    """Random arrays of the types of `tensors`, away from 0."""
    return [rng.choice([-1.0, 1.0], t.shape) * rng.uniform(0.5, 1.0, t.shape) for t in tensors]


def _directional(function: Callable[[list[Array]], float], point: list[Array], direction: list[Array]) -> float:
    total = 0.0
    for offset, weight in _STENCIL:
        moved = [x + offset * _STEP * d for x, d in zip(point, direction, strict=True)]
        total += weight * function(moved)
    return total / (12 * _STEP)


def dot(a: Sequence[Array], b: Sequence[Array]) -> float:
    return float(sum(np.sum(x.astype(np.float64) * y) for x, y in zip(a, b, strict=True)))


def magnitude(a: Sequence[Array], b: Sequence[Array]) -> float:
    """The dot product of absolute values: what cancellation is measured against."""
    return float(sum(np.sum(np.abs(x.astype(np.float64) * y)) for x, y in zip(a, b, strict=True)))


def derivative_faults(built: Built, rtol: float = 1e-6) -> Iterator[str]:
    """What is wrong with the first and second derivatives of a float64 case, along random directions.

    First gradients against centred differences of the outputs, second ones against centred differences of the first
    gradient, `jvp` against `vjp` by the inner-product identity <w, J d> = <J' w, d>.
    """
    rng = np.random.default_rng(7)
    outputs = [output for output in built.outputs if output.dtype.is_float]
    variables = [built.inputs[i] for i in built.variables]
    if not outputs or not variables:
        return
    weights = weights_like(outputs, rng)
    first = vjp(outputs, variables, weights)
    yield from _faults("first", built, outputs, weights, first, rng, rtol)
    directions = weights_like(variables, rng)
    tangents = evaluate(jvp(outputs, variables, directions), built.values)
    gradients = evaluate(first, built.values)
    left, right, scale = dot(tangents, weights), dot(gradients, directions), magnitude(gradients, directions)
    if not abs(left - right) <= 1e-9 * max(scale, magnitude(tangents, weights), 1e-9):
        yield f"jvp against vjp: {left!r} and {right!r}"
    if built.case.sample.second:
        mixed = weights_like(first, rng)
        second = vjp(first, variables, mixed)
        yield from _faults("second", built, first, mixed, second, rng, rtol)


def _faults(
    order: str, built: Built, outputs: Sequence[Tensor], weights: list[Array], slopes: Sequence[Tensor],
    rng: np.random.Generator, rtol: float,
) -> Iterator[str]:  # fmt: skip
    values = built.values
    variables = [built.inputs[i] for i in built.variables]
    point = [values[variable] for variable in variables]

    def total(moved: list[Array]) -> float:
        return dot(evaluate(outputs, {**values, **dict(zip(variables, moved, strict=True))}), weights)

    symbolic = evaluate(slopes, values)
    noise = 64 * np.finfo(np.float64).eps / _STEP * max(1.0, magnitude(evaluate(outputs, values), weights))
    for _ in range(_DIRECTIONS):
        direction = weights_like(variables, rng)
        exact, numeric = dot(symbolic, direction), _directional(total, point, direction)
        scale = max(magnitude(symbolic, direction), abs(numeric))
        if not abs(exact - numeric) <= rtol * scale + noise:
            yield f"{order} derivative along a direction: {exact!r}, differences say {numeric!r}"
