"""The backend "numpy": the reference interpreter of the tensor graph, which shares neither passes nor kernels."""

from __future__ import annotations

from typing import Any

from graphc.backends.backend import Backend, Interpreting
from graphc.backends.numpy.interpreter import Interpreter
from graphc.ir.graph import Graph
from graphc.ops.parameter import Parameter
from graphc.ops.reference import evaluate
from graphc.passes import resolve_marks

__all__ = ["NUMPY"]


def _interpreter(graph: Graph, seed: int) -> Interpreter:
    """What interprets `graph`."""
    plain = resolve_marks(graph)
    targets = [target.storage for target, _ in plain.updates if isinstance(target, Parameter)]

    def run(arrays: list[Any], seed: int, step: int) -> list[Any]:
        results: list[Any] = evaluate(plain.results, dict(zip(plain.inputs, arrays, strict=True)), seed=seed, step=step)
        return results

    return Interpreter(run, targets, seed)


NUMPY = Backend("numpy", lack=lambda: "", how=Interpreting(_interpreter), automatic=False)
