"""The rules of simplification one by one: the form they give, and its value, to the bit where that is promised."""

import ml_dtypes
import numpy as np
import pytest

from graphc.dsl.variables import input as graph_input
from graphc.ir.types import DTYPES
from graphc.ops.build import apply, broadcast_to, cast, constant, full
from graphc.ops.primitives.views import join, narrow, pad_view, permute, reshape_to, slice_view
from graphc.ops.record import FLOAT, call
from graphc.passes import simplify, transpose_products
from graphc.passes.algebra import is_lossless

from .support import (
    arrays_for,
    assert_bits,
    assert_same_values,
    count,
    graph_of,
    ops_of,
    special_numbers,
    values_of,
)

SPECIAL = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-42, -3e38], np.float32)


def tensor(name="x", shape=(9,), dtype="float32"):
    return graph_input(name, shape, dtype)


def number(value, shape=(9,), dtype="float32"):
    return full(shape, value, DTYPES[dtype])


x, y = tensor("x"), tensor("y")
condition = tensor("m", dtype="bool")
matrix, cube = tensor("a", (3, 4)), tensor("c", (2, 3, 4))
integers = tensor("i", (5,), "int32")

# (what is written, what it becomes): values agree to the bit, special values included
EXACT = [
    (x - number(0.0), x),
    (x + number(-0.0), x),
    (number(-0.0) + x, x),
    (x * number(1), x),
    (number(1) * x, x),
    (x / number(1), x),
    (apply("negative", -x), x),
    (x + -y, x - y),
    (-x + y, y - x),
    (x - -y, x + y),
    (x * number(-1), -x),
    (x / number(-1), -x),
    (-x * -y, x * y),
    (-x * number(3), x * number(-3)),
    (-(x * number(3)), x * number(-3)),
    (x / number(8), x * number(0.125)),
    ((x * number(2)) * number(4), x * number(8)),
    (apply("abs", -x), apply("abs", x)),
    (apply("abs", apply("abs", x)), apply("abs", x)),
    (apply("relu", apply("relu", x)), apply("relu", x)),
    (apply("maximum", x, x), x),
    (apply("maximum", x, number(0)), apply("relu", x)),
    (apply("where", number(True, dtype="bool"), x, y), x),
    (apply("where", number(False, dtype="bool"), x, y), y),
    (apply("where", condition, x, x), x),
    (apply("where", apply("logical_not", condition), x, y), apply("where", condition, y, x)),
    (apply("logical_not", apply("logical_not", condition)), condition),
    (cast(cast(x, DTYPES["float64"]), DTYPES["float32"]), x),
    (cast(cast(condition, DTYPES["int32"]), DTYPES["float32"]), cast(condition, DTYPES["float32"])),
    (integers + number(0, (5,), "int32"), integers),
    (integers * number(0, (5,), "int32"), number(0, (5,), "int32")),
    (apply("power", x, number(1)), x),
    (apply("power", x, number(0)), number(1)),
    # views
    (broadcast_to(broadcast_to(x, (1, 9)), (4, 9)), broadcast_to(x, (4, 9))),
    (broadcast_to(reshape_to(x, (1, 9)), (4, 9)), broadcast_to(x, (4, 9))),
    (reshape_to(reshape_to(cube, (6, 4)), (24,)), reshape_to(cube, (24,))),
    (reshape_to(reshape_to(cube, (6, 4)), (2, 3, 4)), cube),
    (permute(permute(cube, (1, 2, 0)), (2, 0, 1)), cube),
    (permute(permute(cube, (1, 2, 0)), (1, 0, 2)), permute(cube, (2, 1, 0))),
    (permute(reshape_to(x, (1, 9)), (1, 0)), reshape_to(x, (9, 1))),
    (narrow(narrow(x, 0, 2, 6), 0, 1, 3), narrow(x, 0, 3, 3)),
    (slice_view(slice_view(x, (8,), (9,), (-1,)), (8,), (9,), (-1,)), x),
    (narrow(pad_view(x, (2,), (3,)), 0, 4, 3), narrow(x, 0, 2, 3)),
    (narrow(join([x, y], 0), 0, 10, 4), narrow(y, 0, 1, 4)),
    (pad_view(pad_view(x, (1,), (0,)), (1,), (2,)), pad_view(x, (2,), (2,))),
    (join([join([x, y], 0), x], 0), join([x, y, x], 0)),
    (permute(number(2.0, (3, 4)), (1, 0)), number(2.0, (4, 3))),
    # reductions
    (apply("max", reshape_to(x, (1, 9)), axes=(0,)), x),
    (apply("max", broadcast_to(x, (4, 9)), axes=(0,)), x),
    (apply("max", permute(cube, (2, 1, 0)), axes=(0,)), permute(apply("max", cube, axes=(2,)), (1, 0))),
    (apply("max", apply("max", cube, axes=(0,)), axes=(1,)), apply("max", cube, axes=(0, 2))),
    (apply("min", reshape_to(cube, (24,)), axes=(0,)), apply("min", cube, axes=(0, 1, 2))),
    # the same in every copy
    (
        apply("exp", broadcast_to(x, (4, 9))) + number(1, (4, 9)),
        broadcast_to(apply("exp", x) + number(1), (4, 9)),
    ),
]
# Values agree but for rounding.
ROUNDED = [
    (apply("sum", reshape_to(x, (1, 9)), axes=(0,)), x + number(0.0)),  # the sum of one -0.0 is 0.0
    (apply("power", x, number(2)), x * x),
    (apply("power", x, number(3)), x * x * x),
    (apply("power", x, number(-1)), number(1) / x),
    (apply("sum", broadcast_to(x, (4, 9)), axes=(0,)), (x + number(0.0)) * number(4)),
    (apply("sum", broadcast_to(x, (4, 9)), axes=(0, 1)), apply("sum", x, axes=(0,)) * number(4, ())),
    (apply("sum", number(0.5, (4, 9)), axes=(0, 1)), number(18, ())),
    (apply("sum", -matrix, axes=(0,)), -apply("sum", matrix, axes=(0,))),
    (apply("sum", apply("sum", cube, axes=(0,)), axes=(0,)), apply("sum", cube, axes=(0, 1))),
]
# Nothing to gain, or not the same for all values.
KEPT = [
    x + number(0.0),  # -0.0 + 0.0 is 0.0
    x * number(0.0),  # NaN, infinities
    x - number(-0.0),
    x - x,
    x / x,
    x / number(3),
    x / number(0),
    x * number(1e-30) * number(1e-30),  # the product of the constants would be 0
    x * number(0.1) * number(0.3),  # rounded twice
    x * number(2) * number(0.5),  # may overflow
    x * number(0.5) * number(2),  # may lose a digit
    x * number(3) * number(2),
    apply("maximum", x, number(-0.0)),
    apply("where", condition, x, y),
    apply("relu", apply("negative", x)),
    x + y,
    x * y,
    x - y,
    apply("maximum", x, y),
    apply("minimum", x, y),
    integers + number(1, (5,), "int32"),
    integers * number(2, (5,), "int32"),
    cast(cast(x, DTYPES["float16"]), DTYPES["float32"]),
    cast(cast(tensor("big", dtype="int64"), DTYPES["float64"]), DTYPES["int64"]),
    narrow(pad_view(x, (2,), (3,)), 0, 1, 3),
    narrow(join([x, y], 0), 0, 7, 4),
    apply("max", cast(permute(cube, (2, 1, 0)), DTYPES["float64"]), axes=(0,)),
]


