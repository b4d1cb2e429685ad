"""Puts a program together: groups, their machine code and their storage become one `Plan`.

Every node that a launch reads or writes whole is a *value* with a place of its own; views of it are offsets and
strides. A parameter's next value is written straight over the old one where nothing needs the old one any more,
else it is written beside it and copied by a last launch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphc.codegen.tile import TileProgram, assemble
from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ir.types import DTYPES, TensorType
from graphc.lower.kernel import Index, Kernel, Load, Operand, Space, Store
from graphc.lower.kernel_text import kernel_text
from graphc.lower.library import OperandView, library_call
from graphc.lower.loops import lower_group
from graphc.ops.record import Kind, op_of
from graphc.ops.tensor import Parameter
from graphc.runtime.plan import Buffer, Launch, Plan, Ref
from graphc.schedule.group import Group
from graphc.schedule.results import result_base
from graphc.schedule.storage import Arrangement, Task, Value, arrange, plan_updates
from graphc.schedule.views import strided_view

__all__ = ["Assembled", "assemble_plan"]

_RNG_TYPE = TensorType(DTYPES["int64"], (2,))  # seed and step


@dataclass(frozen=True)
class Assembled:
    """A plan and what it is bound to: parameters and constants in the plan's order, and its kernels as text."""

    plan: Plan
    parameters: tuple[Parameter, ...]
    constants: tuple[np.ndarray, ...]
    source: str


