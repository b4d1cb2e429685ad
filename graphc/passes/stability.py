"""Numerical stability: forms that overflow, cancel or lose digits become forms that do not.

For what autodiff makes of them there are the rules of `quotients`. All are identities of real numbers, so finite
results change by rounding only, mostly towards the exact value; where the left side overflows or takes log(0), the
right side is finite. m is max(x), or 0 where that is infinite.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.ir.node import Node
from graphc.ops.build import apply, broadcast_to
from graphc.ops.primitives.arithmetic import constant_scalar
from graphc.ops.primitives.views import reshape_to
from graphc.ops.tensor import Tensor
from graphc.passes.quotients import Quotients, row_shift
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, merged, rewrite
from graphc.passes.simplify import SIMPLIFICATION

__all__ = ["STABILITY", "stabilise"]

STABILITY = Rulebook()
REAL, ROUNDING = Keeps.REAL, Keeps.ROUNDING


def stabilise(graph: Graph) -> Graph:
    """`graph` in numerically stable form, simplified."""
    settled: set[Node] = set()
    graph = rewrite(graph, merged(SIMPLIFICATION, STABILITY.rules, Quotients(shift=False).rules), settled)
    if not any(node.op == "divide" for node in graph.nodes):
        return graph  # no quotient that could be shifted
    again = Quotients(shift=True).rules
    settled = {node for node in settled if node.op not in again}
    return rewrite(graph, merged(SIMPLIFICATION, STABILITY.rules, again), settled)


def exp(x: Tensor) -> Tensor:
    return apply("exp", x)


def log(x: Tensor) -> Tensor:
    return apply("log", x)


def _column(x: Tensor) -> Tensor:
    return reshape_to(x, (*x.shape, 1))


def _is_one(x: Tensor) -> bool:
    return constant_scalar(x) == 1


def _one_plus(x: Tensor) -> Tensor | None:
    """`y` where `x` is 1 + y or y + 1."""
    if x.op == "add":
        for one, y in (x.inputs, x.inputs[::-1]):
            if _is_one(one):
                return y
    return None


def _one_minus(x: Tensor) -> Tensor | None:
    """`y` where `x` is 1 - y."""
    return x.inputs[1] if x.op == "subtract" and _is_one(x.inputs[0]) else None


def _minus(op: str, x: Tensor) -> Tensor:
    return apply("negative", apply(op, x))


# log ---------------------------------------------------------------------------------------------------------------
@STABILITY.rule(
    "log",
    Rewrite("log(exp(x))", "x", REAL, lambda x: log(exp(x)), differs={"x": (1000.0, -1000.0)}),
    Rewrite("log(sigmoid(x))", "-softplus(-x)", REAL, lambda x: log(apply("sigmoid", x)), differs={"x": (-1000.0,)}),
    Rewrite(
        "log(exp(x) / y)", "x - log(y)", REAL, lambda x, y: log(exp(x) / y), "as in log(softmax(x))",
        differs={"x": (1000.0,), "y": (2.0,)},
    ),
    Rewrite(
        "log(reshape(sum(x)))", "reshape(log(sum(x)))", Keeps.BITS,
        lambda a: log(_column(apply("sum", a, axes=(1,)))),
    ),
    Rewrite(
        "log(sum(exp(x)))", "m + log(sum(exp(x - m)))", REAL, lambda a: log(apply("sum", exp(a), axes=(1,))),
        differs={"a": (1000.0, -1000.0)},
    ),
    Rewrite("log(1 + x)", "log1p(x)", REAL, lambda x: log(1 + x), differs={"x": (1e-30,)}),
    Rewrite("log(1 - x)", "log1p(-x)", REAL, lambda x: log(1 - x), differs={"x": (1e-30,)}),
    Rewrite(
        "log(1 - sigmoid(x))", "-softplus(x)", REAL, lambda x: log(1 - apply("sigmoid", x)), differs={"x": (1000.0,)},
    ),
)  # fmt: skip
def _log(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "exp":
        return x.inputs[0]
    if x.op == "sigmoid":
        return _minus("softplus", apply("negative", x.inputs[0]))
    if x.op == "divide" and x.inputs[0].op == "exp":
        return apply("subtract", x.inputs[0].inputs[0], apply("log", x.inputs[1]))
    if x.op == "reshape" and x.inputs[0].op == "sum":
        return reshape_to(apply("log", x.inputs[0]), x.shape)
    return _log_of_sum(x) if x.op == "sum" else _log_near_one(x)


def _log_near_one(x: Tensor) -> Tensor | None:
    more, less = _one_plus(x), _one_minus(x)
    if more is not None:
        return apply("log1p", more)
    if less is not None and less.op == "sigmoid":
        return _minus("softplus", less.inputs[0])
    return None if less is None else apply("log1p", apply("negative", less))


@STABILITY.rule(
    "log1p",
    Rewrite("log1p(exp(x))", "softplus(x)", REAL, lambda x: apply("log1p", exp(x)), differs={"x": (1000.0,)}),
    Rewrite(
        "log1p(-sigmoid(x))", "-softplus(x)", REAL, lambda x: apply("log1p", -apply("sigmoid", x)),
        differs={"x": (1000.0,)},
    ),
)  # fmt: skip
def _log1p(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op == "exp":
        return apply("softplus", x.inputs[0])
    if x.op == "negative" and x.inputs[0].op == "sigmoid":
        return _minus("softplus", x.inputs[0].inputs[0])
    return None


def _log_of_sum(total: Tensor) -> Tensor | None:
    """log(sum(exp(x))), unless x is shifted already."""
    (powers,) = total.inputs
    shift = row_shift(powers, total.attrs["axes"]) if powers.op == "exp" else None
    if shift is None:
        return None
    (x,) = powers.inputs
    axes = total.attrs["axes"]
    ones = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    shifted = apply("exp", apply("subtract", x, broadcast_to(reshape_to(shift, ones), x.shape)))
    return apply("add", shift, apply("log", apply("sum", shifted, axes=axes)))


# exp ---------------------------------------------------------------------------------------------------------------
@STABILITY.rule("subtract", Rewrite("exp(x) - 1", "expm1(x)", REAL, lambda x: exp(x) - 1, differs={"x": (1e-30,)}))
def _subtract(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    return apply("expm1", x.inputs[0]) if x.op == "exp" and _is_one(y) else None


@STABILITY.rule("add", Rewrite("exp(x) + -1", "expm1(x)", REAL, lambda x: -1 + exp(x), differs={"x": (1e-30,)}))
def _add(node: Tensor) -> Tensor | None:
    for x, y in (node.inputs, node.inputs[::-1]):
        if x.op == "exp" and constant_scalar(y) == -1:
            return apply("expm1", x.inputs[0])
    return None


@STABILITY.rule(
    "divide",
    Rewrite("exp(x) / (1 + exp(x))", "sigmoid(x)", REAL, lambda x: exp(x) / (1 + exp(x)), differs={"x": (1000.0,)}),
    Rewrite(
        "1 / (1 + exp(x))", "sigmoid(-x)", Keeps.ROUNDING, lambda x: 1 / (1 + exp(x)),
        "also of exp(-x); a little above 0 where exp(x) overflows",
    ),
)  # fmt: skip
def _divide(node: Tensor) -> Tensor | None:
    """The logistic function, written out."""
    x, y = node.inputs
    power = _one_plus(y)
    if power is None or power.op != "exp":
        return None
    (exponent,) = power.inputs
    if x is power:
        return apply("sigmoid", exponent)
    return apply("sigmoid", apply("negative", exponent)) if _is_one(x) else None
