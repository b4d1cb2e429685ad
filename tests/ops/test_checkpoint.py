"""`gx.checkpoint`: what goes in and comes out, values and derivatives, what is dropped, and what is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.ir.graph import topological
from tests.training_programs import in_turn

BACKENDS = ("cython", "c", "numpy")


def layers(count: int = 6, size: int = 32) -> list[nn.Module]:
    nn.seed(0)
    return [nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.LayerNorm(size)) for _ in range(count)]


def chained(parts: list[Any]) -> Any:
    def run(x: gx.Tensor) -> gx.Tensor:
        for part in parts:
            x = x + part(x)
        return x

    return run


def grouped(parts: list[Any], size: int) -> Any:
    """A chain of layers, so many of them at a time checkpointed."""
    return in_turn([gx.checkpoint(chained(parts[at : at + size])) for at in range(0, len(parts), size)])


def gradients(run: Any, parts: list[nn.Module], backend: str = "cython") -> tuple[gx.Program, list[Any]]:
    """The program of loss and gradients of a chain of layers, and its answers."""
    x = gx.input("x", (16, 32))
    loss = gx.mean(run(x) ** 2)
    wanted = [x, *(parameter for part in parts for parameter in part.parameters())]
    program = gx.compile([x], [loss, *gx.grad(loss, wanted)], backend=backend, threads=1)
    return program, program(np.random.default_rng(0).standard_normal((16, 32), np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_and_gradients_are_those_of_the_plain_function(backend: str) -> None:
    parts = layers()
    _, plain = gradients(chained(parts), parts, backend)
    _, again = gradients(gx.checkpoint(chained(parts)), parts, backend)
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_lies_between_is_dropped_and_made_again() -> None:
    parts = layers(16)
    plain, values = gradients(chained(parts), parts)
    less, again = gradients(grouped(parts, 4), parts)
    assert not any(launch.rematerialises >= 0 for launch in plain.plan.launches)
    assert sum(launch.rematerialises >= 0 for launch in less.plan.launches) >= 16
    assert less.memory.arena < 0.6 * plain.memory.arena
    for a, b in zip(values, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_built_before_is_checkpointed_all_the_same() -> None:
    """Nodes are interned: the plain network was there before, and its nodes are those of the checkpointed one."""
    parts = layers(4)
    x = gx.input("x", (16, 32))
    before = set(topological([chained(parts)(x)]))
    after = topological([gx.checkpoint(chained(parts))(x)])
    shared = [node for node in after if node in before and node is not x]
    assert not any(x in set(topological([node])) for node in shared)


def test_regions_within_regions_keep_less() -> None:
    parts = layers(27)

    flat, values = gradients(grouped(parts, 3), parts)
    outer = [gx.checkpoint(grouped(parts[at : at + 9], 3)) for at in (0, 9, 18)]
    nested, again = gradients(in_turn(outer), parts)
    assert nested.memory.arena < 0.9 * flat.memory.arena
    for a, b in zip(values, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives_and_forward_mode() -> None:
    x, w = gx.input("x", (4, 3), "float64"), gx.parameter("w", np.eye(3))

    def run(x: gx.Tensor) -> gx.Tensor:
        return gx.tanh(x @ w) * x

    pairs = []
    for function in (run, gx.checkpoint(run)):
        loss = gx.sum(function(x) ** 2)
        (tangent,) = gx.jvp([loss], [x], [gx.ones_like(x)])
        (product,) = gx.hvp(loss, [x], [gx.ones_like(x)])
        pairs.append(gx.evaluate([loss, tangent, product], {x: np.random.default_rng(0).standard_normal((4, 3))}))
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert gx.check_gradients(gx.sum(gx.checkpoint(run)(x)), [x, w], {x: np.ones((4, 3)) / 3}, order=2) < 1e-6


class Pair(NamedTuple):
    first: gx.Tensor
    second: gx.Tensor


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x, scale: x * scale, gx.Tensor), (lambda x, scale: [x + 1, x * scale], list),
        (lambda x, scale: (x, x * scale), tuple), (lambda x, scale: {"a": x * scale}, dict),
        (lambda x, scale: Pair(x + 1, x * scale), Pair),
    ],
)  # fmt: skip
def test_results_keep_their_structure(function: Any, kind: type) -> None:
    x = gx.input("x", (3,))
    plain, again = function(x, 2.0), gx.checkpoint(function)(x, scale=2.0)
    assert isinstance(again, kind)
    some, others = (
        [r] if isinstance(r, gx.Tensor) else list(r.values()) if isinstance(r, dict) else list(r)
        for r in (plain, again)
    )
    for a, b in zip(some, others, strict=True):
        values = [gx.evaluate(tensor, {x: np.arange(3, dtype=np.float32)}) for tensor in (a, b)]
        np.testing.assert_array_equal(*values)


def test_tensors_from_elsewhere_count_as_inputs() -> None:
    """What a function finds outside is differentiated, and not computed again."""
    x = gx.input("x", (8, 8))
    outer = gx.exp(x)
    y = gx.checkpoint(lambda x: gx.tanh(x @ outer))(x)
    plain = gx.tanh(x @ outer)
    values = {x: np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)}
    for a, b in ((y, plain), (gx.grad(gx.sum(y), x), gx.grad(gx.sum(plain), x))):
        np.testing.assert_array_equal(gx.evaluate(a, values), gx.evaluate(b, values))


def test_dropout_draws_the_same_numbers_again() -> None:
    nn.seed(0)
    parts = [nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.5), nn.Tanh()) for _ in range(4)]
    run = gx.checkpoint(chained(parts))
    x = gx.input("x", (16, 32))
    loss = gx.sum(run(x))
    slope = gx.grad(loss, x)
    program = gx.compile([x], [loss, slope], backend="cython")
    assert any(launch.rematerialises >= 0 for launch in program.plan.launches)
    values = np.random.default_rng(0).standard_normal((16, 32), np.float32)
    got = program(values)
    for answer, wanted in zip(got, gx.evaluate([loss, slope], {x: values}, seed=0, step=0), strict=True):
        np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-5)


def test_a_function_without_tensors_is_refused() -> None:
    w = gx.parameter("w", np.ones(3))
    assert gx.checkpoint(lambda w: w * 2)(w).shape == (3,)
    with pytest.raises(gx.errors.GraphError, match="takes tensors; none came"):
        gx.checkpoint(lambda scale: w * scale)(2.0)


@pytest.mark.parametrize("result", [None, 3.0, [1.0], {"a": np.ones(2)}])
def test_other_results_are_refused(result: Any) -> None:
    x = gx.input("x", (3,))
    with pytest.raises(gx.errors.GraphError, match="a checkpointed function answers with"):
        gx.checkpoint(lambda x: result)(x)
