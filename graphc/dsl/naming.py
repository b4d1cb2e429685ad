"""What parameters are called, which is settled when it is asked, not when they are made.

A parameter that a module holds is called by its path from the outermost module that lives (that ever held it, where
none does), `encoder.0.weight`, as in the `state_dict` of that module; state that serves another parameter by that one's
name and its own, `0.weight.exp_avg`; any other by the name that it was given. A program's names differ: one met again
gets a number, `0.weight (2)`. Their order is that of definition, in every program: first what modules hold and what
stands alone, then what serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from weakref import ref

from graphc.ir.graph import Graph
from graphc.ir.node import Node, next_serial
from graphc.ir.text import graph_text, ordered_nodes
from graphc.ops.parameter import Parameter

__all__ = ["Held", "Owner", "Place", "Serving", "named", "named_text", "parameters_of"]


class Owner(Protocol):
    """What holds parameters by name: a module."""

    def state(self) -> Mapping[str, Parameter]: ...


class Place:
    """Where an owner stands: under `key`, since `turn`, in the place of what holds it, if anything does.

    It outlives the owner, whose parameters keep their names and order.
    """

    __slots__ = ("key", "outer", "owner", "turn")

    def __init__(self, owner: Owner) -> None:
        self.owner: ref[Owner] = ref(owner)
        self.outer: Place | None = None
        self.key, self.turn = "", 0

    def stand(self, outer: Place | None, key: str = "") -> None:
        """Be held by another place under `key`, or by none."""
        self.outer, self.key, self.turn = outer, key, next_serial()

    @property
    def lives(self) -> bool:
        return self.owner() is not None

    @property
    def is_free(self) -> bool:
        """True if no living owner holds this one."""
        return self.outer is None or not self.outer.lives

    @property
    def outermost(self) -> Place:
        """The place of the outermost owner that lives; where none does, the outermost of all."""
        place, living = self, self if self.lives else None
        while place.outer is not None:
            place = place.outer
            living = place if place.lives else living
        return living or place

    @property
    def way(self) -> list[Place]:
        """The places from below the outermost one down to this one."""
        places, place, top = [], self, self.outermost
        while place is not top and place.outer is not None:
            places.append(place)
            place = place.outer
        return places[::-1]


@dataclass(frozen=True, eq=False)
class Held:
    """That a parameter is called `key`, since `turn`, in the place of its owner."""

    place: Place
    key: str
    turn: int = field(default_factory=next_serial)

    @property
    def path(self) -> str:
        """The name that the outermost owner gave, should none live to tell."""
        return ".".join([*(place.key for place in self.place.way), self.key])

    @property
    def rank(self) -> tuple[int, ...]:
        """Orders what one outermost owner held as its `state()` did: own parameters first, then those of its parts."""
        return (*(turn for place in self.place.way for turn in (1, place.turn)), 0, self.turn)

    def name_of(self, parameter: Parameter) -> str | None:
        owner = self.place.outermost.owner()
        return self.path if owner is None else _paths(owner).get(parameter)


@dataclass(frozen=True, eq=False)
class Serving:
    """That a state is kept for a parameter, or for none in particular, under a name of its own."""

    parameter: Parameter | None
    slot: str

    def name_of(self, parameter: Parameter) -> str:
        return self.slot if self.parameter is None else f"{self.parameter.name}.{self.slot}"


def _paths(owner: Owner) -> dict[Parameter, str]:
    return {parameter: path for path, parameter in owner.state().items()}


@dataclass(frozen=True, eq=False)
class _Wanted:
    """The name that a parameter asks for, and its rank in the order of definition."""

    name: str
    rank: tuple[int, ...]


def named(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """The parameters of a program by their names in it, in the order of definition.

    A module's parameters stand together, in the order of its `state()`; modules, and parameters that none holds, by
    which was made first.
    """
    wanted = _wanted(list(parameters))
    result: dict[str, Parameter] = {}
    names: dict[Parameter, str] = {}
    for parameter in sorted(wanted, key=lambda item: wanted[item].rank):
        home, name = parameter.home, wanted[parameter].name
        if isinstance(home, Serving):
            name = f"{names[home.parameter]}.{home.slot}" if home.parameter in names else home.name_of(parameter)
        names[parameter] = _free(name, result)
        result[names[parameter]] = parameter
    return result


def _wanted(parameters: list[Parameter]) -> dict[Parameter, _Wanted]:
    """Names and ranks, with one look at each model."""
    found: dict[Parameter, _Wanted] = {}
    models: dict[Place, list[Parameter]] = {}
    for parameter in parameters:
        home = parameter.home
        found[parameter] = _Wanted(parameter.attrs["name"], (int(isinstance(home, Serving)), parameter.attrs["uid"]))
        if isinstance(home, Held):
            models.setdefault(home.place.outermost, []).append(parameter)
    for top, held in models.items():
        members = _members(top.owner(), held)
        found.update({parameter: members[parameter] for parameter in held if parameter in members})
    return found


def parameters_of(graph: Graph) -> dict[str, Parameter]:
    """The parameters of a graph, as `named` calls them."""
    return named(node for node in ordered_nodes(graph) if isinstance(node, Parameter))


def named_text(graph: Graph, *, data: bool = True, locations: bool = True) -> str:
    """The graph as text with the user's lines, its parameters called as in its program; see `graph_text`."""
    names: dict[Node, str] = {parameter: name for name, parameter in parameters_of(graph).items()}
    return graph_text(graph, locations=locations, data=data, names=names)


def _members(owner: Owner | None, held: list[Parameter]) -> dict[Parameter, _Wanted]:
    """What a model holds, in its order, ranked by the parameter that was made first; `held` of one that is gone."""
    if owner is None:
        homes = {p: p.home for p in held if isinstance(p.home, Held)}
        paths = {p: homes[p].path for p in sorted(homes, key=lambda p: homes[p].rank)}
    else:
        paths = _paths(owner)
    first = min((parameter.attrs["uid"] for parameter in paths), default=0)
    return {parameter: _Wanted(path, (0, first, at)) for at, (parameter, path) in enumerate(paths.items())}


def _free(name: str, taken: Mapping[str, Parameter]) -> str:
    """`name`, with a number where it is taken. What starts with a parenthesis is for the rest of a program's state."""
    name = f"_{name}" if name.startswith("(") else name
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
