"""Values of pairs of bodies: reduced in the loop nest that computes them, in gradients too, and never in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.fusion.fuse import fuse
from graphc.pipeline import compile_plan, optimise

BODIES, OTHERS = 64, 69

Program = tuple[list[gx.Tensor], list[gx.Tensor]]


def _square(a: gx.Tensor, b: gx.Tensor, softening: float = 0.01) -> gx.Tensor:
    """The squared distances of two sets of points, [3, n] and [3, m]: [n, m]."""
    square: gx.Tensor | float = softening
    for axis in range(3):
        difference = gx.expand_dims(a[axis], 1) - b[axis]
        square = square + difference * difference
    assert isinstance(square, gx.Tensor)
    return square


def _energy(positions: gx.Tensor, masses: gx.Tensor) -> gx.Tensor:
    return -0.5 * gx.sum(gx.expand_dims(masses, 1) * masses / gx.sqrt(_square(positions, positions)))


def gravity() -> Program:
    p, m = gx.input("p", (3, BODIES)), gx.input("m", (BODIES,))
    energy = _energy(p, m)
    return [p, m], [energy, *gx.grad(energy, [p, m])]


def molecules() -> Program:
    """Lennard-Jones, with the pairs of a body and itself masked."""
    p = gx.input("p", (3, BODIES))
    same = gx.eye(BODIES, dtype="bool")
    inverse = 1.0 / gx.where(same, 1.0, _square(p, p)) ** 3
    energy = gx.sum(gx.where(same, 0.0, inverse * inverse - inverse))
    return [p], [energy, gx.grad(energy, p)]


def two_sets() -> Program:
    p, q = gx.input("p", (3, BODIES)), gx.input("q", (3, OTHERS))
    energy = gx.sum(1.0 / gx.sqrt(_square(p, q)))
    return [p, q], [energy, *gx.grad(energy, [p, q])]


def no_symmetry() -> Program:
    x, w = gx.input("x", (BODIES,)), gx.input("w", (BODIES,))
    value = gx.sum(gx.tanh(gx.expand_dims(x, 1) * 2.0 + w * x))
    return [x, w], [value, *gx.grad(value, [x, w])]


def second_order() -> Program:
    p, m, v = gx.input("p", (3, BODIES)), gx.input("m", (BODIES,)), gx.input("v", (3, BODIES))
    return [p, m, v], [gx.grad(gx.sum(gx.grad(_energy(p, m), p) * v), p)]


def weighted_kernel() -> Program:
    x, y = gx.input("x", (BODIES,)), gx.input("y", (BODIES,))
    smooth = gx.sum(gx.exp(-gx.square(gx.expand_dims(x, 1) - x)) * y, axis=1)
    value = gx.sum(smooth * smooth)
    return [x, y], [value, *gx.grad(value, [x, y])]


def batches() -> Program:
    p = gx.input("p", (2, 3, BODIES))
    square: gx.Tensor | float = 0.01
    for axis in range(3):
        difference = gx.expand_dims(p[:, axis], 2) - gx.expand_dims(p[:, axis], 1)
        square = square + difference * difference
    energy = gx.sum(1.0 / gx.sqrt(square))
    return [p], [energy, gx.grad(energy, p)]


PROGRAMS = (gravity, molecules, two_sets, no_symmetry, second_order, weighted_kernel, batches)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_no_array_of_pairs_is_kept(program: Callable[[], Program]) -> None:
    inputs, outputs = program()
    plan = compile_plan(build_graph(inputs, outputs)[0]).plan
    assert max(np.prod(buffer.shape) for buffer in plan.buffers) < BODIES * BODIES


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_values_and_gradients_are_those_of_the_reference(program: Callable[[], Program]) -> None:
    inputs, outputs = program()
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x.shape).astype(np.float32) for x in inputs]
    wanted = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for found, value in zip(gx.compile(inputs, outputs, backend="cython")(*arrays), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5 * np.abs(value).max())


def test_the_gradient_of_a_potential_is_that_of_finite_differences() -> None:
    p, m = gx.input("p", (3, 24), "float64"), gx.input("m", (24,), "float64")
    energy = _energy(p, m)
    program = gx.compile([p, m], [energy, gx.grad(energy, p)], backend="cython")
    rng = np.random.default_rng(1)
    positions, masses = rng.standard_normal((3, 24)), rng.random(24)
    gradient = program(positions, masses)[1]
    for axis, body in ((0, 0), (1, 7), (2, 23)):
        step = np.zeros((3, 24))
        step[axis, body] = 1e-5
        above, below = (program(positions + sign * step, masses)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[axis, body], (above - below) / 2e-5, rtol=1e-6)


def test_a_potential_and_its_gradient_go_through_the_pairs_once() -> None:
    p, m = gx.input("p", (3, 2048)), gx.input("m", (2048,))
    energy = _energy(p, m)
    groups = fuse(optimise(build_graph([p, m], [energy, gx.grad(energy, p)])[0]))
    assert sum(node.op == "sqrt" for group in groups for node in group.nodes) == 1
    assert [len(group.domain.extents) for group in groups] == [2, 1]
