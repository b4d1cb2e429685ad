"""What a program may answer: the spread of the reference over runs in which its rounding errors are drawn anew.

A run walks the graph with each op's reference, as `evaluate` does. Where an element of a float result was rounded
(it differs from the one computed a precision wider), some units in the last place are added at random, of the size of
the sum of magnitudes for what adds up; what is exact stays as it is, so ties, masks and special values do, but for
the signs of zeros that docs/rewrites.md leaves open. An engine that rounds elsewhere is one more such run: `verdict`
asks that its results lie within the hull of the runs, widened.
A sum whose finite terms overflow may do so anywhere. Where no hull of 6 runs will do, 40 are tried, and one in long
double, whose exponent range holds what overflows: where that is finite, and the reference is not, something else may
overflow. Where an exponential overflows even there, what is not finite in the reference may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node, Results
from graphc.ops.primitives.loops import Looped
from graphc.ops.record import WIDE_FLOAT, Kind, op_of
from graphc.ops.reference import evaluate
from tests.fuzz.grow import SEED, STEP
from tests.fuzz.program import Array

__all__ = ["Hull", "Oracle"]

FEW, MANY = 6, 40
UNITS = 4.0  # in the last place, that an op may be off by
ADDING = 16.0  # likewise, of the sum of magnitudes: products in another order, Winograd's convolutions
WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}
_NOTHING = np.zeros(0)
Noise = Callable[[Node, Array, list[Array]], Array]


@dataclass
class Hull:
    """The least and the greatest value of each element, whether it was a NaN in some run, or in all, and whether it
    was +0 in all, or -0 in all."""

    low: Array
    high: Array
    some_nan: Array
    all_nan: Array
    positive_zero: Array
    negative_zero: Array

    @classmethod
    def of(cls, runs: Sequence[Array]) -> Hull:
        stack = np.stack([run.astype(np.longdouble) for run in runs])
        nan = np.isnan(stack)
        low, high = np.where(nan, np.inf, stack).min(0), np.where(nan, -np.inf, stack).max(0)
        zero, negative = (stack == 0).all(0), np.signbit(stack)
        return cls(low, high, nan.any(0), nan.all(0), zero & ~negative.any(0), zero & negative.all(0))

    def outside(self, got: Array, unit: float, tiny: float) -> Array:
        """Which elements of `got` no run explains."""
        x = got.astype(np.longdouble)
        with np.errstate(all="ignore"):
            width = np.where(np.isfinite(self.low) & np.isfinite(self.high), self.high - self.low, 0)
            slack = 2 * width + unit * np.maximum(np.abs(self.low), np.abs(self.high)) + tiny
            slack = np.where(np.isfinite(slack), slack, 0)
            within = (x >= self.low - slack) & (x <= self.high + slack)
        zero, negative = x == 0, np.signbit(x)
        other_zero = zero & (negative & self.positive_zero | ~negative & self.negative_zero)
        return np.where(np.isnan(x), ~self.some_nan, ~within | self.all_nan | other_zero)  # type: ignore[no-any-return]


class Oracle:
    """The runs of one graph on given values."""

    def __init__(self, graph: Graph, values: Mapping[Any, Array]) -> None:
        self.graph, self.values = graph, values
        self.order = topological(graph.results)
        self.reference = evaluate(graph.results, values, seed=SEED, step=STEP)
        self._rng = np.random.default_rng(0)
        self._runs = [self.reference]
        self._overflown = False  # whether an exponential left the range of long double

    def faults(self, results: Sequence[Array]) -> list[str]:
        """What is wrong with the results of an engine."""
        found: dict[int, str] = {}
        for count in (FEW, MANY):
            while len(self._runs) < count:
                self._runs.append(self._run(self._noisy))
            found = self._outside(results, range(len(results)), self._runs)
            if not found:
                return []
        exact = self._run(None)
        judged = {}
        for i in found:
            finite, other = (np.isfinite(run[i].astype(np.longdouble)) for run in (self.reference, results))
            judged[i] = finite if self._overflown else finite | other | ~np.isfinite(exact[i].astype(np.longdouble))
        return list(self._outside(results, list(found), [*self._runs, exact], judged).values())

    def _outside(
        self, results: Sequence[Array], which: Sequence[int], runs: list[list[Array]], judged: Mapping[int, Array] = {}
    ) -> dict[int, str]:
        """Descriptions of the results that no run explains, by number; `judged` are the elements that matter."""
        found = {}
        for i in which:
            node, got = self.graph.results[i], results[i]
            wanted = self.reference[i]
            if got.shape != wanted.shape or got.dtype != wanted.dtype:
                found[i] = f"result {i}, {node!r}: {got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}"
                continue
            hull = Hull.of([run[i] for run in runs])
            wrong = hull.outside(got, *_units(node)) & judged.get(i, True)
            if wrong.any():
                at = tuple(int(k) for k in np.argwhere(wrong)[0])
                found[i] = (
                    f"result {i}, {node!r}: {wrong.sum()} of {wrong.size} elements, at {at} {got[at]!r}, "
                    f"the reference says {wanted[at]!r}, within {hull.low[at]!r} and {hull.high[at]!r}"
                )
        return found

    # Runs --------------------------------------------------------------------------------------------------------
    def _run(self, noise: Noise | None) -> list[Array]:
        """The results with noise where rounding was; without noise, in long double throughout."""
        arrays: dict[Node, Array] = {}
        with np.errstate(all="ignore"):
            for node in self.order:
                arrays[node] = self._value(node, arrays, noise)
        return [arrays[node] for node in self.graph.results]

    def _value(self, node: Node, arrays: Mapping[Node, Array], noise: Noise | None) -> Array:
        if node in self.values:
            return self.values[node]
        if op_of(node).kind is Kind.LOOP:
            return self._looped(node, arrays, noise)
        if isinstance(node, Results):
            return _NOTHING  # each of its parts is computed by itself
        if op_of(_made(node)).kind is Kind.LOOP:
            return arrays[node.inputs[0]][node.attrs["index"]]
        if not node.inputs:
            return evaluate([node], {}, seed=SEED, step=STEP)[0]
        sources = _made(node).inputs
        inputs = [arrays[source] for source in sources]
        if noise is None:
            value = _exact(node, inputs)
            overflown = node.op in ("exp", "exp2", "expm1") and (np.isinf(value) & np.isfinite(inputs[0])).any()
            self._overflown = self._overflown or bool(overflown)
            return value
        wide = [a.astype(np.float32) if s.dtype.is_low_precision else a for a, s in zip(inputs, sources, strict=True)]
        value = noise(node, _reference(node, wide), wide)
        hoisted = _hoisted(node, arrays) if self._rng.random() < 0.5 else None
        value = value if hoisted is None else hoisted
        return value.astype(node.dtype.numpy, copy=False)

    def _looped(self, node: Node, arrays: Mapping[Node, Array], noise: Noise | None) -> Any:
        """The results of a loop, whose body is walked like a graph."""
        looped = Looped(node)
        body, (values, stacks, constants) = looped.body, looped.divided([arrays[source] for source in node.inputs])
        rows: list[list[Array]] = []
        for i in reversed(range(looped.count)) if looped.is_reversed else range(looped.count):
            given = dict(zip(body.inputs, (*values, *(stack[i] for stack in stacks), *constants), strict=True))
            for inner in body.nodes:
                if inner not in given:
                    given[inner] = self._value(inner, given, noise)
            rows.append([given[output] for output in body.outputs])
            values = [given[value] for _, value in body.updates]
        columns = zip(*(rows[::-1] if looped.is_reversed else rows), strict=True)
        return [*values, *(np.stack(column) for column in columns)]

    def _noisy(self, node: Node, value: Array, inputs: list[Array]) -> Array:
        if not node.dtype.is_float or op_of(node).kind is Kind.VIEW or value.dtype not in WIDER or not value.size:
            return value
        info, rng = np.finfo(value.dtype), self._rng
        size, unit, exact = np.abs(value), UNITS * info.eps, _computed(node, inputs, WIDER[value.dtype])
        rounded = np.isfinite(value) if exact is None else (exact != value) & np.isfinite(value)
        if op_of(node).kind is not Kind.ELEMENTWISE:
            unit = ADDING * info.eps
            size, partly, spilt = _magnitude(node, value, inputs)
            rounded |= partly & np.isfinite(value)
            value = np.where(spilt & ~np.isfinite(value), rng.choice((np.nan, np.inf, -np.inf), value.shape), value)
        if _leaves_signs_open(node):
            value = np.where(value == 0, np.copysign(value, rng.uniform(-1, 1, value.shape)), value)
        if not rounded.any():
            return value
        shift = rng.uniform(-1, 1, value.shape) * (unit * np.minimum(size, info.max) + 4 * info.smallest_subnormal)
        return np.where(rounded, value + shift.astype(value.dtype), value)


def _made(node: Node) -> Node:
    """What computes `node`: for one of several results the node that has them."""
    return node.inputs[0] if op_of(node).kind is Kind.PART else node


def _reference(node: Node, inputs: list[Array]) -> Array:
    """The value of `node` by the reference of its op, or of the op that it is a part of."""
    made = _made(node)
    answer = op_of(made).reference(*inputs, **made.attrs)
    return np.asarray(answer if made is node else answer[node.attrs["index"]])


def _magnitude(node: Node, value: Array, inputs: list[Array]) -> tuple[Array, Array, Array]:
    """What the terms of each element come to without their signs; where a part of that may be rounded; and where the
    finite ones leave the range."""
    plain = [np.abs(x) if x.dtype.kind == "f" else x for x in inputs]
    finite = [np.where(np.isfinite(x), x, 0) if x.dtype.kind == "f" else x for x in plain]
    found = _computed(node, finite, WIDER[value.dtype])
    size = np.abs(_reference(node, plain))
    none = np.zeros(value.shape, bool)
    if size.shape != value.shape or found is None:
        return np.abs(value), none, none
    return np.fmax(size, np.abs(value)), found != found.astype(value.dtype), found > np.finfo(value.dtype).max


def _computed(node: Node, inputs: list[Array], wider: Any) -> Array | None:
    """One op in a wider float, or None where its reference knows none."""
    try:
        return _reference(node, _widened(inputs, wider))
    except TypeError:
        return None


def _hoisted(node: Node, arrays: Mapping[Node, Array]) -> Array | None:
    """A sum of products as the product of a sum, and of quotients, where the factor is the same along the axes."""
    if node.op != "sum" or node.dtype.name not in WIDE_FLOAT:
        return None
    x, axes = node.inputs[0], node.attrs["axes"]
    if x.op not in ("multiply", "divide") or not x.type.size:
        return None
    for place in (1, 0) if x.op == "multiply" else (1,):
        factor = arrays[x.inputs[place]]
        first = factor[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(factor.ndim))]
        if factor.ndim == len(x.shape) and np.array_equal(factor, np.broadcast_to(first, factor.shape), equal_nan=True):
            rest = np.asarray(op_of(node).reference(arrays[x.inputs[1 - place]], axes=axes))
            return np.asarray(op_of(x).reference(rest, first.reshape(rest.shape)))
    return None


def _leaves_signs_open(node: Node) -> bool:
    """Whether docs/rewrites.md promises no sign of a zero: of a sum over several terms, and of a sum of paddings."""
    if node.op == "sum":
        return node.inputs[0].type.size > node.type.size
    return node.op == "add" and all(x.op == "pad" or _leaves_signs_open(x) for x in node.inputs)


def _units(node: Node) -> tuple[float, float]:
    """What a result may be off by beyond the hull: a part of its size, and a number; 0 for what is exact."""
    if not node.dtype.is_float:
        return 0.0, 0.0
    info, units = ml_dtypes.finfo(node.dtype.numpy), 1 if node.dtype.is_low_precision else UNITS
    return units * float(info.eps), units * float(info.smallest_subnormal)


def _widened(inputs: list[Array], wider: Any) -> list[Array]:
    return [x.astype(wider) if x.dtype.kind == "f" else x for x in inputs]


def _exact(node: Node, inputs: list[Array]) -> Array:
    """One op in long double, or in float64 where its reference knows no more."""
    if node.op == "cast" and node.dtype.is_float:
        return inputs[0].astype(np.longdouble)
    for wider in (np.longdouble, np.float64):
        given = [x.astype(wider) if s.dtype.is_float else x for x, s in zip(inputs, _made(node).inputs, strict=True)]
        try:
            value = _reference(node, given)
        except TypeError:
            continue
        return value if node.dtype.is_float else value.astype(node.dtype.numpy)
    return _reference(node, given)
