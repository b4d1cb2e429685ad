"""Every rewrite of every pass by its own example: it is carried out, and keeps what its record says it keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphc as gx
from graphc import passes
from graphc.backends.cpu.passes import PASSES as BACKEND_PASSES
from graphc.backends.cuda.spreading import spread_reductions
from graphc.commands.rewrites import TABLE, Entry, differing_values, document, left_side
from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ir.verify import verify
from graphc.ops.reference import evaluate
from graphc.passes.rewriting import Keeps, Rewrite, Rulebook
from graphc.pipeline import PASSES

from .support import assert_bits, special_arrays

DOCUMENT = Path(passes.__file__).parent.parent / "docs" / "rewrites.md"
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
CASES = [
    pytest.param(entry, dtype, id=f"{entry.rewrite.left}-{dtype}") for entry in TABLE for dtype in entry.rewrite.dtypes
]
EXACT = [case for case in CASES if case.values[0].rewrite.keeps in (Keeps.BITS, Keeps.ZEROS)]
CLOSE = [case for case in CASES if case not in EXACT]
REAL = [entry for entry in TABLE if entry.rewrite.keeps is Keeps.REAL]


def both_sides(entry: Entry, dtype: str) -> tuple[Graph, Graph]:
    """The example as it is written, and as it is after the rewrite, which is verified and done."""
    before = left_side(entry.rewrite, dtype)
    after = entry.run(before)
    verify(after)
    assert after.outputs[0] is not before.outputs[0], "the rewrite was not carried out"
    return before, after


def usual_arrays(graph: Graph, seed: int) -> dict:
    """Numbers of order one, where floats are in (0, 1) so that logarithms and roots are of use."""
    rng = np.random.default_rng(seed)
    return {
        x: (rng.uniform(0.1, 0.9, x.shape) if x.dtype.is_float else rng.integers(0, 9, x.shape)).astype(x.dtype.numpy)
        for x in graph.inputs
    }


@pytest.mark.parametrize(("entry", "dtype"), EXACT)
def test_bits_are_kept(entry: Entry, dtype: str) -> None:
    """On special values too; NaNs are equal, and so are zeros where the record says so."""
    before, after = both_sides(entry, dtype)
    for seed in range(4):
        values = special_arrays(before, seed)
        for a, b in zip(evaluate(before.outputs, values), evaluate(after.outputs, values), strict=True):
            assert_bits(a, b, zeros=entry.rewrite.keeps is Keeps.BITS)


@pytest.mark.parametrize(("entry", "dtype"), CLOSE)
def test_usual_numbers_change_by_rounding(entry: Entry, dtype: str) -> None:
    before, after = both_sides(entry, dtype)
    for seed in range(2):
        values = usual_arrays(before, seed)
        for a, b in zip(evaluate(before.outputs, values), evaluate(after.outputs, values), strict=True):
            a, b = a.astype(np.float64), b.astype(np.float64)
            scale = np.maximum(1, np.abs(a).max(initial=0))
            np.testing.assert_allclose(b, a, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


ROUNDING = [case for case in CLOSE if case.values[0].rewrite.keeps is Keeps.ROUNDING]


@pytest.mark.parametrize(("entry", "dtype"), ROUNDING)
def test_rounding_leaves_infinities_and_nan_where_they_are(entry: Entry, dtype: str) -> None:
    before, after = both_sides(entry, dtype)
    for seed in range(4):
        values = special_arrays(before, seed, limits=False)
        for a, b in zip(evaluate(before.outputs, values), evaluate(after.outputs, values), strict=True):
            a, b = a.astype(np.float64), b.astype(np.float64)
            np.testing.assert_allclose(b, a, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 100)


ROUNDED = [entry for entry in TABLE if "16-bit floats are rounded in between" in entry.rewrite.where]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("entry", ROUNDED, ids=lambda entry: entry.rewrite.left)
def test_what_is_rounded_in_between_stays(entry: Entry, dtype: str) -> None:
    before = left_side(entry.rewrite, dtype)
    assert entry.run(before).outputs[0] is passes.simplify(before).outputs[0]


@pytest.mark.parametrize("entry", REAL, ids=lambda entry: entry.rewrite.left)
def test_real_identities_differ_where_they_say(entry: Entry) -> None:
    before, after = both_sides(entry, "float32")
    values = differing_values(entry.rewrite, before)
    (left, *_), (right, *_) = (evaluate(graph.results, values) for graph in (before, after))
    assert not np.allclose(left, right, rtol=1e-3, atol=0, equal_nan=True)


def test_engines_do_what_the_document_says() -> None:
    """All real identities in one program, at the places where the two sides differ."""
    inputs, arrays, results, expected = [], [], [], []
    for number, entry in enumerate(REAL):
        before = left_side(entry.rewrite, "float32")
        values = differing_values(entry.rewrite, before)
        expected.append(evaluate(entry.run(before).results, values)[0])
        own = {x: gx.input(f"x{number}_{i}", x.shape, x.dtype) for i, x in enumerate(before.inputs)}
        results.append(entry.rewrite.example(**{x.attrs["name"]: new for x, new in own.items()}))
        inputs += own.values()
        arrays += [values[x] for x in own]
    got = gx.compile(inputs, results, backend="cython")(*arrays)
    for entry, a, b in zip(REAL, expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-35, err_msg=entry.rewrite.left)


# The table -----------------------------------------------------------------------------------------------------------
def test_the_document_is_that_of_the_table() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m graphc.commands.rewrites > graphc/docs/rewrites.md"


def test_every_pass_of_the_pipeline_is_in_the_table() -> None:
    """But for those that only write arrays in another order or drop what nobody reads, and those of the layout."""
    rewriting = {run.__name__ for run in (*PASSES, *BACKEND_PASSES, spread_reductions)} - {
        "turn_products",
        "prune_loops",
    }
    assert {entry.passed for entry in TABLE} == rewriting


def test_every_rule_stands_under_an_equation() -> None:
    rules = {id(rule) for entry in TABLE for rule in getattr(entry.run, "keywords", {}).get("rules", {}).values()}
    assert len(rules) > 30
    with pytest.raises(TypeError):
        Rulebook().rule("add")(lambda node: None)


def test_rows_are_complete() -> None:
    for entry in TABLE:
        assert bool(entry.rewrite.differs) == (entry.rewrite.keeps is Keeps.REAL), entry.rewrite.left
        assert set(entry.rewrite.dtypes) <= set(DTYPES)


def test_a_false_record_is_noticed() -> None:
    """x + 0.0 is not x where x is -0.0, and sqrt(x) is not x."""

    def run(graph: Graph) -> Graph:
        return Graph(graph.inputs, graph.inputs)

    for keeps, example, check in (
        (Keeps.BITS, lambda x: x + 0.0, test_bits_are_kept),
        (Keeps.ROUNDING, lambda x: gx.sqrt(x), test_usual_numbers_change_by_rounding),
    ):
        with pytest.raises(AssertionError):
            check(Entry(Rewrite("f(x)", "x", keeps, example), "none", run), "float32")
    check(Entry(Rewrite("x + 0.0", "x", Keeps.ZEROS, lambda x: x + 0.0), "none", run), "float32")
