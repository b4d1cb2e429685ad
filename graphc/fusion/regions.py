"""Checkpointed regions (`gx.checkpoint`): which nodes lie in which. assembly/regions.py drops values for their sake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.fusion.group import holder
from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node
from graphc.ops.primitives.marks import ENTER, LEAVE

__all__ = ["Regions", "regions_of"]


@dataclass(frozen=True)
class Regions:
    """`members` are a region's nodes, results too; `inside` the regions that may drop a node, outermost first."""

    members: Mapping[int, frozenset[Node]]
    inside: Mapping[Node, tuple[int, ...]]


def regions_of(graph: Graph) -> Regions | None:
    """The regions of a graph; None where there are none."""
    ends: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op == LEAVE:
            ends.setdefault(node.attrs["region"], []).append(node.inputs[0])
    if not ends:
        return None
    members = {region: _members(results, region) for region, results in ends.items()}
    results = {region: {holder(node) for node in nodes} for region, nodes in ends.items()}
    inside: dict[Node, list[int]] = {}
    for region in sorted(members, key=lambda region: (-len(members[region]), region)):
        for node in members[region] - results[region]:
            inside.setdefault(node, []).append(region)
    return Regions(members, {node: tuple(regions) for node, regions in inside.items()})


def _members(results: Sequence[Node], region: int) -> frozenset[Node]:
    """What leads from what enters the region to what leaves it."""
    entered = [node for node in topological(results) if node.op == ENTER and node.attrs["region"] == region]
    found: set[Node] = set(entered)
    for node in topological(results, entered):
        if not found.isdisjoint(node.inputs):
            found.add(node)
    return frozenset(found.difference(entered))
