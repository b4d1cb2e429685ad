"""Stacks: equal-shaped arrays put one after the other, in the one form that all passes share.

    stacked(a, b, ...)       = reshape(concatenate(reshape(a, (1, *shape)), ...))       so equal stacks are one node
    stacked(x[0], x[1], ...) = x                                                        parts that lie side by side

A part that a launch computes can be written right into the stack (graphc/fusion/stacking.py); others are copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, identical, replace, topological
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply
from graphc.ops.primitives.views import join, narrow, reshape_to
from graphc.ops.record import ALL, Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, rebuilt
from graphc.passes.views import run_of_slices

__all__ = ["REWRITES", "copied_elements", "share_stacks", "stacked"]


def _overlapping(a: Tensor) -> Tensor:
    rows = [narrow(a, 0, row, 1) for row in (3, 5, 0, 4, 2, 6)]
    return apply("maximum", join(rows[:5], 0), join(rows[1:], 0))


REWRITES = (
    Rewrite(
        "concatenate(z, a, b), concatenate(a, b, c)", "slices of concatenate(z, a, b, c)", Keeps.BITS, _overlapping,
        "of many parts", dtypes=ALL,
    ),
)  # fmt: skip

_LONG = 4  # parts from which on a stack is worth sharing
_MOST_LOOKS = 64  # at two stacks that may become one; each takes time linear in the graph


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """`parts`, arrays of one shape, one after the other along their first axis."""
    run = _run(parts)
    if run is not None:
        return run
    return reshape_to(join(_pieces(parts), 0), (len(parts) * parts[0].shape[0], *parts[0].shape[1:]))


def copied_elements(parts: Sequence[Tensor]) -> int:
    """How many elements `stacked(parts)` copies: views, what is there before the step, and what appears twice."""
    if _run(parts) is not None:
        return 0
    once = dict.fromkeys(map(_under_reshapes, parts))
    computed = sum(base.size for base in once if op_of(base).kind not in (Kind.VIEW, Kind.SOURCE, Kind.GENERATED))
    return sum(part.size for part in parts) - computed


def _run(parts: Sequence[Tensor]) -> Tensor | None:
    """What `parts` are side by side in, where there is nothing to put together."""
    run = run_of_slices(parts, 0)
    if run is not None:
        return run
    run = run_of_slices(_pieces(parts), 0)
    return None if run is None else reshape_to(run, (len(parts) * parts[0].shape[0], *parts[0].shape[1:]))


def _pieces(parts: Sequence[Tensor]) -> list[Tensor]:
    return [reshape_to(_under_reshapes(part), (1, *part.shape)) for part in parts]


def _under_reshapes(x: Tensor) -> Tensor:
    while x.op == "reshape":
        (x,) = x.inputs
    return x


def share_stacks(graph: Graph) -> Graph:
    """`graph` with each two stacks of which one goes on where the other ends as parts of one longer stack."""
    refused: set[tuple[Node, Node]] = set()
    for _ in range(_MOST_LOOKS):
        found = _overlap(graph, refused)
        if found is None:
            break
        stack, other, _ = found
        if {stack, other}.isdisjoint(topological((*stack.inputs, *other.inputs))):
            graph = _united(graph, *found)
        else:  # a part of the two needs one of them
            refused.add((stack, other))
    return graph


def _overlap(graph: Graph, refused: set[tuple[Node, Node]]) -> tuple[Node, Node, int] | None:
    """Two stacks that were not refused, and the part of the first that the second begins with."""
    stacks = [n for n in graph.nodes if n.op == "concatenate" and n.attrs["axis"] == 0 and len(n.inputs) >= _LONG]
    starts: dict[Node, list[Node]] = {}
    for stack in stacks:
        starts.setdefault(stack.inputs[0], []).append(stack)
    for stack in stacks:
        for position, part in enumerate(stack.inputs[: len(stack.inputs) // 2]):
            for other in starts.get(part, ()):
                common = min(len(stack.inputs) - position, len(other.inputs))
                new = other is not stack and (stack, other) not in refused
                if new and identical(stack.inputs[position : position + common], other.inputs[:common]):
                    return stack, other, position
    return None


def _united(graph: Graph, stack: Node, other: Node, position: int) -> Graph:
    """`graph` with both stacks as slices of one, in which `other` begins at part `position`."""
    since = next_serial()
    tail = other.inputs[len(stack.inputs) - position :]
    whole = join([*stack.inputs, *tail], 0)  # type: ignore[list-item]
    before = sum(part.shape[0] for part in stack.inputs[:position])
    new: dict[Node, Node] = {
        stack: narrow(whole, 0, 0, stack.shape[0]),
        other: narrow(whole, 0, before, other.shape[0]),
    }
    inherit_location(list(new.values()), since, stack.location)
    return graph.with_results(replace(graph.results, new, rebuilt))
