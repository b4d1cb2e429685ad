"""`Program`: a compiled graph that is called with arrays.

Calls are strict and atomic: what does not fit is an InputError before anything has changed, and parameters, optimiser
state and the random step change only in a call that ran. Calls of one Program, and of Programs that share parameters,
take turns, also with whoever reads or writes the parameters; others run at the same time. A call from within a call, as
a signal handler may make it, is an error. After a fork the child can go on calling.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from graphc.dsl.state_dict import Mismatch, read_state, write_state
from graphc.errors import BackendError, InputError
from graphc.ir.data import MOST_SEED, MOST_STEP, whole_number
from graphc.ir.public import public
from graphc.ir.ranges import IndexRange
from graphc.ir.uncopied import Uncopied
from graphc.ops.guard import CALL, Storage, joined, nested
from graphc.plan.memory_report import MemoryReport, memory_report
from graphc.plan.plan import Plan
from graphc.runtime.argument import Argument
from graphc.runtime.binding import Binding, commit
from graphc.runtime.profile import Profile, profile_of

__all__ = ["Engine", "Program"]

_NONE: Mapping[str, Storage] = {}


class Engine(Protocol):
    """What runs a step: `Executor`, say. A completed run raises `step` by one.

    One that is `elsewhere` keeps parameters in memory of its own (ops/guard.py), others where they are. Its `binding`,
    if it has one, makes what finds places for the arrays of a call, in the place of `Binding`. Its `run_profiled`, if
    it has one, runs a step and answers with the nanoseconds that each launch of the plan took.
    """

    seed: int
    step: int
    threads: int
    is_elsewhere: bool
    table_bytes: int

    def run(self, inputs: list[Any], outputs: list[Any]) -> None: ...


class Program(Uncopied):
    """A compiled graph. Made by `gx.compile` and `gx.load`.

    `engine` runs it; `plan` is what the engine was made from, or None where there is none. `structure` ("array",
    "list" or "dict") says how results are handed back. `parameters` are the arrays that outlive the calls, by name;
    they are protected from being used as `out=`. `ranges` are what a call's indices are checked against. `source()`
    is the text of the kernels, for people to read. `exporter` writes the program to files. What a program computes is
    settled when it is compiled: neither `model.eval()` nor a parameter's `trainable` changes it. Programs of one model
    share its parameters.

    >>> step(x_batch, y_batch)                     # by position, in the order of `inputs`
    >>> step(x=x_batch, y=y_batch)                 # by name
    >>> step(x_batch, y_batch, out=result)         # into arrays of the caller

    A CUDA program takes arrays on the device where they are, as inputs and as `out=`: those of PyTorch, CuPy, JAX and
    all others that have DLPack or `__cuda_array_interface__`. With `out="device"` it answers with a `gx.DeviceArray`.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Sequence[Argument],
        outputs: Sequence[Argument],
        structure: str,
        *,
        backend: str,
        plan: Plan | None = None,
        parameters: Mapping[str, Storage] = _NONE,
        ranges: Sequence[IndexRange] = (),
        source: Callable[[], str] = str,
        exporter: Callable[[Path, str | None], None] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.backend = backend
        self.plan = plan
        self._source = source
        self.structure = structure
        self._exporter = exporter
        self._engine = engine
        self._state = dict(parameters)
        self._parameters = tuple(storage.array for storage in self._state.values())
        self.guard = joined(storage.guard for storage in self._state.values())
        bind = getattr(engine, "binding", Binding)
        self._binding: Binding = bind(self.inputs, self.outputs, structure, self._parameters, ranges)

    def __call__(self, /, *arrays: Any, out: Any = None, **named: Any) -> Any:
        """Run one step. Answers with the outputs, or with `out` filled.

        An array has exactly the input's shape and dtype; Python scalars and lists take its dtype where that loses
        nothing of their kind. Raises InputError, which names the input, what was expected and what came; also for an
        index out of range (see `gx.compile`).
        """
        binding, guard = self._binding, self.guard
        inputs = binding.inputs(arrays, named)
        while True:  # what Guard.hold does, written out: it is most of what a small program takes
            turn = guard.turn
            with turn.lock:
                if turn.next is not None:
                    guard.turn = turn.next
                    continue
                if turn.busy:
                    raise nested(turn, CALL)
                turn.busy = CALL
                try:
                    if turn.elsewhere and not self._engine.is_elsewhere:
                        turn.gather()
                    inputs = binding.placed(inputs)
                    outputs = binding.outputs(out, inputs)
                    self._engine.run(inputs, outputs)
                finally:
                    turn.busy = ""
            return binding.pack(outputs) if out is None or out.__class__ is str else out

    def __repr__(self) -> str:
        takes = ", ".join(map(str, self.inputs))
        gives = ", ".join(map(str, self.outputs))
        threads = f", {self.threads} threads" if self.threads else ""
        return f"<Program ({takes}) -> ({gives}) on {self.backend}{threads}>"

    @property
    def source(self) -> str:
        """The text of the kernels, for people to read."""
        return self._source()

    @property
    def threads(self) -> int:
        """The most threads of this process that a step uses, 0 on another device. Results do not depend on it."""
        return self._engine.threads

    @property
    def seed(self) -> int:
        """The seed of the random numbers. Setting it also sets `step` to 0."""
        return self._engine.seed

    @seed.setter
    @public
    def seed(self, value: int) -> None:
        seed = whole_number(value, "a seed", 0, MOST_SEED)

        def set_both() -> None:
            self._engine.seed, self._engine.step = seed, 0

        self.guard.hold(set_both, "setting the seed", changes=False)

    @property
    def step(self) -> int:
        """How many calls have run; random numbers follow from (seed, step)."""
        return self._engine.step

    @step.setter
    @public
    def step(self, value: int) -> None:
        step = whole_number(value, "a step", 0, MOST_STEP)
        self.guard.hold(lambda: setattr(self._engine, "step", step), "setting the step", changes=False)

    @property
    def memory(self) -> MemoryReport:
        """The bytes that the program holds while a step runs, and the tensors at the peak.

        An interpreted program reports only what it must hold, its parameters and state as one.
        """
        if self.plan is not None:
            return memory_report(self.plan, self.threads, self._engine.table_bytes)
        parameter = sum(array.nbytes for array in self._parameters)
        given = sum(argument.nbytes for argument in self.inputs)
        results = sum(argument.nbytes for argument in self.outputs)
        return MemoryReport(parameter, 0, 0, given, results, 0, 0, 0, 0)

    def state_dict(self) -> dict[str, Any]:
        """The values of the program's parameters and states by name, copied: of weights in the order in which they were
        defined, then of the optimiser's state.

        Names are those of the model's `state_dict`. Where two would be the same, one has a number, as in `w (2)`.
        """
        return read_state(self._state)

    @public
    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Set the program's parameters and states, all or none.

        With `strict=False` names that are missing or unexpected are passed over; what they were is the answer, as
        `missing_keys` and `unexpected_keys`. Raises InputError, ShapeError and DTypeError, which tell all that does not
        fit.
        """
        return write_state(self._state, values, "the program", strict)

    def _uncopied(self, what: str) -> str:
        return (
            f"a Program cannot be {what}: gx.compile makes another one over the same parameters; program.export(path) "
            "writes it to files, and gx.load(path) makes a program with a state of its own of them"
        )

    @public
    def export(self, path: str | os.PathLike[str], *, isa: str | None = None) -> None:
        """Write the program as a C library that needs neither Python nor graphc, with its present state.

        `export("build/step")` writes to the folder `build`: `step.c` and `step.h`, the program and how it is called;
        `step.so`, the same compiled; `step.safetensors`, parameters, optimiser state and constants; `step.json`, the
        manifest that `gx.load` reads. `isa` is the instruction set level: "baseline", "avx2" or "avx512", or as
        compilers call them, such as "x86-64-v3"; this machine's by default. A program on the backend "cuda" is written
        as its kernels: `step.py`, for people to read, and `step.cubins`, compiled for all devices, instead of C.

        Raises BackendError (no compiler, an unknown level, a name that is no C identifier), OSError.
        """
        if self._exporter is None:
            raise BackendError("this program was loaded from files, which are its export; copy them")
        self._exporter(Path(path), isa)

    @public
    def profile(self, /, *arrays: Any, runs: int = 10, **named: Any) -> Profile:
        """The time of each launch, median of `runs` steps on one thread. Parameters and the step stay as they are.

        On a device launches run one after the other, too, and the device measures.

        >>> print(step.profile(x_batch, y_batch))
        """
        engine, plan = self._engine, self.plan
        run_profiled = getattr(engine, "run_profiled", None)
        runs = whole_number(runs, "the number of runs", 1, 1 << 31)
        if plan is None or run_profiled is None:
            raise InputError(f"the {self.backend} backend has no launches to profile; compile with another backend")
        given = self._binding.inputs(arrays, named)

        def measure() -> list[list[float]]:
            inputs = self._binding.placed(given)
            outputs = self._binding.outputs(None, inputs)
            saved, step = [array.copy() for array in self._parameters], engine.step
            try:
                return [run_profiled(inputs, outputs) for _ in range(runs + 1)][1:]
            finally:
                commit(list(self._parameters), saved)
                self.guard.root().written()
                engine.step = step

        samples = self.guard.hold(measure, "a profile")
        return profile_of(plan, [median(times) for times in zip(*samples, strict=True)], len(samples))
