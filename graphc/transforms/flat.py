"""Losses that are piecewise constant in all they are differentiated by: said in a warning, since their gradient is 0.

An accuracy depends on every weight, but only through comparisons and rounding, whose derivative is 0 wherever there
is one. Training with such a loss changes nothing, without an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphc.ir.location import capture
from graphc.ir.node import Node
from graphc.ir.notice import warn_once
from graphc.ops.record import Kind, op_of

__all__ = ["warn_if_flat"]


def warn_if_flat(outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
    """Warn, once for a line, if a path leads from an input to an output that no `stop_gradient` cuts. Called where no
    derivative came along any path."""
    (output,) = outputs
    step = _flat_step(output, set(inputs))
    if step is None:
        return
    where = f" at {step.location}" if step.location is not None else ""
    warn_once(
        f"flat at {capture()}",
        f"{output!r} has gradient 0 everywhere: it depends on what it is differentiated by only in steps, through "
        f"{step.op}{where}\nTrain with a smooth loss (nn.cross_entropy in place of an accuracy); gx.stop_gradient says "
        "that zeros are meant.",
    )


def _flat_step(output: Node, inputs: set[Node]) -> Node | None:
    """The node next to an input, on a path to the output, behind which the path is flat."""
    reader: dict[Node, Node | None] = {output: None}
    pending = [output]
    while pending:
        node = pending.pop()
        if node in inputs:
            return _first_flat(node, reader)
        for source in _followed(node):
            if source not in reader:
                reader[source] = node
                pending.append(source)
    return None


def _followed(node: Node) -> Iterator[Node]:
    """The inputs of `node` but for those that a mark cuts off on purpose."""
    if node.op != "stop_gradient":
        yield from node.inputs[:1] if op_of(node).kind is Kind.MARK else node.inputs


def _first_flat(source: Node, reader: dict[Node, Node | None]) -> Node:
    """The first step upwards from `source` that has no derivative."""
    node = reader[source]
    while node is not None and reader[node] is not None and not _is_flat(node, source):
        source, node = node, reader[node]
    return source if node is None else node


def _is_flat(node: Node, source: Node) -> bool:
    places = [place for place, other in enumerate(node.inputs) if other is source]
    return not node.has_floats or all(op_of(node).is_flat(place) for place in places)
