"""Sums of like terms: gathered where it pays, with the values they had."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphc as gx
from graphc.ir.graph import Graph
from graphc.ir.verify import verify
from graphc.passes import gather_terms, merge_products, share_stacks, simplify
from tests.passes.support import arrays_for, assert_same_values, count, graph_of


def total(terms):
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def check(results, *, exact=False, rewrite=gather_terms):
    """The rewritten graph of `results`, which has the values it had and stays as it is when rewritten again."""
    before = simplify(graph_of(*results))
    after = rewrite(before)
    assert_same_values(before, after, arrays_for(before), exact=exact)
    assert rewrite(after) == after
    return after


# Paddings ------------------------------------------------------------------------------------------------------------
def test_paddings_side_by_side_are_a_concatenation() -> None:
    x, y, z = (gx.input(name, (2, n)) for name, n in (("x", 3), ("y", 2), ("z", 4)))
    pads = [gx.pad(y, ((0, 0), (3, 4))), gx.pad(x, ((0, 0), (0, 6))), gx.pad(z, ((0, 0), (5, 0)))]
    after = check([total(pads)], exact=True)
    (result,) = after.results
    assert result.op == "concatenate"
    assert [part.attrs["name"] for part in result.inputs] == ["x", "y", "z"]


def test_the_gradient_of_a_grid_of_slices_is_one_concatenation_of_concatenations() -> None:
    x = gx.input("x", (4, 6))
    parts = [gx.sin(x[2 * i : 2 * i + 2, 3 * j : 3 * j + 3]) * (1.0 + i + 2 * j) for i in range(2) for j in range(2)]
    gradient = gx.grad(total([part.sum() for part in parts]), x)
    after = check([gradient], exact=True)
    assert count(after, "pad") == 0
    assert count(after, "concatenate") == 3


def test_gaps_are_filled_with_zeros_and_what_overlaps_stays() -> None:
    x, y = gx.input("x", (3,)), gx.input("y", (3,))
    after = check([gx.pad(x, ((1, 6),)) + gx.pad(y, ((6, 1),))], exact=True)
    assert (count(after, "pad"), count(after, "concatenate")) == (1, 1)
    after = check([gx.pad(x, ((0, 1),)) + gx.pad(y, ((1, 0),))], exact=True)
    assert (count(after, "pad"), count(after, "concatenate")) == (2, 0)
    after = check([gx.pad(x, ((0, 97),)) + gx.pad(y, ((97, 0),))], exact=True)
    assert count(after, "concatenate") == 0  # mostly zeros


def test_other_paddings_than_with_zeros_stay() -> None:
    x, y = gx.input("x", (3,)), gx.input("y", (3,))
    ones = [gx.pad(x, ((0, 3),), constant_values=1), gx.pad(y, ((3, 0),), constant_values=1)]
    assert count(check([total(ones)], exact=True), "pad") == 2


# Products and sums ---------------------------------------------------------------------------------------------------
def steps(count_, shape, name="x"):
    return [gx.sin(gx.input(f"{name}{i}", shape)) for i in range(count_)]


def test_products_that_are_added_become_one() -> None:
    after = check([total([a.T @ b for a, b in zip(steps(5, (4, 6)), steps(5, (4, 7), "y"), strict=True)])])
    assert (count(after, "matmul"), count(after, "concatenate"), count(after, "add")) == (1, 2, 0)


def test_products_stay_apart_where_others_read_them_or_the_copies_would_be_larger() -> None:
    pairs = list(zip(steps(4, (4, 6)), steps(4, (4, 7), "y"), strict=True))
    products = [a.T @ b for a, b in pairs]
    assert count(check([total(products), products[1] * 2.0]), "matmul") == 2
    long = [gx.input(f"x{i}", (40, 6)).T @ gx.input(f"y{i}", (40, 7)) for i in range(4)]
    assert count(check([total(long)]), "matmul") == 4
    slices = gx.input("x", (160, 6)), gx.input("y", (160, 7))
    cut = [slices[0][40 * i : 40 * i + 40].T @ slices[1][40 * i : 40 * i + 40] for i in range(4)]
    after = check([total(cut)])
    assert (count(after, "matmul"), count(after, "concatenate"), count(after, "slice")) == (1, 0, 0)


def test_integer_products_wrap_as_before() -> None:
    a = [gx.input(f"a{i}", (3, 9), "int8") for i in range(4)]
    b = [gx.input(f"b{i}", (3, 9), "int8") for i in range(4)]
    before = simplify(graph_of(total([x.T @ y for x, y in zip(a, b, strict=True)])))
    after = gather_terms(before)
    assert count(after, "matmul") == 1
    rng = np.random.default_rng(0)
    values = {x: rng.integers(-128, 128, x.shape).astype(np.int8) for x in before.inputs}
    assert_same_values(before, after, values, exact=True)


def test_sums_over_steps_become_one_where_a_product_reads_the_same_arrays() -> None:
    xs, ws = steps(6, (4, 8)), steps(6, (8, 4), "w")
    assert count(check([total([x.sum(0) for x in xs])]), "sum") == 6
    both = check([total([x.sum(0) for x in xs]), total([w @ x for x, w in zip(xs, ws, strict=True)])])
    assert count(both, "sum") == 1


def added(name, shape, leaf):
    """A term of this op and shape, over leaves made by `leaf(name, shape)`."""
    if name == "pad":
        return gx.pad(leaf("p", (*shape[:-1], shape[-1] - 1)), ((0, 0),) * (len(shape) - 1) + ((0, 1),))
    if name == "matmul":
        return leaf("a", (shape[0], 5)) @ leaf("b", (5, shape[1]))
    if name == "sum":
        return gx.sum(leaf("s", (5, *shape)), axis=0)
    return leaf("z", shape)


def an_input(name, shape):
    return gx.input(f"{name}{next(NUMBERS)}", shape)


def a_parameter(name, shape):
    return gx.parameter(f"{name}{next(NUMBERS)}", np.arange(np.prod(shape, dtype=int)).reshape(shape) / np.float32(8))


def a_constant(name, shape):
    return gx.constant(np.arange(np.prod(shape, dtype=int)).reshape(shape) / np.float32(4))


LEAVES = (an_input, a_parameter, a_constant)
NUMBERS = itertools.count()
TERMS = ("pad", "matmul", "sum", "leaf")


@pytest.mark.parametrize("terms", list(itertools.combinations_with_replacement(TERMS, 3)), ids="-".join)
def test_terms_may_be_anything(terms) -> None:
    """Every mixture of three terms, of inputs, parameters and constants, in two orders, as output and as update."""
    for leaf, order in itertools.product(LEAVES, (1, -1)):
        result = total([added(name, (3, 4), leaf) for name in terms[::order]])
        step = a_parameter("w", (3, 4))
        before = graph_of(result, result * 2.0)
        before = Graph(before.inputs, before.outputs, ((step, result + step),))
        after = gather_terms(simplify(before))
        verify(after)
        assert_same_values(before, after, arrays_for(before), tolerance=1e-5)


W, G, H, X = (gx.parameter(n, np.full((3, 3), 0.25 * i, np.float32)) for i, n in enumerate("WGHX", 1))
U, V = gx.input("u", (3,)), gx.input("v", (2, 4))
LOSS = gx.sum(gx.tanh(X @ W) @ W) + 0.5 * gx.sum(W * W)  # tied weights, with a penalty
PROGRAMS = {
    "sums of other shapes": ([U, V], U.sum() + V.sum() + 1.0, {}),
    "products and an input": ([U, V], X + W @ G + G @ H, {}),
    "products by parameters": ([], gx.tanh(H + X @ W + H @ G), {W: W + H @ G + X @ G}),
    "paddings and an input": ([U, V], gx.pad(U, ((0, 4),)) + gx.pad(V[0], ((3, 0),)) + gx.concatenate([U, V[1]]), {}),
    "tied weights": ([], LOSS, {W: W + gx.grad(LOSS, W), X: X - gx.grad(LOSS, X)}),
}


@pytest.mark.parametrize("backend", ["cython", "c"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_sums_with_leaves_compile(name: str, backend: str) -> None:
    inputs, output, updates = PROGRAMS[name]
    arrays = [np.linspace(-1, 1, x.size, dtype=np.float32).reshape(x.shape) for x in inputs]
    held, results = [p.value.copy() for p in (W, X)], []
    for engine in ("numpy", backend):
        results.append([gx.compile(inputs, output, updates, backend=engine)(*arrays), W.value.copy(), X.value.copy()])
        W.value, X.value = held
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_equal_addends_are_doubled() -> None:
    x = gx.input("x", (3,))
    after = simplify(graph_of(gx.mean((x - 1) * (x - 1)), gx.grad(gx.mean((x - 1.0) * (x - 1.0)), x)))
    assert count(after, "add") == 0
    values = np.array([np.inf, -0.0, np.nan, 3e38], np.float32)
    y = gx.input("y", (4,))
    before = graph_of(y + y)
    assert_same_values(before, simplify(before), {y: values}, exact=True)


# Products by one matrix ----------------------------------------------------------------------------------------------
def test_projections_of_the_steps_of_a_sequence_are_one_product_of_the_sequence() -> None:
    x, w = gx.input("x", (6, 3, 4)), gx.input("w", (4, 5))
    after = check([gx.tanh(x[i] @ w) for i in range(6)], rewrite=merge_products)
    assert (count(after, "matmul"), count(after, "concatenate")) == (1, 0)
    reversed_steps = check([gx.tanh(x[i] @ w) for i in range(5, -1, -1)], rewrite=merge_products)
    assert count(reversed_steps, "matmul") == 1


def test_products_that_wait_for_one_another_stay_apart() -> None:
    x, w, u = gx.input("x", (6, 3, 4)), gx.input("w", (4, 4)), gx.input("u", (4, 4))
    h, outputs = x[0], []
    for i in range(6):
        h = gx.tanh(x[i] @ u + h @ w)
        outputs.append(h)
    after = check(outputs, rewrite=merge_products)
    assert count(after, "matmul") == 7
    deeper = [gx.tanh(h @ u) for h in outputs]
    assert count(check(deeper, rewrite=merge_products), "matmul") == 8


@pytest.mark.parametrize("rows", [3, 200])
def test_few_and_large_products_stay_apart(rows: int) -> None:
    w = gx.input("w", (4, 5))
    few = 4 if rows == 3 else 8
    after = check([gx.input(f"x{i}", (rows, 4)) @ w for i in range(few)], rewrite=merge_products)
    assert count(after, "matmul") == few


def test_families_that_cross_are_not_both_merged() -> None:
    """Half of the products by w come before those by u, half after: merged at once, they would wait in a circle."""
    w, u = gx.input("w", (4, 4)), gx.input("u", (4, 4))
    xs = [gx.input(f"x{i}", (3, 4)) for i in range(12)]
    results = [gx.sin(x @ w) @ u if i % 2 else gx.sin(x @ u) @ w for i, x in enumerate(xs)]
    after = check(results, rewrite=merge_products)
    assert 1 < count(after, "matmul") < 24


# Stacks --------------------------------------------------------------------------------------------------------------
def test_stacks_that_overlap_become_slices_of_one() -> None:
    parts = [gx.sin(gx.input(f"x{i}", (2, 3))) for i in range(7)]
    first, second = gx.stack(parts[:6]), gx.stack(parts[1:])
    after = check([gx.cos(first), gx.exp(second)], exact=True, rewrite=share_stacks)
    assert count(after, "concatenate") == 1
    assert count(after, "slice") == 2


def test_a_stack_that_a_part_of_the_other_needs_stays() -> None:
    parts = [gx.sin(gx.input(f"x{i}", (2, 3))) for i in range(6)]
    first = gx.stack(parts)
    second = gx.stack([*parts[1:], gx.cos(first).sum(0)])
    after = check([gx.cos(first), gx.exp(second)], exact=True, rewrite=share_stacks)
    assert count(after, "concatenate") == 2
