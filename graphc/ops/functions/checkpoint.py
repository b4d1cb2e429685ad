"""`checkpoint`: a part of the forward program of which only inputs and results are kept for gradients.

    enter(x, region) = x      what the function is given instead of x
    leave(y, region) = y      what it answers with

What depends on the one and is needed for the other is the region. Gradients are built of its nodes as ever; it is when
memory is planned that what a region stores is dropped after its last reader within, and made again from what entered
when a gradient needs it (fusion/regions.py). So values and gradients are those of the plain function to the bit, and
random numbers the same. Regions may lie within regions: what the inner ones store is then dropped again while the outer
one is made again.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import GraphError, shown, with_location
from graphc.ir.fresh import Fresh
from graphc.ir.location import capture
from graphc.ir.public import public
from graphc.ops.build import apply
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.marks import ENTER, LEAVE
from graphc.ops.tensor import Tensor

__all__ = ["checkpoint"]


@public
def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose inner values are not kept for gradients but computed again when these need them.

    Memory then holds what goes in and comes out instead of all between, at the price of a second forward computation:
    n layers in groups of sqrt(n) take the memory of 2 sqrt(n) layers (Chen et al., "Training deep nets with sublinear
    memory cost", 2016). `function` takes tensors, also in lists, tuples and dicts, and anything else; it answers with a
    tensor, a sequence or a dict of tensors. A module will do. What depends on none of its arguments is not computed
    again. Calls may be nested. Values and gradients are the same to the bit. Raises GraphError where `function` takes
    no tensor, and where it answers with anything but tensors.

    >>> x, w = input("x", (8, 4)), parameter("w", np.ones((4, 4), np.float32))
    >>> y = checkpoint(lambda x: tanh(x @ w))(x)
    >>> gradient = grad(y.sum(), w)
    """

    if not callable(function):
        raise GraphError(f"what is checkpointed is a function or a module, not {shown(function)}")

    @functools.wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        region = Fresh()
        try:
            if not _holds_tensor((args, kwargs)):
                raise with_location(GraphError("a checkpointed function takes tensors; none came"), capture())
            return _left(function(*_entered(args, region), **_entered(kwargs, region)), region)
        except RecursionError:
            error = (
                "checkpointed calls, or the structures that they take, nest too deep for Python's stack of "
                f"{sys.getrecursionlimit()} frames; checkpoint fewer, larger parts"
            )
            raise with_location(GraphError(error), capture()) from None

    return checkpointed


def _entered(value: Any, region: Fresh) -> Any:
    """`value` with its tensors marked. So all that is made of them is new, whatever was built before."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return _marked(ENTER, value, region)
    if isinstance(value, (list, tuple)):
        parts = [_entered(part, region) for part in value]
        return parts if isinstance(value, list) else getattr(type(value), "_make", tuple)(parts)
    if isinstance(value, dict):
        return {name: _entered(part, region) for name, part in value.items()}
    return value


def _holds_tensor(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, Tensor) or any(map(_holds_tensor, parts))


def _left(result: Any, region: Fresh) -> Any:
    """The result of a function, its tensors marked. Raises GraphError."""
    if isinstance(result, Tensor):
        return _marked(LEAVE, result, region)
    parts = list(result.values()) if isinstance(result, Mapping) else result
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, Tensor) for part in parts):
        message = (
            f"a checkpointed function answers with a tensor, or a sequence or a dict of tensors, not {shown(result)}"
        )
        raise with_location(GraphError(message), capture())
    marked = [_marked(LEAVE, part, region) for part in parts]
    if isinstance(result, Mapping):
        return dict(zip(result, marked, strict=True))
    return marked if isinstance(result, list) else getattr(type(result), "_make", tuple)(marked)


def _marked(mark: str, tensor: Tensor, region: Fresh) -> Tensor:
    node = apply(mark, tensor, region=region)
    node.location = tensor.location
    return node
