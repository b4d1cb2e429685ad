"""Concatenations of what launches compute: each launch writes its part in place, on every engine, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.pipeline import compile_plan
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.fusion.stacks import random_stacks
from tests.runtime.support import needs_compiler

Build = Callable[..., list[gx.Tensor]]


@dataclass(frozen=True)
class Case:
    """`launches` that compute the outputs of `build`, `copies` of them copy, and the bytes of the arena."""

    shapes: tuple[tuple[int, ...], ...]
    build: Build
    launches: int
    copies: int
    arena: int


def _products(axis: int, finish: Callable[[gx.Tensor], gx.Tensor] = lambda y: y) -> Build:
    return lambda x, y, v, w: [gx.concatenate([finish(x @ v), finish(y @ w)], axis)]


def _states(count: int, axis: int) -> Build:
    """The states of a recurrent net, of which the last is computed where they are put together."""

    def build(x: gx.Tensor, u: gx.Tensor, o: gx.Tensor) -> list[gx.Tensor]:
        h, states = x, []
        for _ in range(count):
            h = gx.tanh(h @ u)
            states.append(h)
        return [gx.stack(states, axis) @ o]

    return build


def _flat_gradients(x: gx.Tensor, *parameters: gx.Tensor) -> list[gx.Tensor]:
    h = x
    for w, b in zip(parameters[::2], parameters[1::2], strict=True):
        h = gx.tanh(h @ w + b)
    return [gx.concatenate([gx.reshape(g, (-1,)) for g in gx.grad(gx.sum(h * h), parameters)], 0)]


def _jacobian(x: gx.Tensor, w: gx.Tensor) -> list[gx.Tensor]:
    y = gx.tanh(w @ x)
    return [gx.stack([gx.grad(y[row] * gx.sum(y), x) for row in range(3)])]


def _dense_block(x: gx.Tensor, *weights: gx.Tensor) -> list[gx.Tensor]:
    for w in weights:
        x = gx.concatenate([x, gx.relu(gx.conv2d(x, w, padding=1))], 1)
    return [x]


def _heads(x: gx.Tensor, *weights: gx.Tensor) -> list[gx.Tensor]:
    return [gx.concatenate([gx.softmax(x @ w @ x.T, 1) @ x for w in weights], 1)]


def _tiled(x: gx.Tensor, y: gx.Tensor) -> list[gx.Tensor]:
    p = [x @ y, y @ x, x @ x, y @ y]
    return [gx.concatenate([gx.concatenate(p[:2], 1), gx.concatenate(p[2:], 1)], 0)]


SQUARE, WIDE = (20, 20), (4, 20, 20)
CASES = {
    "rows": Case((SQUARE,) * 4, _products(0), 2, 0, 0),
    "columns": Case((SQUARE,) * 4, _products(1), 2, 0, 0),
    "odd rows": Case(((3, 5), (3, 5), (5, 7), (5, 7)), _products(0), 2, 0, 0),
    "short columns": Case(((3, 5), (3, 5), (5, 7), (5, 7)), _products(1), 2, 1, 128),
    "columns of several widths": Case(((33, 5), (33, 6), (5, 17), (6, 70)), _products(1), 2, 0, 0),
    "matrices": Case((WIDE,) * 4, _products(0), 2, 0, 0),
    "rows of matrices": Case((WIDE,) * 4, _products(1), 2, 0, 0),
    "columns of matrices": Case((WIDE,) * 4, _products(2), 2, 0, 0),
    "rows of matrices, one factor each": Case((WIDE, WIDE, SQUARE, SQUARE), _products(1), 2, 1, 6400),
    "matrices of matrices": Case(((2, *WIDE),) * 4, _products(1), 2, 1, 12800),
    "vectors": Case(((20, 20), (30, 20), (20,), (20,)), _products(0), 2, 0, 0),
    "finished rows": Case((SQUARE,) * 4, _products(0, gx.tanh), 2, 0, 0),
    "finished columns": Case((SQUARE,) * 4, _products(1, gx.tanh), 2, 0, 0),
    "converted": Case((SQUARE,) * 4, _products(1, lambda y: gx.astype(y, "float64")), 2, 0, 0),
    "half": Case((SQUARE,) * 4, lambda *xs: _products(0)(*(gx.astype(x, "float16") for x in xs)), 6, 0, 1664),
    "softmax": Case(
        ((9, 17), (9, 20)), lambda x, y: [gx.concatenate([gx.softmax(x, 1), gx.softmax(y, 1)], 1)], 2, 0, 0
    ),
    "sums": Case(((9, 17, 3), (9, 20, 4)), lambda x, y: [gx.concatenate([x.sum(2), y.max(2)], 1)], 2, 0, 0),
    "an input": Case((SQUARE,) * 2, lambda x, y: [gx.concatenate([x @ y, x], 0)], 2, 1, 0),
    "inputs of two shapes": Case((SQUARE, (3, 20)), lambda x, y: [gx.concatenate([y, x @ x, x, y], 0)], 3, 2, 0),
    "inputs of two shapes, read": Case(
        (SQUARE, (3, 20)), lambda x, y: [gx.concatenate([y, x @ x, x, y], 0) @ x], 4, 2, 3712
    ),
    "a constant": Case((SQUARE,), lambda x: [gx.concatenate([x @ x, np.eye(20, dtype=np.float32)], 1)], 2, 1, 0),
    "twice": Case((SQUARE,), lambda x: [gx.concatenate([x @ x, x @ x], 1)], 2, 1, 0),
    "an output": Case((SQUARE,) * 2, lambda x, y: [gx.concatenate([x @ y, y @ x], 1), x @ y], 3, 1, 0),
    "read elsewhere": Case(
        (SQUARE,) * 2, lambda x, y: [gx.concatenate([x @ y, y @ x], 1), (x @ y).T @ x, gx.sin(y @ x)], 4, 0, 0
    ),
    "read as one stretch": Case(
        (SQUARE,) * 2, lambda x, y: [gx.concatenate([x @ y, y @ x], 1), gx.cumsum(x @ y, 1)], 4, 1, 1600
    ),
    "columns in rows": Case((SQUARE,) * 2, _tiled, 4, 0, 0),
    "one in another": Case(
        ((3, 5),) * 2,
        lambda x, y: [gx.cumsum(gx.concatenate(p := [x @ y.T, y @ y.T], 0), 0), gx.concatenate([*p, x @ x.T], 0)],
        4, 0, 0,
    ),
    "stack of stacks": Case(
        (SQUARE,) * 2,
        lambda x, y: [gx.stack([gx.stack([x @ y, y @ x]), gx.stack([x @ x, y @ y])])], 4, 0, 0,
    ),
    "states": Case(((3, 5), (5, 5), (5, 2)), _states(6, 0), 7, 0, 384),
    "states by batch": Case(((3, 20), (20, 20), (20, 2)), _states(6, 1), 7, 0, 1472),
    "flat gradients": Case(((9, 5), (5, 4), (4,), (4, 3), (3,)), _flat_gradients, 7, 0, 512),
    "jacobian": Case(((7,), (5, 7)), _jacobian, 6, 0, 320),
    "dense block": Case(((1, 2, 5, 5), (3, 2, 3, 3), (4, 5, 3, 3)), _dense_block, 3, 1, 0),
    "dense block of a batch": Case(((2, 2, 5, 5), (3, 2, 3, 3), (4, 5, 3, 3)), _dense_block, 4, 2, 1856),
    "convolutions of a batch": Case(
        ((2, 2, 5, 5), (3, 2, 3, 3), (1, 2, 3, 3)),
        lambda x, v, w: [gx.concatenate([gx.conv2d(x, v, padding=1), gx.conv2d(x, w, padding=1)], 1)], 3, 1, 896,
    ),
    "heads": Case((SQUARE, SQUARE, SQUARE), _heads, 8, 0, 3200),
}  # fmt: skip


def inputs_of(case: Case) -> list[gx.Tensor]:
    return [gx.input(f"x{i}", shape) for i, shape in enumerate(case.shapes)]


@pytest.mark.parametrize("name", CASES)
def test_launches_and_memory(name: str) -> None:
    case = CASES[name]
    inputs = inputs_of(case)
    plan = compile_plan(build_graph(inputs, case.build(*inputs))[0]).plan
    labels = [launch.label for launch in plan.launches]
    copies = sum("concatenate" in label.split("+") for label in labels)
    assert (len(labels), copies, plan.arena_bytes) == (case.launches, case.copies, case.arena), labels


def test_parts_do_not_wait_for_each_other() -> None:
    inputs = [gx.input(f"x{i}", SQUARE) for i in range(40)]
    parts = [x @ x for x in inputs]
    whole = gx.concatenate(parts, 1)
    plan = compile_plan(build_graph(inputs, [whole, *(gx.cumsum(part.T @ part, 0) for part in parts)])[0]).plan
    writers = [launch for launch in plan.launches if launch.shares]
    assert len(writers) == 40
    assert sum(not launch.depends for launch in writers) >= 16
    assert max(len(launch.depends) for launch in plan.launches) <= 17


def check(inputs: list[gx.Tensor], outputs: list[gx.Tensor], backend: str) -> None:
    """Compare outputs and gradients with the reference, in two calls."""
    rng = np.random.default_rng(0)
    loss = sum((gx.sum(gx.sin(y)) for y in outputs[1:]), gx.sum(gx.sin(outputs[0])))
    wanted = [*outputs, *gx.grad(loss, inputs)]
    program = gx.compile(inputs, wanted, backend=backend, threads=2)
    for _ in range(2):
        arrays = [(0.5 * rng.standard_normal(x.shape)).astype(np.float32) for x in inputs]
        reference = gx.evaluate(wanted, dict(zip(inputs, arrays, strict=True)))
        for found, array in zip(program(*arrays), reference, strict=True):
            tolerance = 4e-3 if array.dtype == np.float16 or any(y.dtype.itemsize == 2 for y in outputs) else 1e-4
            scale = max(1.0, float(np.abs(array).max(initial=0)))
            np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("backend", ["cython", "c"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, backend: str) -> None:
    inputs = inputs_of(CASES[name])
    check(inputs, CASES[name].build(*inputs), backend)


@pytest.mark.parametrize("seed", range(40))
def test_random_concatenations_of_launches(seed: int) -> None:
    check(*random_stacks(seed), "c" if seed % 8 == 0 else "cython")


@needs_compiler
@pytest.mark.parametrize("kind", ["address", "thread"])
def test_exported_under_sanitizers(kind: str, tmp_path: Path) -> None:
    """All cases as one program: no launch touches what lies beside its part, nor by addresses that it may not."""
    inputs, outputs = [], []
    for name, case in CASES.items():
        own = [gx.input(f"{name} {i}", shape) for i, shape in enumerate(case.shapes)]
        inputs, outputs = [*inputs, *own], [*outputs, *case.build(*own)]
    rng = np.random.default_rng(2)
    arrays = [(0.5 * rng.standard_normal(x.shape)).astype(np.float32) for x in inputs]
    program = gx.compile(inputs, outputs, backend="numpy", threads=2)
    runner = build_runner(program, tmp_path, SANITIZERS[kind])
    (found,), _ = run(program, runner, arrays)
    reference = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for one, other in zip(found, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=4e-3 if other.dtype == np.float16 else 1e-4, atol=1e-3)


def test_a_budget_is_met_where_parts_are_written_in_place() -> None:
    inputs = [gx.input("x", (64, 32)), *(gx.input(f"w{i}", (32, 32)) for i in range(6))]
    h, states = inputs[0], []
    for w in inputs[1:]:
        h = gx.tanh(h @ w)
        states.append(gx.softmax(h, 1))
    outputs = [gx.sum(gx.sin(gx.concatenate(states, 1)) ** 2)]
    outputs += gx.grad(outputs[0], inputs)
    array = [np.random.default_rng(1).standard_normal(x.shape).astype(np.float32) * 0.3 for x in inputs]
    plain = gx.compile(inputs, outputs, backend="cython")
    budgets = [point.peak_bytes for point in gx.memory_frontier(inputs, outputs, backend="cython").points]
    tight = gx.compile(inputs, outputs, backend="cython", memory_budget=min(budgets))
    assert tight.memory.peak_bytes == min(budgets) <= plain.memory.peak_bytes
    for found, wanted in zip(tight(*array), plain(*array), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("backend", ["cython", "c"])
def test_random_draws_do_not_depend_on_where_they_lie(backend: str) -> None:
    x = gx.input("x", (20, 20))
    drawn = [gx.normal((20, 20)) for _ in range(2)]
    outputs = [gx.concatenate([drawn[0], x @ x, drawn[1]], 1), drawn[0].sum(0)]
    array = np.eye(20, dtype=np.float32)
    found, wanted = (gx.compile([x], outputs, backend=name, seed=3)(array) for name in (backend, "numpy"))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