def special_values(graph):
    """SPECIAL and its permutations for float vectors, random values for the rest."""
    generator = np.random.default_rng(1)
    values = {}
    for node in graph.inputs:
        if node.type.shape == (9,) and node.dtype.name == "float32":
            values[node] = SPECIAL if node is x else generator.permutation(SPECIAL)
        elif node.dtype.name == "bool":
            values[node] = generator.random(node.shape) < 0.5
        else:
            values[node] = (generator.normal(size=node.shape) * 100).astype(node.dtype.numpy)
    return values


@pytest.mark.parametrize(("written", "expected"), EXACT, ids=range(len(EXACT)))
def test_exact_rules(written, expected):
    before, after = graph_of(written), simplify(graph_of(written))
    assert after.outputs[0] is simplify(graph_of(expected)).outputs[0]
    assert len(after.nodes) <= len(graph_of(expected).nodes)
    assert_same_bits_but_nan(before, after, special_values(before))


def assert_same_bits_but_nan(before, after, values):
    """NaNs may differ in sign and payload, which IEEE 754 leaves open."""
    canonical = [
        graph_of(apply("where", apply("isnan", r), full(r.shape, np.nan, r.dtype), r) if r.dtype.is_float else r)
        for r in (before.outputs[0], after.outputs[0])
    ]
    assert_same_values(*canonical, values, exact=True)


