"""A loop taken apart, changed, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.body import Body
from graphc.ir.graph import Graph, interpret
from graphc.ir.node import Node, remade
from graphc.ops.build import build_node, parts_of
from graphc.ops.primitives.loops import LOOP, Looped, argument, closed
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Tensor

__all__ = ["OpenLoop", "each_loop", "part_of"]

Parts = Sequence[Node]


@dataclass
class OpenLoop:
    """What a loop is made of: nodes of its body beside those around it that they stand for.

    `carries` are what is carried, what it starts with and what it becomes; `slices` have what they are slices of,
    `constants` what they are; `outputs` are nodes of the body that are stacked.
    """

    node: Node
    carries: list[tuple[Node, Node, Node]]
    slices: list[tuple[Node, Node]]
    constants: list[tuple[Node, Node]]
    outputs: list[Node]

    @classmethod
    def of(cls, node: Node, inputs: Sequence[Node]) -> OpenLoop:
        """The loop `node`, whose inputs are to be `inputs`."""
        looped = Looped(node)
        graph = looped.body
        inits, stacks, values = looped.divided(inputs)
        carries, slices, constants = looped.divided(graph.inputs)
        return cls(
            node,
            [(inside, init, after) for inside, init, (_, after) in zip(carries, inits, graph.updates, strict=False)],
            [*zip(slices, stacks, strict=True)],
            [*zip(constants, values, strict=True)],
            [*graph.outputs],
        )

    @property
    def results(self) -> list[Node]:
        """What the body computes: its outputs, then the next values."""
        return [*self.outputs, *(after for _, _, after in self.carries)]

    def takes(self, stack: Node) -> Tensor:
        """What stands in the body for a slice of `stack`."""
        for inside, other in self.slices:
            if other is stack:
                return inside  # type: ignore[return-value]
        inside = argument(stack.type.with_shape(stack.shape[1:]))
        self.slices.append((inside, stack))
        return inside

    def gives(self, inside: Node) -> int:
        """The number of the output that a node of the body is."""
        for number, output in enumerate(self.outputs):
            if output is inside:
                return number
        self.outputs.append(inside)
        return len(self.outputs) - 1

    def replace(self, new: Mapping[Node, Node]) -> None:
        """Let nodes of the body have others in their place."""
        found = interpret(self.results, {**new}, remade)
        count = len(self.outputs)
        self.outputs = found[:count]
        self.carries = [(*was[:2], after) for was, after in zip(self.carries, found[count:], strict=True)]

    def closed(self, finish: Callable[[Body], Body] = lambda body: body) -> Parts:
        """The last carried values, then the stacked outputs, of the loop as it is now, with a body that is finished."""
        inside = [*(part[0] for part in self.carries), *(i for i, _ in self.slices), *(i for i, _ in self.constants)]
        body = closed(inside, [after for _, _, after in self.carries], self.outputs)
        around = [*(part[1] for part in self.carries), *(o for _, o in self.slices), *(o for _, o in self.constants)]
        attrs = {**self.node.attrs, "body": finish(body), "stacked": len(self.slices)}
        new = build_node(LOOP, tuple(around), attrs)
        new.location = self.node.location
        return parts_of(new)


def each_loop(graph: Graph, change: Callable[[Node, Sequence[Node]], Parts]) -> Graph:
    """`graph` with `change(node, inputs)` in place of each loop: the parts of a loop, of which there may be more."""

    def compute(node: Node, inputs: tuple[Node, ...]) -> Node | Parts:
        if op_of(node).kind is Kind.LOOP:
            return change(node, inputs)
        source = part_of(node)
        return remade(node, inputs) if source is None else inputs[0][node.attrs["index"]]  # type: ignore[index]

    return graph.with_results(interpret(graph.results, {}, compute))  # type: ignore[arg-type]


def part_of(node: Node) -> Node | None:
    """The loop of which a node is a part."""
    is_part = op_of(node).kind is Kind.PART and op_of(node.inputs[0]).kind is Kind.LOOP
    return node.inputs[0] if is_part else None
