"""Accesses through random chains of views touch the very elements that NumPy's views would."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

import graphc as gx
from graphc.fusion.access import Access, Affine, Domain, Trace, linear, row_major, trace
from graphc.fusion.views import strided_view
from graphc.ir.node import Node
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor


def _factors(total: int, rng: np.random.Generator) -> tuple[int, ...]:
    shape = []
    while total > 1:
        divisors = [d for d in range(2, total + 1) if total % d == 0]
        shape.append(int(rng.choice(divisors)))
        total //= shape[-1]
    return tuple(shape)


def _random_view(x: Tensor, rng: np.random.Generator) -> Tensor:
    match rng.integers(7):
        case 0:
            return x.transpose(tuple(int(a) for a in rng.permutation(x.ndim)))
        case 1:
            return x.reshape(_factors(x.size, rng) or (1,))
        case 2:
            return x[tuple(slice(None, None, int(rng.choice([1, -1, 2]))) for _ in x.shape)]
        case 3:
            return gx.expand_dims(x, int(rng.integers(x.ndim + 1)))
        case 4:
            return gx.broadcast_to(x, (2, *x.shape)) if x.size < 200 else x
        case 5:
            return gx.pad(x, tuple((int(a), int(b)) for a, b in rng.integers(0, 2, (x.ndim, 2)))) if x.ndim < 5 else x
        case _:
            return gx.concatenate([x, x], int(rng.integers(x.ndim))) if x.ndim and x.size < 200 else x


def _followed(node: Node, access: Access, domain: Domain, array: np.ndarray) -> np.ndarray:
    """The elements at which a trace arrives, in loop order; chains that stop are followed from there."""
    stops: set[Node] = set()
    while isinstance(found := trace(node, access, domain, stops), Node):
        stops.add(found)
    assert isinstance(found, Trace)
    grid = dict(zip(domain.extents, np.indices(tuple(domain.extents.values())), strict=True))
    shape = tuple(domain.extents.values())
    value = np.full(shape, 0.0 if found.fill is None else found.fill.value)
    for leaf in found.leaves:
        held = array if leaf.node.op == "input" else evaluate([leaf.node], {_input_of(leaf.node): array})[0]
        current = domain.current(leaf.access)
        position = linear(current.axes, leaf.node.shape)
        index = position.offset + sum((c * grid[d] for d, c in position.terms), np.zeros(shape, int))
        inside = np.ones(shape, bool)
        for d, low, high in current.guard:
            inside &= (grid[d] >= low) & (grid[d] < high)
        value = np.where(inside, held.reshape(-1)[np.where(inside, index, 0)], value)
    return value


def _input_of(node: Node) -> Node:
    while node.inputs:
        node = node.inputs[0]
    return node


@pytest.mark.parametrize("seed", range(150))
def test_a_chain_of_views_is_followed_to_the_elements_numpy_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = gx.input("x", tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4))))
    y: Tensor = x
    for _ in range(rng.integers(1, 6)):
        y = _random_view(y, rng)
    array = rng.normal(size=x.shape).astype(np.float32)
    domain = Domain()
    found = _followed(y, domain.identity(y.shape), domain, array)
    assert np.array_equal(found.reshape(y.shape), evaluate([y], {x: array})[0])


@pytest.mark.parametrize("seed", range(60))
def test_a_strided_view_is_the_array_numpy_sees_at_these_strides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = gx.input("x", (2, 3, 4))
    y: Tensor = x
    for _ in range(3):
        y = _random_view(y, rng)
    view = strided_view(y)
    if view is None:
        return
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    base = evaluate([view.base], {x: array})[0].reshape(-1)
    seen = np.lib.stride_tricks.as_strided(base[view.offset :], view.shape, [4 * s for s in view.strides])
    assert np.array_equal(seen, evaluate([y], {x: array})[0])


def test_a_reshape_that_does_not_divide_stops_the_trace() -> None:
    x = gx.input("x", (4, 6)).T
    y = x.reshape(8, 3)
    domain = Domain()
    assert trace(y, domain.identity(y.shape), domain) is y


def test_dividing_splits_a_dim_and_brings_older_accesses_up_to_date() -> None:
    domain = Domain()
    before = domain.identity((12,))
    pair = domain.divide(before.axes[0], 4)
    assert pair == (Affine(0, ((1, 1),)), Affine(0, ((2, 1),)))
    assert domain.extents == {1: 3, 2: 4}
    assert domain.current(before).axes == (Affine(0, ((1, 4), (2, 1))),)
    assert row_major((2, 3, 4)) == (12, 4, 1)


def test_a_transpose_of_a_folded_array_is_a_view_of_it() -> None:
    x = gx.input("x", (5, 3, 4))
    view = strided_view(x.reshape(15, 4).T)
    assert view is not None
    assert view.base is x
    assert (view.shape, view.strides, view.offset) == ((4, 15), (1, 4), 0)
    part = strided_view(x.reshape(15, 4).T[:, 3:13:2])
    assert part is not None
    assert (part.shape, part.strides, part.offset) == ((4, 5), (1, 8), 12)
    assert strided_view(gx.transpose(x, (1, 0, 2)).reshape(15, 4).T) is None  # nothing contiguous lies under the fold


def test_a_long_chain_of_views_is_followed_without_recursion() -> None:
    y: Tensor = gx.input("x", (4, 6))
    for _ in range(3_000):
        y = y.T.reshape(4, 6)
    assert strided_view(y) is None


@pytest.mark.parametrize("seed", range(200))
def test_a_quotient_and_a_remainder_are_those_of_every_point(seed: int) -> None:
    """Of a domain that refuses to split: where no answer is right at all points, there is none."""
    rng = random.Random(seed)
    domain = Domain(frozen=True)
    terms = [(domain.add(rng.randint(2, 5)), rng.choice((-4, -1, 1, 2, 4, 8))) for _ in range(2)]
    whole, by = Affine(rng.randint(0, 8), tuple(terms)), rng.randint(1, 6)
    pair = domain.divide(whole, by)
    points = list(itertools.product(*map(range, domain.extents.values())))
    value, *parts = ([a.offset + sum(c * at[d] for d, c in a.terms) for at in points] for a in (whole, *(pair or ())))
    if pair is not None:
        assert [(n // by, n % by) for n in value] == list(zip(*parts, strict=True))
