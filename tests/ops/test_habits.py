"""What users of NumPy and PyTorch write out of habit: it works, or an error says the right way, with the line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn
from graphc.errors import ArgumentError, DTypeError, GraphcError, InputError
from graphc.ops.protocols import OTHER_NAMES
from graphc.ops.record import FUNCTIONS, Arg, Function
from graphc.ops.tensor import HABITS
from tests.ops.helpers import Case, build, flatten

x, y = gx.input("x", (2, 3)), gx.input("y", (2, 3))
A = np.ones((2, 3), np.float32)


# NumPy's functions ---------------------------------------------------------------------------------------------------
def twins(function: Function) -> list[Any]:
    """NumPy's functions that are called as this one is, or were."""
    names = [function.name, *(theirs for theirs, own in OTHER_NAMES.items() if own == function.name)]
    return [getattr(np, name) for name in names if hasattr(np, name)]


NAMESAKES = [function for function in FUNCTIONS.values() if twins(function)]
NOT_ALIKE = ("iota", "arange", "linspace", "eye", "zeros", "ones", "full", "sum")  # take no tensor, or by other places


@pytest.mark.parametrize("function", NAMESAKES, ids=lambda function: function.name)
def test_a_function_of_numpy_builds_the_very_same(function: Function) -> None:
    """Derived from the table: `np.f(tensors)` is `gx.f(tensors)`, node for node."""
    compared = 0
    for position in range(len(function.samples)):
        built = build(Case(function, function.dtypes[0], position))
        sample, inputs = built.case.sample, iter(built.inputs)
        args = placed(sample.args, inputs)
        keywords = {name: placed(value, inputs) for name, value in sample.keywords.items()}
        for twin in twins(function):
            try:
                found = flatten(twin(*args, **keywords))
            except (ArgumentError, TypeError):  # NumPy's own function does not take this
                continue
            if any(isinstance(node, gx.Tensor) for node in found):
                assert all(a is b for a, b in zip(found, built.outputs, strict=True))
                compared += 1
    assert compared or function.name in NOT_ALIKE


def placed(value: Any, inputs: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(part, (Arg, list)) for part in value):
        return type(value)(placed(part, inputs) for part in value)
    return next(inputs) if isinstance(value, Arg) else value


@pytest.mark.parametrize(
    ("call", "same"),
    [
        (lambda: np.sin(x), lambda: gx.sin(x)),
        (lambda: np.mean(x), lambda: gx.mean(x)),
        (lambda: np.mean(x, axis=0, keepdims=True), lambda: gx.mean(x, 0, True)),
        (lambda: np.sum(x, 0, np.float64), lambda: gx.sum(x, 0, dtype="float64")),
        (lambda: np.var(x, 1, ddof=1), lambda: gx.var(x, 1, correction=1)),
        (lambda: np.clip(x, 0.0, 1.0), lambda: gx.clip(x, 0.0, 1.0)),
        (lambda: np.clip(x, a_min=0.0, a_max=None), lambda: gx.clip(x, 0.0)),
        (lambda: np.add.reduce(x), lambda: gx.sum(x, 0)),
        (lambda: np.maximum.reduce(x, axis=None), lambda: gx.max(x)),
        (lambda: np.add.accumulate(x, axis=1), lambda: gx.cumsum(x, 1)),
        (lambda: A + x, lambda: gx.add(A, x)),
        (lambda: A @ x.T, lambda: gx.matmul(A, x.T)),
        (lambda: x < A, lambda: gx.less(x, A)),
        (lambda: np.float64(2) * x, lambda: gx.multiply(2.0, x)),
        (lambda: np.where(x > 0, x, 0), lambda: gx.where(x > 0, x, 0)),
        (lambda: np.concatenate([x, A], 1), lambda: gx.concatenate([x, A], 1)),
        (lambda: np.einsum("ij,ij->i", x, y), lambda: gx.einsum("ij,ij->i", x, y)),
        (lambda: np.ravel(x), lambda: gx.reshape(x, -1)),
        (lambda: np.amax(x, 1), lambda: gx.max(x, 1)),
    ],
)
def test_numpy_builds(call: Callable[[], Any], same: Callable[[], Any]) -> None:
    assert call() is same()


def test_numpy_asks_for_facts() -> None:
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


def test_a_node_of_numpys_has_the_users_line() -> None:
    assert gx.input("u", (7,)) is not None
    node = np.std(gx.input("u", (7,)))
    assert node.location.filename == __file__


# PyTorch's names of axes ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "same"),
    [
        (lambda: gx.softmax(x, dim=1), lambda: gx.softmax(x, 1)),
        (lambda: gx.sum(x, dim=1, keepdim=True), lambda: gx.sum(x, 1, True)),
        (lambda: x.sum(dim=0), lambda: x.sum(0)),
        (lambda: x.mean(dim=-1, keepdim=True), lambda: x.mean(-1, True)),
        (lambda: gx.flip(x, dims=(0,)), lambda: gx.flip(x, (0,))),
        (lambda: gx.concatenate([x, y], dim=1), lambda: gx.concatenate([x, y], 1)),
        (lambda: gx.tensordot(x, y, dims=2), lambda: gx.tensordot(x, y, 2)),
        (lambda: nn.Softmax(dim=-1)(x), lambda: nn.Softmax(-1)(x)),
    ],
)
def test_dim_and_keepdim(call: Callable[[], Any], same: Callable[[], Any]) -> None:
    assert call() is same()


