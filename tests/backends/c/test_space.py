"""Merged spaces touch what the kernel's own space touches: the same elements, guarded alike, in the same order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from graphc.backends.c.space import MergedSpace, blocked_walk, domain_of, plain_walk
from graphc.ir.types import DTYPES
from graphc.kernel.ir import Index, Iota, Kernel, Load, Operand, Random, Space, Store
from graphc.kernel.nest import Nest
from tests.kernel.support import RandomKernel, strides_of

F32 = DTYPES["float32"]
OUTSIDE = np.iinfo(np.int64).min


def touched(offset: int, strides: tuple[int, ...], guard: tuple[tuple[int, int, int], ...], extents: tuple[int, ...]):
    """The element at each point of a space, in order; OUTSIDE where the guard shuts it out."""
    points = np.indices(extents).reshape(len(extents), math.prod(extents))
    elements = offset + sum((stride * row for stride, row in zip(strides, points, strict=True)), np.int64(0))
    inside = np.ones(points.shape[1], bool)
    for dim, low, high in guard:
        inside &= (low <= points[dim]) & (points[dim] < high)
    return np.where(inside, elements, OUTSIDE)


def check(kernel: Kernel, domain: MergedSpace) -> None:
    extents = kernel.space.extents
    assert math.prod(domain.extents) == math.prod(extents)
    for position, need in enumerate(Nest(kernel).needed):
        statement = kernel.body[position]
        if not need or not isinstance(statement, (Load, Iota, Random, Store)):
            assert position not in domain.places
            continue
        index, place = statement.index, domain.places.get(position)
        expected = touched(index.offset, index.strides, index.guard, extents)
        if place is None:
            assert (expected == OUTSIDE).all()
        else:
            np.testing.assert_array_equal(touched(place.offset, place.strides, place.guard, domain.extents), expected)


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in (0, 50, 100, 150)], ids=str)
def test_random_kernels(seeds: range, join: bool) -> None:
    """Every stride, every guard; all parts, or outer and inner dims joined where nothing is reduced."""
    for seed in seeds:
        kernel = RandomKernel(seed, sizes=(1, 2, 3, 5)).kernel
        if math.prod(kernel.space.extents):
            domain = domain_of(kernel, Nest(kernel).needed, join=join and not kernel.space.reduce)
            check(kernel, domain)


def padded(extents: tuple[int, ...], guard: tuple[tuple[int, int, int], ...]) -> Kernel:
    """A dense copy of which a part is left out."""
    dense = Index(0, strides_of(extents))
    body = (Load(0, F32, dense), Load(1, F32, Index(0, dense.strides, guard), 0), Store(2, dense, 1))
    operands = (Operand(F32, "read"), Operand(F32, "read"), Operand(F32, "write"))
    return Kernel(operands, Space((), (), extents), body)


EXTENTS = (2, 3, 4, 5)


@pytest.mark.parametrize("dims", [dims for n in range(5) for dims in itertools.combinations(range(4), n)], ids=str)
def test_a_guarded_dim_stays_apart(dims: tuple[int, ...]) -> None:
    """And those between guarded ones become one: in padding, a row must not run on into the next."""
    kernel = padded(EXTENTS, tuple((d, 1, EXTENTS[d]) for d in dims))
    domain = domain_of(kernel, (True, True, True))
    expected = [
        math.prod(EXTENTS[d] for d in run)
        for is_guarded, group in itertools.groupby(range(4), lambda d: d in dims)
        for run in (([d] for d in group) if is_guarded else (list(group),))
    ]
    assert domain.extents == tuple(expected)
    assert len(domain.places[1].guard) == len(dims)
    check(kernel, domain)


@pytest.mark.parametrize("guard", [((1, 0, 3),), ((1, 0, 3), (3, 0, 5)), ((1, -2, 9),)], ids=str)
def test_a_guard_that_lets_all_in_is_none(guard: tuple[tuple[int, int, int], ...]) -> None:
    domain = domain_of(padded(EXTENTS, guard), (True, True, True))
    assert domain.extents == (math.prod(EXTENTS),)
    assert domain.places[1].guard == ()


@pytest.mark.parametrize("guard", [((1, 3, 3),), ((2, 0, 1), (2, 3, 4)), ((0, 2, 9),), ((3, -4, 0),)], ids=str)
def test_what_is_always_outside_has_no_place(guard: tuple[tuple[int, int, int], ...]) -> None:
    domain = domain_of(padded(EXTENTS, guard), (True, True, True))
    assert set(domain.places) == {0, 2}


def test_parts_stay_apart() -> None:
    """Outer, reduce and inner dims that lie one after the other, and would be one dim if they might."""
    body = (Load(0, F32, Index(0, (12, 4, 2, 1))), Store(1, Index(0, (12, 4, 2, 1)), 0))
    kernel = Kernel((Operand(F32, "read"), Operand(F32, "write")), Space((2,), (3, 2), (2,)), body)
    domain = domain_of(kernel, (True, True))
    assert domain.extents == (2, 6, 2)
    assert (domain.outer, domain.reduce, domain.inner) == ((0,), (1,), (2,))


@pytest.mark.parametrize("seed", range(40))
def test_a_walk_goes_over_every_dim_once(seed: int) -> None:
    kernel = RandomKernel(seed, sizes=(2, 3, 8, 17)).kernel
    domain = domain_of(kernel, Nest(kernel).needed)
    if not domain.extents:
        return
    walks = [plain_walk(domain)]
    if domain.is_flat and not domain.outer and len(domain.extents) > 1:
        walks.append(blocked_walk(domain))
    for walk in walks:
        assert sorted([*walk.rows, *walk.columns, *domain.reduce]) == list(range(len(domain.extents)))
        assert set(walk.box) <= set(range(len(domain.extents)))
        assert len(set(walk.box)) == len(walk.box)
