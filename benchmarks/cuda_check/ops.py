"""The table of functions on a device, with first gradients, against the reference: first all functions, then all again.

A part is a batch of cases. Their kernels are compiled together, by all processors; then each case runs by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.cuda_check.runner import Row
from graphc.api import build_graph
from graphc.backends.cuda.backend import CUDA
from graphc.backends.cuda.compiler.cubins import compiled
from graphc.backends.cuda.engine.choosing import chosen_device, is_simulated
from graphc.backends.cuda.engine.nodes import KernelNode, nodes_of
from graphc.backends.cuda.writer import CudaCode
from graphc.errors import GraphcError
from graphc.ops.record import FUNCTIONS, Function
from graphc.ops.reference import evaluate
from graphc.pipeline import compile_plan
from tests.ops.helpers import Case, build, cases, difference, first_gradients, precision

__all__ = ["in_order", "ops", "ops_parts"]

BATCH, DRY_BATCH = 40, 4
SEED = 5
HOW: Any = CUDA.how


def in_order() -> list[Case]:
    """All cases: one of each function, then another one of each, and so on; dtypes take turns within a function."""
    turns = itertools.zip_longest(*(_by_turns(function) for function in FUNCTIONS.values()))
    return [case for turn in turns for case in turn if case is not None]


def _by_turns(function: Function) -> list[Case]:
    """Cases of a function: the first sample in each dtype, then the second, shifted so that float32 comes first."""
    return sorted(cases(function), key=lambda case: (case.position, case.dtype != "float32"))


def ops_parts() -> list[str]:
    return [str(number) for number in range(-(-len(in_order()) // BATCH))]


def ops(part: str, dry: bool) -> Iterator[Row]:
    """A row for each case of a batch: what the device gives that the reference does not, or nothing."""
    size = DRY_BATCH if dry else BATCH
    batch = in_order()[int(part) * size :][:size]
    made = [_Made(case) for case in batch]
    if not is_simulated():
        _compile_all(made)
    for each in made:
        told = {"function": each.case.function.name, "dtype": each.case.dtype, "sample": each.case.position}
        yield {**told, "fault": each.fault()}


def _compile_all(made: Sequence[_Made]) -> None:
    """Bring all kernels into the cache; what cannot be compiled is told by its own case."""
    kernels = [node.kernel for each in made for node in each.nodes]
    try:
        compiled(kernels, chosen_device().capability)
    except GraphcError:
        return


class _Made:
    """A case with its plan, or with what was wrong with it already."""

    def __init__(self, case: Case) -> None:
        self.case, self.wrong, self.nodes = case, "", list[KernelNode]()
        try:
            self.built = build(case)
            self.outputs = [*self.built.outputs, *first_gradients(self.built)]
            graph, _ = build_graph(self.built.inputs, self.outputs, None)
            self.held = compile_plan(graph, CUDA, 1)
            assert isinstance(self.held.code, CudaCode)
            self.nodes = nodes_of(self.held.plan, self.held.code)
        except GraphcError as error:
            self.wrong = f"{type(error).__name__}: {error}"

    def fault(self) -> str:
        """What is wrong with the results. Raises BackendError where the device fails: it may not recover."""
        if self.wrong:
            return self.wrong
        found: list[Any] = [np.zeros(output.shape, output.dtype.numpy) for output in self.outputs]
        try:
            loaded, _ = HOW.load(self.held.plan, lambda: self.held.code, "")
        except GraphcError as error:
            return f"{type(error).__name__}: {error}"
        HOW.engine(self.held.plan, [], self.held.constants, loaded, 1, SEED).run(list(self.built.arrays), found)
        wanted = evaluate(self.outputs, self.built.values, seed=SEED)
        wrong = (difference(*pair, precision(self.case)) for pair in zip(found, wanted, strict=True))
        return next(filter(None, wrong), "")
