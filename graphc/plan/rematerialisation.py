"""What a plan rematerialises because it was dropped in between, and what that costs: read off the plan alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from graphc.plan.cost import seconds
from graphc.plan.loops import iterations, touched_bytes
from graphc.plan.plan import Launch, Plan

__all__ = ["Rematerialisation", "Rematerialised", "gathered", "rematerialisation_of"]


@dataclass(frozen=True)
class Rematerialised:
    """A tensor that is made once more: the op that makes it, its type, the user's line.

    `share` is what that costs, as a part of the cost of a step that computes nothing twice. The cost of a launch that
    makes several tensors is theirs by their bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    share: float
    location: str

    def cells(self) -> tuple[str, ...]:
        """What a line of a report says, in columns: name, type, share, the user's line."""
        type = f"{self.dtype}[{', '.join(map(str, self.shape))}]"
        return self.name, type, f"{self.share:.2%}", self.location


@dataclass(frozen=True)
class Rematerialisation:
    """`launches` that make values once more; what they cost, as a part of the step without them.

    `tensors` is what they make, largest first.
    """

    launches: int
    overhead: float
    tensors: tuple[Rematerialised, ...]

    @property
    def nbytes(self) -> int:
        """The bytes that are rematerialised."""
        return sum(tensor.nbytes for tensor in self.tensors)


def rematerialisation_of(plan: Plan) -> Rematerialisation:
    """What `plan` rematerialises; costs are those of `plan.cost`, which budgets are met by.

    >>> rematerialisation_of(step.plan).launches
    """
    costs = dict(enumerate(launch_seconds(plan)))
    late = {number for number, launch in enumerate(plan.launches) if launch.rematerialises >= 0}
    once = sum(cost for number, cost in costs.items() if number not in late)
    found = [tensor for number in sorted(late) for tensor in _made(plan, plan.launches[number], costs[number] / once)]
    found.sort(key=lambda tensor: (-tensor.nbytes, -tensor.share))
    return Rematerialisation(len(late), sum(costs[number] for number in late) / (once or 1.0), tuple(found))


def launch_seconds(plan: Plan) -> list[float]:
    """What each launch costs in a step, in all iterations of its loops."""
    costs = [seconds(launch.effort, sum(touched_bytes(plan, launch).values())) for launch in plan.launches]
    return [cost * runs for cost, runs in zip(costs, iterations(plan.loops, len(costs)), strict=True)]


def _made(plan: Plan, launch: Launch, share: float) -> list[Rematerialised]:
    """What a launch writes, with its share of the cost of all first launches."""
    buffers = [plan.buffers[position] for position in launch.writes]
    total = sum(buffer.nbytes for buffer in buffers) or 1
    return [Rematerialised(b.name, b.dtype, b.shape, b.nbytes, share * b.nbytes / total, b.location) for b in buffers]


def gathered(tensors: Iterable[Rematerialised]) -> list[Rematerialised]:
    """Tensors of one op, type and line as one, with the bytes and the cost of all; largest first."""
    kinds: dict[tuple[str, ...], list[Rematerialised]] = {}
    for tensor in tensors:
        kinds.setdefault(replace(tensor, share=0.0).cells(), []).append(tensor)
    found = []
    for alike in kinds.values():
        name = f"{len(alike)} × {alike[0].name}" if len(alike) > 1 else alike[0].name
        total, share = sum(tensor.nbytes for tensor in alike), sum(tensor.share for tensor in alike)
        found.append(replace(alike[0], name=name, nbytes=total, share=share))
    return sorted(found, key=lambda tensor: (-tensor.nbytes, -tensor.share))
