"""`loop`: a function of Python's as the body of a loop.

A body is closed: what the function reads from around it becomes a constant of the loop, computed once, but for numbers
and views, which cost nothing in the body; what it draws is drawn for all iterations at once, so that iteration i has
the i-th slice. Every carried value is stacked as well, as it is when an iteration starts: from these the derivatives of
a body are computed (transforms/bodies.py). What nobody reads in the end is dropped by a pass (passes/bodies.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from graphc.errors import GraphError, with_location
from graphc.ir.location import capture
from graphc.ir.node import Node, next_serial
from graphc.ir.types import TensorType
from graphc.ops.build import apply, apply_several
from graphc.ops.primitives.loops import LOOP, argument, closed
from graphc.ops.record import Kind, View, op_of, view_of
from graphc.ops.tensor import Tensor

__all__ = ["loop"]

_KEPT = (View.BROADCAST, View.PERMUTED, View.SLICED, View.RESHAPED)  # views that a body reads through
Step = Callable[[list[Tensor], list[Tensor]], tuple[Sequence[Tensor], Sequence[Tensor]]]


def loop(
    step: Step, count: int, carries: Sequence[Tensor], stacks: Sequence[Tensor] = (), *, reverse: bool = False
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """`count` times `carries, outputs = step(carries, slices)`: the last carries, and the outputs stacked.

    `slices` are those of `stacks` along their first axis. Raises GraphError, ShapeError.
    """
    since = next_serial()
    values = [argument(carry.type) for carry in carries]
    slices = [argument(TensorType(stack.dtype, stack.shape[1:])) for stack in stacks]
    nexts, outputs = step([*values], [*slices])
    inside = _inside((*nexts, *outputs), (*values, *slices), since)
    draws = [node for node in inside if _is_draw(node)]
    constants = _captured(inside, (*nexts, *outputs))
    body = closed((*values, *slices, *draws, *constants), nexts, (*outputs, *values))
    drawn = [apply("random_bits", shape=(count, *d.shape), stream=d.attrs["stream"]) for d in draws]
    found = apply_several(
        LOOP, *carries, *stacks, *drawn, *constants, body=body, count=count, stacked=len(stacks) + len(drawn),
        reverse=reverse,
    )  # fmt: skip
    return found[: len(values)], found[len(values) : len(values) + len(outputs)]


def _inside(results: Iterable[Node], arguments: Iterable[Node], since: int) -> dict[Node, None]:
    """What depends on the arguments, and what is drawn, of what was built after serial `since`; in order."""
    new, pending = set[Node](), [*results]
    while pending:
        node = pending.pop()
        if node.serial > since and node not in new:
            new.add(node)
            pending += node.inputs
    inside = dict.fromkeys(arguments)
    for node in sorted(new, key=lambda node: node.serial):
        if _is_draw(node) or not inside.keys().isdisjoint(node.inputs):
            inside[node] = None
        if node.op == "with_update":
            message = "a parameter cannot be updated in a loop: carry its value, and update it with the last one"
            raise with_location(GraphError(message), node.location or capture())
    return inside


def _is_draw(node: Node) -> bool:
    return node.op == "random_bits"


def _captured(inside: dict[Node, None], results: Iterable[Node]) -> list[Node]:
    """What is read from around a body: below views and numbers, which the body has of its own."""
    pending = [source for node in inside if not _is_draw(node) for source in node.inputs]
    pending = [node for node in (*pending, *results) if node not in inside][::-1]
    found, seen = dict[Node, None](), set[Node]()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if view_of(node) in _KEPT:
            pending += node.inputs[::-1]
        elif _is_draw(node) or not (op_of(node).kind is Kind.GENERATED or (node.op == "constant" and node.size == 1)):
            found[node] = None
    return list(found)
