"""Choices that keep as few bytes as possible for what is rematerialised: minimum cuts.

If the items that are cheapest for their size may be dropped, and no others, some values have to be kept for it: those
of a cut between what may not be dropped and what tasks after the turn read. The least of them in bytes is a maximum
flow through the recipes: each value is an edge of its size, and what a recipe reads leads to what it makes without a
limit.
"""

from __future__ import annotations

import numpy as np

from graphc.memory.items import Choice, Items

__all__ = ["minimum_cuts"]

_SHARES = 16  # of the items, by price, that may be dropped
_UNLIMITED = 1 << 30  # flows are 32-bit integers
_SOURCE, _SINK = 0, 1
_Edge = tuple[int, int, int]


def minimum_cuts(items: Items) -> list[Choice]:
    """What may be dropped without the narrowest cut: for a growing share of the items."""
    if not items.all:
        return []
    edges, number_of = _edges(items), {item: number for number, item in enumerate(items.all)}
    by_price, found = [number_of[item] for item in items.by_price], dict[Choice, None]()
    for share in sorted({max(1, len(by_price) * part // _SHARES) for part in range(1, _SHARES + 1)}):
        held = [(_SOURCE, 2 + 2 * number, _UNLIMITED) for number in by_price[share:]]
        kept = _cut([*edges, *held], len(by_price))
        found[frozenset(items.all[number] for number in by_price[:share] if number not in kept)] = None
    return list(found)


def _edges(items: Items) -> list[_Edge]:
    """From node to node, and how much may flow. An item is the edge from node 2 + 2 i to the next."""
    sizes, number = items.problem.sizes, {value: i for i, (value, _) in enumerate(items.all)}
    unit = 1 + sum(sizes[value] for value in number) // _UNLIMITED
    edges = []
    for value, i in number.items():
        edges.append((2 + 2 * i, 3 + 2 * i, max(1, sizes[value] // unit)))
        if items.waits(value):
            edges.append((3 + 2 * i, _SINK, _UNLIMITED))
        cheapest = items.problem.recipes[value][0]
        edges += [
            (3 + 2 * number[read], 2 + 2 * i, _UNLIMITED) for read in dict.fromkeys(cheapest.reads) if read in number
        ]
    return edges


def _cut(edges: list[_Edge], count: int) -> set[int]:
    """The items of the minimum cut that is closest to the source."""
    from scipy.sparse import csr_array  # half of the time of `import graphc`, and only large programs come here
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    starts, ends, most = np.array(edges, np.int32).T
    network = csr_array((most, (starts, ends)), shape=(2 + 2 * count,) * 2)
    left = network - maximum_flow(network, _SOURCE, _SINK).flow
    reached = set(breadth_first_order(left, _SOURCE, return_predecessors=False).tolist())
    return {i for i in range(count) if 2 + 2 * i in reached and 3 + 2 * i not in reached}
