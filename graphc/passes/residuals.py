"""`save_residuals`: what a loop computes and another one would compute again from its stacked values is stacked, too.

    forward loop    h_t = tanh(a_t)                        stacks the h_t that iterations start with
    backward loop   computes a_t and h_t again from these, then g_t (1 - h_t h_t)

becomes a forward loop that stacks h_t, and a backward one that takes slices of it. A value is saved where what it takes
to compute it again is more than a few additions an element; what is elementwise and cheap is computed again. The body
of the one loop is compared with that of the other in terms of what both take slices of, and read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node, Results, remade
from graphc.ops.build import apply
from graphc.ops.functions.loops import loop
from graphc.ops.primitives.loops import Looped
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor
from graphc.passes.opened import OpenLoop, Parts, each_loop, part_of
from graphc.passes.rewriting import Keeps, Rewrite

__all__ = ["REWRITES", "save_residuals"]


def _computed_again(x: Tensor, a: Tensor) -> Tensor:
    def step(carries: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return [apply("tanh", carries[0] + slices[0])], [carries[0]]

    _, (states,) = loop(step, 8, [x], [a])
    return loop(lambda _, slices: ([], [apply("tanh", slices[0] + slices[1]) + 1]), 8, [], [states, a])[1][0]


REWRITES = (
    Rewrite(
        "f(h_t) of states that a loop has stacked, in another loop", "slice t of what the first has computed",
        Keeps.BITS, _computed_again, "f is more than a few additions an element",
    ),
)  # fmt: skip

CHEAP = 4  # additions an element, up to which a value is computed again
_FREE = (Kind.VIEW, Kind.GENERATED)


@dataclass
class _Saved:
    """What a loop stacks besides, and what another one has in place of its own nodes: the source, and what it saves."""

    gives: dict[Node, None] = field(default_factory=dict)
    takes: dict[Node, tuple[Node, Node]] = field(default_factory=dict)


def save_residuals(graph: Graph) -> Graph:
    """`graph` whose loops take from others what these have computed."""
    if not graph.bodies:
        return graph
    saved = _plan(graph)
    if not any(found.takes for found in saved.values()):
        return graph
    made: dict[Node, dict[Node, Node]] = {}  # by loop: the stacks of what it gives

    def change(node: Node, inputs: Sequence[Node]) -> Parts:
        opened, wanted = OpenLoop.of(node, inputs), saved[node]
        gives = [opened.gives(inside) for inside in wanted.gives]
        opened.replace({inside: opened.takes(made[source][value]) for inside, (source, value) in wanted.takes.items()})
        parts = opened.closed()
        made[node] = {inside: parts[len(opened.carries) + at] for inside, at in zip(wanted.gives, gives, strict=True)}
        return parts

    return each_loop(graph, change)


def _plan(graph: Graph) -> dict[Node, _Saved]:
    """What each loop gives and takes, besides what it does."""
    loops = [node for node in graph.nodes if op_of(node).kind is Kind.LOOP]
    saved = {node: _Saved() for node in loops}
    for node in loops:
        for source in _sources(node):
            known = set(topological(Looped(source).body.results))
            images = _images(OpenLoop.of(node, node.inputs), OpenLoop.of(source, source.inputs))
            for inside in _worth_saving(node, images, known, saved[node].takes):
                saved[node].takes[inside] = source, images[inside]
                saved[source].gives[images[inside]] = None
    return saved


def _sources(node: Node) -> Iterator[Node]:
    """The loops of as many iterations that a loop takes slices of."""
    _, stacks, _ = Looped(node).divided(node.inputs)
    found = dict.fromkeys(part_of(stack) for stack in stacks)
    yield from (loop for loop in found if loop is not None and Looped(loop).count == Looped(node).count)


def _images(loop: OpenLoop, source: OpenLoop) -> dict[Node, Node]:
    """What nodes in the body of a loop are in the body of the source, whose iteration takes and gives the same slices.

    They are there if these are all that they depend on; whether the source computes them is another question.
    """
    known: dict[Node, Node] = {}
    carried = len(source.carries)
    for inside, stack in loop.slices:
        if part_of(stack) is source.node and stack.attrs["index"] >= carried:
            known[inside] = source.outputs[stack.attrs["index"] - carried]
    for mine, others in ((loop.slices, source.slices), (loop.constants, source.constants)):
        there = {value: inside for inside, value in others}
        known |= {inside: there[value] for inside, value in mine if value in there and inside not in known}
    own = {inside for inside, *_ in (*loop.carries, *loop.slices, *loop.constants)}
    for node in topological(loop.results):
        if node not in own and all(source in known for source in node.inputs):
            known[node] = remade(node, tuple(known[source] for source in node.inputs)) if node.inputs else node
    return known


def _worth_saving(
    node: Node, images: Mapping[Node, Node], computed: set[Node], taken: Mapping[Node, object]
) -> list[Node]:
    """The nodes that a body would have from elsewhere: those that are read by what is not, and dear to compute."""
    body = Looped(node).body
    order = topological(body.results)
    there = {inside for inside in order if images.get(inside) in computed and inside.inputs and inside not in taken}
    there -= {inside for inside in there if isinstance(inside, Results)}  # its parts are what is read
    results = set(body.results)
    readers = {source for inside in order if inside not in there for source in inside.inputs}
    read = [inside for inside in order if inside in there and (inside in readers or inside in results)]
    given = {*body.inputs, *read}
    return [inside for inside in read if op_of(inside).kind not in _FREE and _is_dear(inside, given - {inside})]


def _is_dear(node: Node, given: set[Node]) -> bool:
    """Whether a value takes more than a few additions an element to compute from what is given."""
    cost, pending, seen = 0, [node], {node}
    while pending:
        inside = pending.pop()
        op = op_of(inside)
        if op.kind not in _FREE:
            cost += op.cost if op.kind is Kind.ELEMENTWISE else CHEAP + 1
        new = [source for source in inside.inputs if source not in given and source not in seen]
        seen.update(new)
        pending += new
    return cost > CHEAP
