"""The passes of the CPU backends, in order: what suits their kernels and their caches."""

from __future__ import annotations

from collections.abc import Callable

from graphc.backends.cpu.panels import share_panels
from graphc.backends.cpu.pool_once import pool_once
from graphc.backends.cpu.split_reductions import split_reductions
from graphc.backends.cpu.turned_products import turn_products
from graphc.ir.graph import Graph
from graphc.passes import align_reductions

__all__ = ["PASSES"]

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    turn_products,  # stacks of products written in the order in which they are read
    pool_once,  # maxima of windows, and where they stand, in one pass
    share_panels,  # matrices of many small products in the layout of the kernels, once
    align_reductions,  # sums of pairs over rows and over columns along the same axis
    split_reductions,  # large reductions to few results in two levels, so that they run in parallel
)
