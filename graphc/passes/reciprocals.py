"""Reciprocals of what rows are divided by: one division for each row in place of one for each element.

As in layer, batch and instance normalisation, in softmax, and in their gradients. The root of a number that is neither
0 nor infinite has a reciprocal of full precision, and so has a sum of powers of which the largest is 1; other divisors
may not have one. So results change by one more rounding, and not at all where v or s is 0, infinite or NaN.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ops.build import apply, broadcast_to, full_like
from graphc.ops.primitives.views import reshape_to
from graphc.ops.record import WIDE_FLOAT
from graphc.ops.tensor import Tensor
from graphc.passes.quotients import highest_taken_out
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["RECIPROCALS", "share_reciprocals"]

RECIPROCALS = Rulebook()

_FEWER = 8  # times fewer elements of v


def share_reciprocals(graph: Graph) -> Graph:
    """`graph` without divisions by broadcast square roots and by broadcast sums of powers up to 1."""
    return rewrite(graph, RECIPROCALS.rules)


def _softmax(a: Tensor) -> Tensor:
    highest = broadcast_to(reshape_to(apply("max", a, axes=(1,)), (a.shape[0], 1)), a.shape)
    powers = apply("exp", a - highest)
    return powers / broadcast_to(reshape_to(apply("sum", powers, axes=(1,)), (a.shape[0], 1)), a.shape)


@RECIPROCALS.rule(
    "divide",
    Rewrite(
        "x / broadcast(sqrt(v))", "x * broadcast(1 / sqrt(v))", Keeps.ROUNDING,
        lambda a, s: a / broadcast_to(apply("sqrt", s), a.shape), "v has far fewer elements than x", dtypes=WIDE_FLOAT,
    ),
    Rewrite(
        "x / broadcast(s)", "x * broadcast(1 / s)", Keeps.ROUNDING, _softmax,
        "s = sum(exp(y - max(y))), which has far fewer elements than x", dtypes=WIDE_FLOAT,
    ),
)  # fmt: skip
def _divide(node: Tensor) -> Tensor | None:
    x, divisor = node.inputs
    if divisor.op != "broadcast_to" or node.dtype.name not in WIDE_FLOAT:
        return None
    (row,) = divisor.inputs
    source = row.inputs[0] if row.op == "reshape" else row
    if source.size * _FEWER > x.size or not (source.op == "sqrt" or _sums_powers_up_to_one(source)):
        return None
    reciprocal = reshape_to(apply("divide", full_like(source, 1), source), row.shape)
    return apply("multiply", x, broadcast_to(reciprocal, x.shape))


def _sums_powers_up_to_one(node: Tensor) -> bool:
    """Whether a node is sum(exp(y - max(y))), both over the same axes."""
    if node.op != "sum" or node.inputs[0].op != "exp":
        return False
    highest = highest_taken_out(node.inputs[0].inputs[0])
    return highest is not None and highest.attrs["axes"] == node.attrs["axes"]
