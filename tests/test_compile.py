"""`gx.compile` end to end: what it computes and updates, what it refuses and how, that failures leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import BackendError, DTypeError, GradientError, GraphError, InputError, ShapeError

ROOT = Path(__file__).parent.parent
BACKENDS = ("cython", "numpy")


def training_step(
    backend: str = "cython", dtype: str = "float32", **options: Any
) -> tuple[gx.Program, list[gx.Parameter]]:
    """The tiny MLP with AdamW, and all that a call changes."""
    nn_dtype = np.dtype(gx.zeros(1, dtype).dtype.numpy)
    x, y = gx.input("x", (64, 10), dtype), gx.input("y", (64, 1), dtype)
    rng = np.random.default_rng(0)
    shapes = {"w1": (10, 32), "b1": (32,), "w2": (32, 1), "b2": (1,)}
    p = {name: gx.parameter(name, (rng.normal(size=shape) / 4).astype(nn_dtype)) for name, shape in shapes.items()}
    hidden = gx.relu(x @ p["w1"] + p["b1"])
    loss = nn.mse_loss(hidden @ p["w2"] + p["b2"], y)
    rule = optim.AdamW(lr=1e-2)
    updates = rule.minimize(loss, p.values())
    step = gx.compile([x, y], {"loss": loss}, updates, backend=backend, **options)
    return step, [*p.values(), *rule.state().values()]


def batch(dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 10))
    target = gx.zeros(1, dtype).dtype.numpy
    return x.astype(target), np.sin(x.sum(1, keepdims=True)).astype(target)


# Updates -------------------------------------------------------------------------------------------------------------
def pair() -> tuple[gx.Parameter, gx.Parameter, np.ndarray, np.ndarray]:
    a, b = np.arange(5.0), np.arange(5.0) * 10 + 1
    return gx.parameter("p", a), gx.parameter("q", b), a, b


UPDATES: dict[str, Callable[[Any, Any], tuple[list[Any], dict[Any, Any]]]] = {
    "exchange": lambda p, q: ([], {p: q, q: p}),
    "exchange, both are results": lambda p, q: ([p, q], {p: q, q: p}),
    "exchange, read together": lambda p, q: ([p + q], {p: q, q: p}),
    "exchange and sum": lambda p, q: ([], {p: q, q: p + q}),
    "the old value is a result": lambda p, q: ([p], {p: 0.5 * p + gx.tanh(p)}),
    "a view of the old value is a result": lambda p, q: ([gx.reshape(p, (5, 1)), p[::-1]], {p: p * 2}),
    "the new value is a result, twice": lambda p, q: ([p * 2, p * 2], {p: p * 2}),
    "to itself": lambda p, q: ([p], {p: p}),
    "to itself backwards": lambda p, q: ([], {p: gx.flip(p)}),
    "rolled": lambda p, q: ([gx.sum(p)], {p: gx.roll(p, 2), q: gx.roll(p, -1)}),
    "one value for two": lambda p, q: ([], {p: p + q, q: p + q}),
    "a constant": lambda p, q: ([p], {p: gx.zeros(5, "float64")}),
    "through a product": lambda p, q: ([], {p: gx.outer(p, q) @ p, q: gx.outer(q, p) @ p}),
    "a view of a result that holds more": lambda p, q: (
        [b := gx.broadcast_to(p - 1, (3, 5))],
        {p: b[1], q: b.flatten()[:5]},
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", UPDATES)
def test_updates_read_old_values_and_are_written_together(name: str, backend: str) -> None:
    p, q, a, b = pair()
    outputs, updates = UPDATES[name](p, q)
    expected = gx.evaluate([*outputs, *updates.values()], {})
    program = gx.compile([], outputs, updates, backend=backend)
    got = [*program(), *(parameter.value for parameter in updates)]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-15)
    for parameter, old in ((p, a), (q, b)):
        if parameter not in updates:
            np.testing.assert_array_equal(parameter.value, old)


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "bfloat16", "float16", "int64", "int32", "int8", "uint8", "bool"]
)
@pytest.mark.parametrize("size", [1, 4, 1000, 50_000])
def test_values_trade_places_in_every_dtype(dtype: str, size: int) -> None:
    p, q = gx.state("p", np.arange(size) % 7, dtype=dtype), gx.state("q", np.arange(size) % 5 + 1, dtype=dtype)
    a, b = p.value, q.value
    both, old = gx.compile([], [gx.maximum(p, q), p], {p: q, q: p})()
    np.testing.assert_array_equal(old, a)
    np.testing.assert_array_equal(both, np.maximum(a, b))
    np.testing.assert_array_equal(p.value, b)
    np.testing.assert_array_equal(q.value, a)


def test_two_programs_share_a_parameter() -> None:
    p, x = gx.parameter("p", np.zeros(3)), gx.input("x", (3,), "float64")
    add, read = gx.compile([x], [], {p: p + x}), gx.compile([], p * 1)
    for count in range(1, 4):
        add(np.ones(3))
        np.testing.assert_array_equal(read(), np.full(3, count))
    p.value = np.zeros(3)
    np.testing.assert_array_equal(read(), np.zeros(3))


# Results -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_results_that_are_no_nodes_of_their_own(backend: str) -> None:
    """Inputs, constants, views of each other and the same tensor twice: each is an array of its own."""
    x, p = gx.input("x", (2, 3)), gx.parameter("p", np.ones((2, 3), np.float32))
    y = gx.exp(x)
    results = [x, y, y, x.T, y.T, gx.reshape(y, (6,)), y[::-1], y[:, 1:], p, p.T, gx.constant(2.0), gx.stop_gradient(y)]
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = gx.compile([x], results, backend=backend)(array)
    for one, other in zip(got, gx.evaluate(results, {x: array}), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        assert one.flags.c_contiguous
        assert one.flags.writeable
    for i, one in enumerate(got):
        assert not any(np.may_share_memory(one, other) for other in (*got[:i], array, p.storage))


@pytest.mark.parametrize("backend", BACKENDS)
def test_structures(backend: str) -> None:
    x = gx.input("x", ())
    assert gx.compile(x, x + 1, backend=backend)(1.0) == 2
    assert gx.compile([x], [x + 1], backend=backend)(1.0) == [2]
    assert gx.compile((x,), {"b": x + 1, "a": x}, backend=backend)(x=1.0) == {"b": 2, "a": 1}
    assert gx.compile([x], [], backend=backend)(1.0) == []
    assert gx.compile([x], (), backend=backend)(1.0) == []


SHAPES = [(), (1,), (0,), (1, 1, 1, 1, 1, 1), (3, 0, 2), (2, 3, 1, 2, 1, 2), (7,), (129, 5)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape: tuple[int, ...], backend: str) -> None:
    """0-d, empty, all ones and six axes, through elementwise ops, reductions, views and a gradient."""
    x = gx.input("x", shape, "float64")
    last = (
        [gx.cumsum(x, -1), gx.softmax(x, -1), gx.flip(x, -1), gx.concatenate([x, x], -1)] if shape and shape[-1] else []
    )
    loss = gx.sum(gx.tanh(x) * x)
    results = [
        gx.exp(x) + 1,
        gx.sum(x),
        gx.mean(x * x),
        gx.pad(x, 1),
        x.T,
        gx.reshape(x, (-1,) if x.size else (0,)),
        *last,
    ]
    results += [loss, *gx.grad(loss, [x]), gx.any(x > 0), gx.all(x > 0), gx.prod(x), gx.sum(x, keepdims=True)]
    array = np.random.default_rng(0).normal(size=shape)
    got = gx.compile([x], results, backend=backend)(array)
    for one, other in zip(got, gx.evaluate(results, {x: array}), strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8", "uint32", "bool"])
def test_integers_and_truth_values(dtype: str) -> None:
    x, y = gx.input("x", (50,), dtype), gx.input("y", (50,), dtype)
    rng = np.random.default_rng(0)
    low, high = (0, 2) if dtype == "bool" else (-128, 128) if dtype.startswith("int") else (0, 256)
    arrays = [rng.integers(low, high, 50).astype(dtype) for _ in range(2)]
    results = [
        x + y,
        x * y,
        gx.maximum(x, y),
        x == y,
        x < y,
        x & y,
        x ^ y,
        ~x,
        gx.sum(x),
        gx.max(x),
        gx.any(x > y),
        gx.argmax(x),
    ]
    if dtype != "bool":
        results += [
            x - y,
            x // y,
            x % y,
            x << 1,
            x >> 1,
            gx.cumsum(x),
            gx.where(x > y, x, y),
            x.astype("float32") / 3,
            abs(x),
        ]
    for one, other in zip(
        gx.compile([x, y], results)(*arrays), gx.evaluate(results, {x: arrays[0], y: arrays[1]}), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


# Small programs that were wrong once --------------------------------------------------------------------------------
V, U, NONE = gx.input("v", (12,)), gx.input("u", (300,), "uint32"), gx.input("none", (0, 3))

ONCE_WRONG: dict[str, Callable[[], gx.Tensor]] = {
    "a pad of nothing": lambda: gx.pad(NONE, ((1, 0), (0, 1)), constant_values=2.0) + 1,
    "a concatenation with nothing": lambda: gx.concatenate([NONE, gx.reshape(V, (4, 3)), NONE]) * 2,
    "nothing is scattered": lambda: gx.scatter_add(V, gx.constant(np.zeros(0, np.int64)), gx.reshape(NONE, (0,))) + 1,
    "one computed element through a pad": lambda: gx.sin(gx.maximum(gx.pad(gx.erf(V), (0, 1)), V[:1]))[4:5],
    "one part of a concatenation": lambda: gx.sin(gx.concatenate([gx.exp(V), V]))[:12] + V,
    "a product of converted integers, summed": lambda: gx.sum(U.astype("float64") * 3.0 + (U >> 6).astype("float64")),
}


@pytest.mark.parametrize("name", ONCE_WRONG)
def test_what_was_wrong_once(name: str) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=12).astype(np.float32),
        rng.integers(0, 1 << 32, 300, np.uint32),
        np.zeros((0, 3), np.float32),
    ]
    result = ONCE_WRONG[name]()
    (expected,) = gx.evaluate([result], dict(zip((V, U, NONE), arrays, strict=True)))
    np.testing.assert_allclose(gx.compile([V, U, NONE], result)(*arrays), expected, rtol=1e-6)


# Training ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-3), ("float16", 0.05), ("bfloat16", 0.2)]
)
def test_training_follows_the_reference_in_every_float(dtype: str, tolerance: float) -> None:
    losses = {}
    for backend in BACKENDS:
        step, _ = training_step(backend, dtype)
        losses[backend] = [float(step(*batch(dtype))["loss"]) for _ in range(30)]
    np.testing.assert_allclose(losses["cython"], losses["numpy"], rtol=tolerance)
    assert losses["cython"][-1] < 0.5 * losses["cython"][0]


def test_the_same_seed_gives_the_same_bits() -> None:
    """Two runs, and 1, 2 and 4 threads, of a net with dropout and products large enough to be shared."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(256, 300)).astype(np.float32), rng.integers(0, 10, 256)
    seen = set()
    for threads in (1, 2, 4, 1):
        a, y = gx.input("x", x.shape), gx.input("y", labels.shape, "int64")
        weights = np.random.default_rng(1).normal(size=(310, 300)).astype(np.float32) / 17
        w, v = gx.parameter("w", weights[:300]), gx.parameter("v", weights[300:])
        kept = gx.bernoulli(0.5, (256, 300), stream=9) * 2
        loss = nn.cross_entropy(gx.linear(gx.gelu(a @ w) * kept, v), y)
        step = gx.compile([a, y], loss, optim.Adam(lr=1e-3).minimize(loss, [w, v]), threads=threads, seed=5)
        losses = [step(x, labels).tobytes() for _ in range(3)]
        seen.add((*losses, w.value.tobytes(), v.value.tobytes()))
        assert len(set(losses)) == 3
    assert len(seen) == 1


