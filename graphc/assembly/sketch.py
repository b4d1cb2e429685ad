"""Sketches: launches before they have code and their buffers a place, one for each group."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.assembly.records import Place, Sketch
from graphc.assembly.values import Values
from graphc.backends.backend import Lowering, Routine
from graphc.fusion.group import Group
from graphc.ir.node import Node, Results
from graphc.kernel.ir import Index, Kernel, Load, Operand, Random, Space, Store
from graphc.kernel.loops import lower_group
from graphc.memory.numbers import ValueNumber

__all__ = ["sketch_copy", "sketch_group"]

_FAR = 1 << 62  # behind every offset


def sketch_group(group: Group, values: Values, lowering: Lowering, threads: int) -> Sketch:
    """The launch of a group, cut for so many threads."""
    kernel, kernel_operands = lower_group(group, values.strides) if group.is_fused else (None, ())
    located = tuple(values.locate(o.node) for o in kernel_operands)
    reads = [v for (v, _), o in zip(located, kernel_operands, strict=True) if o.access == "read"]
    writes = [v for (v, _), o in zip(located, kernel_operands, strict=True) if o.access == "write"]
    pairs = _in_place(kernel, located) if kernel is not None else ()
    if kernel is not None:
        fixed = {value for pair in pairs for value in pair}
        if group.library is not None:
            fixed.add(values.number[group.library])
        kernel, located = _rebased(kernel, located, fixed)
    nodes = ([group.library] if group.library is not None else []) + group.nodes
    label, location = _label(nodes), str(nodes[-1].location or "").split("\n")[0]
    if group.library is None:
        routine = Routine(None, kernel)
        return Sketch(label, routine, (), located, values.with_pieces(reads), tuple(writes), pairs, location)
    views, operands = values.operands(group.library)
    library = group.library
    call = lowering(library.op, library.attrs, views, library.type, threads, values.strides.get(library))
    results = [values.number[node] for node in (group.stores if isinstance(library, Results) else [library])]
    inputs = [value for value, _ in operands]
    assert kernel is None or not call.workspace, library
    space = [values.add_bytes("workspace", call.workspace)] if call.workspace else []
    own = (at for at, o in enumerate(kernel_operands) if o.access == "read" and located[at][0] in results)
    written = ((value, 0) for value in (*space, *results))
    return Sketch(
        label, Routine(call, kernel, next(own, -1)), (*operands, *written), located,
        reads=values.with_pieces([*inputs, *(r for r in reads if r not in results)]),
        writes=(*space, *results, *(w for w in writes if w not in results)),
        in_place=tuple((r, w) for r, w in pairs if r not in inputs), location=location,
    )  # fmt: skip


def sketch_copy(source: Place, result: Place, values: Values) -> Sketch:
    """A launch that copies what starts at `source` to `result`, a value and a place in it, of whose type it is."""
    type = values.types[result[0]]
    index = Index(0, (1,))
    body = (Load(0, type.dtype, index), Store(1, index, 0))
    kernel = Kernel((Operand(type.dtype, "read"), Operand(type.dtype, "write")), Space((), (), (type.size,)), body)
    return Sketch("copy", Routine(None, kernel), (), (source, result), (source[0],), (result[0],))


def _rebased(
    kernel: Kernel, located: tuple[Place, ...], fixed: Collection[ValueNumber]
) -> tuple[Kernel, tuple[Place, ...]]:
    """The kernel with its operands starting where it first touches them, so that kernels of many parts are equal.

    Values in `fixed` stay: those that share memory, which takes equal indices, and a result that may become local.
    """
    least: dict[int, int] = {}
    for statement in kernel.body:
        if isinstance(statement, (Load, Store)):
            index, extents = statement.index, kernel.space.extents
            first = index.offset + sum((n - 1) * min(s, 0) for n, s in zip(extents, index.strides, strict=True))
            least[statement.operand] = min(least.get(statement.operand, _FAR), first)
        elif isinstance(statement, Random):
            least[statement.operand] = 0
    starts = [max(least.get(number, 0), 0) if value not in fixed else 0 for number, (value, _) in enumerate(located)]
    if not any(starts):
        return kernel, located
    body = tuple(
        replace(s, index=replace(s.index, offset=s.index.offset - starts[s.operand]))
        if isinstance(s, (Load, Store))
        else s
        for s in kernel.body
    )
    sizes = [operand.dtype.itemsize for operand in kernel.operands]
    moved = ((v, at + start * size) for (v, at), start, size in zip(located, starts, sizes, strict=True))
    return replace(kernel, body=body), tuple(moved)


def _label(nodes: Sequence[Node]) -> str:
    """The ops of a launch, in short."""
    names = list(dict.fromkeys(node.op for node in nodes))
    return "+".join(names[:6]) + (f"+{len(names) - 6} more" if len(names) > 6 else "")


def _in_place(kernel: Kernel, located: tuple[Place, ...]) -> tuple[tuple[ValueNumber, ValueNumber], ...]:
    """Pairs (value read, value written) of which the kernel reads an element only to write the same element.

    Where it reads the element several times, in one loop after the other, both printers see to it that the store comes
    last (backends/c/arrangement.py, backends/tile/selection.py).
    """
    loads: dict[ValueNumber, set[Index | None]] = {}
    for statement in kernel.body:
        if isinstance(statement, Load):
            value, offset = located[statement.operand]
            same = statement.otherwise is None and not statement.index.guard and offset == 0
            loads.setdefault(value, set()).add(statement.index if same else None)
    readable: dict[
        tuple[Index, int], list[ValueNumber]
    ] = {}  # values that are read at one index alone, by it and element size
    for operand, spec in enumerate(kernel.operands):
        indices = loads.get(located[operand][0], set()) if spec.access == "read" else set()
        index = next(iter(indices), None)
        if len(indices) == 1 and index is not None:
            readable.setdefault((index, spec.dtype.itemsize), []).append(located[operand][0])
    pairs = []
    for statement in kernel.body:
        if isinstance(statement, Store):
            size = kernel.operands[statement.operand].dtype.itemsize
            written = located[statement.operand][0]
            pairs += [(value, written) for value in readable.get((statement.index, size), ())]
    return tuple(pairs)
