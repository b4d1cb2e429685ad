"""Checkpointed regions (`gx.checkpoint`): which nodes lie in which, and what is dropped for their sake.

What a region stores is dropped after the last launch of the region that reads it, and made again when a gradient reads
it. What lies in an inner region as well is dropped once more where the gradients of each region around it begin: by
then the outer region was made again up to there, and only the results of its inner regions are to stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node
from graphc.ops.checkpoint import ENTER, LEAVE
from graphc.schedule.group import holder
from graphc.schedule.rematerialise import NEVER, Drops, Problem

__all__ = ["Regions", "region_drops", "regions_of"]


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


def region_drops(
    regions: Regions, problem: Problem, owners: Sequence[Node | None], stores: Sequence[Sequence[Node]]
) -> Drops:
    """What the regions drop; `owners` are the nodes that values hold, `stores` what each task stores."""
    homes = {
        value: regions.inside[node] for value in problem.recipes
        if (node := owners[value]) is not None and node in regions.inside
    }  # fmt: skip
    last = dict[int, int]()  # the last reader of a value in its region
    begins: dict[int, int] = {}  # where the gradients of a region begin
    for value, path in homes.items():
        members, readers = regions.members[path[-1]], problem.readers.get(value, [])
        last[value] = max([problem.makers[value], *(at for at in readers if not members.isdisjoint(stores[at]))])
        later = next((at for at in readers if at > last[value]), None)
        if later is not None:
            for region in path:
                begins[region] = min(begins.get(region, later), later)
    drops = {}
    for value, path in homes.items():
        own = begins.get(path[-1], NEVER)
        again = {begins[region] for region in path[:-1] if last[value] < begins.get(region, NEVER) < own}
        drops[value] = tuple(sorted({last[value], *again}))
    return drops
