"""Values computed anew: where it saves traffic, and with the very values they had."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.api import build_graph
from graphc.fusion import recompute as recomputation
from graphc.fusion.fuse import fuse
from graphc.fusion.group import Group
from graphc.pipeline import optimise
from tests.fuzz.grow import grow
from tests.fuzz.judge import faults

ROWS, COLUMNS = 64, 128
X, W, V = gx.input("x", (ROWS, 32)), gx.input("w", (32, COLUMNS)), gx.input("v", (COLUMNS, 8))


def groups_of(inputs, outputs) -> list[Group]:
    return fuse(optimise(build_graph(inputs, outputs)[0]))


def step(activation) -> tuple[list[gx.Tensor], list[gx.Tensor]]:
    """A product, an activation and another product, with the gradient of the first factor."""
    y = activation(X @ W) @ V
    g = gx.input("g", y.shape)
    return [X, W, V, g], [y, *gx.vjp([y], [W], [g])]


def full_stores(groups: list[Group]) -> list[str]:
    """Values of the size of the activation that are written."""
    return [node.op for group in groups for node in group.stores if node.shape == (ROWS, COLUMNS)]


def test_gelu_keeps_its_argument_alone_for_the_gradient() -> None:
    groups = groups_of(*step(gx.gelu))
    stored = full_stores(groups)
    assert len(stored) == 3  # the argument, the result, and the gradient of the argument
    assert sum(node.op == "erf" for group in groups for node in group.nodes) == 2


def test_dear_functions_are_kept_where_that_moves_no_more() -> None:
    groups = groups_of(*step(lambda x: gx.tanh(gx.sin(x))))
    assert sum(node.op in ("tanh", "sin") for group in groups for node in group.nodes) == 2


def test_a_normalisation_is_computed_anew_from_its_input_and_the_moments_of_the_rows() -> None:
    x, u = gx.input("x", (ROWS, COLUMNS)), gx.input("u", (COLUMNS, COLUMNS))
    y = gx.sin(nn.LayerNorm(COLUMNS)(x @ u) @ V)
    groups = groups_of([x, u, V], [y, gx.grad((y * y).sum(), x)])
    forward = next(group for group in groups if group.reduce)
    assert sum(node.shape == (ROWS, COLUMNS) for node in forward.stores) == 1


@pytest.mark.parametrize("activation", [gx.gelu, gx.silu, gx.tanh, lambda x: gx.exp(-x * x) * 0.5])
def test_values_are_those_of_the_reference(activation) -> None:
    inputs, outputs = step(activation)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x.shape).astype(np.float32) for x in inputs]
    wanted = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for found, value in zip(gx.compile(inputs, outputs)(*arrays), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", range(4))
def test_random_programs_that_recompute_whatever_they_can(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputation, "_LEAST", 1)
    monkeypatch.setattr(recomputation, "_COST_OF_BYTE", 1e6)
    wrong = []
    for seed in range(5000 + 20 * block, 5020 + 20 * block):
        wrong += [f"program {seed}: {fault}" for fault in faults(grow(seed), ["cython"])]
    assert not wrong, "\n".join(wrong[:10])


def test_a_result_stays_though_no_launch_reads_it() -> None:
    """What a launch read before it computed more itself is dropped; not where the caller reads it."""
    x = gx.input("x", (ROWS, COLUMNS))
    graph = optimise(build_graph([x], gx.sin(x))[0])
    found = recomputation._Recomputation(fuse(graph), graph, {}, 96)
    found._drop(graph.outputs)
    assert [node for group in found.groups for node in group.stores] == list(graph.outputs)
