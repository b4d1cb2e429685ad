"""From a graph to a plan: every stage, in order, on one screen.

The passes rewrite the graph, each `Graph -> Graph`; then the graph is cut into groups, groups become loop nests and
library calls, and these get their code, their order and their memory. What each stage makes has a verifier: of kernels
and of the plan that runs they always look, of graphs, groups and other plans where `ir.checking` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphc.assembly.budgeted import Budgeted, Tables
from graphc.assembly.plan import Assembled, Assembly, assemble
from graphc.backends.cpu.turned_products import turn_products
from graphc.backends.target import Target
from graphc.backends.tile.target import TileTarget
from graphc.fusion.fuse import fuse
from graphc.fusion.group import Group
from graphc.fusion.nesting import divide_stacks, nest_stacks
from graphc.fusion.results import separate_results
from graphc.fusion.verify import verify as verify_groups
from graphc.ir.checking import verifies
from graphc.ir.graph import Graph
from graphc.ir.verify import verify as verify_graph
from graphc.ops.build import infer_type
from graphc.ops.index_ranges import index_ranges
from graphc.passes import (
    align_reductions,
    fill_empty,
    gather_terms,
    merge_products,
    pool_before_relu,
    resolve_marks,
    share_panels,
    share_reciprocals,
    share_stacks,
    split_reductions,
    stabilise,
    sum_before_scatter,
    transpose_products,
)
from graphc.plan.verify import verify as verify_plan
from graphc.runtime.executor import table_bytes

__all__ = ["PASSES", "assembled_groups", "compile_plan", "optimise", "ways_of"]

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    resolve_marks,  # stop_gradient goes; with_update becomes an update of the graph
    fill_empty,  # what has no elements becomes a constant
    stabilise,  # constants folded, algebra that changes no value, stable forms of log(softmax(x)), log(1 + x), ...
    share_reciprocals,  # one reciprocal for each row that is divided by a standard deviation
    pool_before_relu,  # relu after pooling, and its gradient before it is spread
    sum_before_scatter,  # what a gradient spreads by pooling is summed before
    merge_products,  # many small matrices times one large one in a single product
    gather_terms,  # sums of paddings, of products and of sums as one concatenation, product or sum
    share_stacks,  # stacks that overlap as parts of one
    transpose_products,  # transposes go where a matrix product reads them for nothing
    turn_products,  # stacks of products written in the order in which they are read
    share_panels,  # matrices of many small products in the layout of the kernels, once
    align_reductions,  # sums of pairs over rows and over columns along the same axis
    split_reductions,  # large reductions to few results in two levels, so that they run in parallel
    separate_results,  # every result in a buffer of its own
    nest_stacks,  # concatenations inside others that hold all their parts
    divide_stacks,  # concatenations of many parts as concatenations of a few
)


def optimise(graph: Graph) -> Graph:
    """`graph` after all passes."""
    _check(graph, "closing")
    for rewrite in PASSES:
        before, graph = graph, rewrite(graph)
        if graph is not before:
            _check(graph, rewrite.__name__)
    return graph


def _check(graph: Graph, stage: str) -> None:
    if verifies():
        verify_graph(graph, infer_type, stage)


def _grouped(graph: Graph, *, apart: bool = False) -> list[Group]:
    """The groups that compute `graph`; see `fuse`."""
    groups = fuse(graph, apart=apart)
    if verifies():
        verify_groups(graph, groups)
    return groups


def compile_plan(
    graph: Graph, target: Target | None = None, budget: int | float | None = None, tables: Tables = table_bytes
) -> Assembled:
    """The verified plan of `graph`, with what it is bound to. `target` writes the code (default: TileTarget).

    `budget` is the most bytes that the program may hold, or a fraction of what it would hold without; beside what the
    plan says, an engine takes `tables(plan)` bytes. Raises MemoryBudgetError.
    """
    assembled = ways_of(graph, target or TileTarget(), tables).within(budget).assembled
    plan = replace(assembled.plan, ranges=index_ranges(graph.nodes, graph.inputs))
    verify_plan(plan)
    return replace(assembled, plan=plan)


def ways_of(graph: Graph, target: Target, tables: Tables = table_bytes) -> Budgeted:
    """The plans of `graph` with more and with less memory, for an engine as in `compile_plan`."""
    graph = optimise(graph)
    assembly = assemble(graph, _grouped(graph), target)
    if not assembly.values.pieces:
        return Budgeted(assembly, tables)
    return Budgeted(assembly, tables, lambda: Budgeted(assemble(graph, _grouped(graph, apart=True), target), tables))


def assembled_groups(graph: Graph, target: Target) -> Assembly:
    """The launches of `graph` after all passes, before they have an order and a place."""
    graph = optimise(graph)
    return assemble(graph, _grouped(graph), target)
