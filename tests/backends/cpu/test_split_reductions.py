"""Large reductions in two levels: the parts are many, the values the same, small ones are left alone."""

import numpy as np
import pytest

from graphc.backends.cpu.split_reductions import split_reductions
from graphc.dsl.variables import input as graph_input
from graphc.ops.build import apply
from tests.passes.support import assert_same_values, graph_of, ops_of

CASES = [
    ((1 << 22,), (0,)),
    ((4096, 1024), (0, 1)),
    ((200_003, 7), (0,)),
    ((262_147,), (0,)),  # a prime
    ((512, 3, 32, 32), (0, 2, 3)),
    ((3, 700, 801), (1, 2)),
    ((2, 300_000), (1,)),
    ((1, 1, 400_000), (0, 1, 2)),
    ((4096, 1024), (0,)),  # by blocks of rows
    ((8, 256, 1024), (0, 1)),
    ((2, 1501, 500), (0, 1)),
]


@pytest.mark.parametrize("op", ["sum", "max", "min"])
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_large_reductions_are_split(op, shape, axes):
    x = graph_input("x", shape)
    before = graph_of(apply(op, x, axes=axes))
    after = split_reductions(before)
    assert after.outputs[0].type == before.outputs[0].type
    parts = [node for node in after.nodes if node.op == op]
    assert max(node.size for node in parts) >= 8 * before.outputs[0].size
    assert all(node.inputs[0].size // node.size < 1 << 17 for node in parts)
    assert split_reductions(after).outputs[0] is after.outputs[0]
    values = {x: np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    assert_same_values(before, after, values, exact=op != "sum", tolerance=2e-4)


def test_integer_sums_keep_every_bit():
    x = graph_input("x", (300_001,), "int32")
    before = graph_of(apply("sum", x, axes=(0,)))
    values = {x: np.random.default_rng(0).integers(-(2**31), 2**31, 300_001).astype(np.int32)}
    assert_same_values(before, split_reductions(before), values, exact=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_sums_are_rounded_once(dtype):
    x = graph_input("x", (1 << 18,), dtype)
    before = graph_of(apply("sum", x, axes=(0,)))
    after = split_reductions(before)
    assert ops_of(after) == ["cast", "reshape", "sum", "sum", "cast"]
    values = {x: np.random.default_rng(0).uniform(0, 0.1, 1 << 18).astype(x.dtype.numpy)}
    assert_same_values(before, after, values, exact=True)


@pytest.mark.parametrize(
    ("shape", "axes"), [((1000, 100), (0, 1)), ((1 << 20, 64), (0,)), ((64, 4096), (1,)), ((0, 3), (0,))]
)
def test_what_is_small_or_parallel_stays(shape, axes):
    graph = graph_of(apply("sum", graph_input("x", shape), axes=axes))
    assert split_reductions(graph).outputs[0] is graph.outputs[0]
