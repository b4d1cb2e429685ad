"""`add_after_loops`: a carried sum of products becomes one product behind its loop.

    s' = s + u' v   in each iteration      s + U' V   behind the loop; U and V have all u and v, one below the other

This is the gradient of a recurrent net's weights: instead of a small product that reads and writes all weights in each
step, one large product over all steps. The loop stacks u and v instead. That takes memory by the iteration, so it is
done where that is little beside what an iteration takes and gives anyway, and where the factors are no larger than the
sum: where they are, a product in the loop is as fast. A sum over rows of what is stacked then, a bias's gradient, is
taken behind the loop as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from functools import partial

from graphc.ir.graph import Graph, topological
from graphc.ir.node import Node, inherit_location, next_serial
from graphc.ops.build import apply
from graphc.ops.functions.loops import loop
from graphc.ops.primitives.views import matrix_transpose, permute, reshape_to
from graphc.ops.record import WIDE_FLOAT, View, view_of
from graphc.ops.tensor import Tensor
from graphc.passes.bodies import prune_loops
from graphc.passes.opened import OpenLoop, Parts, each_loop
from graphc.passes.rewriting import Keeps, Rewrite

__all__ = ["REWRITES", "add_after_loops"]


def _outer_products(a: Tensor, b: Tensor) -> Tensor:
    def step(carries: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        column, row = reshape_to(slices[0], (9, 1)), reshape_to(slices[1], (1, 9))
        return [carries[0] + apply("matmul", column, row)], []

    return loop(step, 8, [apply("matmul", matrix_transpose(a), a)], [a, b])[0][0]


REWRITES = (
    Rewrite(
        "s + u1 v1 + u2 v2 + ... in a loop", "s + [u1 u2 ...] [v1; v2; ...], behind the loop", Keeps.ROUNDING,
        _outer_products, "16-bit floats are rounded in between", dtypes=WIDE_FLOAT,
    ),
)  # fmt: skip


MOST = 2  # times what an iteration takes and gives anyway, that may be stacked besides


def add_after_loops(graph: Graph) -> Graph:
    """`graph` whose sums of products are made behind loops."""
    if not graph.bodies:
        return graph
    changed: list[Node] = []
    found = each_loop(prune_loops(graph), partial(_behind, changed))
    return found if changed else graph


def _behind(changed: list[Node], node: Node, inputs: Sequence[Node]) -> Parts:
    opened = OpenLoop.of(node, inputs)
    found = {at: _term(opened, at) for at in range(len(opened.carries))}
    terms = {at: term for at, term in found.items() if term is not None}
    chosen = {at: term for at, term in terms.items() if term.op == "matmul" and _is_small(term)}
    stacked = {_straight(factor)[0] for term in chosen.values() for factor in term.inputs}
    if not chosen or not _is_little(opened, stacked):
        return opened.closed()
    changed.append(node)
    for at, term in terms.items():
        if term.op == "sum" and term.inputs[0] in stacked:
            chosen[at] = term
    kept = [at for at in range(len(opened.carries)) if at not in chosen]
    inits = [carry[1] for carry in opened.carries]
    opened.carries = [opened.carries[at] for at in kept]
    slices = dict(opened.slices)
    gives = {inside: opened.gives(inside) for inside in stacked if inside not in slices}
    parts = opened.closed()
    outputs = parts[len(kept) :]
    stacks = slices | {inside: outputs[at] for inside, at in gives.items()}
    finals = dict(zip(kept, parts, strict=False))
    for at, term in chosen.items():
        since = next_serial()
        finals[at] = apply("add", inits[at], _summed(term, stacks))
        inherit_location([finals[at]], since, term.location)
    return [*(finals[at] for at in range(len(inits))), *outputs]


def _term(opened: OpenLoop, at: int) -> Node | None:
    """What is added to a carried value in each iteration, if nothing else is done with it."""
    inside, _, after = opened.carries[at]
    terms = [source for source in after.inputs if source is not inside]
    if after.op != "add" or len(terms) != 1 or inside.dtype.name not in WIDE_FLOAT:
        return None
    (term,) = terms
    others = [*opened.outputs, term, *(carry[2] for number, carry in enumerate(opened.carries) if number != at)]
    return None if inside in set(topological(others)) or term.type != inside.type else term


def _is_small(term: Node) -> bool:
    """Whether the factors of a product are matrices, and no larger than it."""
    return term.ndim == 2 and sum(factor.elements for factor in term.inputs) <= term.elements


def _is_little(opened: OpenLoop, stacked: Set[Node]) -> bool:
    """Whether stacking these takes little memory beside what is stacked anyway."""
    anyway = {inside for inside, _ in opened.slices} | {*opened.outputs}
    return sum(inside.elements for inside in stacked - anyway) <= MOST * sum(inside.elements for inside in anyway)


def _straight(factor: Node) -> tuple[Node, bool]:
    """A factor, or what it is the transpose of."""
    is_turned = view_of(factor) is View.PERMUTED and factor.ndim == 2
    return (factor.inputs[0], True) if is_turned else (factor, False)


def _summed(term: Node, stacks: dict[Node, Node]) -> Tensor:
    """The sum over all iterations of what they add."""
    if term.op == "sum":
        axes = (0, *(axis + 1 for axis in term.attrs["axes"]))
        return apply("sum", stacks[term.inputs[0]], axes=axes)
    (a, a_turned), (b, b_turned) = (_straight(factor) for factor in term.inputs)
    left, right = (stacks[inside] for inside in (a, b))
    rows = matrix_transpose(_tall(left, turned=not a_turned))
    return apply("matmul", rows, _tall(right, turned=b_turned))


def _tall(stack: Node, *, turned: bool) -> Tensor:
    """Matrices one below the other, or their transposes."""
    matrices: Tensor = permute(stack, (0, 2, 1)) if turned else stack  # type: ignore[arg-type,assignment]
    return reshape_to(matrices, (math.prod(matrices.shape[:2]), matrices.shape[2]))
