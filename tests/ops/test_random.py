"""Random numbers: Philox against its published vectors, distributions against their statistics, streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.api import build_graph, compile
from graphc.dsl.variables import input, parameter
from graphc.errors import GraphError
from graphc.ir.fresh import Fresh
from graphc.ir.graph import Graph, topological
from graphc.ops.build import apply
from graphc.ops.functions.random import bernoulli, normal, randint, uniform
from graphc.ops.functions.reductions import sum
from graphc.ops.functions.selection import where
from graphc.ops.primitives.random import FIRST_STREAM, philox, random_bits_reference
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import grad
from tests.ops.test_backends import COMPILED

COUNT = 20_000
ALPHA = 1e-4  # the seeds are fixed, so a test that passes keeps passing


def run(result: Tensor, seed: int = 1, step: int = 0) -> np.ndarray[Any, Any]:
    return evaluate([result], {}, seed=seed, step=step)[0]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(counter: Any, key: Any, expected: Any) -> None:
    # The known-answer vectors of Random123 for philox4x32 with ten rounds.
    assert tuple(int(word) for word in philox(counter, key)) == expected


def test_bits_are_words_of_the_stated_counters() -> None:
    seed, step, stream = 0x123456789ABCDEF0, 0xBA9876543210, 77
    bits = random_bits_reference((3, 7), stream, seed, step)
    assert bits.dtype == np.uint32
    for i, word in enumerate(bits.ravel()):
        counter = (i // 4, stream, 0x76543210, 0xBA98)
        assert word == philox(counter, (0x9ABCDEF0, 0x12345678))[i % 4]


def test_bits_depend_on_seed_step_and_stream() -> None:
    node = apply("random_bits", shape=(64,), stream=3)
    other = apply("random_bits", shape=(64,), stream=4)
    places = [(1, 0), (2, 0), (1, 1), (1 << 32, 0), (1, 1 << 32)]
    drawn = [run(other), *(run(node, seed, step) for seed, step in places)]
    assert len({bits.tobytes() for bits in drawn}) == len(drawn)
    np.testing.assert_array_equal(run(node), run(node))


def chisquare(counts: np.ndarray) -> float:
    """The p-value of counts that should all be the same."""
    from scipy import stats  # takes a second, which collecting tests need not

    return float(stats.chisquare(counts).pvalue)


def kolmogorov_smirnov(values: np.ndarray) -> float:
    """The p-value of values that should have the standard normal distribution."""
    from scipy import stats

    return float(stats.kstest(values, "norm").pvalue)


def test_other_distributions_are_noticed() -> None:
    rng = np.random.default_rng(1)
    assert chisquare(np.histogram(rng.random(COUNT), 64, (0, 1))[0]) > ALPHA
    assert chisquare(np.histogram(rng.random(COUNT) ** 1.1, 64, (0, 1))[0]) < ALPHA
    assert kolmogorov_smirnov(rng.standard_normal(COUNT)) > ALPHA
    assert kolmogorov_smirnov(1.05 * rng.standard_normal(COUNT)) < ALPHA


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_uniform_numbers_are_uniform(dtype: str) -> None:
    values = run(uniform((COUNT,), dtype=dtype, stream=1)).astype(np.float64)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, 64, (0, 1))[0]
    assert chisquare(counts) > ALPHA
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4 / COUNT**0.5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normal_numbers_are_normal(dtype: str) -> None:
    values = run(normal((COUNT,), 2.0, 3.0, dtype=dtype, stream=2)).astype(np.float64)
    assert kolmogorov_smirnov((values - 2) / 3) > ALPHA
    assert abs(values.mean() - 2) < 4 * 3 / COUNT**0.5
    assert abs(values.std() - 3) < 4 * 3 / (2 * COUNT) ** 0.5
    assert np.isfinite(values).all()


def test_the_extreme_words_give_finite_numbers() -> None:
    bits = apply("random_bits", shape=(2, 4), stream=9)
    result = normal((4,), stream=9)
    words = np.array([[0, 0, 0xFFFFFFFF, 0xFFFFFFFF], [0, 0xFFFFFFFF, 0, 0xFFFFFFFF]], np.uint32)
    (values,) = evaluate([result], {bits: words})
    assert np.isfinite(values).all()
    assert 6.7 < np.abs(values).max() < 6.8
    half = apply("random_bits", shape=(1, 4), stream=9)
    (largest,) = evaluate([uniform((4,), stream=9)], {half: words[:1]})
    assert largest.min() == 0
    assert largest.max() == np.float32(1 - 2**-24)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999, 1.0])
def test_bernoulli_meets_its_probability(p: float) -> None:
    drawn = run(bernoulli(p, (COUNT,), stream=3))
    assert drawn.dtype == bool
    assert abs(drawn.mean() - p) <= 4 * (p * (1 - p) / COUNT) ** 0.5


def test_randint_is_uniform_over_its_range() -> None:
    drawn = run(randint(-3, 8, (COUNT,), dtype="int32", stream=4))
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-3, 8))
    assert chisquare(counts) > ALPHA


def test_every_call_has_a_stream_of_its_own() -> None:
    a, b = uniform((8,)), uniform((8,))
    assert a is not b
    assert not np.array_equal(*evaluate([a, b]))
    assert uniform((8,), stream=5) is uniform((8,), stream=5)


def draws() -> list[Tensor]:
    x = input("x", (4,))
    kept = bernoulli(0.5, (4,))
    return [normal((4,)) * x, uniform((4,)) + kept, grad(sum(where(kept, x * uniform((4,)), x)), x)]


def closed(outputs: list[Tensor]) -> Graph:
    return build_graph([input("x", (4,))], outputs)[0]


def test_streams_are_numbered_in_topological_order_when_a_graph_is_closed() -> None:
    graph = closed(draws())
    assert [node.attrs["stream"] for node in graph.nodes if node.op == "random_bits"] == [
        FIRST_STREAM + number for number in range(4)
    ]
    assert closed(draws()) == graph, "the same model, built twice, is the same graph"
    assert closed(draws()[::-1]) != graph
    built = draws()
    assert closed(built) == closed(built) == graph, "closing changes nothing of what was built"
    assert all(isinstance(node.attrs["stream"], Fresh) for node in topological(built) if node.op == "random_bits")


@pytest.mark.parametrize("backend", ["numpy", *COMPILED])
def test_every_engine_and_evaluate_give_a_draw_the_same_number(backend: str) -> None:
    built, array = draws(), np.arange(4, dtype=np.float32)
    program = compile([input("x", (4,))], built, backend=backend, seed=7)
    program.step = 3
    expected = evaluate(built, {input("x", (4,)): array}, seed=7, step=3)
    for value, wanted in zip(program(array), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_updates_come_after_outputs_and_move_no_stream_of_them() -> None:
    w = parameter("w", np.zeros(4, np.float32))
    y, noise = uniform((4,)), uniform((4,))
    (alone,) = evaluate([y], seed=5)
    program = compile([], [y], {w: w + noise}, seed=5)
    np.testing.assert_array_equal(program()[0], alone)
    assert not np.array_equal(w.value, alone)


def test_a_stream_that_is_named_is_drawn_from_once() -> None:
    one, other = uniform((4,), stream=5), normal((4,), stream=5)
    for ask in (lambda: evaluate([one, other]), lambda: compile([], [one, other])):
        with pytest.raises(GraphError, match=r"stream 5 is drawn from at .*test_random.py:\d+ already"):
            ask()
    assert np.array_equal(*evaluate([one, uniform((4,), stream=5)])), "the same draw, written twice"
    evaluate([uniform((4,), stream=6), other])


def test_steps_have_48_bits() -> None:
    program = compile([], uniform((2,)))
    program.step = (1 << 48) - 1
    program()
    with pytest.raises(ValueError, match="a step is a whole number"):
        program.step = 1 << 48
    with pytest.raises(ValueError, match="a step is a whole number from 0 to 281474976710655"):
        evaluate(uniform((2,)), step=1 << 48)


@pytest.mark.parametrize("backend", COMPILED)
def test_every_engine_draws_the_bits_of_the_counters(backend: str) -> None:
    """Of seeds and steps of more than 32 bits, too."""
    node = apply("random_bits", shape=(70,), stream=3)
    program = compile([], node, backend=backend)
    for seed, step in ((1, 0), (1 << 40 | 5, 7), (5, 1 << 40 | 7), (0x123456789ABCDEF0, 0xBA9876543210)):
        program.seed = seed
        program.step = step
        np.testing.assert_array_equal(program(), random_bits_reference((70,), 3, seed, step))
