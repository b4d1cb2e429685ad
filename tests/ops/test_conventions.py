"""What functions are at kinks, ties, poles and powers of zero: every row of the tables of `graphc/docs/conventions.md`.

The rows are tried on every engine, and beside PyTorch where it is installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.api import compile
from graphc.ops.build import constant, invoke
from graphc.ops.record import FUNCTIONS, OPS
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.transforms.reverse import vjp
from tests.ops.helpers import Array, input_tensor, report
from tests.runtime.support import needs_compiler

NAN, INF = np.nan, np.inf
NAMES = {"inf": INF, "nan": NAN, "True": True, "False": False}
DOCUMENT = Path(graphc.__file__).parent / "docs" / "conventions.md"
ENGINES = [
    *((backend, dtype) for backend in ("numpy", "cython") for dtype in ("float64", "float32")),
    pytest.param("c", "float32", marks=needs_compiler),  # in float64 it has the cython engine's bits: test_points.py
]


# The tables ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    """A row of a table: a call as its text, its value, and its derivatives by the positional arguments."""

    text: str
    value: Any
    derivatives: tuple[Any, ...]
    torch: str

    @property
    def call(self) -> tuple[str, list[Any], dict[str, Any]]:
        """The function's name, what its tensors hold, and its settings."""
        name = self.text.partition("(")[0]
        args, kwargs = eval(f"arguments{self.text[len(name) :]}", {**NAMES, "arguments": lambda *a, **k: (a, k)})
        return name, list(args), kwargs

    @property
    def torch_has(self) -> tuple[Any, tuple[Any, ...]]:
        """PyTorch's value and derivatives."""
        if self.torch == "=":
            return self.value, self.derivatives
        value, *derivatives = cells(self.torch)
        return value, tuple(derivatives)


def cells(text: str) -> list[Any]:
    """The values that are quoted in a cell."""
    return [eval(quoted, NAMES) for quoted in re.findall("`([^`]*)`", text)]


def rows_of(text: str) -> list[Row]:
    """All rows of all tables of a document whose first column is a call."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    return [
        Row(call.strip("`"), cells(value)[0], tuple(cells(derivatives)), torch)
        for call, value, derivatives, torch in lines
    ]


ROWS = rows_of(DOCUMENT.read_text())


@dataclass(frozen=True)
class Built:
    """All rows as one graph: each call is built once, on all points that have its points' shape."""

    values: dict[Tensor, Array]
    results: list[Tensor]
    places: list[tuple[range, int]]  # for each row of the tables, its results and its point

    def of(self, place: int, answers: Sequence[Array]) -> list[Array]:
        """The value and derivatives of one row among the answers for all."""
        chosen, point = self.places[place]
        return [answers[result][point] for result in chosen]


@cache
def graph(dtype: str) -> Built:
    values: dict[Tensor, Array] = {}
    results: list[Tensor] = []
    places: dict[int, tuple[range, int]] = {}
    shapes = [np.shape(row.call[1][0]) for row in ROWS]
    for shape in sorted(set(shapes)):
        members = [place for place, own in enumerate(shapes) if own == shape]
        arrays = np.ones((3, len(members), *shape), dtype)
        for point, place in enumerate(members):
            arrays[: len(ROWS[place].call[1]), point] = ROWS[place].call[1]
        inputs = [input_tensor(f"points {shape} {number}", array) for number, array in enumerate(arrays)]
        values |= dict(zip(inputs, arrays, strict=True))
        built: dict[str, range] = {}
        for point, place in enumerate(members):
            name, args, settings = ROWS[place].call
            key = f"{name} {len(args)} {settings}"
            if key not in built:
                found = derived(name, inputs[: len(args)], settings)
                built[key] = range(len(results), len(results) + len(found))
                results += found
            places[place] = built[key], point
    return Built(values, results, [places[place] for place in range(len(ROWS))])


def derived(name: str, inputs: list[Tensor], settings: dict[str, Any]) -> list[Tensor]:
    """The value of a call for each of many points, and its derivatives. What works along an axis takes the last one."""
    points, *along = inputs[0].shape
    if name not in FUNCTIONS:
        settings = {**settings, "reduction": "none"}
        if along:
            settings["target"] = np.full(points, settings["target"])
    elif along:
        settings = {**settings, "axis": -1}
    value = (FUNCTIONS[name].build if name in FUNCTIONS else getattr(nn, name))(*inputs, **settings)
    return [value, *(vjp([value], inputs, [np.ones(value.shape, value.dtype.numpy)]) if value.dtype.is_float else ())]


def fault(what: str, got: Any, expected: Any, *, signs: bool) -> list[str]:
    """Nothing where `got` is what a table says, in six digits; the signs of zeros count where `signs`."""
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    alike = not signs or (np.signbit(a) == np.signbit(b))[~np.isnan(b)].all()
    same = a.shape == b.shape and np.allclose(a, b, 2e-5, 1e-7, equal_nan=True) and alike
    return [] if same else [f"{what}: {got}, the table says {expected}"]


