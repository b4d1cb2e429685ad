"""All rewrites of all passes in one table, from which docs/rewrites.md is written and the tests are derived.

An engine's answer differs from that of the reference, which interprets the graph as it was built, by the rounding of
its kernels and by what stands here. `python -m graphc.commands.rewrites` prints the document.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc.backends.cpu import panels, pool_once
from graphc.backends.cpu.split_reductions import SPLITTING
from graphc.backends.cuda.spreading import SPREADING
from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, apply_parameter
from graphc.ops.record import ALL, FLOAT, INTEGER, NUMERIC, SIGNED, WIDE_FLOAT
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.passes import (
    accumulating,
    algebra,
    alignment,
    empty,
    fold,
    hoisting,
    marks,
    pooling,
    products,
    quotients,
    reciprocals,
    reductions,
    residuals,
    stability,
    stacks,
    sums,
    views,
)
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook, rewrite

__all__ = ["TABLE", "Entry", "document", "left_side"]


@dataclass(frozen=True, eq=False)
class Entry:
    """A rewrite, the function of `graphc.passes` that does it in the pipeline, and one that does nothing else."""

    rewrite: Rewrite
    passed: str
    run: Callable[[Graph], Graph]


def _of_rules(passed: str, *books: Rulebook) -> list[Entry]:
    return [Entry(r, passed, partial(rewrite, rules=rules)) for book in books for r, rules in book.rewrites.items()]


def _of_pass(run: Callable[[Graph], Graph], rewrites: Iterable[Rewrite]) -> list[Entry]:
    return [Entry(r, run.__name__, run) for r in rewrites]


TABLE: tuple[Entry, ...] = (
    *_of_pass(marks.resolve_marks, marks.REWRITES),
    *_of_pass(residuals.save_residuals, residuals.REWRITES),
    *_of_pass(hoisting.hoist_products, hoisting.REWRITES),
    *_of_pass(accumulating.add_after_loops, accumulating.REWRITES),
    *_of_pass(empty.fill_empty, empty.REWRITES),
    *_of_rules("stabilise", fold.FOLDING, views.VIEWS, reductions.REDUCTIONS, algebra.ALGEBRA, stability.STABILITY),
    *_of_pass(stability.stabilise, quotients.REWRITES),
    *_of_rules("share_reciprocals", reciprocals.RECIPROCALS),
    *_of_pass(pooling.pool_before_relu, pooling.LATE_RELU),
    *_of_pass(pooling.sum_before_scatter, pooling.EARLY_SUMS),
    *_of_pass(products.merge_products, products.REWRITES),
    *_of_pass(sums.gather_terms, sums.REWRITES),
    *_of_pass(stacks.share_stacks, stacks.REWRITES),
    *_of_pass(views.transpose_products, views.REWRITES),
    *_of_pass(pool_once.pool_once, pool_once.REWRITES),
    *_of_pass(panels.share_panels, panels.REWRITES),
    *_of_pass(alignment.align_reductions, alignment.REWRITES),
    *_of_rules("split_reductions", SPLITTING),
    *_of_rules("spread_reductions", SPREADING),
)


# Examples ----------------------------------------------------------------------------------------------------------
# What an example may ask for, by name: a fixed dtype, or None for that of the case, and a shape.
INPUTS: Mapping[str, tuple[str | None, tuple[int, ...]]] = {
    "x": (None, (9,)), "y": (None, (9,)), "k": (None, ()), "m": ("bool", (9,)),
    "a": (None, (8, 9)), "b": (None, (8, 9)), "s": (None, (8, 1)), "t": (None, (8, 1)), "d": (None, (9, 7)),
    "c": (None, (2, 3, 4)), "p": (None, (2, 3, 6, 6)), "w": (None, (128, 128)),
}  # fmt: skip


def left_side(rewrite: Rewrite, dtype: str) -> Graph:
    """A graph of the left side of a rewrite, of inputs of `dtype`."""
    asked = inspect.signature(rewrite.example).parameters.values()
    tensors = {p.name: _input(p.name, dtype) for p in asked if p.default is inspect.Parameter.empty}
    result = rewrite.example(**tensors)
    return Graph(tuple(tensor for tensor in tensors.values() if tensor.op == "input"), (result,))


def _input(name: str, dtype: str) -> Tensor:
    if name == "v":
        return apply_parameter(name, np.ones(9, DTYPES[dtype].numpy), trainable=True)
    fixed, shape = INPUTS[name]
    return apply("input", name=name, shape=shape, dtype=DTYPES[fixed or dtype])


# The document ------------------------------------------------------------------------------------------------------
_HEAD = """\
# Rewrites

