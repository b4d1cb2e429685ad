"""Algebraic simplification: the rules of `algebra`, `views` and `reductions`, together with constant folding.

Each of those modules states its rules as equations and says what they do to rounding. Everything here keeps values for
NaN, infinities and empty arrays. Run it before `split_reductions`, whose two levels of one sum it would merge again.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.passes.algebra import ALGEBRA_RULES
from graphc.passes.fold import FOLDING
from graphc.passes.reductions import REDUCTION_RULES
from graphc.passes.rewriting import merged, rewrite
from graphc.passes.views import VIEW_RULES

__all__ = ["SIMPLIFICATION", "simplify"]

SIMPLIFICATION = merged(FOLDING, VIEW_RULES, REDUCTION_RULES, ALGEBRA_RULES)


def simplify(graph: Graph) -> Graph:
    """`graph` in a simpler form that computes the same values."""
    return rewrite(graph, SIMPLIFICATION)
