"""Loops: the primitive `loop`, whose body runs several times in one node.

    body inputs     carried values, slices of the stacked inputs, constants          in this order
    body updates    for each carried value its next value
    body outputs    stacked along a new first axis, one slice for each iteration

The inputs of a node are what the carried values start with, the stacked inputs, the constants; its results the last
carried values and the stacked outputs. Iteration i takes and gives slice i, `reverse` ones slice `count` - 1 - i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.body import Body
from graphc.ir.fresh import fresh_numbers
from graphc.ir.graph import Graph, interpret
from graphc.ir.node import Node, next_serial, remade
from graphc.ir.numbering import number_fresh
from graphc.ir.text import body_of
from graphc.ir.types import TensorType, TupleType
from graphc.ops.applying import apply_reference
from graphc.ops.build import apply
from graphc.ops.record import OF_ITS_BODY, Array, Kind, primitive
from graphc.ops.tensor import Tensor

__all__ = ["LOOP", "Looped", "argument", "closed"]

LOOP = "loop"


@dataclass(frozen=True)
class Looped:
    """What a node of the op `loop` is made of."""

    node: Node

    @property
    def body(self) -> Graph:
        graph: Graph = self.node.attrs["body"].graph
        return graph

    @property
    def count(self) -> int:
        return int(self.node.attrs["count"])

    @property
    def is_reversed(self) -> bool:
        return bool(self.node.attrs["reverse"])

    def divided(self, inputs: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """What belongs to the inputs of the node or of its body: to carried values, slices and constants."""
        carried, stacked = len(self.body.updates), int(self.node.attrs["stacked"])
        return inputs[:carried], inputs[carried : carried + stacked], inputs[carried + stacked :]


# The primitive ---------------------------------------------------------------------------------------------------
def _stacked(slice: TensorType, count: int) -> TensorType:
    """`count` of them along a new first axis."""
    return TensorType(slice.dtype, (count, *slice.shape))


def _infer_loop(*types: TensorType, body: Body, count: int, stacked: int, reverse: bool) -> TupleType:
    if not isinstance(body, Body) or count < 1 or not 0 <= stacked <= len(types):
        raise ShapeError(f"loop runs a body at least once, not {count} times")
    graph, carried = body.graph, len(body.graph.updates)
    own = [node.type for node in graph.inputs]
    wanted = [_stacked(t, count) if carried <= i < carried + stacked else t for i, t in enumerate(own)]
    if list(types) != wanted:
        raise ShapeError(f"loop takes {', '.join(map(str, wanted))}, not {', '.join(map(str, types))}")
    for number, ((target, value), given) in enumerate(zip(graph.updates, graph.inputs, strict=False)):
        if target is not given or value.type != given.type:
            raise ShapeError(f"loop: value {number} is carried as {given.type}, the next one is {value.type}")
    stacks = (_stacked(output.type, count) for output in graph.outputs)
    return TupleType((*own[:carried], *stacks))


def _reference(*arrays: Array, body: Body, count: int, stacked: int, reverse: bool) -> tuple[Array, ...]:
    graph, carried = body.graph, len(body.graph.updates)
    values = list(arrays[:carried])
    stacks = [np.empty((count, *output.shape), output.dtype.numpy) for output in graph.outputs]
    for iteration in reversed(range(count)) if reverse else range(count):
        slices = [stack[iteration] for stack in arrays[carried : carried + stacked]]
        given = dict(zip(graph.inputs, (*values, *slices, *arrays[carried + stacked :]), strict=True))
        results = interpret(graph.results, given, apply_reference)
        for stack, result in zip(stacks, results, strict=False):
            stack[iteration] = result
        values = [np.array(value) for value in results[len(stacks) :]]
    return (*values, *stacks)


primitive(LOOP, kind=Kind.LOOP, infer=_infer_loop, vjp=OF_ITS_BODY, jvp=OF_ITS_BODY, reference=_reference)


# Bodies ----------------------------------------------------------------------------------------------------------
def argument(type: TensorType) -> Tensor:
    """What stands for an input of a body until it is closed: a node that no other is."""
    return apply("input", name=f"(in a loop) {next_serial()}", shape=type.shape, dtype=type.dtype)


def closed(arguments: Sequence[Node], nexts: Sequence[Node], outputs: Sequence[Node]) -> Body:
    """The body with `arguments` as its inputs, of which the first are carried, each with its value of `nexts`."""
    types = [node.type for node in arguments]
    inputs = [apply("input", name=str(i), shape=t.shape, dtype=t.dtype) for i, t in enumerate(types)]
    given: dict[Node, Node] = dict(zip(arguments, inputs, strict=True))
    results = interpret((*outputs, *nexts), given, remade)
    updates = tuple(zip(inputs, results[len(outputs) :], strict=False))
    graph = Graph(tuple(inputs), tuple(results[: len(outputs)]), updates)
    return body_of(number_fresh(graph, fresh_numbers(graph.nodes)))
