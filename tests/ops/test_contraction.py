"""Contractions against NumPy on random subscripts and shapes, and the graphs they build."""

from __future__ import annotations

import itertools
import math
import string
from collections import Counter
from typing import Any

import numpy as np
import pytest

from graphc.errors import ShapeError
from graphc.ir.graph import topological
from graphc.ops.functions.contraction import matmul, tensordot
from graphc.ops.functions.convolution import conv2d, conv_transpose2d
from graphc.ops.functions.einsum import einsum
from graphc.ops.functions.pooling import max_pool2d
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from tests.ops.helpers import input_tensor

Array = np.ndarray[Any, Any]


def inputs(rng: np.random.Generator, *shapes: tuple[int, ...]) -> dict[Tensor, Array]:
    arrays = [rng.normal(size=shape) for shape in shapes]
    return {input_tensor(f"x{position}", array): array for position, array in enumerate(arrays)}


def count(result: Tensor, op: str) -> int:
    return Counter(node.op for node in topological([result]))[op]


# einsum ------------------------------------------------------------------------------------------------------------
def random_subscripts(rng: np.random.Generator) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts of one to four operands, with repeats, ellipses, ones that broadcast, and their shapes."""
    letters = "".join(rng.permutation(list(string.ascii_letters))[: rng.integers(1, 6)])
    extents = {letter: int(rng.integers(0 if rng.random() < 0.1 else 1, 4)) for letter in letters}
    batch = tuple(int(extent) for extent in rng.integers(1, 4, rng.integers(1, 3)))
    terms, shapes = [], []
    dotted = False
    for _ in range(rng.integers(1, 5)):
        term = "".join(rng.choice(list(letters), rng.integers(0, 4)))
        shape = tuple(1 if rng.random() < 0.1 and term.count(letter) == 1 else extents[letter] for letter in term)
        if rng.random() < 0.3:
            dotted, place = True, int(rng.integers(0, len(term) + 1))
            own = tuple(size if rng.random() < 0.8 else 1 for size in batch[rng.integers(0, len(batch) + 1) :])
            term, shape = term[:place] + "..." + term[place:], shape[:place] + own + shape[place:]
        terms.append(term)
        shapes.append(shape)
    text = ",".join(terms)
    if rng.random() < 0.3:
        return text, shapes
    used = sorted(set(text) - set(".,"))
    output = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)]) if used else ""
    place = int(rng.integers(0, len(output) + 1))
    return text + "->" + (output[:place] + "..." + output[place:] if dotted else output), shapes


def test_einsum_agrees_with_numpy() -> None:
    rng, kinds = np.random.default_rng(5), Counter[str]()
    for _ in range(300):
        subscripts, shapes = random_subscripts(rng)
        values = inputs(rng, *shapes)
        expected = np.asarray(np.einsum(subscripts, *values.values()))
        (got,) = evaluate([einsum(subscripts, *values)], values)
        np.testing.assert_allclose(got, expected, 1e-10, 1e-10, err_msg=f"{subscripts} {shapes}", strict=True)
        terms = subscripts.split("->")[0].split(",")
        kinds["diagonal"] += any(max(Counter(term.replace(".", "")).values(), default=0) > 1 for term in terms)
        kinds["ellipsis"] += "..." in subscripts
        kinds["many"] += len(terms) > 2
        kinds["implicit"] += "->" not in subscripts
    assert min(kinds[kind] for kind in ("diagonal", "ellipsis", "many", "implicit")) > 50


def test_einsum_contracts_a_chain_in_the_cheap_order() -> None:
    rng = np.random.default_rng(0)
    values = inputs(rng, (50, 2), (2, 50), (50, 2))
    result = einsum("ij,jk,kl->il", *values)
    sizes = [node.size for node in topological([result]) if node.op == "matmul"]
    assert sizes == [4, 100]  # the outer product of 2,500 elements never exists


def test_einsum_takes_many_operands() -> None:
    rng = np.random.default_rng(1)
    letters = string.ascii_letters[:41]
    subscripts = ",".join(a + b for a, b in itertools.pairwise(letters)) + f"->{letters[0]}{letters[-1]}"
    values = inputs(rng, *[(2, 2)] * 40)
    (got,) = evaluate([einsum(subscripts, *values)], values)
    np.testing.assert_allclose(got, np.linalg.multi_dot(list(values.values())), 1e-9)


def test_products_without_a_sum_stay_elementwise() -> None:
    values = inputs(np.random.default_rng(0), (3, 4), (3, 4))
    assert count(einsum("ij,ij->ij", *values), "matmul") == 0
    assert count(einsum("ij,ij->", *values), "matmul") == 0
    assert count(einsum("ij,kj->ik", *values), "matmul") == 1


# matmul and tensordot ----------------------------------------------------------------------------------------------
def test_matmul_broadcasts_as_numpy_does() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        m, k, n = (int(size) for size in rng.integers(0 if rng.random() < 0.2 else 1, 4, 3))
        batch = tuple(int(size) for size in rng.integers(1, 4, rng.integers(0, 3)))
        first, second = rng.integers(0, len(batch) + 1, 2)
        left = tuple(size if rng.random() < 0.7 else 1 for size in batch[first:])
        right = tuple(size if rng.random() < 0.7 else 1 for size in batch[second:])
        shapes = ((*left, m, k), (*right, k, n))
        values = inputs(rng, (k,) if rng.random() < 0.2 else shapes[0], (k,) if rng.random() < 0.2 else shapes[1])
        (got,) = evaluate([matmul(*values)], values)
        np.testing.assert_allclose(got, np.asarray(np.matmul(*values.values())), 1e-10, 1e-12, str(shapes), strict=True)


def test_tensordot_agrees_with_numpy() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        shared = [int(size) for size in rng.integers(1, 4, rng.integers(0, 3))]
        own = [[int(size) for size in rng.integers(0, 4, rng.integers(0, 3))] for _ in range(2)]
        orders = [rng.permutation(len(shared) + len(rest)) for rest in own]
        shapes = [tuple((shared + rest)[i] for i in order) for rest, order in zip(own, orders, strict=True)]
        axes = tuple([int(np.flatnonzero(order == i)[0]) for i in range(len(shared))] for order in orders)
        values = inputs(rng, *shapes)
        (got,) = evaluate([tensordot(*values, axes)], values)
        np.testing.assert_allclose(got, np.tensordot(*values.values(), axes), 1e-10, 1e-12, str(shapes), strict=True)


def test_a_stack_times_a_matrix_is_one_product_and_so_are_its_gradients() -> None:
    values = inputs(np.random.default_rng(0), (4, 5, 3), (3, 2))
    x, w = values
    y = matmul(x, w)
    gradients = vjp([y], [x, w], [np.ones(y.shape)])
    assert count(y, "matmul") == 1
    for gradient in gradients:
        assert count(gradient, "matmul") == 1
        assert count(gradient, "sum") == 0


# Convolutions ------------------------------------------------------------------------------------------------------
def test_random_convolutions_and_their_transposes_are_adjoint() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        groups = int(rng.integers(1, 4))
        kernel = tuple(int(size) for size in rng.integers(1, 4, 2))
        options: dict[str, Any] = {
            "stride": tuple(int(step) for step in rng.integers(1, 4, 2)),
            "padding": tuple(int(width) for width in rng.integers(0, 3, 2)),
            "dilation": tuple(int(spread) for spread in rng.integers(1, 3, 2)),
        }
        reach = [d * (k - 1) + 1 for d, k in zip(options["dilation"], kernel, strict=True)]
        size = tuple(int(r + extra) for r, extra in zip(reach, rng.integers(0, 6, 2), strict=True))
        weight = (2 * groups, int(rng.integers(1, 3)), *kernel)
        values = inputs(rng, (2, weight[1] * groups, *size), weight)
        x, w = values
        y = conv2d(x, w, groups=groups, **options)
        cotangent = rng.normal(size=y.shape)
        spare = [
            (n + 2 * p - r) % s for n, p, r, s in zip(size, options["padding"], reach, options["stride"], strict=True)
        ]
        back = conv_transpose2d(cotangent, w, groups=groups, output_padding=tuple(spare), **options)
        (gradient,) = vjp([y], [x], [cotangent])
        a, b = evaluate([back, gradient], values)
        np.testing.assert_allclose(a, b, 1e-10, 1e-12, str((size, weight, options)), strict=True)


def test_an_error_of_a_convolution_names_the_channels_and_the_line() -> None:
    values = inputs(np.random.default_rng(0), (1, 3, 5, 5), (4, 2, 3, 3))
    with pytest.raises(ShapeError, match=r"x has 3 channels.*takes 2") as raised:
        conv2d(*values)
    assert __file__ in str(raised.value)


# Pooling -----------------------------------------------------------------------------------------------------------
def test_max_pooling_of_ties_and_nans() -> None:
    x = input_tensor("x", np.zeros((1, 1, 2, 4)))
    plane = np.array([[[[1.0, 1.0, np.nan, 2.0], [1.0, 0.0, np.nan, -np.inf]]]])
    y = max_pool2d(x, 2)
    (gradient,) = vjp([y], [x], [np.array([[[[3.0, 5.0]]]])])
    result, slope = evaluate([y, gradient], {x: plane})
    np.testing.assert_array_equal(result, [[[[1.0, np.nan]]]])
    np.testing.assert_array_equal(slope, [[[[3.0, 0, 5.0, 0], [0, 0, 0, 0]]]])


def test_padding_is_never_the_maximum() -> None:
    x = input_tensor("x", np.zeros((1, 1, 2, 2)))
    y = max_pool2d(x, 3, 1, padding=1)
    (gradient,) = vjp([y], [x], [np.ones(y.shape)])
    result, slope = evaluate([y, gradient], {x: np.full((1, 1, 2, 2), -np.inf)})
    assert np.isneginf(result).all()
    assert slope.sum() == math.prod(y.shape)
