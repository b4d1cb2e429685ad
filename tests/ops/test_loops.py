"""Loops on every backend: rolled and unrolled agree, with their gradients, within budgets and in exported C."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import optim
from graphc.api import build_graph
from graphc.errors import GraphError, InternalError, ShapeError
from graphc.ir.graph import Graph
from graphc.ir.reading import parse_graph
from graphc.ir.text import body_of, graph_text, serials
from graphc.ir.verify import verify
from graphc.ops.build import apply, build_node, infer_type
from graphc.ops.functions.loops import loop
from graphc.ops.functions.sources import with_update
from graphc.ops.primitives.random import random_bits_reference
from graphc.passes import prune_loops
from graphc.pipeline import optimise, ways_of
from tests.aot.standalone import SANITIZERS, build_runner, run
from tests.loop_programs import loop_program, unrolled
from tests.runtime.support import BACKENDS, needs_compiler
from tests.test_memory_contract import choices
from tests.test_memory_contract import run as run_poisoned

SEEDS = range(8)
TIMES, WIDTH = 6, 4
RNG = np.random.default_rng(0)
XS, H0, W = (RNG.normal(size=shape) / 2 for shape in ((TIMES, WIDTH), (WIDTH,), (WIDTH, WIDTH)))


def inputs(dtype: str = "float64") -> list[gx.Tensor]:
    return [gx.input("xs", XS.shape, dtype), gx.input("h", H0.shape, dtype), gx.input("w", W.shape, dtype)]


def recurrent(repeat: Any = loop, dtype: str = "float64", **options: Any) -> tuple[list[gx.Tensor], list[gx.Tensor]]:
    """Inputs and results of a small recurrent net, the first result its loss."""
    xs, h, w = given = inputs(dtype)

    def step(carries: Any, slices: Any) -> Any:
        new = gx.tanh(carries[0] @ w + slices[0])
        return [new], [new * carries[0]]

    (last,), (ys,) = repeat(step, TIMES, [h], [xs], **options)
    return given, [gx.sum(last * last) + gx.sum(gx.sin(ys)), last, ys]


# Rolled and unrolled -------------------------------------------------------------------------------------------------
@functools.cache
def expected(seed: int) -> list[Any]:
    program = loop_program(seed)
    results = program.results(unrolled)
    values = dict(zip(program.inputs, program.arrays, strict=True))
    return gx.evaluate([*results, *gx.grad(results[0], program.inputs)], values)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_loops_compute_what_is_unrolled(seed: int, backend: str) -> None:
    program = loop_program(seed)
    results = program.results(loop)
    step = gx.compile(program.inputs, [*results, *gx.grad(results[0], program.inputs)], backend=backend)
    for got, wanted in zip(step(*program.arrays), expected(seed), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_of_any_order_and_mode(reverse: bool) -> None:
    found = []
    for repeat in (loop, unrolled):
        given, (loss, last, ys) = recurrent(repeat, reverse=reverse)
        directions = [np.ones(node.shape) for node in given]
        seconds = gx.hvp(loss, given, directions)
        thirds = gx.grad(sum(gx.sum(part) for part in seconds), given)
        outputs = [loss, *gx.grad(loss, given), *gx.jvp([last, ys], given, directions), *seconds, *thirds]
        found.append(gx.evaluate(outputs, dict(zip(given, (XS, H0, W), strict=True))))
    for rolled, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(rolled, wanted, rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    given, (loss, _, _) = recurrent()
    gx.check_gradients([loss], given, dict(zip(given, (XS, H0, W), strict=True)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_of_every_float(dtype: str, backend: str) -> None:
    arrays = [np.asarray(a).astype(gx.input("d", (), dtype).dtype.numpy) for a in (XS, H0, W)]
    found = []
    for repeat in (loop, unrolled):
        given, results = recurrent(repeat, dtype)
        found.append(gx.compile(given, results, backend=backend)(*arrays))
    for rolled, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(rolled.astype(np.float64), wanted.astype(np.float64), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("backend", BACKENDS)
def test_integers_are_carried_beside_floats(backend: str) -> None:
    x = gx.input("x", (3,), "float64")

    def step(carries: Any, _: Any) -> Any:
        count, value = carries
        return [count + 1, value * gx.cos(count.astype("float64"))], [count]

    (count, value), (counts,) = loop(step, 4, [gx.constant(2), x])
    gradient = gx.grad(gx.sum(value), x)
    got = gx.compile([x], [count, counts, value, gradient], backend=backend)(np.ones(3))
    factor = np.prod(np.cos([2, 3, 4, 5]))
    assert got[0] == 6
    np.testing.assert_array_equal(got[1], [2, 3, 4, 5])
    np.testing.assert_allclose(got[2], np.full(3, factor))
    np.testing.assert_allclose(got[3], np.full(3, factor))


# Draws, parameters, edges --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_iteration_draws_anew_and_gradients_see_the_same(backend: str) -> None:
    x = gx.input("x", (5,), "float64")

    def step(carries: Any, _: Any) -> Any:
        noise = gx.uniform((5,), dtype="float64")
        return [carries[0] * noise], [noise]

    (last,), (noise,) = loop(step, 3, [x])
    program = gx.compile([x], [noise, last, gx.grad(gx.sum(last), x)], backend=backend, seed=3)
    words = random_bits_reference((3, 2, 5), 1 << 31, 3, 0).astype(np.uint64)
    drawn = ((words[:, 0] >> np.uint64(5)) * 2**26 + (words[:, 1] >> np.uint64(6))) / 2.0**53
    got = program(np.ones(5))
    np.testing.assert_array_equal(got[0], drawn)
    np.testing.assert_allclose(got[1], drawn.prod(axis=0))
    np.testing.assert_allclose(got[2], drawn.prod(axis=0))
    assert not np.array_equal(program(np.ones(5))[0], drawn)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_step_with_a_loop(backend: str) -> None:
    losses = []
    for repeat in (loop, unrolled):
        xs, w = gx.input("xs", XS.shape, "float64"), gx.parameter("w", W)
        (last,), _ = repeat(lambda c, s, w=w: ([gx.tanh(c[0] @ w + s[0])], []), TIMES, [gx.constant(H0)], [xs])
        loss = gx.mean((last - 1) ** 2)
        step = gx.compile([xs], loss, optim.Adam(lr=0.05).minimize(loss, [w]), backend=backend)
        losses.append([float(step(XS)) for _ in range(8)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("backend", ["cython", pytest.param("c", marks=needs_compiler)])
def test_state_that_a_loop_carries_is_updated_in_place(backend: str) -> None:
    state, x = gx.state("h", H0), gx.input("x", H0.shape, "float64")
    (last,), _ = loop(lambda c, _: ([c[0] * 0.5 + x], []), 3, [state])
    program = gx.compile([x], [], {state: last}, backend=backend)
    (launch,) = program.plan.launches
    assert launch.writes == program.plan.parameters
    assert program.plan.arena_bytes == 0
    program(np.ones(WIDTH))
    np.testing.assert_allclose(state.value, H0 / 8 + 1.75)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_may_change_places_and_stand_still(backend: str) -> None:
    x, y = gx.input("x", (3,)), gx.input("y", (3,))

    def step(carries: Any, _: Any) -> Any:
        a, b, still, _ = carries
        return [b, a, still, a], [still, a]

    (a, b, still, seen), stacks = loop(step, 3, [x, y, x * 2, y])
    got = gx.compile([x, y], [a, b, still, seen, *stacks], backend=backend)(
        np.float32([1, 2, 3]), np.float32([4, 5, 6])
    )
    one, two = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    for array, wanted in zip(got, [two, one, one * 2, one, [one * 2] * 3, [one, two, one]], strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_loop_starts_with_is_read_in_it(backend: str) -> None:
    """By the body itself, and as the start of two values."""
    x = gx.input("x", (3,))
    start = gx.exp(x) * 0.5
    (a, b), _ = loop(lambda c, _: ([c[0] + start, c[1] * 2 + c[0]], []), 3, [start, start])
    got = gx.compile([x], [a * 2, b * 2], backend=backend)(np.zeros(3, np.float32))
    np.testing.assert_allclose(got, [[4.0] * 3, [2 * (4 + 0.5 * 4 + 1 * 2 + 1.5)] * 3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_nothing(backend: str) -> None:
    xs = gx.input("xs", (3, 0))
    (last,), (ys,) = loop(lambda c, s: ([c[0] + s[0]], [s[0] * 2]), 3, [gx.zeros((0,))], [xs])
    last_array, stack = gx.compile([xs], [last, ys], backend=backend)(np.zeros((3, 0), np.float32))
    assert (last_array.shape, stack.shape) == ((0,), (3, 0))


# What it costs -------------------------------------------------------------------------------------------------------
def counting(times: int) -> gx.Program:
    x = gx.input("x", (64, 64))
    (last,), _ = loop(lambda c, _: ([gx.tanh(c[0] @ x)], []), times, [x])
    return gx.compile([x], last, backend="cython", threads=1)


def test_memory_and_plan_do_not_grow_with_the_iterations() -> None:
    few, many = counting(2), counting(2000)
    assert few.plan.arena_bytes == many.plan.arena_bytes
    assert len(few.plan.launches) == len(many.plan.launches)
    assert many.plan.loops[0].count == 2000


def test_profiles_and_reports_know_loops() -> None:
    program = counting(50)
    profile = program.profile(np.eye(64, dtype=np.float32))
    assert len(profile.rows) == len(program.plan.launches)
    assert "loop" in str(program.plan)
    assert program.memory.peak_bytes >= program.plan.arena_bytes


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_change_no_bit(seed: int) -> None:
    program = loop_program(seed, dtype="float32")
    results = program.results(loop)
    outputs = [*results, *gx.grad(results[0], program.inputs)]
    bits = []
    for threads in (1, 2, 4):
        step = gx.compile(program.inputs, outputs, backend="cython", threads=threads)
        arrays = [np.empty(o.shape, o.dtype.numpy) for o in outputs]
        step._engine.run_together(list(program.arrays), arrays)
        bits.append([array.tobytes() for array in arrays])
    assert bits[0] == bits[1] == bits[2]


@pytest.mark.parametrize("seed", SEEDS)
def test_budgets_change_no_bit(seed: int) -> None:
    """Loops are made again whole; each in memory that is poisoned where plans say it is over."""
    program = loop_program(seed, dtype="float32")
    results = program.results(loop)
    outputs = {str(i): r for i, r in enumerate([*results, *gx.grad(results[0], program.inputs)])}
    stand_in = _Program(program.arrays, outputs)
    graph = build_graph(program.inputs, outputs)[0]
    bits = [run_poisoned(stand_in, assembled) for assembled in choices(ways_of(graph, threads=1))]  # type: ignore[arg-type]
    assert all(other == bits[0] for other in bits)


class _Program:
    def __init__(self, arrays: Any, outputs: Any) -> None:
        self.arrays, self.outputs = arrays, outputs


def test_a_loop_is_made_again_within_a_budget() -> None:
    xs, w = gx.input("xs", (8, 64, 64)), gx.input("w", (64, 64))

    def stack(scale: float) -> gx.Tensor:
        return loop(lambda c, s: ([c[0] * 0.5], [gx.tanh(s[0] @ w) * scale + c[0]]), 8, [w], [xs])[1][0]

    stacks = [stack(i + 1.0) for i in range(4)]
    total = sum((gx.sum(a * a) for a in stacks), gx.constant(0.0))
    outputs = [total, *gx.grad(total, [xs, w])]
    whole = gx.compile([xs, w], outputs, backend="cython", threads=1)
    less = gx.compile([xs, w], outputs, backend="cython", threads=1, memory_budget=0.95)
    assert any(launch.rematerialises >= 0 for launch in less.plan.launches)
    first = {loop.first for loop in less.plan.loops}
    assert any(less.plan.launches[n].rematerialises in first for n in first), "no loop runs again"
    arrays = [np.random.default_rng(0).normal(size=x.shape).astype(np.float32) / 8 for x in (xs, w)]
    for a, b in zip(whole(*arrays), less(*arrays), strict=True):
        np.testing.assert_array_equal(a, b)


# Export --------------------------------------------------------------------------------------------------------------
def exported(folder: Path) -> tuple[gx.Program, list[Any]]:
    program = loop_program(5)
    results = program.results(loop)
    step = gx.compile(program.inputs, [*results, *gx.grad(results[0], program.inputs)], backend="c", threads=2)
    return step, program.arrays


@needs_compiler
def test_exported_loops_have_the_same_bits(tmp_path: Path) -> None:
    step, arrays = exported(tmp_path)
    step.export(tmp_path / "step")
    again = gx.load(tmp_path / "step")
    assert again.plan == step.plan
    for a, b in zip(again(*arrays), step(*arrays), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_compiler
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_exported_loops_are_sane(sanitizer: str, tmp_path: Path) -> None:
    step, arrays = exported(tmp_path)
    runner = build_runner(step, tmp_path, SANITIZERS[sanitizer])
    (found,), _ = run(step, runner, arrays, threads=2)
    for a, b in zip(found, step(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# Graphs --------------------------------------------------------------------------------------------------------------
def test_equal_loops_are_one_node_and_text_is_read_back() -> None:
    first, second = recurrent()[1], recurrent()[1]
    assert all(a is b for a, b in zip(first, second, strict=True))
    given, results = recurrent()
    graph = build_graph(given, [*results, *gx.grad(results[0], given)])[0]
    text = graph_text(graph)
    assert "body &0\n  graph 1\n" in text
    assert parse_graph(text, build_node, serials(graph)) == graph
    assert graph_text(parse_graph(text, build_node, serials(graph))) == text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("body &0", "body &7"), "refers to &0, which is not there"),
        (lambda text: text + "body &0\n  graph 1\n  inputs\n  outputs\n", "is a second body &0"),
        (lambda text: text.replace("  outputs", "  out puts"), "unknown or repeated word"),
        (lambda text: text.replace("count=6", "count=0"), "not 0 times"),
        (lambda text: text.replace("count=6", "count=5"), "loop takes"),
    ],
)
def test_damaged_bodies_are_refused(damage: Any, message: str) -> None:
    text = graph_text(build_graph(*recurrent())[0])
    with pytest.raises(gx.errors.FormatError, match=message):
        parse_graph(damage(text), build_node)


def test_bodies_nest_only_so_deep_in_a_text() -> None:
    text = "graph 1\ninputs\noutputs\n"
    for _ in range(40):
        text = "graph 1\ninputs\noutputs\nbody &0\n" + "".join(f"  {line}\n" for line in text.splitlines())
    with pytest.raises(gx.errors.FormatError, match="nests bodies more than 32 deep"):
        parse_graph(text, build_node)


def test_the_verifier_looks_into_bodies() -> None:
    x = gx.input("0", (3,))
    other = gx.input("1", (3,))
    bad = Graph((x,), (), ((x, x + other),))
    node = apply("loop", gx.input("x", (3,)), body=body_of(bad), count=2, stacked=0, reverse=False)
    graph = Graph((gx.input("x", (3,)),), (apply("part", node, index=0),))
    with pytest.raises(InternalError, match="an input is used but not listed"):
        verify(graph, infer_type)


def test_what_nobody_reads_is_not_computed() -> None:
    xs, h, w = inputs()

    def step(carries: Any, slices: Any) -> Any:
        a, unread = carries
        return [gx.tanh(a @ w), unread + slices[0]], [gx.exp(slices[0]), gx.sin(a)]

    (a, _), (_, sines) = loop(step, TIMES, [h, h * 3], [xs])
    graph = prune_loops(build_graph([xs, h, w], [a, sines])[0])
    (node,) = [node for node in graph.nodes if node.op == "loop"]
    body = node.attrs["body"].graph
    assert [n.type for n in node.inputs] == [h.type, w.type]
    assert (len(body.updates), len(body.outputs), node.attrs["stacked"]) == (1, 1, 0)
    assert not any(n.op in ("exp", "add") for n in body.nodes)
    assert not any(n.op == "loop" for n in optimise(build_graph([xs, h, w], [h + 1])[0]).nodes)


def test_passes_enter_bodies() -> None:
    h = gx.input("h", (3,))
    (last,), _ = loop(lambda c, _: ([gx.exp(gx.log(gx.softmax(c[0] * 1)))], []), 3, [h])
    graph = optimise(build_graph([h], [last])[0])
    ops = [n.op for node in graph.nodes if node.op == "loop" for n in node.attrs["body"].graph.nodes]
    assert "multiply" not in ops


# Bad use -------------------------------------------------------------------------------------------------------------
def test_bad_use_names_the_line() -> None:
    x, p = gx.input("x", (3,)), gx.parameter("p", np.ones(3))
    for step, message in (
        (lambda c, _: ([gx.sum(c[0])], []), r"carried as float32\[3\], the next one is float32\[\]"),
        (lambda c, _: ([c[0].astype("float64")], []), "the next one is float64"),
    ):
        with pytest.raises(ShapeError, match=message) as error:
            loop(step, 3, [x])
        assert "test_loops.py" in str(error.value)
    with pytest.raises(ShapeError, match="not 0 times"):
        loop(lambda c, _: ([c[0]], []), 0, [x])
    with pytest.raises(GraphError, match="cannot be updated in a loop"):
        loop(lambda c, _: ([with_update(c[0], p, c[0].astype("float64"))], []), 3, [x])
