"""The record that the fuzzer's parts pass on: a graph to compile, with arrays for its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir.graph import Graph
from graphc.ops.parameter import Parameter

__all__ = ["Array", "FuzzProgram"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FuzzProgram:
    """A graph, arrays for its inputs in their order, and how it was made: reports name it so."""

    graph: Graph
    arrays: tuple[Array, ...]
    origin: str

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters that the program reads or updates."""
        nodes = (*self.graph.nodes, *(target for target, _ in self.graph.updates))
        return list(dict.fromkeys(node for node in nodes if isinstance(node, Parameter)))
