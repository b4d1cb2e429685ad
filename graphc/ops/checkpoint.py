"""`checkpoint`: a part of the forward program of which only inputs and results are kept for gradients.

    enter(x, region) = x      where a tensor comes into a region from outside
    leave(y, region) = y      where a result goes out

Between the two lie the region's nodes. Gradients are built of them as ever; it is when memory is planned that what a
region stores is dropped after its last reader within, and made again from what entered when a gradient needs it
(schedule/regions.py). So values and gradients are those of the plain function to the bit, and random numbers the same.
Regions may lie within regions: what the inner ones store is then dropped again while the outer one is made again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import GraphError, with_location
from graphc.ir.graph import topological
from graphc.ir.location import capture
from graphc.ir.node import Node, intern, next_serial
from graphc.ir.types import TensorType
from graphc.ops.build import apply
from graphc.ops.record import Jvp, Kind, op_of, primitive
from graphc.ops.tensor import Tensor

__all__ = ["ENTER", "LEAVE", "checkpoint"]

ENTER, LEAVE = "checkpoint_enter", "checkpoint_leave"
_regions = itertools.count()


def _infer(x: TensorType, *, region: int) -> TensorType:
    return x


for _name in (ENTER, LEAVE):
    primitive(
        _name, kind=Kind.VIEW, infer=_infer, vjp=(lambda g, y, x, region: g,), jvp=Jvp.POINTWISE,
        reference=lambda x, *, region: x, cost=0,
    )  # fmt: skip


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose inner values are not kept for gradients but computed again when these need them.

    Memory then holds what goes in and comes out instead of all between, at the price of a second forward computation:
    n layers in groups of sqrt(n) take the memory of 2 sqrt(n) layers (Chen et al., "Training deep nets with sublinear
    memory cost", 2016). `function` takes tensors (and anything else) and answers with a tensor, a sequence or a dict of
    tensors; a module will do. Tensors that it finds elsewhere count as its inputs. Calls may be nested. Values and
    gradients are the same to the bit. Raises GraphError where `function` answers with anything but tensors.

    >>> x, w = input("x", (8, 4)), parameter("w", np.ones((4, 4), np.float32))
    >>> y = checkpoint(lambda x: tanh(x @ w))(x)
    >>> gradient = grad(y.sum(), w)
    """

    @functools.wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        since = next_serial()
        result = function(*args, **kwargs)
        tensors = _tensors(result)
        region = next(_regions)
        inside = dict(zip(map(id, tensors), _enclosed(tensors, since, region), strict=True))
        return _like(result, inside)

    return checkpointed


def _tensors(result: Any) -> list[Tensor]:
    """The tensors of a result. Raises GraphError."""
    if isinstance(result, Tensor):
        return [result]
    parts = list(result.values()) if isinstance(result, Mapping) else result
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, Tensor) for part in parts):
        message = f"a checkpointed function answers with a tensor, or a sequence or a dict of tensors, not {result!r}"
        raise with_location(GraphError(message), capture())
    return list(parts)


def _like(result: Any, new: Mapping[int, Tensor]) -> Any:
    """`result` with its tensors replaced, by identity."""
    if isinstance(result, Tensor):
        return new[id(result)]
    if isinstance(result, Mapping):
        return {name: new[id(part)] for name, part in result.items()}
    parts = [new[id(part)] for part in result]
    return parts if isinstance(result, list) else getattr(type(result), "_make", tuple)(parts)


def _enclosed(results: list[Tensor], since: int, region: int) -> list[Tensor]:
    """`results` over the same nodes within a region; what was built before serial `since` stays outside."""
    new: dict[Node, Tensor] = {}
    for node in topological(results):
        if node.serial <= since:
            outer = op_of(node).kind is Kind.SOURCE and node.op != "input"
            new[node] = node if outer else _at_line(apply(ENTER, node, region=region), node)  # type: ignore[arg-type,assignment]
        elif not node.inputs:
            new[node] = node  # type: ignore[assignment]
        else:
            inputs = tuple(new[source] for source in node.inputs)
            new[node] = _at_line(intern(type(node), node.op, inputs, dict(node.attrs), node.type), node)  # type: ignore[arg-type]
    return [_left(result, new[result], since, region) for result in results]


def _left(result: Tensor, inside: Tensor, since: int, region: int) -> Tensor:
    return result if result.serial <= since else _at_line(apply(LEAVE, inside, region=region), result)


def _at_line(node: Tensor, source: Node) -> Tensor:
    node.location = source.location
    return node
