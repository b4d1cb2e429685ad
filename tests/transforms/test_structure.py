"""Derivatives follow the structure of what they are given: a tensor, a list, a tuple, a named tuple, a dict."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc.errors import GradientError

Pair = namedtuple("Pair", ["a", "b"])
X, Y = np.array([0.5, -1.5, 2.0]), np.array([1.0, 2.0])
x, y = gx.input("x", (3,), "float64"), gx.input("y", (2,), "float64")
LOSS = gx.sum(gx.sin(x)) * gx.sum(y * y * y)

# What is differentiated by, the same of vectors, and how the parts are read.
STRUCTURES: dict[str, tuple[Any, Any]] = {
    "tensor": (x, X),
    "list": ([x, y], [X, Y]),
    "tuple": ((x, y), (X, Y)),
    "named tuple": (Pair(x, y), Pair(X, Y)),
    "dict": ({"one": x, "two": y}, {"two": Y, "one": X}),
}


def shape_of(value: Any) -> Any:
    """`value` with shapes in place of tensors and arrays."""
    if isinstance(value, dict):
        return {key: shape_of(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [shape_of(part) for part in value]
        return parts if isinstance(value, list) else getattr(type(value), "_make", tuple)(parts)
    return value.shape


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_answer_has_the_structure_of_what_was_asked(name: str) -> None:
    wrt, vectors = STRUCTURES[name]
    kind = type(wrt)
    shapes = shape_of(wrt)
    outputs = gx.value_and_grad(LOSS, wrt)[1]  # float tensors in the same structure
    for found in (
        outputs, gx.grad(LOSS, wrt), gx.hvp(LOSS, wrt, vectors), gx.vjp(LOSS, wrt, 1.0), gx.vjp(outputs, wrt, vectors),
        gx.jvp(outputs, wrt, vectors),
    ):  # fmt: skip
        assert type(found) is kind or name == "tensor"
        assert shape_of(found) == shapes
    assert shape_of(gx.jvp(LOSS, wrt, vectors)) == ()
    assert shape_of(gx.jacobian(LOSS, wrt)) == shapes
    blocks = gx.hessian(LOSS, wrt)
    assert type(blocks) is kind or name == "tensor"
    assert shape_of(gx.jacobian(gx.grad(LOSS, wrt), wrt)) == shape_of(blocks)


def test_blocks_of_a_hessian() -> None:
    blocks = gx.hessian(LOSS, {"x": x, "y": y})
    flat = [blocks[a][b] for a in "xy" for b in "xy"]
    values = gx.evaluate(flat, {x: X, y: Y})
    np.testing.assert_allclose(values[0], np.diag(-np.sin(X)) * (Y**3).sum(), rtol=1e-12)
    np.testing.assert_allclose(values[1], np.outer(np.cos(X), 3 * Y**2), rtol=1e-12)
    np.testing.assert_allclose(values[2], values[1].T, rtol=1e-12)
    np.testing.assert_allclose(values[3], np.diag(6 * Y) * np.sin(X).sum(), rtol=1e-12)


def test_a_product_with_the_hessian_of_one_tensor() -> None:
    product = gx.hvp(gx.sum(x * x * x), x, X)
    np.testing.assert_allclose(gx.evaluate([product], {x: X})[0], 6 * X * X)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"one": X}, "vectors are a dict with 'one', 'two'"),
        ({"one": X, "three": Y}, "'three'"),
        ([X], r"2 input\(s\) need as many vectors; 1 came"),
        ([Y, X], "must be float64"),
        (X, r"2 input\(s\) need as many"),
        (None, r"2 input\(s\) need as many"),
        ("ab", "need as many"),
    ],
)
def test_seeds_that_do_not_fit(vectors: Any, message: str) -> None:
    with pytest.raises(GradientError, match=message) as caught:
        gx.hvp(LOSS, {"one": x, "two": y}, vectors)
    assert __file__ in str(caught.value)


def test_a_dict_of_seeds_needs_a_dict() -> None:
    with pytest.raises(GradientError, match="the cotangents are a sequence"):
        gx.vjp([LOSS], [x], {"loss": 1.0})


@pytest.mark.parametrize("seed", [[0.5, -1.5, 2.0], (0.5, -1.5, 2.0), X, [X], [gx.constant(X)]])
def test_a_tensor_on_its_own_takes_one_seed(seed: Any) -> None:
    for found in (gx.vjp(x * x, x, seed), gx.jvp(x * x, x, seed)):
        np.testing.assert_allclose(gx.evaluate(found, {x: X}), 2 * X * X)