def test_the_backward_of_sigmoid_and_cross_entropy_has_no_division() -> None:
    z, target = gx.input("z", (64,)), gx.input("target", (64,))
    for loss in (nn.bce_loss(gx.sigmoid(z), target), nn.bce_with_logits_loss(z, target)):
        program = gx.compile([z, target], gx.grad(loss, [z]))
        ops = {
            line.split("=")[1].split()[0] for line in program.source.splitlines() if "=" in line and "store" not in line
        }
        assert "sigmoid" in ops
        assert ops <= {"load", "sigmoid", "subtract", "multiply", "add", "negative"} | {
            op for op in ops if op[0] in "-0123456789"
        }
        zs, ts = np.linspace(-90, 90, 64, dtype=np.float32), np.tile([0, 1, 0.25, 1], 16).astype(np.float32)
        np.testing.assert_allclose(program(zs, ts)[0], (1 / (1 + np.exp(-zs.astype(float))) - ts) / 64, atol=1e-8)


# What is refused -----------------------------------------------------------------------------------------------------
X = gx.input("x", (2, 37))  # shapes that no other test has: equal inputs are one node
Y = gx.input("y", (37,))
P = gx.parameter("p", np.ones((2, 37), np.float32))

REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "an input is not listed": (
        lambda: gx.compile([X], X + Y),
        GraphError,
        r"depend on input 'y' \(float32\[37\]\).*'x'",
    ),
    "an update needs an input": (lambda: gx.compile([], [], {P: P + X}), GraphError, "depend on input 'x'.*none"),
    "an input is listed twice": (lambda: gx.compile([X, X], X), GraphError, "two inputs are called 'x'"),
    "two inputs of one name": (
        lambda: gx.compile([X, gx.input("x", (41,))], X),
        GraphError,
        "two inputs are called 'x'",
    ),
    "a parameter as input": (lambda: gx.compile([P], P), GraphError, "parameter 'p'.* is not one"),
    "a computed input": (lambda: gx.compile([X + 1], X + 1), GraphError, "is not one"),
    "inputs by name": (lambda: gx.compile({"x": X}, X), GraphError, "sequence of tensors"),  # type: ignore[arg-type]
    "an array as output": (lambda: gx.compile([X], [np.ones(3)]), GraphError, "'output0' is array"),  # type: ignore[list-item]
    "a number as output": (lambda: gx.compile([X], 3), GraphError, "not 3"),  # type: ignore[arg-type]
    "outputs named by numbers": (lambda: gx.compile([X], {1: X}), GraphError, "named by strings"),  # type: ignore[dict-item]
    "an input is updated": (lambda: gx.compile([X], X, {X: X + 1}), GraphError, "updates are for parameters"),  # type: ignore[dict-item]
    "an update is an array": (lambda: gx.compile([], [], {P: np.ones((2, 37))}), GraphError, "is a tensor, not"),  # type: ignore[dict-item]
    "updates as a list": (lambda: gx.compile([], [], [(P, P)]), GraphError, "maps parameters"),  # type: ignore[arg-type]
    "an update of another shape": (lambda: gx.compile([], [], {P: P.T}), ShapeError, r"'p'.*\(2, 37\).*\(37, 2\)"),
    "an update of another dtype": (
        lambda: gx.compile([], [], {P: P.astype("float64")}),
        DTypeError,
        "holds float32.*float64",
    ),
    "a backend that is unknown": (
        lambda: gx.compile([X], X, backend="cuda9"),
        BackendError,
        "'cuda9' is unknown.*cython",
    ),
    "no threads": (lambda: gx.compile([X], X, threads=0), BackendError, "at least 1, not 0"),
    "threads by half": (lambda: gx.compile([X], X, threads=1.5), BackendError, "not 1.5"),  # type: ignore[arg-type]
    "the gradient of a matrix": (lambda: gx.grad(X * 2, [X]), GradientError, r"2, 37"),
    "the gradient in an integer": (lambda: gx.grad(gx.sum(X), [gx.input("k", (3,), "int64")]), GradientError, "int64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_compile_time(name: str) -> None:
    build, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        build()
    assert "test_compile.py" in str(caught.value), "the message names the user's line"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_call_changes_nothing(backend: str) -> None:
    step, state = training_step(backend)
    x, y = batch()
    step(x, y)
    before = [parameter.value.tobytes() for parameter in state]
    fixed = np.zeros((), np.float32)
    fixed.flags.writeable = False
    bad: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((x[:3], y), {}), ((x.astype(np.float64), y), {}), ((x,), {}), ((x, y, y), {}), ((x,), {"z": y}),
        ((x, y), {"x": x}), ((x, None), {}), ((x, "text"), {}), ((x, y), {"out": fixed}), ((x, y), {"out": {}}),
        ((x, y), {"out": {"loss": fixed}}), ((x, y), {"out": {"loss": np.zeros((), np.float64)}}),
        ((x, y), {"out": {"loss": np.zeros(2, np.float32)}}),
    ]  # fmt: skip
    for args, named in bad:
        with pytest.raises(InputError):
            step(*args, **named)
    assert [parameter.value.tobytes() for parameter in state] == before
    assert step.step == 1
    step(x, y)
    assert [parameter.value.tobytes() for parameter in state] != before