@pytest.mark.parametrize(("written", "expected"), ROUNDED, ids=range(len(ROUNDED)))
def test_rounded_rules(written, expected):
    before, after = graph_of(written), simplify(graph_of(written))
    assert after.outputs[0] is simplify(graph_of(expected)).outputs[0]
    assert_same_values(before, after, arrays_for(before), tolerance=1e-6)


FACTORS = (1.0, -1.0, 2.0, -4.0, 0.5, 3.0, -0.3, 2.0**14, 2.0**-14, 2.0**-15, 2.0**100, 2.0**126, 2.0**127, 2.0**-126)
FACTORS = (*FACTORS, 2.0**-127, 2.0**1000, 2.0**-1022, 2.0**1023, 0.0, -0.0, np.inf, np.nan, 65504.0, 1.5, 1e-5)
FORMS = {
    "x / c": lambda x, c, d: x / c,
    "c * x": lambda x, c, d: c * x,
    "x + c": lambda x, c, d: x + c,
    "c - x": lambda x, c, d: c - x,
    "x - c": lambda x, c, d: x - c,
    "(x * c) * d": lambda x, c, d: (x * c) * d,
    "(x / c) * d": lambda x, c, d: (x / c) * d,
    "-(x * c)": lambda x, c, d: -(x * c),
    "-x * c": lambda x, c, d: -x * c,
    "1.5 + maximum(x, c)": lambda x, c, d: 1.5 + apply("maximum", x, c),
    "-(-x - c)": lambda x, c, d: -(-x - c),
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOAT)
@pytest.mark.parametrize("form", FORMS)
def test_arithmetic_with_constants_keeps_every_bit(form, dtype):
    """Whatever the constants are; all special numbers of the dtype and random ones."""
    special = special_numbers(DTYPES[dtype])
    rng = np.random.default_rng(0)
    random = rng.normal(size=40) * 2.0 ** rng.integers(-12, 12, 40)
    numbers = np.concatenate([special, random.astype(special.dtype)])
    x = tensor("x", numbers.shape, dtype)
    pairs = [(c, d) for c in FACTORS for d in (FACTORS if "d" in form else (1.0,))]
    with np.errstate(over="ignore"):
        written = [FORMS[form](x, *(full(x.shape, value, x.dtype) for value in pair)) for pair in pairs]
    before, values = graph_of(*written), {x: numbers}
    for pair, a, b in zip(pairs, values_of(before, values), values_of(simplify(before), values), strict=True):
        try:
            assert_bits(a, b)
        except AssertionError as error:
            raise AssertionError(f"{form} with c, d = {pair}: {error}") from None


def all_values(dtype):
    """Every value of a short dtype; of a long one those near powers of two, and its limits."""
    if dtype.itemsize <= 2 and dtype.kind != "bool":
        return np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype.numpy)
    if dtype.is_float:
        powers = [2.0**k * (1 + 2.0**-b) for k in range(-140, 127) for b in (0, 5, 9, 20, 23, 40)]
        return np.array([*powers, np.inf, -np.inf, np.nan], dtype.numpy)
    info = np.iinfo(dtype.numpy if dtype.is_integer else "uint8")
    near = [2**k + d for k in range(8 * dtype.itemsize + 1) for d in (-1, 0, 1)]
    numbers = [v for v in (*near, *(-v for v in near), info.max, info.min) if info.min <= v <= info.max]
    return np.array(numbers, info.dtype).astype(dtype.numpy)


