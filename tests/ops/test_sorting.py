"""Sorting and searching: every dtype, every way that kernels take, special values, equals; parts of several results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.errors import InternalError
from graphc.ir.graph import Graph
from graphc.ir.node import Results, intern
from graphc.ir.reading import parse_graph
from graphc.ir.text import graph_text, serials
from graphc.ir.types import DTYPES
from graphc.ir.verify import verify
from graphc.ops.build import apply_several, build_node
from graphc.ops.record import ALL, FLOAT, NUMERIC
from graphc.transforms import check_gradients
from tests.runtime.support import needs_compiler

BACKENDS = ["cython", pytest.param("c", marks=needs_compiler)]
EXTENTS = (1, 2, 15, 16, 17, 47, 48, 49, 300)  # on both sides of what decides how a row is sorted
SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0)


def rows(dtype: str, extent: int, seed: int = 0) -> Any:
    """Three rows: spread out, with many equals, and with special values."""
    rng, kind = np.random.default_rng(seed), DTYPES[dtype]
    if kind.is_float:
        data = np.stack([rng.normal(size=extent) * 100, rng.integers(-2, 3, extent), rng.choice(SPECIAL, extent)])
        return data.astype(kind.numpy)
    if kind.kind == "bool":
        return rng.integers(0, 2, (3, extent)).astype(bool)
    info = np.iinfo(kind.numpy)
    wide = rng.integers(info.min, info.max, (3, extent), dtype=kind.numpy, endpoint=True)
    wide[1] = rng.integers(0, 3, extent)
    wide[2, :1], wide[2, -1:] = info.min, info.max
    return wide


def both(x: Any, y: Any) -> bool:
    """Whether two arrays are equal to the bit."""
    return x.dtype == y.dtype and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ALL)
def test_every_way_gives_what_the_reference_gives(backend: str, dtype: str) -> None:
    inputs, arrays, results = [], [], []
    for extent in EXTENTS:
        x = gx.input(f"x{extent}", (3, extent), dtype)
        inputs.append(x)
        arrays.append(rows(dtype, extent))
        for descending in (False, True):
            results += [gx.sort(x, descending=descending), gx.argsort(x, descending=descending)]
            for count in {min(extent, k) for k in (0, 1, 5, 16, 17)}:
                results += gx.topk(x, count, largest=descending)
        results += [*gx.max_with_index(x, 1), *gx.min_with_index(x, 1)]
    got = gx.compile(inputs, results, backend=backend)(*arrays)
    expected = gx.evaluate(results, dict(zip(inputs, arrays, strict=True)))
    assert all(map(both, got, expected))


@pytest.mark.parametrize("dtype", FLOAT)
def test_the_extremes_are_those_of_the_reductions(dtype: str) -> None:
    x = gx.input("x", (3, 40), dtype)
    largest, smallest = gx.max_with_index(x, 1), gx.min_with_index(x, 1)
    expected = [gx.max(x, 1), gx.argmax(x, 1), gx.min(x, 1), gx.argmin(x, 1)]
    for row in (rows(dtype, 40), rows(dtype, 40, 1)):
        found = gx.compile([x], [*largest, *smallest, *expected], backend="cython")(row)
        for a, b in zip(found[:4], found[4:], strict=True):
            np.testing.assert_array_equal(a.astype(np.float64), b.astype(np.float64))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", NUMERIC)
def test_searches_are_numpys(backend: str, dtype: str) -> None:
    line = np.sort(rows(dtype, 30).astype(np.float64 if DTYPES[dtype].is_float else dtype), axis=1)
    line = line.astype(DTYPES[dtype].numpy)
    wanted = rows(dtype, 20, 7)
    x, v = gx.input("x", (3, 30), dtype), gx.input("v", (3, 20), dtype)
    results = [gx.searchsorted(x, v, side) for side in ("left", "right")]
    results += [gx.searchsorted(x[0], v, side) for side in ("left", "right")]
    got = gx.compile([x, v], results, backend=backend)(line, wanted)
    for result, expected in zip(got, gx.evaluate(results, {x: line, v: wanted}), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_pytorch_orders_alike() -> None:
    torch = pytest.importorskip("torch")
    array = rows("float32", 60)
    x = gx.constant(array)
    for descending in (False, True):
        values, places = torch.sort(torch.tensor(array), stable=True, descending=descending)
        assert both(gx.evaluate(gx.sort(x, descending=descending)), values.numpy())
        assert both(gx.evaluate(gx.argsort(x, descending=descending)), places.numpy())
    values, _ = torch.topk(torch.tensor(array), 9)
    np.testing.assert_array_equal(gx.evaluate(gx.topk(x, 9)[0]), values.numpy())


# Several results -----------------------------------------------------------------------------------------------------
def test_one_launch_stores_all_results() -> None:
    x = gx.input("x", (8, 60))
    values, places = gx.topk(x, 20)
    plan = gx.compile([x], [values, places, gx.sort(x)], backend="cython").plan
    assert plan is not None
    kernels = [launch.kernel for launch in plan.launches]
    assert kernels.count("sort_f32") == 2, "the same node once, whoever reads which part"
    assert all(len(launch.writes) == 2 for launch in plan.launches if launch.kernel == "sort_f32")


def test_a_part_that_nobody_reads_takes_memory_for_its_launch_alone() -> None:
    x = gx.input("x", (8, 60))
    plan = gx.compile([x], gx.exp(gx.exp(gx.sort(gx.exp(x))) + 1), backend="cython").plan
    assert plan is not None
    (sort,) = [number for number, launch in enumerate(plan.launches) if launch.kernel == "sort_f32"]
    (places,) = [b for b in plan.buffers if b.dtype == "int64"]
    assert (places.space, places.first, places.last) == ("arena", sort, sort)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_second_derivatives(mode: str) -> None:
    x = gx.input("x", (3, 20), "float64")
    data = np.random.default_rng(2).permutation(60).reshape(3, 20) / 7.0
    values, _ = gx.topk(x * x, 5)
    loss = gx.sum(values * gx.sort(gx.sin(x))[:, :5])
    check_gradients(loss, [x], {x: data})
    result = gx.grad(gx.sum(gx.grad(loss, x) ** 2), x) if mode == "reverse" else gx.hvp(loss, x, np.ones((3, 20)))
    step = 1e-6
    gradient = gx.grad(loss, x)

    def at(shift: float) -> Any:
        return gx.evaluate(gradient, {x: data + shift})

    if mode == "forward":
        expected = (at(step) - at(-step)) / (2 * step)
        np.testing.assert_allclose(gx.evaluate(result, {x: data}), expected, rtol=1e-4, atol=1e-4)
    else:
        check_gradients(gx.sum(gradient**2), [x], {x: data})


@pytest.mark.parametrize("backend", BACKENDS)
def test_within_a_budget_and_in_a_checkpoint(backend: str) -> None:
    x = gx.input("x", (64, 96))
    w = gx.parameter("w", np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32) / 10)

    def layer(y: gx.Tensor) -> gx.Tensor:
        values, places = gx.topk(y @ w, 96)
        return gx.tanh(values) + gx.astype(places, "float32") / 96

    plain, marked = x, x
    for _ in range(4):
        plain, marked = layer(plain), gx.checkpoint(layer)(marked)
    array = np.random.default_rng(1).normal(size=(64, 96)).astype(np.float32)
    results = []
    for y, budget in ((plain, None), (plain, 0.8), (marked, None)):
        loss = gx.mean(y**2)
        program = gx.compile([x], [loss, gx.grad(loss, w)], backend=backend, memory_budget=budget)
        results.append([part.tobytes() for part in program(array)])
        again = [launch for launch in program.plan.launches if launch.rematerialises >= 0]
        assert bool(again) == (budget is not None or y is marked)
    assert results[0] == results[1] == results[2]


@needs_compiler
def test_an_exported_program_sorts(tmp_path: Path) -> None:
    x = gx.input("x", (4, 60))
    program = gx.compile([x], {"values": gx.sort(x), "places": gx.argsort(x, descending=True)}, backend="c")
    program.export(tmp_path / "order")
    array = rows("float32", 60)[[0, 1, 2, 0]]
    for name, result in gx.load(tmp_path / "order")(array).items():
        assert both(result, program(array)[name])


def test_text_and_types() -> None:
    x = gx.input("x", (3, 5))
    values, places = gx.topk(x, 2)
    graph = build_graph([x], [values, places])[0]
    text = graph_text(graph)
    assert "sort(%0)" in text
    assert ": (float32[3, 2], int64[3, 2])" in text
    assert parse_graph(text, build_node, serials(graph)) == graph
    whole = values.inputs[0]
    assert isinstance(whole, Results)
    assert repr(whole) == "<sort: (float32[3, 2], int64[3, 2])>"
    assert apply_several("sort", x, count=2, descending=True, nan_first=True)[1] is places


def test_a_whole_is_read_by_parts_alone() -> None:
    x = gx.input("x", (3,))
    whole = gx.sort(x).inputs[0]
    while not isinstance(whole, Results):
        (whole,) = whole.inputs
    wrong = intern(gx.Tensor, "exp", (whole,), {}, x.type)
    with pytest.raises(InternalError, match="several results are read as one"):
        verify(Graph((x,), (wrong,)))
