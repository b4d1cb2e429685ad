"""A backend: what makes a program of a graph, as one record; and the records that pass between it and the planner.

    Routine    what a launch runs: a call of a library kernel, a loop nest, or a call with the nest as its epilogue
    Footprint  what a routine takes: known before a plan is chosen, while nothing is written
    Written    the code of the launches of the plan that was chosen, and of no others

A backend either interprets graphs (`Interpreting`), or is what the stages of `pipeline.py` ask (`Planning`). Another
one is a folder with such a record and a line in backends/table.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from graphc.ir.graph import Graph
from graphc.ir.node import Type
from graphc.kernel.cost import effort
from graphc.kernel.ir import Kernel, LibraryCall
from graphc.kernel.operand import OperandView
from graphc.ops.guard import Storage
from graphc.plan.plan import ALIGNMENT, NO_PROGRAM, Plan, ProgramNumber
from graphc.runtime.executor import MOST_THREADS
from graphc.runtime.program import Engine

__all__ = [
    "Backend", "Code", "Deferred", "Footprint", "Interpreting", "LaunchCode", "Lowering", "Measured", "Planning",
    "Routine", "Writer", "Written", "coded",
]  # fmt: skip


@dataclass(frozen=True)
class Routine:
    """What a launch runs: `call`, or the loop nest `nest`, or the call with the nest as its epilogue.

    `result` is the operand by which an epilogue reads what the call has computed, or -1.
    """

    call: LibraryCall | None
    nest: Kernel | None
    result: int = -1

    @cached_property
    def effort(self) -> int:
        """The operations of a large matrix product that take as long, were it not for traffic."""
        return effort(self.call, self.nest)

    @property
    def result_bytes(self) -> int:
        """What a tile's results take in scratch memory, if an epilogue can read them there; else 0."""
        return self.call.result_bytes if self.call is not None and self.nest is not None else 0

    @property
    def in_registers(self) -> bool:
        """Whether an epilogue can read the call's results in registers."""
        return self.call is not None and self.nest is not None and self.call.in_registers

    def footprint(self, nest: Measured | None) -> Footprint:
        """What the routine takes, where `nest` is what its loop nest does, if it has one."""
        if self.call is None:
            assert nest is not None
            return Footprint(nest.tiles, nest.scratch, nest.work)
        if nest is None:
            return Footprint(self.call.tiles, self.call.scratch, self.call.work)
        return Footprint(self.call.tiles, max(self.call.scratch, nest.scratch), self.call.work + nest.work)


@dataclass(frozen=True)
class Footprint:
    """The `tiles` parts of a routine may run at the same time; each needs `scratch` bytes; `work` counts scalar ops."""

    tiles: int
    scratch: int
    work: int


class Measured(Protocol):
    """A loop nest as a backend has it, in the terms of a `Footprint`."""

    @property
    def tiles(self) -> int: ...

    @property
    def scratch(self) -> int: ...

    @property
    def work(self) -> int: ...


@dataclass(frozen=True)
class LaunchCode:
    """How the plan names the code of a launch: `Launch.kernel`, `params` and `program`."""

    kernel: str
    params: tuple[int, ...] = ()
    program: ProgramNumber = NO_PROGRAM


class Code(Protocol):
    """What a backend wrote for a program, beside the plan's tile programs."""

    @property
    def source(self) -> str:
        """For people to read."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """All of it, as JSON holds it; `Planning.code_of` reads it back."""
        ...


@dataclass(frozen=True)
class Written:
    """The code of routines: `launches` in their order, the tile `programs` that these number, and the rest."""

    launches: tuple[LaunchCode, ...]
    programs: tuple[tuple[int, ...], ...]
    code: Code


def coded(plan: Plan, launches: Sequence[LaunchCode], programs: tuple[tuple[int, ...], ...]) -> Plan:
    """`plan` with the code of its launches."""
    pairs = zip(plan.launches, launches, strict=True)
    named = (replace(launch, kernel=c.kernel, params=c.params, program=c.program) for launch, c in pairs)
    return replace(plan, launches=tuple(named), programs=programs)


class Writer(Protocol):
    """Writes the code of one program. Equal routines share theirs, in all that is asked of one writer."""

    def measure(self, routine: Routine) -> Footprint:
        """What `routine` takes."""
        ...

    def tables(self, plan: Plan, routines: Sequence[Routine]) -> int:
        """The bytes that an executor takes for itself, to run `plan` with these routines as its launches."""
        ...

    def write(self, routines: Sequence[Routine]) -> Written:
        """The code of exactly these routines; what is equal is written once."""
        ...


class Lowering(Protocol):
    """The table of ops that have a kernel of their own."""

    def __call__(
        self,
        op: str,
        attrs: Mapping[str, Any],
        operands: Sequence[OperandView],
        result: Type,
        threads: int = 2,
        strides: tuple[int, ...] | None = None,
    ) -> LibraryCall:
        """The call that computes `op` into `result`, by `strides` or contiguous, cut for so many threads."""
        ...


@dataclass(frozen=True)
class Planning:
    """What the stages ask of a backend whose programs have plans.

    `passes` rewrite graphs for it, after those that hold for every backend. What is compiled depends on `identity()`
    too: the compiler, say, and the instruction set. `load(plan, read, library)` makes what executors run of a plan and
    its code, which `read()` gives, and tells the key that the compile cache has it by, or ""; `library` is the key that
    it had before. It raises BackendError where that cannot be. `engine(plan, parameters, constants, what load made,
    threads, seed)` runs the program, on `most_threads` of this process at most: on none where work goes elsewhere.
    Buffers in the arena begin at multiples of `alignment` bytes.
    """

    passes: tuple[Callable[[Graph], Graph], ...]
    lowering: Lowering
    writer: Callable[[], Writer]
    identity: Callable[[], tuple[str, ...]]
    code_of: Callable[[Mapping[str, Any]], Code]
    load: Callable[[Plan, Callable[[], Code], str], tuple[object, str]]
    engine: Callable[[Plan, Sequence[Storage], Sequence[Any], object, int, int], Engine]
    most_threads: int = MOST_THREADS
    alignment: int = ALIGNMENT


@dataclass(frozen=True)
class Interpreting:
    """Runs a graph as it is: `engine(graph, seed)`."""

    engine: Callable[[Graph, int], Engine]


@dataclass(frozen=True)
class Backend:
    """`lack()` says why it cannot run here, or is empty. One that is `automatic` may be chosen by "auto"."""

    name: str
    lack: Callable[[], str]
    how: Planning | Interpreting
    automatic: bool = True


class Deferred(Backend):
    """A backend whose record is `name` in capitals, in a module that is imported when the record is first asked for."""

    def __init__(self, name: str, module: str, automatic: bool = True) -> None:
        self.__dict__.update(name=name, automatic=automatic, _module=module)

    def __getattr__(self, field: str) -> Any:
        if field not in ("lack", "how"):
            raise AttributeError(field)
        record = getattr(importlib.import_module(self._module), self.name.upper())
        self.__dict__.update(vars(record))
        return self.__dict__[field]
