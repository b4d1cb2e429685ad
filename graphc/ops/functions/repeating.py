"""`scan`, `map` and `fori_loop`: functions of Python's that run many times in one loop of the compiled program.

Names and meanings are JAX's. The function is called once, on tensors that stand for what an iteration has; what it
builds is the body of a loop (loops.py), so a program is as long whatever the number of iterations is. Derivatives of
all orders and both modes go through (transforms/bodies.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.errors import GraphError, ShapeError, shown
from graphc.ir.public import public
from graphc.ir.types import TensorType
from graphc.ops.functions.joining import concatenate, stack
from graphc.ops.functions.loops import Step, loop
from graphc.ops.functions.shapes import reshape
from graphc.ops.functions.sources import arange, zeros
from graphc.ops.nested import Structure, flatten
from graphc.ops.primitives.loops import argument
from graphc.ops.tensor import Tensor

__all__ = ["fori_loop", "map", "scan"]

Tensors = Sequence[Tensor]


@public
def scan(
    function: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None, *,
    reverse: bool = False, unroll: int | bool = 1,
) -> tuple[Any, Any]:  # fmt: skip
    """`carry, y = function(carry, x)` for each slice of `xs`, in turn: the last carry, and all `y` stacked.

    `init` is the first carry. `xs`, the carry and `y` are tensors, None, or tuples, lists and dicts of them; `x` has
    the slices of `xs` along their first axes, which have one length; without `xs`, `length` says how often. A carry
    keeps its structure, shapes and dtypes. `reverse` begins with the last slice; `y` stands where its `x` does. What
    `function` reads from around it, parameters too, is read by every iteration; what it draws is drawn anew. `unroll`
    iterations, or all with True, are written out one after the other in the body, which makes short bodies faster and
    programs longer. Raises GraphError, ShapeError.

    >>> total, totals = scan(lambda carry, x: (carry + x, carry + x), constant(0.0), constant([1.0, 2.0, 4.0]))
    >>> evaluate([total, totals])
    [array(7., dtype=float32), array([1., 3., 7.], dtype=float32)]
    """
    carries, structure = flatten(init, "init")
    stacks, slices = flatten(xs, "xs")
    count = _count(stacks, slices, length)
    body = _Body(function, structure, [carry.type for carry in carries], slices)
    unrolled = _checked_unroll(unroll, count)
    if count == 0:
        outputs = body.empty([TensorType(s.dtype, s.shape[1:]) for s in stacks])
        return structure.filled(carries), body.outputs.filled(outputs)
    last, stacked = _repeated(body, count, carries, stacks, reverse=bool(reverse), unroll=unrolled)
    return structure.filled(last), body.outputs.filled(stacked)


@public
def map(function: Callable[[Any], Any], xs: Any) -> Any:
    """`function` of each slice of `xs` along the first axis, one after the other: what it answers with, stacked.

    `xs` and results are tensors, or tuples, lists and dicts of them. It takes the memory of one slice at a time, where
    a function of whole arrays takes that of all. Raises GraphError, ShapeError.

    >>> evaluate(map(lambda x: x @ x, constant([[1.0, 2.0], [3.0, 4.0]])))
    array([ 5., 25.], dtype=float32)
    """
    return scan(lambda _, x: (None, function(x)), None, xs)[1]


@public
def fori_loop(lower: int, upper: int, function: Callable[[Tensor, Any], Any], init: Any) -> Any:
    """`value = function(i, value)` for i from `lower` to `upper` - 1: the last value, at first `init`.

    `i` is an int64 tensor. A value is a tensor, or a tuple, list or dict of them, which keeps its structure, shapes and
    dtypes. Raises GraphError, ShapeError.

    >>> evaluate(fori_loop(1, 6, lambda i, value: value * i.astype("float32"), constant(1.0)))
    array(120., dtype=float32)
    """
    numbers = arange(_whole(lower, "lower"), max(_whole(upper, "upper"), lower), dtype="int64")
    return scan(lambda value, i: (function(i, value), None), init, numbers)[0]


class _Body:
    """A user's function as a step of a loop: on flat lists of tensors, and with a carry that stays what it is.

    `outputs` is the structure of its `y`, known once it was called.
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], carried: Structure, types: Sequence[TensorType], slices: Structure
    ) -> None:
        self.function, self.carried, self.types, self.slices = function, carried, types, slices
        self.outputs = Structure(type(None))

    def __call__(self, carries: list[Tensor], slices: list[Tensor]) -> tuple[Tensors, Tensors]:
        found = self.function(self.carried.filled(carries), self.slices.filled(slices))
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise GraphError(f"the function of a scan answers with a pair, carry and y, not {shown(found)}")
        nexts, structure = flatten(found[0], "carry")
        if structure != self.carried:
            raise GraphError(f"the carry begins as {self.carried}, and its next value is {structure}")
        for path, was, new in zip(structure.paths("carry"), self.types, nexts, strict=True):
            if new.type != was:
                hint = "; convert one of them (astype)" if new.shape == was.shape else ""
                raise ShapeError(f"{path} begins as {was}, and its next value is {new.type}{hint}")
        outputs, self.outputs = flatten(found[1], "y")
        return nexts, outputs

    def empty(self, slices: Sequence[TensorType]) -> list[Tensor]:
        """The outputs of no iteration."""
        _, outputs = self([argument(type) for type in self.types], [argument(type) for type in slices])
        return [zeros((0, *output.shape), output.dtype) for output in outputs]


