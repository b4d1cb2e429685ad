"""Parts of groups: what computes one stored value alone, from what its group reads and stores besides.

The activation that the epilogue of a product stores beside its argument takes a pass over that argument, not the
product again. A part gives the same bits as the whole: it holds elementwise members alone, or it is the library op with
what its epilogue still needs; a loop nest that reduces has no parts, as the order of its loops might change.
"""

from __future__ import annotations

from graphc.fusion.group import Group
from graphc.ir.node import Node, Results
from graphc.ops.record import Kind, op_of

__all__ = ["part_of", "prune"]


def part_of(group: Group, node: Node) -> Group | None:
    """The group that computes `node`, which `group` stores beside other values, alone; None where there is none."""
    if len(group.stores) < 2 or group.parts or isinstance(group.library, Results):
        return None
    members = _members(group, node)
    if members is None:
        return None
    return _with_library(group, node) if group.library in members else _elementwise(group, node, members)


def _members(group: Group, node: Node) -> set[Node] | None:
    """What of the group has to run for `node` when all else that it stores is there; None for a reduction."""
    members, pending, stored = {node}, [node], set(group.stores)
    while pending:
        member = pending.pop()
        if member is group.library:
            continue
        if op_of(member).kind is Kind.REDUCTION:
            return None
        for leaf in (leaf.node for trace in group.reads[member] for leaf in trace.leaves):
            inside = leaf in group.accesses or leaf is group.library
            if inside and leaf not in stored and leaf not in members:
                members.add(leaf)
                pending.append(leaf)
    return members


def _with_library(group: Group, node: Node) -> Group:
    part = group.copy()
    part.stores = [node]
    prune(part)
    return part


def _elementwise(group: Group, node: Node, members: set[Node]) -> Group | None:
    part = Group(kept=group.kept)
    part.start(node)
    part.stores = [node]
    for member in group.accesses:
        if member in members and member is not node:
            access = part.wanted(member)
            if access is None or not part.join(member, access):
                return None
    return None if part.needs - group.needs else part


def prune(group: Group) -> None:
    """Take out members that nothing stored needs any more."""
    needed: set[Node] = set()
    pending = [node for node in group.stores if node in group.accesses]
    while pending:
        node = pending.pop()
        if node not in needed:
            needed.add(node)
            pending += [leaf.node for t in group.reads[node] for leaf in t.leaves if leaf.node in group.accesses]
    for node in [node for node in group.accesses if node not in needed]:
        del group.accesses[node], group.reads[node]
    wanted = {leaf.node for node in group.accesses for t in group.reads[node] for leaf in t.leaves}
    group.wants = {node: accesses for node, accesses in group.wants.items() if node in wanted}