def faults(row: Row, results: list[Any], expected: tuple[Any, tuple[Any, ...]]) -> list[str]:
    value, *derivatives = results
    if len(derivatives) != len(expected[1]):
        return [f"{row.text}: {len(derivatives)} derivatives, the table has {len(expected[1])}"]
    found = fault(row.text, value, expected[0], signs=True)
    for place, (got, wanted) in enumerate(zip(derivatives, expected[1], strict=True)):
        found += fault(f"the derivative of {row.text} by argument {place}", got, wanted, signs=False)
    return found


@pytest.mark.parametrize(("backend", "dtype"), ENGINES)
def test_engines_do_as_the_document_says(backend: str, dtype: str) -> None:
    built = graph(dtype)
    answers = compile(list(built.values), built.results, backend=backend)(*built.values.values())
    found = []
    for place, row in enumerate(ROWS):
        found += faults(row, built.of(place, answers), (row.value, row.derivatives))
    assert not found, report(found)


def test_every_row_can_fail() -> None:
    for place, row in enumerate(ROWS):
        right = [row.value, *row.derivatives]
        assert len(right) == len(graph("float64").places[place][0])
        for entry, value in enumerate(right):
            wrong = [np.asarray(v, np.float64) for v in right]
            wrong[entry] = np.where(np.isnan(np.asarray(value, np.float64)), 0.0, NAN)
            assert len(faults(row, wrong, (row.value, row.derivatives))) == 1


def test_pytorch_does_as_the_document_says() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for row in ROWS:
        if row.torch != "-" and "`-0.0`;" not in row.torch and not re.match("(max|min)(imum)?\\(", row.text):
            found += faults(row, torch_results(torch, row), row.torch_has)
    assert not found, report(found)


def torch_results(torch: Any, row: Row) -> list[Any]:
    """The value of a row's call in PyTorch and, for floats, the derivatives."""
    name, args, kwargs = row.call
    tensors = [torch.tensor(arg, dtype=torch.float64, requires_grad=True) for arg in args]
    value = torch_function(torch, name)(*tensors, **kwargs)
    if not value.is_floating_point():
        return [value.numpy()]
    slopes = [None] * len(tensors)
    if value.requires_grad:
        slopes = torch.autograd.grad(value.sum(), tensors, allow_unused=True)
    zeros = [
        np.zeros(tensor.shape) if slope is None else slope.numpy()
        for tensor, slope in zip(tensors, slopes, strict=True)
    ]
    return [value.detach().numpy(), *zeros]


def torch_function(torch: Any, name: str) -> Callable[..., Any]:
    """PyTorch's function of our name and arguments."""
    functional = torch.nn.functional
    own: dict[str, Callable[..., Any]] = {
        "power": lambda x1, x2: torch.pow(x1, x2),
        "log_sigmoid": functional.logsigmoid,
        "norm": torch.linalg.vector_norm,
        "max": torch.amax, "min": torch.amin, "ptp": lambda x: torch.amax(x) - torch.amin(x),
        "cumsum": lambda x, axis: torch.cumsum(x, axis), "cumprod": lambda x, axis: torch.cumprod(x, axis),
        "var": lambda x, correction=0: torch.var(x, correction=correction),
        "std": lambda x, correction=0: torch.std(x, correction=correction),
        **{name: lambda x, name=name: getattr(torch, name)(x, -1) for name in ("logsumexp", "softmax", "log_softmax")},
        "cross_entropy": lambda x, target: functional.cross_entropy(x, torch.tensor(target)),
    }  # fmt: skip
    losses = {"bce_loss": "binary_cross_entropy", "bce_with_logits_loss": "binary_cross_entropy_with_logits"}
    if name in losses or name.endswith("_loss"):
        loss = getattr(functional, losses.get(name, name))
        return lambda x, target: loss(x, torch.tensor(target, dtype=torch.float64))
    return (
        own.get(name) or getattr(torch, name, None) or getattr(functional, name, None) or getattr(torch.special, name)
    )


# Second derivatives, and what is no scalar --------------------------------------------------------
def gradients(name: str, args: tuple[Any, ...], order: int = 1) -> list[list[float]]:
    """The derivatives of the summed result by each list among the arguments; of the gradient's sum for order 2."""
    arrays = {place: np.array(arg, np.float64) for place, arg in enumerate(args) if isinstance(arg, list)}
    inputs = {place: input_tensor(f"x{place}", array) for place, array in arrays.items()}
    values = {inputs[place]: array for place, array in arrays.items()}
    variables = list(inputs.values())
    outputs = [invoke(name, *(inputs.get(place, arg) for place, arg in enumerate(args)))]
    for _ in range(order):
        outputs = vjp(outputs, variables, [np.ones(output.shape) for output in outputs])
    return [array.tolist() for array in evaluate(outputs, values)]