@dataclass(frozen=True)
class _Draft:
    """A launch whose buffers have no place yet; operands are (value, byte offset)."""

    label: str
    kernel: str
    params: tuple[int, ...]
    operands: tuple[tuple[int, int], ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    in_place: tuple[tuple[int, int], ...]
    tiles: int
    scratch: int
    work: int
    program: int = -1
    program_operands: tuple[tuple[int, int], ...] = ()
    location: str = ""


def assemble_plan(graph: Graph, groups: Sequence[Group]) -> Assembled:
    """The plan of `graph`, whose work is cut into `groups` (in an order in which they can run)."""
    return _Assembly(graph, groups).run()


@dataclass
class _Assembly:
    graph: Graph
    groups: Sequence[Group]
    values: list[Value] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    types: list[TensorType] = field(default_factory=list)
    owners: list[Node | None] = field(default_factory=list)
    number: dict[Node, int] = field(default_factory=dict)
    pieces: dict[int, list[int]] = field(default_factory=dict)  # the values inside a value
    rng: int = -1
    programs: dict[Kernel, tuple[int, TileProgram]] = field(default_factory=dict)
    after: list[tuple[int, ...]] = field(default_factory=list)

    def run(self) -> Assembled:
        self._number_values()
        drafts = [self._draft(group) for group in self.groups if any(node.size for node in group.members)]
        drafts, buffer_of = self._update(drafts)
        tasks = [Task(d.reads, d.writes, d.in_place, after) for d, after in zip(drafts, self.after, strict=True)]
        arrangement = arrange(self.values, tasks)
        plan = self._plan(drafts, arrangement, buffer_of)
        parameters = tuple(o for o in self.owners if isinstance(o, Parameter))
        constants = tuple(o.attrs["value"].array for o in self.owners if o is not None and o.op == "constant")
        source = "\n".join(f"program {n}: {kernel_text(kernel)}" for kernel, (n, _) in self.programs.items())
        return Assembled(plan, parameters, constants, source)

    # Values ----------------------------------------------------------------------------------------------------------
    def _add_value(self, node: Node | None, name: str, type: TensorType, storage: str | None) -> int:
        self.values.append(Value(type.nbytes, storage))
        self.names.append(name)
        self.types.append(type)
        self.owners.append(node)
        if node is not None:
            self.number[node] = len(self.values) - 1
        return len(self.values) - 1

    def _number_values(self) -> None:
        outputs = {result_base(result): i for i, result in enumerate(self.graph.outputs)}
        for node in self.graph.inputs:
            self._add_value(node, node.attrs["name"], node.type, f"input {node.attrs['name']}")
        for target, _ in self.graph.updates:
            self._source_value(target)
        for group in self.groups:
            for node in group.stores:
                self._stored_value(node, outputs, group.inside.get(node))
            if group.anchor is not None and group.library is not None:
                self._stored_value(group.library, outputs, None)

    def _stored_value(self, node: Node, outputs: dict[Node, int], inside: tuple[Node, int] | None) -> int:
        """The number of a value that a launch stores, in a buffer of its own or `inside` another's."""
        if node not in self.number:
            at = outputs.get(node)
            name = node.op if at is None else self.graph.names[at] if self.graph.names else f"output{at}"
            value = self._add_value(node, name, node.type, None if at is None else f"output {at}")
            if inside is not None:
                whole = self._stored_value(inside[0], outputs, None)
                place = whole, inside[1] * node.dtype.itemsize
                self.values[value] = Value(node.type.nbytes, self.values[whole].storage, place)
                self.pieces.setdefault(whole, []).append(value)
        return self.number[node]

    def _whole_reads(self, reads: Iterable[int]) -> tuple[int, ...]:
        """`reads`, with the values that lie inside them."""
        return tuple(dict.fromkeys(v for value in reads for v in (value, *self.pieces.get(value, ()))))

    def _source_value(self, node: Node) -> int:
        if node not in self.number:
            kind = node.op
            name = node.attrs["name"] if kind == "parameter" else kind
            self._add_value(node, name, node.type, f"{kind} {len(self.values)}")
        return self.number[node]

    def _locate(self, node: Node | None) -> tuple[int, int]:
        """The value that holds `node` contiguously, and at which byte."""
        if node is None:
            self.rng = self._add_value(None, "rng", _RNG_TYPE, "rng") if self.rng < 0 else self.rng
            return self.rng, 0
        if node in self.number:
            return self.number[node], 0
        if op_of(node).kind is Kind.SOURCE and node.op in ("parameter", "constant"):
            return self._source_value(node), 0
        view = strided_view(node, self.number)
        if view is None or view.base is node or not view.is_contiguous:
            raise InternalError(f"assembly: {node!r} lies in no buffer")
        value, offset = self._locate(view.base)
        return value, offset + view.offset * node.dtype.itemsize

    # Launches --------------------------------------------------------------------------------------------------------
    def _draft(self, group: Group) -> _Draft:
        kernel, kernel_operands = lower_group(group) if group.is_fused else (None, ())
        number, program = self._program(kernel) if kernel is not None else (-1, None)
        located = tuple(self._locate(o.node) for o in kernel_operands)
        reads = [v for (v, _), o in zip(located, kernel_operands, strict=True) if o.access == "read"]
        writes = [v for (v, _), o in zip(located, kernel_operands, strict=True) if o.access == "write"]
        pairs = _in_place(kernel, located) if kernel is not None else ()
        nodes = ([group.library] if group.library is not None else []) + group.nodes
        common = {"label": _label(nodes), "location": str(nodes[-1].location or "").split("\n")[0]}
        if group.library is None:
            assert program is not None
            return _Draft(
                kernel="tile", params=(), operands=(), reads=self._whole_reads(reads),
                writes=tuple(writes), in_place=pairs, tiles=program.tiles, scratch=program.scratch,
                work=program.work, program=number, program_operands=located, **common,
            )  # fmt: skip
        views, operands = self._library_operands(group.library)
        call = library_call(group.library.op, group.library.attrs, views, group.library.type)
        target = self.number[group.library]
        inputs = [v for v, _ in operands]
        return _Draft(
            kernel=call.name, params=call.params, operands=(*operands, (target, 0)),
            reads=self._whole_reads([*inputs, *(r for r in reads if r != target)]),
            writes=(target, *(w for w in writes if w != target)),
            in_place=tuple((r, w) for r, w in pairs if r not in inputs), tiles=call.tiles,
            scratch=max(call.scratch, program.scratch if program else 0),
            work=call.work + (program.work if program else 0), program=number, program_operands=located, **common,
        )  # fmt: skip

    def _library_operands(self, node: Node) -> tuple[list[OperandView], list[tuple[int, int]]]:
        views, operands = [], []
        for source in node.inputs:
            view = strided_view(source, self.number)
            if view is None or not (op_of(node).strided_operands or view.is_contiguous):
                raise InternalError(f"assembly: {source!r} was not stored for {node!r}")
            value, offset = self._locate(view.base)
            views.append(OperandView(source.dtype, view.shape, view.strides))
            operands.append((value, offset + view.offset * source.dtype.itemsize))
        return views, operands

    def _program(self, kernel: Kernel) -> tuple[int, TileProgram]:
        """The program of a kernel, and its number; equal kernels have one."""
        found = self.programs.get(kernel)
        if found is None:
            found = self.programs[kernel] = len(self.programs), assemble(kernel)
        return found

    # Updates ---------------------------------------------------------------------------------------------------------
    def _update(self, drafts: list[_Draft]) -> tuple[list[_Draft], list[int]]:
        """Write next values over the old ones where possible, else copy them at the end."""
        pairs = [(self.number[target], self._locate(result_base(value))[0]) for target, value in self.graph.updates]
        tasks, direct = plan_updates([Task(d.reads, d.writes, d.in_place) for d in drafts], pairs)
        self.after = [task.after for task in tasks]
        buffer_of = [value.inside[0] if value.inside else number for number, value in enumerate(self.values)]
        for old, new in pairs:
            if new in direct or not self.values[old].nbytes:
                buffer_of[new] = old
                self.values[new] = Value(self.values[new].nbytes, self.values[old].storage)
            else:
                self.after.append(tuple(i for i, d in enumerate(drafts) if old in d.reads))
                renewed = self._add_value(None, self.names[old], self.types[old], self.values[old].storage)
                buffer_of.append(old)
                drafts.append(self._copy(new, renewed))
        return drafts, buffer_of

    def _copy(self, source: int, target: int) -> _Draft:
        type = self.types[source]
        index = Index(0, (1,))
        body = (Load(0, type.dtype, index), Store(1, index, 0))
        kernel = Kernel((Operand(type.dtype, "read"), Operand(type.dtype, "write")), Space((), (), (type.size,)), body)
        number, program = self._program(kernel)
        return _Draft(
            label="copy", kernel="tile", params=(), operands=(), reads=(source,), writes=(target,), in_place=(),
            tiles=program.tiles, scratch=program.scratch, work=program.work,
            program=number, program_operands=((source, 0), (target, 0)),
        )  # fmt: skip

    # The plan --------------------------------------------------------------------------------------------------------
    def _plan(self, drafts: list[_Draft], arrangement: Arrangement, home: list[int]) -> Plan:
        """The plan; a value that lives in another's storage (`home`) has no buffer of its own."""
        kept = [value for value in range(len(self.values)) if home[value] == value]
        number = {value: position for position, value in enumerate(kept)}
        buffer = [number[home[value]] for value in range(len(self.values))]
        owners = [self.owners[value] for value in kept]
        ops = [owner.op if owner is not None else "" for owner in owners]
        outputs = tuple(buffer[self._locate(result_base(result))[0]] for result in self.graph.outputs)
        return Plan(
            tuple(self._buffer(value, arrangement) for value in kept),
            tuple(self._launch(drafts[n], arrangement.depends[at], buffer) for at, n in enumerate(arrangement.order)),
            tuple(program.words for _, program in self.programs.values()),
            tuple(range(len(self.graph.inputs))), outputs,
            tuple(b for b, op in enumerate(ops) if op == "parameter"),
            tuple(b for b, op in enumerate(ops) if op == "constant"),
            buffer[self.rng] if self.rng >= 0 else -1, arrangement.arena_bytes,
            max((draft.scratch for draft in drafts), default=0), arrangement.lower_bound,
            tuple(node.attrs["name"] for node in self.graph.inputs) + self.graph.names,
        )  # fmt: skip

    def _launch(self, draft: _Draft, depends: tuple[int, ...], buffer: list[int]) -> Launch:
        operands, program_operands = (
            tuple(Ref(buffer[value], offset + self._byte(value)) for value, offset in refs)
            for refs in (draft.operands, draft.program_operands)
        )
        reads, writes = (tuple(dict.fromkeys(buffer[v] for v in values)) for values in (draft.reads, draft.writes))
        in_place = tuple((buffer[r], buffer[w]) for r, w in draft.in_place if buffer[r] != buffer[w])
        return Launch(
            draft.label, draft.kernel, draft.params, operands, draft.program, program_operands, reads, writes,
            draft.tiles, draft.scratch, draft.work, depends, draft.location, in_place,
        )  # fmt: skip

    def _byte(self, value: int) -> int:
        """Where a value begins in the buffer that it lies in."""
        inside = self.values[value].inside
        return inside[1] if inside else 0

    def _buffer(self, value: int, arrangement: Arrangement) -> Buffer:
        storage = self.values[value].storage
        space = storage.split(" ")[0] if storage else "arena"
        type, owner = self.types[value], self.owners[value]
        first, last = arrangement.lifetimes[value]
        location = str(owner.location).split("\n")[0] if owner is not None and owner.location else ""
        return Buffer(
            self.names[value], type.dtype.name, type.shape, type.nbytes, space, arrangement.offsets[value] or 0, first,
            last, location,
        )  # fmt: skip


def _label(nodes: Sequence[Node]) -> str:
    """The ops of a launch, in short."""
    ops = [node.op for node in nodes]
    names = list(dict.fromkeys(ops))
    return "+".join(names[:6]) + (f"+{len(names) - 6} more" if len(names) > 6 else "")


def _in_place(kernel: Kernel, located: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Pairs (value read, value written) of which the kernel reads an element only to write the same element.

    In a loop nest that reduces, a full value may be read again after it was stored; only row values qualify.
    """
    loads: dict[int, set[Index | None]] = {}
    plain = kernel.is_row if kernel.space.reduce else (True,) * len(kernel.body)
    for number, statement in enumerate(kernel.body):
        if isinstance(statement, Load):
            value, offset = located[statement.operand]
            same = plain[number] and statement.otherwise is None and not statement.index.guard and offset == 0
            loads.setdefault(value, set()).add(statement.index if same else None)
    readable: dict[tuple[Index, int], list[int]] = {}  # values that are read at one index alone, by it and element size
    for operand, spec in enumerate(kernel.operands):
        indices = loads.get(located[operand][0], set()) if spec.access == "read" else set()
        index = next(iter(indices), None)
        if len(indices) == 1 and index is not None:
            readable.setdefault((index, spec.dtype.itemsize), []).append(located[operand][0])
    pairs = []
    for number, statement in enumerate(kernel.body):
        if isinstance(statement, Store) and plain[number]:
            size = kernel.operands[statement.operand].dtype.itemsize
            written = located[statement.operand][0]
            pairs += [(value, written) for value in readable.get((statement.index, size), ())]
    return tuple(pairs)
