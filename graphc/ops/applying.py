"""What one node computes, by the NumPy reference of its op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, InternalError, with_location
from graphc.ir.node import Node, Results
from graphc.ir.types import TensorType
from graphc.ops.record import Array, Kind, op_of

__all__ = ["apply_reference"]


def apply_reference(node: Node, inputs: Sequence[Array]) -> Any:
    """The op's reference on widened inputs, narrowed to the type of the node; of several results a tuple."""
    if node.op in ("input", "parameter"):
        raise with_location(GraphError(f"{node!r} has no value: give one for it in `values`"), node.location)
    if op_of(node).kind is Kind.PART:
        return op_of(node).reference(*inputs, **node.attrs)
    answer = op_of(node).reference(*_widened(node, inputs), **node.attrs)
    if not isinstance(node, Results):
        return _narrowed(answer, node.type, node)
    return tuple(_narrowed(part, type, node) for part, type in zip(answer, node.type.parts, strict=True))


def _widened(node: Node, inputs: Sequence[Array]) -> Sequence[Array]:
    if op_of(node).kind is Kind.LOOP:  # its body widens
        return inputs
    pairs = zip(inputs, node.inputs, strict=True)
    return [array.astype(np.float32) if source.dtype.is_low_precision else array for array, source in pairs]


def _narrowed(answer: Any, type: TensorType, node: Node) -> Array:
    array: Array = np.asarray(answer)
    if array.shape != type.shape:
        raise InternalError(f"the reference of {node.op} answers {array.shape} for {node!r}")
    return array.astype(type.dtype.numpy, copy=False)