def test_an_error_names_tensor_types_and_line() -> None:
    step, _ = training_step()
    x, y = batch()
    with pytest.raises(InputError) as caught:
        step(x[:, :4], y)
    text = str(caught.value)
    for part in ("input 'x'", "float32[64, 10]", "float32[64, 4]", "test_compile.py", 'gx.input("x", (64, 10), dtype)'):
        assert part in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_of_any_layout(backend: str) -> None:
    x = gx.input("x", (4, 6))
    program = gx.compile([x], gx.sum(x * gx.arange(6, dtype="float32"), 1), backend=backend)
    array = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    expected = program(array)
    fixed = array.copy()
    fixed.flags.writeable = False
    layouts = [
        np.asfortranarray(array),
        np.flip(np.flip(array, (0, 1)).copy(), (0, 1)),
        np.repeat(array, 3, 1)[:, ::3],
        fixed,
    ]
    layouts += [np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 6)]
    for layout in layouts:
        np.testing.assert_array_equal(program(layout), expected)
    np.testing.assert_array_equal(program(array.tolist()), expected)


def test_out_is_filled() -> None:
    x = gx.input("x", (4, 6))
    program = gx.compile([x], [x + 1, x, gx.sum(x)])
    array, out = (
        np.ones((4, 6), np.float32),
        [np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32), np.zeros((), np.float32)],
    )
    assert program(array, out=out) is out
    np.testing.assert_array_equal(out[0], array + 1)
    np.testing.assert_array_equal(out[1], array)
    assert out[2] == 24
    for bad in (np.zeros((6, 4), np.float32).T, np.zeros((4, 12), np.float32)[:, ::2], array):
        with pytest.raises(InputError, match="out="):
            program(array, out=[bad, *out[1:]])


def test_a_parameter_may_be_given_as_an_input() -> None:
    """Its own storage is read and overwritten by the call."""
    p, x = gx.parameter("p", np.arange(2000.0)), gx.input("x", (2000,), "float64")
    old = p.value
    result = gx.compile([x], gx.flip(x) + p, {p: gx.flip(x) + p})(p.storage)
    np.testing.assert_array_equal(result, old[::-1] + old)
    np.testing.assert_array_equal(p.value, old[::-1] + old)
