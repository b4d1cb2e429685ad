"""Algebraic simplification: the rules of `algebra`, `views` and `reductions`, together with constant folding.

Each of those modules states its rules as equations and says what they do to rounding (`Rewrite`). Everything here keeps
values for NaN, infinities and empty arrays. Run it before `split_reductions`, whose two levels of one sum it would
merge again.
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.passes.algebra import ALGEBRA
from graphc.passes.fold import FOLDING
from graphc.passes.reductions import REDUCTIONS
from graphc.passes.rewriting import Rulebook, merged, rewrite
from graphc.passes.views import VIEWS

__all__ = ["BOOKS", "SIMPLIFICATION", "simplify"]

BOOKS: tuple[Rulebook, ...] = (FOLDING, VIEWS, REDUCTIONS, ALGEBRA)

SIMPLIFICATION = merged(*(book.rules for book in BOOKS))


def simplify(graph: Graph) -> Graph:
    """`graph` in a simpler form that computes the same values."""
    return rewrite(graph, SIMPLIFICATION)