def _repeated(
    body: Step, count: int, carries: Tensors, stacks: Tensors, *, reverse: bool, unroll: int
) -> tuple[Tensors, Tensors]:
    """The last carries and the stacked outputs of `count` steps, `unroll` of them at a time."""
    rest = count % unroll
    whole = count - rest
    parts = {"first": (0, whole), "rest": (whole, count)}
    found: dict[str, Tensors] = {}
    for name in ("rest", "first") if reverse else ("first", "rest"):
        start, stop = parts[name]
        if stop > start:
            times = unroll if name == "first" else rest
            taken = [s if stop - start == count else s[start:stop] for s in stacks]
            carries, found[name] = _in_groups(body, stop - start, carries, taken, reverse=reverse, times=times)
    pieces = [found[name] for name in ("first", "rest") if name in found]
    return carries, pieces[0] if len(pieces) == 1 else [concatenate(pair) for pair in zip(*pieces, strict=True)]


def _in_groups(
    body: Step, count: int, carries: Tensors, stacks: Tensors, *, reverse: bool, times: int
) -> tuple[Tensors, Tensors]:
    """`count` steps, a multiple of `times`, so many of them in one iteration; one iteration needs no loop."""
    if times == 1:
        return loop(body, count, carries, stacks, reverse=reverse)

    def several(carries: list[Tensor], slices: list[Tensor]) -> tuple[Tensors, Tensors]:
        outputs: dict[int, Tensors] = {}
        for at in reversed(range(times)) if reverse else range(times):
            new, outputs[at] = body(carries, [part[at] for part in slices])
            carries = [*new]
        return carries, [stack(parts) for parts in zip(*(outputs[at] for at in range(times)), strict=True)]

    if count == times:
        return several([*carries], [*stacks])
    grouped = [reshape(s, (count // times, times, *s.shape[1:])) for s in stacks]
    last, outputs = loop(several, count // times, carries, grouped, reverse=reverse)
    return last, [reshape(output, (count, *output.shape[2:])) for output in outputs]


def _count(stacks: Tensors, structure: Structure, length: int | None) -> int:
    """How many iterations there are. Raises ShapeError."""
    found = {} if length is None else {"length": _whole(length, "length")}
    for path, tensor in zip(structure.paths("xs"), stacks, strict=True):
        if not tensor.shape:
            raise ShapeError(f"{path} has no first axis to take slices along: it is {tensor.type}")
        found[path] = tensor.shape[0]
    if not found:
        raise ShapeError("a scan without xs takes a length")
    if len({*found.values()}) > 1:
        raise ShapeError(f"a scan has one length, not {', '.join(f'{n} of {path}' for path, n in found.items())}")
    count = next(iter(found.values()))
    if count < 0:
        raise ShapeError(f"length is {count}; it is 0 or more")
    return count


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise GraphError(f"{name} is {shown(value)}; it must be a whole number that is known when the graph is built")
    return int(value.__index__())


def _checked_unroll(unroll: int | bool, count: int) -> int:
    if unroll is True:
        return max(count, 1)
    times = 1 if unroll is False else _whole(unroll, "unroll")
    if times < 1:
        raise GraphError(f"unroll is {times}; it is at least 1")
    return min(times, max(count, 1))
