"""What checkpointed regions (`gx.checkpoint`) drop.

What a region stores is dropped after the last launch of the region that reads it, and rematerialised when a gradient
reads it. What lies in an inner region as well is dropped once more where the gradients of each region around it begin:
by then the outer region was rematerialised up to there, and only the results of its inner regions are to stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.fusion.regions import Regions
from graphc.ir.indices import Indexed
from graphc.ir.node import Node
from graphc.memory.numbers import Position, ValueNumber
from graphc.memory.rematerialise import NEVER, Drops, Problem

__all__ = ["region_drops"]

Owners = Indexed[ValueNumber, Node | None]
Stores = Indexed[Position, Sequence[Node]]


def region_drops(regions: Regions, problem: Problem, owners: Owners, stores: Stores) -> Drops:
    """What the regions drop; `owners` are the nodes that values hold, `stores` what each task stores."""
    homes = {
        value: regions.inside[node] for value in problem.recipes
        if (node := owners[value]) is not None and node in regions.inside
    }  # fmt: skip
    last = dict[ValueNumber, Position]()  # the last reader of a value in its region
    begins: dict[int, Position] = {}  # where the gradients of a region begin
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
        outer = {begins[region] for region in path[:-1] if last[value] < begins.get(region, NEVER) < own}
        drops[value] = tuple(sorted({last[value], *outer}))
    return drops
