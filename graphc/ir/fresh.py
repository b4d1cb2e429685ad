"""Numbers that a graph gives when it is closed: of random streams, and of checkpointed regions.

Whoever draws random bits or checkpoints a function asks for a number of its own, and gets a `Fresh`: an attribute that
is equal to itself alone, so that two draws never merge. Once it is known which nodes make up a graph, their fresh
attributes are numbered in topological order (numbering.py). So the numbers depend on structure alone: a model
that is built twice is the same graph twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphc.ir.node import Node

__all__ = ["Fresh", "fresh_numbers"]


@dataclass(frozen=True, eq=False)
class Fresh:
    """A number, not below `first`, that no other has in a graph."""

    first: int = 0


def fresh_numbers(nodes: Iterable[Node]) -> dict[Fresh, int]:
    """What the fresh attributes of `nodes`, in topological order, stand for.

    Those of one name count up from their `first`, in order of appearance.
    """
    numbers: dict[Fresh, int] = {}
    counters: dict[str, itertools.count[int]] = {}
    for node in nodes:
        for name, value in node.attrs.items():
            if type(value) is Fresh and value not in numbers:
                numbers[value] = next(counters.setdefault(name, itertools.count(value.first)))
    return numbers