Before a graph is compiled, passes rewrite it (`graphc/pipeline.py` has their order). The reference, `backend="numpy"`,
interprets the graph as it was written. So the engines differ from it by what stands in the first three tables here, and
by the rounding of their kernels ([numbers.md](numbers.md)).

This file is written by `python -m graphc.commands.rewrites` from the records that the passes are made of; a test runs
every one of these, and compares the file with them. `f` is an op, `c` and `d` are constants. Where no dtypes are named,
a rewrite is done in all floats.
"""
_SECTIONS = {
    Keeps.REAL: """
## The same real number

Identities of real numbers: finite results change by rounding, mostly towards the exact value. Where one side overflows,
cancels, divides by 0 or takes log(0) on the way, the other may not; the last columns show where they differ in float32.
""",
    Keeps.ROUNDING: """
## The same but for rounding

Numbers are added or multiplied in another order, or rounded less often. A sum or product that overflows on the way may
do so in another place, or not at all. No rounding of a 16-bit float between two operations is left out.
""",
    Keeps.ZEROS: """
## The same but for the signs of zeros
""",
    Keeps.BITS: """
## The same to the bit

NaN, infinities and signed zeros included; the sign and payload of a NaN are left open, as in IEEE 754.
""",
}


def document() -> str:
    """The text of docs/rewrites.md."""
    return _HEAD + "".join(text + _table([e for e in TABLE if e.rewrite.keeps is k]) for k, text in _SECTIONS.items())


def _table(entries: list[Entry]) -> str:
    differing = any(entry.rewrite.differs for entry in entries)
    heads = ["written", "becomes", "where", "pass", *(["at", "written gives", "becomes gives"] if differing else [])]
    rows = [heads, ["---"] * len(heads), *(_row(entry, differing) for entry in entries)]
    return "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _row(entry: Entry, differing: bool) -> list[str]:
    r = entry.rewrite
    row = [f"`{r.left}`", f"`{r.right}`", "; ".join(filter(None, (r.where, _dtypes(r)))), f"`{entry.passed}`"]
    return row + (_difference(entry) if differing else [])


_DTYPES = {
    FLOAT: "", ALL: "all dtypes", NUMERIC: "all but bool", INTEGER: "integers", SIGNED: "signed numbers",
    WIDE_FLOAT: "float32 and float64",
}  # fmt: skip


def _dtypes(r: Rewrite) -> str:
    return _DTYPES.get(r.dtypes, " ".join(r.dtypes))


def _difference(entry: Entry) -> list[str]:
    """Where the two sides differ, and what they give there."""
    before = left_side(entry.rewrite, "float32")
    values = differing_values(entry.rewrite, before)
    left, right = (evaluate(g.results, values)[0].reshape(-1)[0] for g in (before, entry.run(before)))
    at = ", ".join(
        f"{name} = {' '.join(f'{v:g}' for v in found)}, ..." if len(found) > 1 else f"{name} = {found[0]:g}"
        for name, found in entry.rewrite.differs.items()
    )
    return [at, _number(left), _number(right)]


def differing_values(rewrite: Rewrite, graph: Graph) -> dict[Any, Any]:
    """Values for the inputs of a rewrite's left side with which it differs from the right one."""
    given = {x: rewrite.differs[x.attrs["name"]] for x in graph.inputs}
    return {x: np.resize(np.array(found), x.shape).astype(x.dtype.numpy) for x, found in given.items()}


def _number(value: Any) -> str:
    return "nan" if math.isnan(value) else f"{float(value):.4g}"


if __name__ == "__main__":
    print(document(), end="")
