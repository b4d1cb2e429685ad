"""Values: the tensors of a program that have a place of their own, and where every other node lies in them.

Every node that a launch reads or writes whole is a value, numbered in the order it was met; a view of one is an offset
and strides. A value may lie inside another: the parts of a stack are written right where the stack is read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

from graphc.assembly.records import Place
from graphc.dsl.naming import parameters_of
from graphc.errors import InternalError
from graphc.fusion.group import Group, buffer_view, operand_view
from graphc.fusion.layout import within
from graphc.fusion.results import result_base
from graphc.fusion.views import StridedView
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.operand import OperandView
from graphc.memory.numbers import ValueNumber
from graphc.memory.storage import Value
from graphc.ops.record import Kind, op_of

__all__ = ["Values"]

_RNG_TYPE = TensorType(DTYPES["int64"], (2,))  # seed and step


class Values:
    """The values of `graph`, whose work is cut into `groups`; by number: `values`, `names`, `types` and `owners`.

    `parameters` are those of the graph by their names in the program, in the order of definition.
    """

    def __init__(self, graph: Graph, groups: Sequence[Group]) -> None:
        self.values: list[Value] = []
        self.names: list[str] = []
        self.types: list[TensorType] = []
        self.owners: list[Node | None] = []
        self.number: dict[Node, ValueNumber] = {}
        self.pieces: dict[ValueNumber, list[ValueNumber]] = {}  # the values inside a value
        self.strides: dict[Node, tuple[int, ...]] = {}  # of nodes that lie in no one stretch
        self.parameters = parameters_of(graph)
        self._called: dict[Node, str] = {parameter: name for name, parameter in self.parameters.items()}
        self.rng = ValueNumber(-1)
        self._add_graph(graph, groups)

    def _add_graph(self, graph: Graph, groups: Sequence[Group]) -> None:
        outputs = {result_base(result): i for i, result in enumerate(graph.outputs)}
        for node in graph.inputs:
            self.add(node, node.attrs["name"], node.type, f"input {node.attrs['name']}")
        for target, _ in graph.updates:
            self._source(target)
        for group in groups:
            for node in group.stores:
                self._stored(node, graph, outputs, group.inside)
            if group.anchor is not None and group.library is not None:
                self._stored(group.library, graph, outputs, group.inside)

    def add(self, node: Node | None, name: str, type: TensorType, storage: str | None) -> ValueNumber:
        """A new value, which holds `node`; its number."""
        new = ValueNumber(len(self.values))
        self.values.append(Value(type.nbytes, storage))
        self.names.append(name)
        self.types.append(type)
        self.owners.append(node)
        if node is not None:
            self.number[node] = new
        return new

    def add_bytes(self, name: str, nbytes: int) -> ValueNumber:
        """A new value in the arena: memory that a launch has for itself; its number."""
        return self.add(None, name, TensorType(DTYPES["uint8"], (nbytes,)), None)

    def copy(self) -> Values:
        """The same values, to which others can be added."""
        new = copy.copy(self)
        new.values, new.names, new.types = list(self.values), list(self.names), list(self.types)
        new.owners, new.number = list(self.owners), dict(self.number)
        return new

    def rematerialised(self, value: ValueNumber) -> ValueNumber:
        """A new value in the arena for what `value` holds; its number."""
        new = self.add(None, self.names[value], self.types[value], None)
        self.owners[new] = self.owners[value]
        return new

    def _stored(
        self, node: Node, graph: Graph, outputs: dict[Node, int], inside: Mapping[Node, StridedView]
    ) -> ValueNumber:
        """The number of a value that launches store, in a buffer of its own or `inside` another's."""
        if node not in self.number:
            at = outputs.get(node)
            name = _name(node) if at is None else graph.names[at] if graph.names else f"output{at}"
            value = self.add(node, name, node.type, None if at is None else f"output {at}")
            if node in inside:
                view = inside[node]
                self.put_inside(
                    value, self._stored(view.base, graph, outputs, inside), view.offset * node.dtype.itemsize
                )
                if not view.is_contiguous:
                    self.strides[node] = view.strides
        return self.number[node]

    def put_inside(self, value: ValueNumber, whole: ValueNumber, offset: int) -> None:
        """Let `value` begin at a byte of another value."""
        home, start = self.place(whole, offset)
        self.values[value] = Value(self.values[value].nbytes, self.values[home].storage, (home, start))
        self.pieces.setdefault(whole, []).append(value)

    def with_pieces(self, reads: Iterable[ValueNumber]) -> tuple[ValueNumber, ...]:
        """`reads`, each once, with the values that lie inside them, and inside those."""
        found = dict[ValueNumber, None]()
        pending = [*reads][::-1]
        while pending:
            value = pending.pop()
            if value not in found:
                found[value] = None
                pending += self.pieces.get(value, ())[::-1]
        return tuple(found)

    def place(self, value: ValueNumber, offset: int) -> Place:
        """A byte of a value as a byte of the outermost value that it lies in."""
        inside = self.values[value].inside
        return (inside[0], inside[1] + offset) if inside else (value, offset)

    def _source(self, node: Node) -> ValueNumber:
        if node not in self.number:
            kind = node.op
            self.add(node, self._called.get(node, kind), node.type, f"{kind} {len(self.values)}")
        return self.number[node]

    def locate(self, node: Node | None) -> Place:
        """Where `node` starts; None is the random state. Raises InternalError."""
        if node is None:
            self.rng = self.add(None, "rng", _RNG_TYPE, "rng") if self.rng < 0 else self.rng
            return self.rng, 0
        if node in self.number:
            return self.number[node], 0
        if op_of(node).kind is Kind.SOURCE:
            return self._source(node), 0
        view = buffer_view(node)
        if view.base is node:
            raise InternalError(f"assembly: {node!r} was not stored")
        if view.base in self.strides:
            raise InternalError(f"assembly: {node!r} lies in no one stretch")
        value, offset = self.locate(view.base)
        return value, offset + view.offset * node.dtype.itemsize

    def operands(self, node: Node) -> tuple[list[OperandView], list[Place]]:
        """How the inputs of a library op lie in memory, and where. Raises InternalError."""
        views, places = [], []
        for position, source in enumerate(node.inputs):
            view = operand_view(node, position)
            value, offset = self.locate(view.base)
            if view.base in self.strides:
                view = within(view, self.strides[view.base])
            views.append(OperandView(source.dtype, view.shape, view.strides))
            places.append((value, offset + view.offset * source.dtype.itemsize))
        return views, places


def _name(node: Node) -> str:
    """What a value is called that the user gave no name: its op, for a part that of what it is a part of."""
    return node.inputs[0].op if op_of(node).kind is Kind.PART else node.op