# function, arguments (lists are float64 tensors), expected gradients
FIRST: list[tuple[str, tuple[Any, ...], list[list[float]]]] = [
    ("power", ([-2.0, 0.0, 3.0], 2), [[-4, 0, 6]]),
    ("power", ([-2.0, 0.0, 3.0], 3), [[12, 0, 27]]),
    ("selu", ([800.0],), [[1.0507009873554805]]),
    ("prelu", ([0.0], [0.25]), [[0.25], [0]]),
    ("softplus", ([-800.0, 800.0],), [[0, 1]]),
    ("where", (np.array([True, False]), [1.0, NAN], [INF, 2.0]), [[1, 0], [0, 1]]),
    ("softmax", ([1000.0, -1000.0],), [[0, 0]]),
    ("stop_gradient", ([1.0],), [[0]]),
]
SECOND: list[tuple[str, tuple[Any, ...], list[list[float]]]] = [
    ("power", ([-2.0, 0.0, 3.0], 2), [[2, 2, 2]]),
    ("power", ([0.0, 0.0, 0.0], np.array([0.0, 1.0, 2.0])), [[0, 0, 2]]),
    ("logaddexp", ([1.0], [1.0]), [[0], [0]]),  # 1/4 - 1/4: the mixed derivative counts
    ("prod", ([0.0, 2.0, 3.0],), [[5, 3, 2]]),
    ("sinc", ([0.0],), [[-(np.pi**2) / 3]]),
    ("elu", ([-800.0, 800.0],), [[0, 0]]),
    ("abs", ([0.0],), [[0]]),
    ("where", (np.array([True, False]), [1.0, NAN], [INF, 2.0]), [[0, 0], [0, 0]]),
]


@pytest.mark.parametrize(("order", "row"), [(1, row) for row in FIRST] + [(2, row) for row in SECOND], ids=str)
def test_convention(order: int, row: tuple[str, tuple[Any, ...], list[list[float]]]) -> None:
    name, args, expected = row
    for got, want in zip(gradients(name, args, order), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)


# Domains, computed at second hand: a composition whose parts overflow must not --------------------
STEEP: list[tuple[str, Callable[[], Any], list[float]]] = [
    ("logsumexp", lambda: invoke("logsumexp", constant([1000.0, 1000.0])), [1000 + np.log(2)]),
    ("logaddexp", lambda: invoke("logaddexp", constant([-1000.0]), constant([-1000.0])), [-1000 + np.log(2)]),
    ("log_softmax", lambda: invoke("log_softmax", constant([1000.0, 0.0])), [0.0, -1000.0]),
    ("hypot", lambda: invoke("hypot", constant([3e30]), constant([4e30])), [5e30]),
    ("float16 mean", lambda: invoke("mean", constant(np.full(4, 6e4), "float16")), [60000.0]),
    ("float16 softmax", lambda: invoke("softmax", constant([300.0, 300.0], "float16")), [0.5, 0.5]),
]


@pytest.mark.parametrize("row", STEEP, ids=lambda row: row[0])
def test_no_overflow_on_the_way(row: tuple[str, Callable[[], Any], list[float]]) -> None:
    (got,) = evaluate([row[1]()], {})
    np.testing.assert_allclose(got.astype(np.float64).ravel(), row[2], rtol=1e-6)


# Promotion -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((constant([1.0]), 2), "float32"),
        ((constant([1.0], "bfloat16"), 2.5), "bfloat16"),
        ((constant([1], "int8"), 2), "int8"),
        ((constant([1], "int8"), 2.5), "float64"),
        ((constant([True]), 2), "int64"),
        ((constant([True]), True), "bool"),
        ((constant([1.0], "float16"), constant([1.0], "bfloat16")), "float32"),
        ((constant([1], "int32"), constant([1.0])), "float64"),
        ((constant([1], "uint8"), constant([1], "int8")), "int32"),
        ((constant([1.0]), np.float64(2.0)), "float32"),
        ((np.ones(2, np.float32), constant([1.0], "float64")), "float64"),
        ((1, 2.5), "float32"),
        ((1, 2), "int64"),
    ],
)
def test_promotion(values: tuple[Any, Any], expected: str) -> None:
    assert invoke("multiply", *values).dtype.name == expected
    assert invoke("multiply", *values[::-1]).dtype.name == expected


ELSEWHERE = {  # no function of scalars or of one row: what it does stands with the function
    "astype", "max_pool1d", "max_pool2d", "prelu", "scaled_dot_product_attention", "stop_gradient", "where",
}  # fmt: skip


def test_every_function_with_a_convention_has_a_row() -> None:
    written = {row.call[0] for row in ROWS}
    assert {name for name, item in FUNCTIONS.items() if item.convention} - written == ELSEWHERE


def test_every_function_with_a_kink_states_its_convention() -> None:
    kinked = "abs relu maximum minimum max min clip norm std leaky_relu elu power"
    assert [name for name in kinked.split() if not FUNCTIONS[name].convention] == []


def test_constant_powers_need_no_power() -> None:
    x = constant([1.0, 2.0])
    assert invoke("power", x, 1) is x
    assert [invoke("power", x, exponent).op for exponent in (2, -1, 3)] == ["multiply", "divide", "power"]
    assert OPS["power"].name == "power"