@pytest.mark.parametrize("target", DTYPES.values(), ids=str)
@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_a_cast_is_lossless_where_every_value_comes_back(source, target):
    values = all_values(source)
    with np.errstate(all="ignore"):
        there = values.astype(target.numpy)
        back = there.astype(source.numpy)
        kept = (back == values) | ((back != back) & (values != values))
        # an unsigned number that wraps around comes back, too, but is another number
        same = kept.all() and (there.astype(np.float64) < 0).any() == (values.astype(np.float64) < 0).any()
    assert is_lossless(source, target) == bool(same)


@pytest.mark.parametrize("kept", KEPT, ids=range(len(KEPT)))
def test_what_must_stay(kept):
    assert simplify(graph_of(kept)).outputs[0] is kept


def test_a_transposed_product_is_computed_transposed():
    a, b = tensor("a", (3, 4)), tensor("b", (4, 5))
    before = graph_of(permute(apply("matmul", a, b), (1, 0)))
    after = transpose_products(before)
    assert ops_of(after) == ["transpose", "transpose", "matmul"]
    assert_same_values(before, after, arrays_for(before), tolerance=1e-6)


def test_a_transposed_operand_is_transposed_back():
    a, b = tensor("a", (4, 3)), tensor("b", (4, 5))
    before = graph_of(permute(apply("matmul", permute(a, (1, 0)), b), (1, 0)))
    after = transpose_products(before)
    assert after.outputs[0] is apply("matmul", permute(b, (1, 0)), a)


def test_a_product_with_two_readers_is_left_alone():
    product = apply("matmul", tensor("a", (3, 3)), tensor("b", (3, 3)))
    before = graph_of(permute(product, (1, 0)) + product)
    assert transpose_products(before).outputs[0] is before.outputs[0]


def test_lines_are_kept():
    written = apply("negative", -(x * number(7.5) * number(1)))  # the line that results must name
    (result,) = simplify(graph_of(written)).outputs
    assert "the line that results must name" in str(result.location)


def test_constants_fold_and_broadcast_constants_stay_small():
    a = constant(np.arange(6, dtype=np.float32).reshape(2, 3))
    result = simplify(graph_of(call("sum", a * 2 + 1) + x)).outputs[0]
    (value,) = [n for n in graph_of(result).nodes if n.op == "constant"]
    assert value.shape == ()
    assert value.attrs["value"].array == 36
    huge = full((1 << 20, 1 << 20), 2.0, DTYPES["float32"])
    folded = simplify(graph_of(huge * huge + huge))
    assert ops_of(folded) == ["broadcast_to"]
    assert max(n.size for n in folded.nodes if n.op == "constant") == 1


def test_a_constant_of_equal_elements_becomes_a_scalar():
    folded = simplify(graph_of(x + constant(np.full(9, -0.0, np.float32))))
    assert folded.outputs[0] is x
    ones = simplify(graph_of(constant(np.ones((50, 50), np.float32))))
    assert count(ones, "broadcast_to") == 1


@pytest.mark.parametrize("exponent", [3, 4, -2, 0.5, -0.5, 1.5])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_power_of_a_short_float_is_rounded_once(dtype, exponent):
    x = graph_input("x", (400,), dtype)
    graph = simplify(graph_of(apply("power", x, full(x.shape, exponent, x.dtype))))
    assert count(graph, "power") == 0
    base = np.linspace(0.5, 2, 400).astype(x.dtype.numpy)
    exact = base.astype("float64") ** exponent
    (got,) = values_of(graph, {x: base})
    spacing = float(ml_dtypes.finfo(x.dtype.numpy).eps) * 2.0 ** np.floor(np.log2(exact))
    assert (np.abs(got.astype("float64") - exact) <= 0.501 * spacing).all()
