"""`scan`, `map` and `fori_loop`: what they compute, on every backend; what they take, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import GraphcError
from tests.runtime.support import BACKENDS

RNG = np.random.default_rng(0)
XS, H, W = (RNG.normal(size=shape) / 2 for shape in ((7, 4), (4,), (4, 4)))


class State(NamedTuple):
    level: Any
    trend: Any


def step(carry: Any, x: Any) -> tuple[Any, Any]:
    """A body whose carry, slices and outputs are nested."""
    new = gx.tanh(carry["h"] + x["a"] * carry["s"].level)
    state = State(carry["s"].level * 0.9 + gx.sum(x["b"][0]), carry["s"].trend + 1)
    return {"h": new, "s": state}, (new, None, [carry["s"].trend])


def nested(scan: Callable[..., Any], **options: Any) -> tuple[list[Any], list[Any]]:
    h, a, b = gx.input("h", H.shape, "float64"), gx.input("a", XS.shape, "float64"), gx.input("b", XS.shape, "float64")
    init = {"s": State(gx.constant(0.5, "float64"), gx.constant(0)), "h": h}
    last, (ys, nothing, (trends,)) = scan(step, init, {"b": (b,), "a": a}, **options)
    assert nothing is None
    assert isinstance(last["s"], State)
    loss = gx.sum(last["h"] * ys) + last["s"].level
    return [h, a, b], [loss, ys, trends, last["s"].trend, *gx.grad(loss, [h, a, b])]


def in_python(function: Any, init: Any, xs: Any, *, reverse: bool = False, unroll: Any = 1) -> Any:
    """What `scan` computes, by hand."""
    carry, rows = init, []
    for at in range(len(XS))[:: -1 if reverse else 1]:
        carry, (y, _, (trend,)) = function(carry, {"a": xs["a"][at], "b": (xs["b"][0][at],)})
        rows.append((y, trend))
    ys, trends = (gx.stack(list(column)) for column in zip(*rows[:: -1 if reverse else 1], strict=True))
    return carry, (ys, None, [trends])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2, 3, 7, 9, True])
def test_a_scan_is_what_python_would_do(backend: str, reverse: bool, unroll: Any) -> None:
    given, outputs = nested(gx.scan, reverse=reverse, unroll=unroll)
    expected = gx.evaluate(nested(in_python, reverse=reverse)[1], dict(zip(given, (H, XS, XS), strict=True)))
    for got, wanted in zip(gx.compile(given, outputs, backend=backend)(H, XS, XS), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_in_both_modes(order: int) -> None:
    xs, h, w = (gx.input(n, a.shape, "float64") for n, a in (("xs", XS), ("h", H), ("w", W)))
    last, ys = gx.scan(lambda h, x: ((new := gx.tanh(h @ w + x)), gx.sum(new * x)), h, xs)
    values = {xs: XS, h: H, w: W}
    assert gx.check_gradients(gx.sum(last * last) + gx.sum(ys), [xs, h, w], values, order=order) < 1e-6


def test_scans_within_scans() -> None:
    m = gx.input("m", (3, 7, 4), "float64")

    def row(total: Any, matrix: Any) -> Any:
        last, _ = gx.scan(lambda c, x: (c * 0.5 + gx.sin(x) * total, None), gx.zeros((4,), "float64"), matrix)
        return total + gx.sum(last), last

    total, rows = gx.scan(row, gx.constant(1.0, "float64"), m)
    values = RNG.normal(size=m.shape)
    expected, found = 1.0, []
    for matrix in values:
        last = np.zeros(4)
        for x in matrix:
            last = last * 0.5 + np.sin(x) * expected
        expected += last.sum()
        found.append(last)
    for got, wanted in zip(gx.compile([m], [total, rows])(values), (expected, found), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert gx.check_gradients(total, [m], {m: values}) < 1e-6


def test_draws_are_new_in_every_iteration() -> None:
    _, draws = gx.scan(lambda c, _: (c, gx.uniform((5,))), gx.constant(0.0), length=6)
    program = gx.compile([], draws)
    found = [program() for _ in range(2)]
    assert np.unique(found).size == 60


def test_a_model_in_a_body_is_trained() -> None:
    nn.init.seed(0)
    cell, x = nn.Linear(8, 8), gx.input("x", (5, 2, 8))
    last, _ = gx.scan(lambda h, x: (gx.tanh(cell(h) + x), None), gx.zeros((2, 8)), x)
    loss = gx.mean(gx.square(last - 0.5))
    train = gx.compile([x], loss, optim.Adam(lr=0.01).minimize(loss, cell.parameters()))
    values = RNG.normal(size=x.shape).astype(np.float32)
    losses = [float(train(values)) for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("around", [False, True], ids=["within", "around"])
def test_checkpoints(around: bool) -> None:
    xs, h = gx.input("xs", XS.shape, "float64"), gx.input("h", H.shape, "float64")

    def cell(h: Any, x: Any) -> Any:
        return gx.tanh(gx.sin(h * 2) + x)

    def net(cell: Any, h: Any, xs: Any) -> Any:
        return gx.scan(lambda h, x: (cell(h, x), None), h, xs)[0]

    again = gx.checkpoint(lambda h, xs: net(cell, h, xs))(h, xs) if around else net(gx.checkpoint(cell), h, xs)
    found = [gx.evaluate(gx.grad(gx.sum(last), [xs, h]), {xs: XS, h: H}) for last in (again, net(cell, h, xs))]
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_no_iterations() -> None:
    h = gx.input("h", (3,))
    last, (ys, other) = gx.scan(lambda h, x: (h + x, (h, x.astype("int32"))), h, gx.zeros((0, 3)))
    got = gx.compile([h], [last, ys, other])(np.ones(3, np.float32))
    np.testing.assert_array_equal(got[0], np.ones(3))
    assert [array.shape for array in got[1:]] == [(0, 3), (0, 3)]
    assert got[2].dtype == np.int32
    assert gx.fori_loop(3, 3, lambda i, v: v + 1, h) is h


@pytest.mark.parametrize("backend", BACKENDS)
def test_map_and_fori_loop(backend: str) -> None:
    xs = gx.input("xs", XS.shape, "float64")
    squares = gx.map(lambda x: {"norm": x @ x, "x": (x * 2,)}, xs)
    value = gx.fori_loop(2, 6, lambda i, v: [v[0] * i.astype("float64"), v[1] + i], [gx.sum(xs), gx.constant(0)])
    got = gx.compile([xs], [squares["norm"], squares["x"][0], *value], backend=backend)(XS)
    for array, wanted in zip(got, [(XS * XS).sum(axis=1), XS * 2, XS.sum() * 120, 14], strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-12)


# What is refused -----------------------------------------------------------------------------------------------------
def a(*shape: int, dtype: str = "float32") -> Any:
    return gx.zeros(shape, dtype)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "dtype": (
        lambda: gx.scan(lambda c, x: ({"h": c["h"] + x}, None), {"h": a(3)}, a(4, 3, dtype="float64")),
        r"carry\['h'\] begins as float32\[3\], and its next value is float64\[3\]; convert",
    ),
    "shape": (lambda: gx.scan(lambda c, x: (x, None), a(3), a(4, 2)), r"begins as float32\[3\], .* float32\[2\]$"),
    "structure": (lambda: gx.scan(lambda c, x: ([c[0]], None), (a(3),), a(4, 3)), r"begins as \(\*,\), .* is \[\*\]"),
    "no pair": (lambda: gx.scan(lambda c, x: c, a(3), a(4, 3)), "answers with a pair, carry and y, not <"),
    "no length": (lambda: gx.scan(lambda c, x: (c, None), a(3)), "without xs takes a length"),
    "lengths": (lambda: gx.scan(lambda c, x: (c, None), a(3), [a(3), a(2)]), r"not 3 of xs\[0\], 2 of xs\[1\]"),
    "other length": (lambda: gx.scan(lambda c, x: (c, None), a(3), a(3), 4), "not 4 of length, 3 of xs"),
    "negative": (lambda: gx.scan(lambda c, x: (c, None), a(3), length=-1), "length is -1; it is 0 or more"),
    "scalar": (lambda: gx.scan(lambda c, x: (c, None), a(3), {"x": a()}), r"xs\['x'\] has no first axis"),
    "text": (lambda: gx.scan(lambda c, x: (c, "y"), a(3), a(4)), "y is 'y'; it must be a tensor, or a tuple"),
    "unroll": (lambda: gx.scan(lambda c, x: (c, None), a(3), a(4), unroll=0), "unroll is 0; it is at least 1"),
    "no number": (lambda: gx.fori_loop(0, a(), lambda i, v: v, a()), "upper is <.*; it must be a whole number"),
    "update": (
        lambda: gx.scan(lambda c, x: (c + nn.BatchNorm1d(3)(x), None), a(2, 3), a(4, 2, 3)),
        "a parameter cannot be updated in a loop",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_the_line(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(GraphcError, match=rf"(?m){message}") as caught:
        build()
    assert "test_repeating.py" in str(caught.value)
