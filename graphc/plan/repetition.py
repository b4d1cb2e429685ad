"""What a plan computes again because it was dropped in between, and what that costs: read off the plan alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from graphc.plan.cost import seconds
from graphc.plan.plan import Launch, Plan

__all__ = ["Recomputed", "Repetition", "gathered", "repetition_of"]


@dataclass(frozen=True)
class Recomputed:
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
class Repetition:
    """`launches` that repeat earlier ones, wholly or in part; what they cost, as a part of the step without them.

    `tensors` is what they make, largest first.
    """

    launches: int
    overhead: float
    tensors: tuple[Recomputed, ...]

    @property
    def nbytes(self) -> int:
        """The bytes that are made again."""
        return sum(tensor.nbytes for tensor in self.tensors)


def repetition_of(plan: Plan) -> Repetition:
    """What `plan` computes again; costs are those of `plan.cost`, which budgets are met by.

    >>> repetition_of(step.plan).launches
    """
    repeats = [launch for launch in plan.launches if launch.repeats >= 0]
    if not repeats:
        return Repetition(0, 0.0, ())
    once = sum(_seconds(plan, launch) for launch in plan.launches if launch.repeats < 0)
    found = [tensor for launch in repeats for tensor in _made(plan, launch, once)]
    found.sort(key=lambda tensor: (-tensor.nbytes, -tensor.share))
    return Repetition(len(repeats), sum(_seconds(plan, launch) for launch in repeats) / once, tuple(found))


def _seconds(plan: Plan, launch: Launch) -> float:
    touched = sum(plan.buffers[position].nbytes for position in {*launch.reads, *launch.writes})
    return seconds(launch.effort, touched)


def _made(plan: Plan, launch: Launch, once: float) -> list[Recomputed]:
    """What a launch writes, with its share of the cost of all first launches, which take `once` seconds."""
    buffers = [plan.buffers[position] for position in launch.writes]
    share, total = _seconds(plan, launch) / once, sum(buffer.nbytes for buffer in buffers) or 1
    return [Recomputed(b.name, b.dtype, b.shape, b.nbytes, share * b.nbytes / total, b.location) for b in buffers]


def gathered(tensors: Iterable[Recomputed]) -> list[Recomputed]:
    """Tensors of one op, type and line as one, with the bytes and the cost of all; largest first."""
    kinds: dict[tuple[str, ...], list[Recomputed]] = {}
    for tensor in tensors:
        kinds.setdefault(replace(tensor, share=0.0).cells(), []).append(tensor)
    found = []
    for alike in kinds.values():
        name = f"{len(alike)} × {alike[0].name}" if len(alike) > 1 else alike[0].name
        total, share = sum(tensor.nbytes for tensor in alike), sum(tensor.share for tensor in alike)
        found.append(replace(alike[0], name=name, nbytes=total, share=share))
    return sorted(found, key=lambda tensor: (-tensor.nbytes, -tensor.share))
