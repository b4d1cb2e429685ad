"""A program's engine without a plan: any function that computes outputs and next values from arrays.

It stands in for the executor where a program is interpreted: the reference backend. Parameters and the random step
change only after everything has been computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.runtime.binding import commit

__all__ = ["Interpreter"]

Evaluate = Callable[[list[Any], int, int], Sequence[Any]]


class Interpreter:
    """Runs `evaluate(inputs, seed, step)`, which answers with the outputs, then with a next value for each target."""

    threads = 1
    is_elsewhere = False
    table_bytes = 0

    def __init__(self, evaluate: Evaluate, targets: Sequence[Any] = (), seed: int = 0) -> None:
        self._evaluate = evaluate
        self._targets = list(targets)
        self.seed = seed
        self.step = 0

    def run(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Fill `outputs`, update the targets."""
        values = list(self._evaluate(inputs, self.seed, self.step))
        count = len(outputs)
        following = [np.array(value) for value in values[count:]]  # a next value may be another target itself
        commit([*outputs, *self._targets], [*values[:count], *following])
        self.step += 1
