"""Rules for reductions. n is the number of elements that a reduction combines along the axes in question.

    reduce(x) over axes of extent 1     = reshape(x)             reduce(x) over no axes = x; a sum of floats adds 0.0
    reduce(reduce(x))                   = reduce(x)              over all axes of both, one and the same op
    max(broadcast(x)) over its copies   = x                      also min
    sum(broadcast(x)) over its copies   = n * x (+ 0.0)          rounded once instead of n times
    sum(-x) = -sum(x)                                            up to the sign of a sum that is 0
    reduce(transpose(x))                = transpose(reduce(x))   a smaller transpose, mostly none
    reduce(reshape(x)) over all axes    = reduce(x) over all axes

max and min keep every bit, and so do sums over extents of 1: as in NumPy and PyTorch a sum starts at 0.0, so that it
is 0.0 of a single -0.0. Other sums are those of the same numbers, in another order where axes merge or are permuted.
"""

from __future__ import annotations

import math

from graphc.ops.build import apply, broadcast_to, full_like
from graphc.ops.tensor import Tensor
from graphc.ops.views import permute, reshape_to
from graphc.passes.rewriting import Rules

__all__ = ["REDUCTION_RULES"]


def _reduce(op: str, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return apply(op, x, axes=tuple(sorted(axes))) if axes else x


def _started(op: str, x: Tensor) -> Tensor:
    """What the reduction `op` of one element is: a sum of floats starts at 0.0, and is never -0.0."""
    return apply("add", x, full_like(x, 0)) if op == "sum" and x.dtype.is_float else x


def _ones(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    axes = node.attrs["axes"]
    kept = tuple(axis for axis in axes if x.shape[axis] != 1)
    if len(kept) == len(axes):
        return x if not axes else None
    dropped = [axis for axis in axes if x.shape[axis] == 1]
    squeezed = reshape_to(x, tuple(size for axis, size in enumerate(x.shape) if axis not in dropped))
    if not kept:
        return _started(node.op, squeezed)
    return _reduce(node.op, squeezed, tuple(axis - sum(d < axis for d in dropped) for axis in kept))


def _of_reduction(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != node.op:
        return None
    kept = [axis for axis in range(x.inputs[0].ndim) if axis not in x.attrs["axes"]]
    return _reduce(node.op, x.inputs[0], (*x.attrs["axes"], *(kept[axis] for axis in node.attrs["axes"])))


def _of_broadcast(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != "broadcast_to" or not x.size:
        return None
    (source,) = x.inputs
    shape = (1,) * (x.ndim - source.ndim) + source.shape
    copies = [axis for axis in node.attrs["axes"] if shape[axis] != x.shape[axis]]
    if not copies:
        return None
    one = reshape_to(source, tuple(size for axis, size in enumerate(shape) if axis not in copies))
    spread = broadcast_to(one, tuple(size for axis, size in enumerate(x.shape) if axis not in copies))
    rest = tuple(axis - sum(c < axis for c in copies) for axis in node.attrs["axes"] if axis not in copies)
    result = _reduce(node.op, spread, rest) if rest else _started(node.op, spread)
    count = math.prod(x.shape[axis] for axis in copies)
    if node.op != "sum":
        return result
    return apply("multiply", result, full_like(result, count)) if _counts(node, count) else None


def _counts(node: Tensor, count: int) -> bool:
    """Whether the node's dtype holds `count` exactly (of the floats: the wide ones, up to their significand)."""
    return count <= {"float64": 2**53, "float32": 2**24, "int64": 2**63 - 1, "int32": 2**31 - 1}.get(node.dtype.name, 0)


def _of_negative(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return apply("negative", _reduce("sum", x.inputs[0], node.attrs["axes"])) if x.op == "negative" else None


def _of_view(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    axes = node.attrs["axes"]
    if x.op == "reshape" and len(axes) == x.ndim:
        return _reduce(node.op, x.inputs[0], tuple(range(x.inputs[0].ndim)))
    if x.op != "transpose":
        return None
    order = x.attrs["axes"]
    reduced = tuple(order[axis] for axis in axes)
    kept = [source for axis, source in enumerate(order) if axis not in axes]
    return permute(_reduce(node.op, x.inputs[0], reduced), tuple(sorted(kept).index(source) for source in kept))


_ALL = (_ones, _of_reduction, _of_broadcast, _of_view)
REDUCTION_RULES: Rules = {"sum": (*_ALL, _of_negative), "max": _ALL, "min": _ALL}
