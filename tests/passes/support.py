"""What the tests of passes share: small builders, random graphs, and comparison of values before and after a pass."""

import ml_dtypes
import numpy as np

from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ops.reference import evaluate


def graph_of(*results):
    """A graph of these results; its inputs are those under them."""
    graph = Graph((), tuple(results))
    return Graph(tuple(node for node in graph.nodes if node.op == "input"), tuple(results))


def arrays_for(graph, seed=0, low=0.3, high=1.7):
    """Random values for the inputs."""
    generator = np.random.default_rng(seed)
    return {x: generator.uniform(low, high, x.shape).astype(x.dtype.numpy) for x in graph.inputs}


def special_numbers(dtype, limits=True):
    """Numbers of a dtype that algebra stumbles on: zeros, infinities, NaN, some plain ones, and `limits`."""
    if dtype.kind == "bool":
        return np.array([False, True])
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return np.array([0, 1, 2, 3, 7, info.min, info.min + 1, info.max, info.max // 2 + 1], dtype.numpy)
    info = ml_dtypes.finfo(dtype.numpy)
    plain = [0.0, 1.0, 1.5, 3.0, 0.1, np.inf, 100.0]
    far = [info.smallest_subnormal, 3 * info.smallest_subnormal, info.smallest_normal, info.max, info.max / 2]
    numbers = np.array([*plain, *map(float, far if limits else ())], dtype.numpy)
    return np.concatenate([numbers, -numbers, np.array([np.nan], dtype.numpy)])


def special_arrays(graph, seed=0, limits=True):
    """Special numbers for the inputs, in another order for each."""
    rng = np.random.default_rng(seed)
    return {x: np.resize(rng.permutation(special_numbers(x.dtype, limits)), x.shape) for x in graph.inputs}


def assert_bits(a, b, *, zeros=True):
    """The same bits, but for what a NaN holds; and for the signs of zeros unless `zeros`."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if DTYPES[a.dtype.name].is_float:
        a, b = (np.where(np.isnan(x), np.array(np.nan, x.dtype), x) for x in (a, b))
        a, b = (a, b) if zeros else (np.where(x == 0, np.array(0, x.dtype), x) for x in (a, b))
    different = np.asarray(a).view(f"u{a.dtype.itemsize}") != np.asarray(b).view(f"u{b.dtype.itemsize}")
    assert not different.any(), f"{a[different]} became {b[different]}"


def values_of(graph, values):
    return evaluate(graph.results, values, seed=7)


def assert_same_values(before, after, values, *, exact=False, tolerance=1e-5):
    """Equal results: bit for bit, or within `tolerance` of the larger of 1 and the magnitude."""
    for a, b, node in zip(values_of(before, values), values_of(after, values), before.results, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if exact:
            assert a.tobytes() == b.tobytes(), f"{node!r}: {a} and {b}"
        else:
            np.testing.assert_allclose(b.astype("float64"), a.astype("float64"), rtol=tolerance, atol=tolerance)


def ops_of(graph):
    """The ops of a graph without inputs and constants, in order."""
    return [node.op for node in graph.nodes if node.op not in ("input", "constant")]


def count(graph, op):
    return sum(node.op == op for node in graph.nodes)


def same(a, b):
    """Whether two lists of results are the same nodes."""
    return all(x is y for x, y in zip(a, b, strict=True))
