"""What the tests of passes share: small builders, random graphs, and comparison of values before and after a pass."""

import random

import ml_dtypes
import numpy as np

from graphc.dsl.variables import input as graph_input
from graphc.ir.graph import Graph
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, broadcast_to, constant, full
from graphc.ops.reference import evaluate
from graphc.ops.views import join, narrow, pad_view, permute, reshape_to, slice_view

UNARY = ("negative", "abs", "exp", "sigmoid", "softplus", "relu", "tanh", "log1p", "square_root", "sign", "sin")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide", "where")


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


def random_graph(seed, size=40, dtype="float32"):
    """A graph of elementwise ops, views and reductions over small shapes, with repeated and constant parts."""
    chance = random.Random(seed)
    nodes = [graph_input("x", (2, 3), dtype), graph_input("y", (3,), dtype), graph_input("z", (2, 3), dtype)]
    nodes += [full((2, 3), chance.choice([0, 1, -1, 2, 0.5, 3]), nodes[0].dtype) for _ in range(2)]
    nodes.append(constant(np.arange(6).reshape(2, 3) / 4, dtype))
    for _ in range(size):
        nodes.append(_grow(chance, nodes))
    return graph_of(*nodes[-4:])


def _grow(chance, nodes):
    x = chance.choice(nodes)
    kind = chance.random()
    if kind < 0.35:
        return _binary(chance, x, [node for node in nodes if node.shape == x.shape])
    if kind < 0.55:
        return _unary(chance, x)
    return _view(chance, x) if kind < 0.85 else _reduction(chance, x)


def _unary(chance, x):
    op = chance.choice(UNARY)
    if op == "square_root":
        return apply("sqrt", apply("abs", x))
    bounded = apply("sin", x)  # keeps values in range however deep the graph
    return apply(op, apply("abs", bounded) if op == "log1p" else bounded)


def _binary(chance, x, partners):
    y, op = chance.choice(partners), chance.choice(BINARY)
    if op == "divide":
        return apply("divide", x, apply("add", apply("exp", apply("sin", y)), full(y.shape, 1, y.dtype)))
    if op == "where":
        return apply("where", apply("less", x, y), y, x)
    return apply("sin", apply(op, x, y)) if op == "multiply" else apply(op, x, y)


def _view(chance, x):
    kind = chance.randrange(6)
    if kind == 0:
        return reshape_to(x, chance.choice([(x.size,), (1, x.size), (x.size, 1)]))
    if kind == 1:
        axes = list(range(x.ndim))
        chance.shuffle(axes)
        return permute(x, axes)
    if kind == 2 and x.ndim < 4 and x.size < 200:
        return broadcast_to(x, (chance.choice([1, 2]), *x.shape))
    if kind == 3 and x.ndim and x.size < 200:
        return pad_view(x, [chance.randrange(2) for _ in x.shape], [chance.randrange(2) for _ in x.shape])
    if kind == 4 and x.ndim and x.size < 200:
        return join([x, x], chance.randrange(x.ndim))
    return _slice(chance, x)


def _slice(chance, x):
    if not x.ndim or not x.size:
        return x
    axis = chance.randrange(x.ndim)
    if chance.random() < 0.5:
        starts = [size - 1 if a == axis else 0 for a, size in enumerate(x.shape)]
        return slice_view(x, starts, x.shape, [-1 if a == axis else 1 for a in range(x.ndim)])
    start = chance.randrange(x.shape[axis])
    return narrow(x, axis, start, chance.randrange(1, x.shape[axis] - start + 1))


def _reduction(chance, x):
    axes = tuple(axis for axis in range(x.ndim) if chance.random() < 0.4)
    return apply("sin", apply(chance.choice(["sum", "max", "min"]), x, axes=axes)) if x.size else x
