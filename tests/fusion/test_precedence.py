"""The order of merging groups: topological after every merge, searches that end, and a check that can fail."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.errors import InternalError
from graphc.fusion import precedence
from graphc.fusion.fuse import MAX_NODES, fuse
from graphc.fusion.group import Group
from graphc.fusion.merge import merge_groups
from graphc.fusion.precedence import Precedence
from graphc.pipeline import optimise

X = gx.input("x", (4,))


class Web:
    """Groups in a row, some of which read from earlier ones."""

    def __init__(self, count: int, edges: set[tuple[int, int]]) -> None:
        self.groups = [Group(library=gx.exp(X)) for _ in range(count)]
        self.edges = {(self.groups[a], self.groups[b]) for a, b in edges}
        self.order = Precedence(self.groups, self.makers, self.readers)

    def makers(self, group: Group) -> Iterator[Group]:
        return (maker for maker, reader in self.edges if reader is group)

    def readers(self, group: Group) -> Iterator[Group]:
        return (reader for maker, reader in self.edges if maker is group)

    def leads_around(self, first: Group, second: Group) -> bool:
        """Whether a path of two steps or more joins the two, one way or the other."""
        return any(
            self.reaches(middle, goal) for start, goal in ((first, second), (second, first))
            for middle in self.readers(start) if middle is not goal
        )  # fmt: skip

    def reaches(self, start: Group, goal: Group) -> bool:
        return start is goal or any(self.reaches(reader, goal) for reader in self.readers(start))

    def merge(self, first: Group, second: Group, between: list[Group] | None = None) -> bool:
        """Merge them, if they may be; `between` is what else the order is told."""
        between = self.order.between(first, second) if between is None else between
        if between is None:
            return False
        union = Group(library=gx.exp(X))
        renamed = {first: union, second: union}
        edges = {(renamed.get(a, a), renamed.get(b, b)) for a, b in self.edges}
        self.edges = {(a, b) for a, b in edges if a is not b}
        self.order.merge(first, second, union, between)
        return True


def chain(*numbers: int) -> set[tuple[int, int]]:
    return set(itertools.pairwise(numbers))


@pytest.mark.parametrize("seed", range(40))
def test_merges_keep_the_order_topological_and_refuse_cycles_alone(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(3, 25)
    pairs = [(a, b) for b in range(count) for a in range(b)]
    web = Web(count, set(chance.sample(pairs, min(len(pairs), chance.randint(1, 2 * count)))))
    for _ in range(2 * count):
        if len(web.order.label) < 2:
            break
        first, second = chance.sample(web.order.sorted(), 2)
        around = web.leads_around(first, second)
        assert web.merge(first, second) is not around
        place = {group: at for at, group in enumerate(web.order.sorted())}
        assert all(place[maker] < place[reader] for maker, reader in web.edges)


def test_what_follows_moves_behind_in_its_order() -> None:
    web = Web(5, {(0, 1), (1, 2), (0, 3)})
    a, b, c, d, e = web.groups
    assert web.order.between(a, d) == [b, c]
    assert web.merge(d, a)
    assert web.order.sorted()[1:] == [b, c, e]


def test_labels_are_spread_anew_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "_GAP", 12)
    web = Web(12, {(0, reader) for reader in range(1, 11)} | {(1, reader) for reader in range(2, 10)})
    assert web.merge(web.groups[0], web.groups[11])
    assert web.order.sorted()[1:] == web.groups[1:11]
    assert web.merge(web.groups[1], web.groups[10])
    assert web.order.sorted()[2:] == web.groups[2:10]


def test_a_search_ends_however_many_groups_lie_between() -> None:
    count = 4 * precedence._SEARCHED
    web = Web(count, chain(*range(count - 1)))
    assert web.order.between(web.groups[0], web.groups[-1]) is None


# Faults that are noticed ---------------------------------------------------------------------------------------------
def test_a_wrong_order_is_noticed_at_once_and_after_a_merge() -> None:
    with pytest.raises(InternalError, match="before what it reads"):
        Web(3, {(2, 0)})
    web = Web(4, {(0, 1), (1, 2), (0, 3)})
    with pytest.raises(InternalError, match="after what reads it"):
        web.merge(web.groups[0], web.groups[3], between=[])  # although two others are


def test_groups_that_wait_for_themselves_end_in_an_error() -> None:
    """What a fault in fusion would hand on: no search runs for ever on it."""
    graph = optimise(build_graph([X], [gx.exp(gx.cumsum(gx.sin(X))), gx.max(X)])[0])
    groups = fuse(graph)
    assert len(merge_groups(groups, graph, {}, MAX_NODES)) == len(groups) > 2
    with pytest.raises(InternalError, match="merging"):
        merge_groups(groups[::-1], graph, {}, MAX_NODES)
