"""How a plan's launches are grouped for threads.

A launch with enough work for several threads is a stage of its own, whose tiles are handed out `grain` at a time;
neighbouring small launches form one stage that a single thread runs, so that they cost no synchronisation. A loop is
one launch in this respect: a single thread runs it. The grouping decides who computes a tile, never what a tile
computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NewType

from graphc.plan.loops import iterations, outermost
from graphc.plan.plan import Launch, LaunchNumber, Loop

__all__ = ["Stage", "group", "sharable_work"]

StageNumber = NewType("StageNumber", int)
GRAIN_WORK = 10_000  # scalar operations worth handing out: a few microseconds
SMALL_WORK = 40_000  # a launch below joins its neighbours
GROUP_WORK = 200_000  # a group of small launches grows no further, so that groups can run side by side


@dataclass(frozen=True)
class Stage:
    """Launches [first, last), run once the stages in `depends` are done; `loop` is the first loop not before them."""

    first: LaunchNumber
    last: LaunchNumber
    tiles: int
    grain: int
    work: int
    depends: tuple[StageNumber, ...]
    loop: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether several threads can run it at the same time."""
        return self.tiles > self.grain


def group(launches: Sequence[Launch], loops: Sequence[Loop] = ()) -> list[Stage]:
    """The stages of a launch list, in its order."""
    ends = {loop.first: loop.last for loop in outermost(loops)}
    runs = iterations(loops, len(launches)) if loops else [1] * len(launches)
    stages: list[Stage] = []
    owner: list[StageNumber] = []  # the stage of each launch
    while (first := LaunchNumber(len(owner))) < len(launches):
        last = ends.get(first, LaunchNumber(first + 1))
        needed = {before for launch in launches[first:last] for before in launch.depends if before < first}
        depends = tuple(sorted({owner[before] for before in needed}))
        if first in ends:
            work = sum(launches[number].work * runs[number] for number in range(first, last))
            stage = Stage(first, last, 1, 1, work, depends)
        else:
            stage = _stage_of(first, launches[first], depends)
        if stages and _can_join(stages[-1], stage):
            stages[-1] = _join(stages[-1], stage, StageNumber(len(stages) - 1))
        else:
            stages.append(replace(stage, loop=sum(loop.first < first for loop in loops)))
        owner += [StageNumber(len(stages) - 1)] * (last - first)
    return stages


def _stage_of(position: LaunchNumber, launch: Launch, depends: tuple[StageNumber, ...]) -> Stage:
    grain = max(1, launch.tiles * GRAIN_WORK // max(launch.work, 1))
    tiles = launch.tiles if launch.tiles > grain else 1
    return Stage(position, LaunchNumber(position + 1), tiles, min(grain, tiles), launch.work, depends)


def _can_join(last: Stage, new: Stage) -> bool:
    small = not (last.is_shared or new.is_shared) and new.work < SMALL_WORK
    return small and last.work + new.work <= GROUP_WORK


def _join(last: Stage, new: Stage, position: StageNumber) -> Stage:
    depends = tuple(sorted({*last.depends, *new.depends} - {position}))
    return Stage(last.first, new.last, 1, 1, last.work + new.work, depends, last.loop)


def sharable_work(stages: Sequence[Stage]) -> int:
    """The scalar operations of a step, or 0 where no two threads could ever work at the same time."""
    for position, stage in enumerate(stages):
        if stage.is_shared or (position and position - 1 not in stage.depends):
            return sum(stage.work for stage in stages)
    return 0
