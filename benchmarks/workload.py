"""What a workload is: a record of what is computed, on which data, how much work that is, and what it should reach.

The forward computation is written once for each framework (`workloads`, `torch_twins`, `jax_twins`); what is made of
it (a training step, a gradient, a Hessian-vector product) follows from `kind`, and is the engines' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from graphc import nn

__all__ = ["LEARNING_RATE", "Array", "Data", "Goal", "Kind", "Sizes", "Workload"]

Array = np.ndarray[Any, Any]
Sizes = Mapping[str, int]
Kind = Literal["train", "gradient", "hessian", "value"]

LEARNING_RATE = 1e-3
TOLERANCES = {"train": 1e-3, "gradient": 1e-4, "hessian": 1e-4, "value": 1e-5}  # rounding grows with steps of AdamW
STATE_BYTES = 24  # AdamW reads and writes a parameter and two moments of 4 bytes each


@dataclass(frozen=True)
class Goal:
    """At least `ratios[threads]` times as fast as the fastest of `peers`."""

    peers: tuple[str, ...]
    ratios: Mapping[int, float]

    def __str__(self) -> str:
        return " and ".join(self.peers)


@dataclass(frozen=True)
class Data:
    """The numbers that every engine starts from: `weights` are trained, `buffers` are not; `vectors` as the weights."""

    weights: dict[str, Array]
    buffers: dict[str, Array]
    vectors: dict[str, Array]
    inputs: dict[str, Array]


@dataclass(frozen=True)
class Workload:
    """One thing to measure.

    `kind`: "train" is forward, backward and AdamW; "gradient" the value and its gradients by the inputs in `wrt`,
    for the cotangent `g` where the value is no scalar; "hessian" the Hessian by the weights times vectors; "value"
    the value alone. `forward(model, **inputs)` builds the value in graphc; `flops` is the work of a whole step.
    `small` are sizes for tests. Workloads of one `group` share processes. `left_out` gives the reason for each engine
    that is not asked.
    """

    name: str
    title: str
    kind: Kind
    sizes: Sizes
    small: Sizes
    inputs: Callable[[Sizes, np.random.Generator], dict[str, Array]]
    forward: Callable[..., Any]
    flops: Callable[[Sizes], float]
    model: Callable[[Sizes], nn.Module] | None = None
    wrt: tuple[str, ...] = ()
    group: str = ""
    goals: tuple[Goal, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def tolerance(self) -> float:
        """How far apart losses, or elements of a result, may be, as a part of the largest of them."""
        return TOLERANCES[self.kind]

    def shrunk(self) -> Workload:
        """The same on the sizes for tests."""
        return replace(self, sizes=self.small)

    def build_model(self) -> nn.Module | None:
        """The model with its initial values, the same at each call."""
        if self.model is None:
            return None
        nn.seed(0)
        return self.model(self.sizes)

    def data(self) -> Data:
        """Weights and inputs, the same at each call."""
        rng = np.random.default_rng(0)
        inputs = self.inputs(self.sizes, rng)
        model = self.build_model()
        weights = {name: part.value.copy() for name, part in model.named_parameters().items()} if model else {}
        buffers = {name: part.value.copy() for name, part in model.named_buffers().items()} if model else {}
        names = weights if self.kind == "hessian" else {}
        vectors = {name: rng.standard_normal(weights[name].shape, np.float32) for name in names}
        return Data(weights, buffers, vectors, inputs)

    def work(self) -> float:
        """Floating-point operations of a step."""
        return self.flops(self.sizes)

    def traffic(self, data: Data, results: int) -> int:
        """The least bytes that a step moves: what it is given, what it answers with (`results`), the state it updates.

        Intermediate values are not counted: they may stay in a cache, or never exist.
        """
        given = sum(array.nbytes for part in (data.inputs, data.vectors) for array in part.values())
        weights = sum(array.size for array in data.weights.values())
        return given + results + weights * (STATE_BYTES if self.kind == "train" else 4)
