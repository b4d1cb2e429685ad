"""Results get buffers of their own.

`result_base` is the node whose buffer a result is: what lies under a mere reshape, else the result itself.
`separate_results` sees to it that no two results share a base and that no base is an input, a parameter or a constant,
by putting a copy where they would. A reshape that
is not the whole of a buffer is copied too.
"""

from __future__ import annotations

from graphc.fusion.views import strided_view
from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.build import copy
from graphc.ops.record import Kind, View, op_of, view_of
from graphc.ops.tensor import Tensor

__all__ = ["result_base", "separate_results"]


def result_base(result: Node) -> Node:
    """The node whose buffer holds `result`."""
    view = strided_view(result)
    return view.base if view is not None and view.is_whole and _is_computed(view.base) else result


def _is_computed(node: Node) -> bool:
    """Whether a launch computes `node`: it is no input, parameter or constant, which have storage of their own."""
    return op_of(node).kind is not Kind.SOURCE


def separate_results(graph: Graph) -> Graph:
    """`graph` with results copied where they are no node of their own."""
    taken: set[Node] = set()
    results: list[Node] = []
    for number, result in enumerate(graph.results):
        base = result_base(result)
        if base in taken or not _is_computed(base) or view_of(base) is View.RESHAPED:
            assert isinstance(result, Tensor)
            result = base = copy(result, slot=number)
        taken.add(base)
        results.append(result)
    return graph.with_results(results)
