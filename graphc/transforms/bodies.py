"""Derivatives of loops: both modes differentiate the body, and run what they find in a loop of its own.

Reverse mode runs backwards. It carries the cotangents of the carried values, and of each constant the sum so far; it
takes the cotangents of the outputs slice by slice, and gives those of the stacked inputs. Forward mode carries the
tangents of the carried values. What either needs of an iteration it computes again from the values that this started
with, which every loop stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TypeVar

from graphc.errors import InternalError
from graphc.ir.node import Node, Results
from graphc.ops.build import apply, apply_several, parts_of, zeros
from graphc.ops.primitives.loops import LOOP, Looped, argument, closed
from graphc.ops.tensor import Tensor

__all__ = ["pull_through", "push_through"]

Parts = Sequence[Tensor | None]
Sweep = Callable[[Sequence[Node], Sequence[Node], Parts], Parts]
P = TypeVar("P")


def pull_through(node: Results, cotangents: Parts, wanted: Set[int], pull_back: Sweep) -> list[Tensor | None]:
    """The cotangents of the inputs of the loop `node` at the positions `wanted`, None where they are zero.

    `pull_back(outputs, inputs, seeds)` gives the cotangents of inputs in a graph.
    """
    looped = Looped(node)
    graph, (carries, slices, constants) = looped.body, looped.divided(looped.body.inputs)
    inits, stacks, givens = looped.divided(node.inputs)
    floats = [i for i, carry in enumerate(carries) if carry.dtype.is_float]
    moved, fixed = _within(wanted, len(carries), len(slices))
    known = [(output, g) for output, g in zip(graph.outputs, cotangents[len(carries) :], strict=True) if g is not None]

    for_carries = [argument(carries[i].type) for i in floats]
    for_outputs = [argument(output.type) for output, _ in known]
    found = pull_back(
        [*(graph.updates[i][1] for i in floats), *(output for output, _ in known)],
        [graph.inputs[i] for i in (*floats, *moved, *fixed)],
        [*for_carries, *for_outputs],
    )
    of_carries, of_moved, of_fixed = _divided(found, len(floats), len(moved))
    terms = {i: term for i, term in zip(fixed, of_fixed, strict=True) if term is not None}
    sums = [argument(term.type) for term in terms.values()]
    outputs = {i: part for i, part in zip(moved, of_moved, strict=True) if part is not None}
    body = closed(
        (*for_carries, *sums, *carries, *slices, *for_outputs, *constants),
        [*_filled(of_carries, for_carries), *(apply("add", *pair) for pair in zip(sums, terms.values(), strict=True))],
        (*outputs.values(), *for_carries, *sums),
    )
    starts = _filled([cotangents[i] for i in floats], [inits[i] for i in floats])
    results = apply_several(
        LOOP, *starts, *(zeros(sum.type) for sum in sums), *_starts_of(node), *stacks, *(g for _, g in known), *givens,
        body=body, count=looped.count, stacked=len(carries) + len(slices) + len(known), reverse=not looped.is_reversed,
    )  # fmt: skip
    answer = dict(zip((*floats, *terms, *outputs), results, strict=False))
    return [answer.get(position) for position in range(len(node.inputs))]


def push_through(node: Results, tangents: Parts, push_forward: Sweep) -> list[Tensor | None]:
    """The tangents of the results of the loop `node`, None where they are zero.

    `push_forward(outputs, inputs, seeds)` gives the tangents of outputs of a graph.
    """
    looped = Looped(node)
    graph, (carries, slices, constants) = looped.body, looped.divided(looped.body.inputs)
    inits, stacks, givens = looped.divided(node.inputs)
    floats = [i for i, carry in enumerate(carries) if carry.dtype.is_float]
    moving = {i: tangent for i, tangent in enumerate(tangents) if tangent is not None}
    moved, fixed = _within(moving.keys(), len(carries), len(slices))
    seeds = [argument(graph.inputs[i].type) for i in (*floats, *moved, *fixed)]
    found = push_forward(
        [*(graph.updates[i][1] for i in floats), *graph.outputs],
        [graph.inputs[i] for i in (*floats, *moved, *fixed)],
        seeds,
    )
    for_carries, for_moved, for_fixed = _divided(seeds, len(floats), len(moved))
    places = {len(carries) + i: part for i, part in enumerate(found[len(floats) :]) if part is not None}
    body = closed(
        (*for_carries, *carries, *slices, *for_moved, *constants, *for_fixed),
        _filled(found[: len(floats)], for_carries),
        (*places.values(), *for_carries),
    )
    starts = _filled([tangents[i] for i in floats], [inits[i] for i in floats])
    moved_stacks, fixed_givens = ([moving[i] for i in at] for at in (moved, fixed))
    results = apply_several(
        LOOP, *starts, *_starts_of(node), *stacks, *moved_stacks, *givens, *fixed_givens, body=body,
        count=looped.count, stacked=len(carries) + len(slices) + len(moved), reverse=looped.is_reversed,
    )  # fmt: skip
    answer = dict(zip((*floats, *places), results, strict=False))
    return [answer.get(position) for position in range(len(node.type.parts))]


def _within(positions: Set[int], carried: int, stacked: int) -> tuple[list[int], list[int]]:
    """The positions of stacked inputs, and of constants."""
    later = sorted(position for position in positions if position >= carried)
    count = sum(position < carried + stacked for position in later)
    return later[:count], later[count:]


def _divided(parts: Sequence[P], first: int, second: int) -> tuple[Sequence[P], Sequence[P], Sequence[P]]:
    return parts[:first], parts[first : first + second], parts[first + second :]


def _filled(parts: Parts, like: Sequence[Node]) -> list[Tensor]:
    """`parts` with zeros where one is zero."""
    return [zeros(other.type) if part is None else part for part, other in zip(parts, like, strict=True)]


def _starts_of(node: Results) -> list[Tensor]:
    """What each carried value was when an iteration started, stacked."""
    graph, parts = Looped(node).body, parts_of(node)
    places = {output: number for number, output in enumerate(graph.outputs)}
    try:
        return [parts[len(graph.updates) + places[carry]] for carry, _ in graph.updates]
    except KeyError as error:
        raise InternalError(f"the loop {node!r} keeps no {error}: gradients are taken before passes") from None
