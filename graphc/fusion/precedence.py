"""An order of groups that stays topological while groups merge.

Every group has a label, and whoever reads a value of a group has the larger label. Two groups merge if nothing leads
from the earlier one through a third to the later one. The new group takes the place of the later one; what follows the
earlier one and stood before the later one moves behind it, in the order it had. So no cycle comes about, and a search
never leaves what lies between two labels.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence

from graphc.errors import InternalError
from graphc.fusion.group import Group

__all__ = ["Precedence"]

Neighbours = Callable[[Group], Iterable[Group]]
_GAP = 1 << 64  # between labels that are spread anew
_SEARCHED = 64  # groups looked at before a merge is given up


class Precedence:
    """The order of `groups`, at first that of the sequence; `makers` and `readers` are the groups next to a group.

    Raises InternalError where a group does not stand between those, at first and after every merge.
    """

    def __init__(self, groups: Sequence[Group], makers: Neighbours, readers: Neighbours) -> None:
        self.makers, self.readers = makers, readers
        self._spread(groups)
        for group in groups:
            self._check(group)

    def sorted(self) -> list[Group]:
        """The groups in their order."""
        return sorted(self.label, key=self.label.__getitem__)

    def between(self, first: Group, second: Group) -> list[Group] | None:
        """What follows the earlier of two and stands before the later; None where that leads to it, or is too much.

        The search takes in a group once, and ends with the one after `_SEARCHED`.
        """
        early, late = self._in_order(first, second)
        limit = self.label[late]
        found, pending = set[Group](), [early]
        while pending:
            if len(found) > _SEARCHED:
                return None
            group = pending.pop()
            for reader in self.readers(group):
                if reader is late and group is not early:
                    return None
                if self.label[reader] < limit and reader not in found:
                    found.add(reader)
                    pending.append(reader)
        return sorted(found, key=self.label.__getitem__)

    def merge(self, first: Group, second: Group, union: Group, between: Sequence[Group]) -> None:
        """Let `union`, whose makers and readers are known by now, stand for both; `between` is the answer for them."""
        early, late = self._in_order(first, second)
        self.label[union] = self.label[late]
        del self.label[early], self.label[late]
        self._move_after(union, between)
        for group in (union, *between):
            self._check(group)

    def _in_order(self, first: Group, second: Group) -> tuple[Group, Group]:
        return (first, second) if self.label[first] < self.label[second] else (second, first)

    def _spread(self, groups: Sequence[Group]) -> None:
        self.label = {group: number * _GAP for number, group in enumerate(groups)}
        self.taken = [*self.label.values(), len(groups) * _GAP]  # labels given so far, sorted, and an end

    def _move_after(self, place: Group, groups: Sequence[Group]) -> None:
        if self._room(place) <= len(groups):
            self._spread(self.sorted())
        start, room = self.label[place], self._room(place)
        for number, group in enumerate(groups, 1):
            self.label[group] = start + room * number // (len(groups) + 1)
            insort(self.taken, self.label[group])

    def _room(self, place: Group) -> int:
        """How far it is from the label of `place` to the next one."""
        return self.taken[bisect_right(self.taken, self.label[place])] - self.label[place]

    def _check(self, group: Group) -> None:
        label = self.label[group]
        if any(self.label[maker] >= label for maker in self.makers(group)):
            raise InternalError(f"merging: {group.members[-1]!r} runs before what it reads")
        if any(self.label[reader] <= label for reader in self.readers(group)):
            raise InternalError(f"merging: {group.members[-1]!r} runs after what reads it")
