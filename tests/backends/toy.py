"""A backend in one file: each op's own reference, run along the graph. docs/add_a_backend.md shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.backends.backend import Backend, Interpreting
from graphc.ir.graph import Graph, interpret
from graphc.ir.node import Node, Results
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.random import random_bits_reference
from graphc.ops.record import op_of
from graphc.passes import resolve_marks


class ToyEngine:
    """Runs a graph; `run` fills the outputs and gives parameters their next values, as every engine does."""

    threads = 1
    table_bytes = 0

    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph = resolve_marks(graph)  # marks tell the passes something, and compute nothing
        self.seed, self.step = seed, 0

    def run(self, inputs: list[Any], outputs: list[Any]) -> None:
        held = [node for node in self.graph.nodes if isinstance(node, Parameter)]
        given = {node: node.storage for node in held} | dict(zip(self.graph.inputs, inputs, strict=True))
        with np.errstate(all="ignore"):
            results = interpret(self.graph.results, given, self.value)
        for array, value in zip(outputs, results, strict=False):
            array[...] = value
        following = [np.array(value) for value in results[len(outputs) :]]
        for (target, _), value in zip(self.graph.updates, following, strict=True):
            target.storage[...] = value  # type: ignore[attr-defined]
        self.step += 1

    def value(self, node: Node, inputs: tuple[Any, ...]) -> Any:
        """One node: 16-bit floats reach references as float32, and answers take the dtype of the node."""
        if node.op == "random_bits":
            return random_bits_reference(node.shape, node.attrs["stream"], self.seed, self.step)
        wide = [x.astype(np.float32) if is_short(x) else x for x in inputs] if node.op != "part" else inputs
        answer = op_of(node).reference(*wide, **node.attrs)
        if isinstance(node, Results):
            return tuple(np.asarray(x, type.dtype.numpy) for x, type in zip(answer, node.type.parts, strict=True))
        return np.asarray(answer, node.dtype.numpy)


def is_short(array: Any) -> bool:
    return array.dtype.name in ("float16", "bfloat16")


TOY = Backend("toy", lack=lambda: "", how=Interpreting(ToyEngine), automatic=False)
