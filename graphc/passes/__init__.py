"""Rewrites of the tensor graph: functions from one graph to the next, each idempotent.

Their order (pipeline.py) matters in three places: `resolve_marks` comes first, since marks stand between patterns;
`stabilise` contains `simplify`; and what a backend splits comes last, since `simplify` would undo it. Dead code and
common subexpressions need no pass (see `rewriting`).
"""

from graphc.passes.accumulating import add_after_loops
from graphc.passes.alignment import align_reductions
from graphc.passes.bodies import everywhere, prune_loops
from graphc.passes.chained import chain_updates
from graphc.passes.empty import fill_empty
from graphc.passes.fold import fold_constants
from graphc.passes.hoisting import hoist_products
from graphc.passes.marks import drop_index_marks, resolve_marks
from graphc.passes.pooling import pool_before_relu, sum_before_scatter
from graphc.passes.products import merge_products
from graphc.passes.reciprocals import share_reciprocals
from graphc.passes.residuals import save_residuals
from graphc.passes.simplify import simplify
from graphc.passes.stability import stabilise
from graphc.passes.stacks import share_stacks
from graphc.passes.sums import gather_terms
from graphc.passes.views import transpose_products

__all__ = [
    "add_after_loops",
    "align_reductions",
    "chain_updates",
    "drop_index_marks",
    "everywhere",
    "fill_empty",
    "fold_constants",
    "gather_terms",
    "hoist_products",
    "merge_products",
    "pool_before_relu",
    "prune_loops",
    "resolve_marks",
    "save_residuals",
    "share_reciprocals",
    "share_stacks",
    "simplify",
    "stabilise",
    "sum_before_scatter",
    "transpose_products",
]
