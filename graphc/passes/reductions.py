"""Rules for reductions, each under the equations that it carries out.

max and min keep every bit. Sums are those of the same numbers, in another order where axes merge or are permuted; two
sums become one in wide dtypes alone, since 16-bit floats are rounded in between.
"""

from __future__ import annotations

import math

from graphc.ops.build import apply, broadcast_to, full_like
from graphc.ops.primitives.views import permute, reshape_to
from graphc.ops.record import INTEGER, NUMERIC, SIGNED, WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook

__all__ = ["REDUCTIONS"]

REDUCTIONS = Rulebook()
BITS, ROUNDING, ZEROS = Keeps.BITS, Keeps.ROUNDING, Keeps.ZEROS
_OPS = ("sum", "max", "min")


def _reduce(op: str, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return apply(op, x, axes=tuple(sorted(axes))) if axes else x


def _started(op: str, x: Tensor) -> Tensor:
    """What the reduction `op` of one element is: a sum of floats starts at 0.0, and is never -0.0."""
    return apply("add", x, full_like(x, 0)) if op == "sum" and x.dtype.is_float else x


@REDUCTIONS.rule(
    _OPS,
    Rewrite("reduce(x) over no axes", "x", BITS, lambda x: apply("max", x, axes=()), dtypes=NUMERIC),
    Rewrite(
        "max(x), min(x) over extents of 1", "reshape(x)", BITS,
        lambda x: apply("min", reshape_to(x, (1, 9)), axes=(0,)), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(x) over extents of 1", "reshape(x) + 0.0", BITS,
        lambda x: apply("sum", reshape_to(x, (1, 9)), axes=(0,)), "a sum starts at 0.0, and is 0.0 of a single -0.0",
    ),
    Rewrite(
        "sum(x) over extents of 1", "reshape(x)", BITS,
        lambda x: apply("sum", reshape_to(x, (1, 9)), axes=(0,)), dtypes=INTEGER,
    ),
)  # fmt: skip
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


@REDUCTIONS.rule(
    _OPS,
    Rewrite(
        "max(max(x)), min(min(x))", "max(x), min(x)", BITS,
        lambda a: apply("max", apply("max", a, axes=(0,)), axes=(0,)), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(sum(x))", "sum(x)", ROUNDING, lambda a: apply("sum", apply("sum", a, axes=(0,)), axes=(0,)),
        "16-bit floats are rounded in between", dtypes=WIDE_FLOAT,
    ),
    Rewrite(
        "sum(sum(x))", "sum(x)", BITS, lambda a: apply("sum", apply("sum", a, axes=(1,)), axes=(0,)), dtypes=INTEGER,
    ),
)  # fmt: skip
def _of_reduction(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op != node.op or (node.op == "sum" and node.dtype.is_low_precision):
        return None
    kept = [axis for axis in range(x.inputs[0].ndim) if axis not in x.attrs["axes"]]
    return _reduce(node.op, x.inputs[0], (*x.attrs["axes"], *(kept[axis] for axis in node.attrs["axes"])))


@REDUCTIONS.rule(
    _OPS,
    Rewrite(
        "max(broadcast(s)), min(broadcast(s)) over its copies", "s", BITS,
        lambda s: apply("max", broadcast_to(s, (8, 9)), axes=(1,)), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(broadcast(s)) over its n copies", "(s + 0.0) * n", ROUNDING,
        lambda s: apply("sum", broadcast_to(s, (8, 9)), axes=(1,)),
        "n is a number of the dtype, which has 32 bits or more", dtypes=WIDE_FLOAT,
    ),
    Rewrite(
        "sum(broadcast(s)) over its n copies", "s * n", BITS,
        lambda s: apply("sum", broadcast_to(s, (8, 9)), axes=(0, 1)), "the same", dtypes=("int64", "int32"),
    ),
)  # fmt: skip
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


@REDUCTIONS.rule(
    _OPS,
    Rewrite(
        "max(transpose(x)), min(transpose(x))", "transpose(max(x)), transpose(min(x))", BITS,
        lambda c: apply("max", permute(c, (2, 0, 1)), axes=(0,)), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(transpose(x))", "transpose(sum(x))", ROUNDING, lambda c: apply("sum", permute(c, (2, 0, 1)), axes=(0,))
    ),
    Rewrite(
        "max(reshape(x)), min(reshape(x)) over all axes", "max(x), min(x) over all axes", BITS,
        lambda a: apply("max", reshape_to(a, (72,)), axes=(0,)), dtypes=NUMERIC,
    ),
    Rewrite(
        "sum(reshape(x)) over all axes", "sum(x) over all axes", ROUNDING,
        lambda a: apply("sum", reshape_to(a, (72,)), axes=(0,)),
    ),
)  # fmt: skip
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


@REDUCTIONS.rule("sum", Rewrite("sum(-x)", "-sum(x)", ZEROS, lambda a: apply("sum", -a, axes=(0,)), dtypes=SIGNED))
def _of_negative(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return apply("negative", _reduce("sum", x.inputs[0], node.attrs["axes"])) if x.op == "negative" else None