WITH_AXES = [f for f in FUNCTIONS.values() if "axis" in inspect.signature(f.build).parameters]


@pytest.mark.parametrize("function", WITH_AXES, ids=lambda function: function.name)
def test_dim_is_taken_wherever_an_axis_is(function: Function) -> None:
    with pytest.raises(ArgumentError, match="dim is another name of axis") as caught:
        function.build(x, axis=0, dim=0)
    assert isinstance(caught.value, TypeError)
    assert __file__ in str(caught.value)


# Values and changes --------------------------------------------------------------------------------------------------
def assign() -> None:
    x[0] = 1


def assign_into_an_array() -> None:
    array = A.copy()
    array += x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (assign, TypeError, "gx.index_update"),
        (assign_into_an_array, TypeError, r"build x = x \+ y in place of x \+= y"),
        (lambda: f"{x:.4f}", ValueError, r"cannot be written as '\.4f'.*step\(\.\.\.\)"),
        (lambda: float(x), ValueError, "is no number.*gx.evaluate"),
        (lambda: int(x), ValueError, "is no number"),
        (lambda: complex(x), ValueError, "is no number"),
        (lambda: bool(x), ValueError, "gx.where"),
        (lambda: np.asarray(x), ValueError, "is no array.*gx.evaluate"),
        (lambda: np.array([x, y]), ValueError, "is no array"),
        (lambda: list(gx.sum(x)), TypeError, "no axes to iterate"),
        (lambda: len(gx.sum(x)), TypeError, "no length"),
        (lambda: np.partition(x, 1), TypeError, "np.partition has no counterpart"),
        (lambda: np.fft.fft(x), TypeError, "np.fft.fft has no counterpart"),
        (lambda: np.modf(x), TypeError, "np.modf has no counterpart"),
        (lambda: np.sum(x, out=A), TypeError, "takes no out: see gx.sum"),
        (lambda: np.sin(x, where=A > 0), TypeError, "where"),
        (lambda: x.backward(), ValueError, "gx.grad"),
    ],
)
def test_what_only_values_can_do(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, GraphcError)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize("name", HABITS)
def test_attributes_of_other_libraries(name: str) -> None:
    assert not hasattr(x, name)
    with pytest.raises(AttributeError, match=f"has no {name}: ") as caught:
        getattr(x, name)
    assert __file__ in str(caught.value)


def test_other_attributes_are_missing_as_ever() -> None:
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nothing'"):
        x.nothing  # noqa: B018


# Element types -------------------------------------------------------------------------------------------------------
def test_dtypes_are_taken_by_numpy_and_compared_with_names() -> None:
    assert np.zeros(3, x.dtype).dtype == np.float32
    assert np.ones(2, np.float64).astype(x.dtype).dtype == np.float32
    assert x.dtype == "float32"
    assert x.dtype == np.float32
    assert x.dtype == np.dtype("float32")
    assert np.dtype("float32") == x.dtype
    assert x.dtype in ("float64", "float32")
    assert x.dtype != "float64"
    assert x.dtype != "no dtype"
    assert x.dtype != None  # noqa: E711
    assert gx.input("z", (3,), x.dtype).dtype is x.dtype
    assert {x.dtype: 1}[y.dtype] == 1


# Data ----------------------------------------------------------------------------------------------------------------
class Column:
    """As pandas and others have them."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def to_numpy(self) -> Any:
        return self.values


def test_objects_that_convert_are_data() -> None:
    column = Column(np.float32([1, 2, 3]))
    u = gx.input("u", (3,))
    assert gx.constant(column).dtype == "float32"
    np.testing.assert_array_equal(gx.compile([u], u * 2, backend="numpy")(column), [2, 4, 6])
    np.testing.assert_array_equal(gx.evaluate(u * 2, {u: column}), [2, 4, 6])
    assert (u + column).dtype == "float32"
    p = gx.parameter("p", column)
    p.value = Column(np.float32([4, 5, 6]))
    np.testing.assert_array_equal(p.value, [4, 5, 6])


def test_objects_that_do_not_convert_say_why() -> None:
    class Lazy:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("call compute() first")

    u = gx.input("u", (3,))
    with pytest.raises(DTypeError, match=r"cannot be read as an array: call compute\(\) first"):
        gx.constant(Lazy())
    with pytest.raises(InputError, match=r"call compute\(\) first"):
        gx.compile([u], u, backend="numpy")(Lazy())


def test_pytorchs_tensors_are_data() -> None:
    torch = pytest.importorskip("torch")
    u = gx.input("u", (3,))
    program = gx.compile([u], u * 2, backend="numpy")
    np.testing.assert_array_equal(program(torch.arange(3.0)), [0, 2, 4])
    assert gx.constant(torch.ones(3)).dtype == "float32"
    assert gx.parameter("p", torch.ones(3, dtype=torch.float64)).dtype == "float64"
    trained = torch.ones(3, requires_grad=True)
    with pytest.raises(InputError, match=r"tensor\.detach\(\)"):
        program(trained)
    with pytest.raises(DTypeError, match=r"tensor\.detach\(\)") as caught:
        gx.constant(trained)
    assert __file__ in str(caught.value)
