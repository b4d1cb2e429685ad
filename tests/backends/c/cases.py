"""The tile machine's table of kernels as cases for other code generators: its tests with a recorder for `compare`."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from graphc.kernel.ir import Kernel
from tests.kernel.oracle import Array, Oracle


@dataclass(frozen=True)
class Case:
    """A kernel, its operands, how many units in the last place may be lost, and which operands share memory."""

    kernel: Kernel
    buffers: Sequence[Array]
    most: int
    shared: Sequence[tuple[int, int]] = ()


def recorded(function: Callable[..., None]) -> Iterator[Case]:
    """The cases that a test of the tile machine compares, for all of its parameters but the level."""
    cases: list[Case] = []

    def record(
        level: str, kernel: Kernel, buffers: Sequence[Array], most: int = 0, tiles: Iterable[int] | None = None,
        shared: Sequence[tuple[int, int]] = (),
    ) -> list[Array]:  # fmt: skip
        del level, tiles
        cases.append(Case(kernel, copy.deepcopy(list(buffers)), most, shared))
        want = copy.deepcopy(list(buffers))
        Oracle(kernel, want).run()
        return want

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(function.__globals__, "compare", record)
        for parameters in _parameters(function):
            function(level="", **parameters)
    yield from cases


def _parameters(function: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """Every combination of a test's parameters."""
    axes = []
    for mark in getattr(function, "pytestmark", ()):
        names, values = mark.args
        names = [names] if isinstance(names, str) else list(names)
        if names != ["level"]:
            rows = [value if len(names) > 1 else (value,) for value in values]
            axes.append([dict(zip(names, row, strict=True)) for row in rows])
    for chosen in itertools.product(*axes):
        yield {name: value for part in chosen for name, value in part.items()}
