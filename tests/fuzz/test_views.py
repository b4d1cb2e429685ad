"""Views of views, read by products and loops and handed out as results: programs that once failed, and random ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gx
from tests.fuzz.judge import faults
from tests.fuzz.views import view_program
from tests.runtime.support import needs_compiler

BACKENDS = ("numpy", "cython", "c")
Build = Callable[[gx.Tensor], list[gx.Tensor]]


def _handed_out(view: Callable[[gx.Tensor], gx.Tensor]) -> Build:
    """The view as a result, beside a loop that reads it and a product that does."""

    def build(x: gx.Tensor) -> list[gx.Tensor]:
        y = view(x)
        return [y, gx.sum(y @ y.T) + gx.sum(y)]

    return build


def _gradient(function: Callable[[gx.Tensor], gx.Tensor]) -> Build:
    return lambda x: [gx.grad(gx.sum(function(x)), x)]


PROGRAMS: dict[str, Build] = {
    "transpose": _handed_out(lambda x: x.T),
    "flip": _handed_out(lambda x: gx.flip(x, 0)),
    "reversed": _handed_out(lambda x: x[::-1]),
    "every other": _handed_out(lambda x: x[::2]),
    "rows": _handed_out(lambda x: x[1:3]),
    "reshaped rows": _handed_out(lambda x: x[1:3].reshape((3, 2))),
    "view of a view": _handed_out(lambda x: x.T[::-1][1:]),
    "in the padding behind": lambda x: [gx.pad(x, ((1, 4), (0, 0)))[6:9], gx.sin(gx.pad(x, ((1, 4), (0, 0)))[5:])],
    "in the padding before": lambda x: [gx.pad(x, ((3, 0), (0, 0)), constant_values=2)[:2] + x[0]],
    "one row of padding": lambda x: [gx.pad(x, ((2, 2), (0, 0)))[7:8] + x, gx.pad(x, ((2, 2), (0, 0)))[0]],
    "padding of one part": lambda x: [gx.roll(gx.pad(x, ((0, 5), (1, 0))), 2, 0)[:3, :1] * 3],
    "rolled row": _gradient(lambda x: gx.sin(gx.roll(x, 1, 0)[0:1])),
    "rolled twice": _gradient(lambda x: gx.sin(gx.roll(gx.roll(x, 1, 0), -2, 1)[0:2, 1:])),
    "an input that is a result": lambda x: [x, x.T, gx.sum(x @ x.T) + gx.sum(x)],
}


@pytest.mark.parametrize("backend", [*BACKENDS[:2], pytest.param("c", marks=needs_compiler)])
def test_views_of_views(backend: str) -> None:
    """One program of all, so that C is compiled once: alone, each of them failed."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    tensor = gx.input("x", x.shape, "float64")
    outputs = {name: build(tensor) for name, build in PROGRAMS.items()}
    flat = [output for results in outputs.values() for output in results]
    results = iter(gx.compile([tensor], flat, backend=backend)(x))
    for name, wanted in outputs.items():
        for output in wanted:
            expected = gx.evaluate([output], {tensor: x})[0]
            assert np.allclose(next(results), expected, 1e-12, 1e-12), name


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_view_of_a_view(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    tensor = gx.input("x", x.shape, "float64")
    outputs = PROGRAMS[name](tensor)
    for got, output in zip(gx.compile([tensor], outputs, backend="cython", threads=1)(x), outputs, strict=True):
        assert np.allclose(got, gx.evaluate([output], {tensor: x})[0], 1e-12, 1e-12)


def _normalised(x: gx.Tensor, axis: int) -> gx.Tensor:
    centred = x - gx.mean(x, axis, keepdims=True)
    return centred / gx.sqrt(gx.var(x, axis, keepdims=True) + 1e-5)


@pytest.mark.parametrize("backend", [*BACKENDS[:2], pytest.param("c", marks=needs_compiler)])
def test_norms_along_two_axes_with_gradients_and_a_tangent(backend: str) -> None:
    """Merging once made groups of this that waited for one another; ordering them never ended."""
    numbers = np.random.default_rng(0)

    def weights(tensor: gx.Tensor) -> gx.Tensor:
        return gx.constant(numbers.normal(size=tensor.shape), "float64")

    shapes = {"x": (4, 3), "z": (4, 3), "y": (4, 3), "k": (3, 20)}
    x, z, y, k = variables = [gx.input(name, shape, "float64") for name, shape in shapes.items()]
    inner = _normalised(_normalised(x, 0), -1)
    h = gx.hardswish(inner)
    loss = sum((gx.sum(part * weights(part)) for part in (gx.var(h, 1), (y + h) @ k, 2 + h)), gx.sum(z - inner))
    tangent = gx.jvp([loss], variables, [weights(v) for v in variables])
    outputs = [loss, *gx.grad(loss, variables), *tangent]
    arrays = [numbers.normal(size=shape) for shape in shapes.values()]
    results = gx.compile(variables, outputs, backend=backend, threads=1)(*arrays)
    for got, output in zip(results, outputs, strict=True):
        expected = gx.evaluate([output], dict(zip(variables, arrays, strict=True)))[0]
        assert np.allclose(got, expected, 1e-9, 1e-9)


# Random programs -----------------------------------------------------------------------------------------------------
ONCE_WRONG = (65, 85, 101, 249, 360, 378, 394, 427, 439, 471)


@pytest.mark.parametrize("seeds", [ONCE_WRONG, range(5_000, 5_025), range(5_025, 5_050)], ids=["wrong once", "a", "b"])
def test_random_views(seeds: tuple[int, ...] | range) -> None:
    for seed in seeds:
        assert not faults(view_program(seed), ["cython"]), f"view program {seed}"


@needs_compiler
def test_random_views_in_c() -> None:
    for seed in ONCE_WRONG[:2]:
        assert not faults(view_program(seed), ["c"]), f"view program {seed}"
