"""Gradients where a formula alone does not say: kinks, ties, poles, powers of zero, what a mask keeps out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.autodiff.reverse import vjp
from graphc.ops.build import constant, invoke
from graphc.ops.record import FUNCTIONS, OPS
from graphc.ops.reference import evaluate
from tests.ops.helpers import input_tensor

NAN, INF = np.nan, np.inf


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
    ("abs", ([-2.0, 0.0, 3.0],), [[-1, 0, 1]]),
    ("relu", ([-1.0, 0.0, 2.0],), [[0, 0, 1]]),
    ("sign", ([-1.0, 0.0],), [[0, 0]]),
    ("sqrt", ([0.0],), [[INF]]),
    ("maximum", ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]), [[0, 0.5, 1], [1, 0.5, 0]]),
    ("minimum", ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]), [[1, 0.5, 0], [0, 0.5, 1]]),
    ("fmax", ([2.0, NAN], [2.0, 1.0]), [[0.5, 0], [0.5, 1]]),
    ("max", ([1.0, 3.0, 3.0, 2.0],), [[0, 0.5, 0.5, 0]]),
    ("min", ([1.0, 1.0, 1.0, 2.0],), [[1 / 3, 1 / 3, 1 / 3, 0]]),
    ("clip", ([-1.0, 0.0, 1.0, 2.0], 0.0, 1.0), [[0, 1, 1, 0]]),
    ("power", ([-2.0, 0.0, 3.0], 2), [[-4, 0, 6]]),
    ("power", ([-2.0, 0.0, 3.0], 3), [[12, 0, 27]]),
    ("power", ([-2.0, 0.0, 3.0], 1), [[1, 1, 1]]),
    ("power", ([-2.0, 0.0, 3.0], 0), [[0, 0, 0]]),
    ("power", ([0.0, 0.0], [0.0, 2.0]), [[0, 0], [0, 0]]),
    ("power", ([-2.0], [3.0]), [[12], [NAN]]),
    ("atan2", ([0.0], [0.0]), [[0], [0]]),
    ("hypot", ([0.0, 3.0], [0.0, 4.0]), [[0, 0.6], [0, 0.8]]),
    ("norm", ([0.0, 0.0],), [[0, 0]]),
    *(("norm", ([0.0, 0.0], order), [[0, 0]]) for order in (0.5, 1, 1.5, 2.5, 3, -1, INF)),
    ("norm", ([0.0, 3.0], 3), [[0, 1]]),
    ("norm", ([0.0, 3.0], 0.5), [[0, 1]]),
    ("norm", ([0.0, 3.0], -2), [[0, 0]]),
    ("std", ([2.0, 2.0],), [[0, 0]]),
    ("prod", ([0.0, 2.0, 3.0],), [[6, 0, 0]]),
    ("prod", ([0.0, 0.0, 3.0],), [[0, 0, 0]]),
    ("cumprod", ([0.0, 2.0, 3.0],), [[9, 0, 0]]),
    ("logsumexp", ([-INF, -INF],), [[0, 0]]),
    ("logsumexp", ([-INF, 0.0],), [[0, 1]]),
    ("logaddexp", ([1.0, -INF], [1.0, 0.0]), [[0.5, 0], [0.5, 1]]),
    ("xlogy", ([0.0, 0.0], [0.0, 2.0]), [[0, np.log(2)], [0, 0]]),
    ("elu", ([-800.0, 0.0, 800.0],), [[0, 1, 1]]),
    ("celu", ([0.0], 2.0), [[1]]),
    ("selu", ([800.0],), [[1.0507009873554805]]),
    ("leaky_relu", ([0.0], 0.25), [[0.25]]),
    ("relu6", ([0.0, 3.0, 6.0],), [[0, 1, 0]]),
    ("hardswish", ([-3.0, 3.0],), [[0, 1]]),
    ("softplus", ([-800.0, 800.0],), [[0, 1]]),
    ("sinc", ([0.0],), [[0]]),
    ("nan_to_num", ([NAN, INF, 1.0],), [[0, 0, 1]]),
    ("nansum", ([NAN, 1.0],), [[0, 1]]),
    ("fmod", ([0.0, -1.0], 3.0), [[1, 1]]),
    ("where", (np.array([True, False]), [1.0, NAN], [INF, 2.0]), [[1, 0], [0, 1]]),
    ("softmax", ([1000.0, -1000.0],), [[0, 0]]),
    ("stop_gradient", ([1.0],), [[0]]),
    ("floor_divide", ([7.5], [2.0]), [[0], [0]]),
]  # fmt: skip
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
        ((constant([1.0]), np.float64(2.0)), "float64"),
        ((np.ones(2, np.float32), constant([1.0], "float64")), "float64"),
        ((1, 2.5), "float32"),
        ((1, 2), "int64"),
    ],
)
def test_promotion(values: tuple[Any, Any], expected: str) -> None:
    assert invoke("multiply", *values).dtype.name == expected
    assert invoke("multiply", *values[::-1]).dtype.name == expected


def test_every_function_with_a_kink_states_its_convention() -> None:
    for name in (
        "abs",
        "relu",
        "maximum",
        "minimum",
        "max",
        "min",
        "clip",
        "norm",
        "std",
        "leaky_relu",
        "elu",
        "power",
    ):
        assert FUNCTIONS[name].convention, name


def test_constant_powers_need_no_power() -> None:
    x = constant([1.0, 2.0])
    assert invoke("power", x, 1) is x
    assert [invoke("power", x, exponent).op for exponent in (2, -1, 3)] == ["multiply", "divide", "power"]
    assert OPS["power"].name == "power"
