"""Tests derived from the table: every function in every dtype and sample, every derivative, every declared error."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc.ops
from graphc.errors import GraphcError
from graphc.ir.graph import topological
from graphc.ops.record import FUNCTIONS, OPS, Arg
from graphc.ops.reference import evaluate
from graphc.transforms.forward import jvp
from graphc.transforms.reverse import vjp
from tests.ops.helpers import (
    Case,
    all_cases,
    build,
    cases,
    derivative_faults,
    difference,
    input_tensor,
    precision,
    random_array,
    report,
)  # fmt: skip

NAMES = sorted(FUNCTIONS)
DIFFERENTIABLE = [name for name in NAMES if FUNCTIONS[name].differentiable]
NOT_IN_FUNCTIONS = {
    "checkpoint_enter": "marks what comes into a checkpointed region",
    "checkpoint_leave": "marks what goes out of one",
    "copy": "put in by passes",
    "loop": "runs the body of a function of its own: tests/ops/test_loops.py",
    "matmul_panels": "put in by a pass",
    "matmul_turned": "put in by a pass",
    "max_pool2d_both": "put in by a pass",
    "parameter": "made by the DSL, which owns its storage",
    "with_update": "needs a parameter",
}


def test_importing_the_package_fills_the_table() -> None:
    found = {module.name for module in pkgutil.walk_packages(graphc.ops.__path__, "graphc.ops.")}
    code = "import sys, graphc.ops; print(*(name for name in sys.modules if name.startswith('graphc.ops.')))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found <= set(printed.split())


def test_the_table_is_rich() -> None:
    assert len(DIFFERENTIABLE) >= 100
    assert len(all_cases()) >= 3000


@pytest.mark.parametrize("name", NAMES)
def test_reference_agrees_with_the_formula(name: str) -> None:
    faults = []
    for case in cases(FUNCTIONS[name]):
        built = build(case)
        args, kwargs = built.formula_args
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = flatten_expected(FUNCTIONS[name].formula(*args, **kwargs))
        got = evaluate(built.outputs, built.values)
        if len(got) != len(expected):
            faults.append(f"{case}\n    {len(got)} results, expected {len(expected)}")
            continue
        found = [difference(a, b, precision(case)) for a, b in zip(got, expected, strict=True)]
        faults += [f"{case}\n    {fault}" for fault in found if fault]
    assert not faults, report(faults)


def flatten_expected(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_agree_with_differences(name: str) -> None:
    faults = [f"{case}\n    {fault}" for case in graded(name) for fault in derivative_faults(build(case))]
    assert not faults, report(faults)


def graded(name: str) -> list[Case]:
    """The samples that have derivatives, in float64 even where the table has fewer dtypes."""
    samples = enumerate(FUNCTIONS[name].samples)
    return [Case(FUNCTIONS[name], "float64", position) for position, sample in samples if sample.grad]


def test_differentiable_functions_have_derivatives_to_check() -> None:
    without = [name for name in DIFFERENTIABLE if not any(build(case).variables for case in graded(name))]
    assert not without


@pytest.mark.parametrize("name", [name for name in NAMES if FUNCTIONS[name].errors])
def test_bad_calls_are_refused_at_the_users_line(name: str) -> None:
    rng = np.random.default_rng(0)

    def place(arg: Any) -> Any:
        if isinstance(arg, (list, tuple)) and any(isinstance(item, Arg) for item in arg):
            return type(arg)(place(item) for item in arg)
        return input_tensor("x", random_array(arg, "float32", rng)) if isinstance(arg, Arg) else arg

    for expected, args, kwargs in FUNCTIONS[name].errors:
        placed = [place(arg) for arg in args], {key: place(value) for key, value in kwargs.items()}
        with pytest.raises(expected) as raised:
            FUNCTIONS[name].build(*placed[0], **placed[1])
        assert isinstance(raised.value, GraphcError), (args, kwargs)
        assert __file__ in str(raised.value.location), (args, kwargs, raised.value)


def test_every_primitive_is_reached() -> None:
    reached = set(NOT_IN_FUNCTIONS)
    for name in NAMES:
        for case in cases(FUNCTIONS[name], [FUNCTIONS[name].dtypes[0]]):
            built = build(case)
            results = list(built.outputs)
            floats = [output for output in built.outputs if output.dtype.is_float]
            if case.sample.grad and floats and built.variables and FUNCTIONS[name].differentiable:
                variables = [built.inputs[i] for i in built.variables]
                first = vjp(floats, variables, [np.ones(o.shape, o.dtype.numpy) for o in floats])
                ones = [np.ones(v.shape, v.dtype.numpy) for v in variables]
                results += first + vjp(first, variables, ones) + jvp(floats, variables, ones)
            reached.update(node.op for node in topological(results))
    assert sorted(set(OPS) - reached) == []


# The tests can fail -------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", ["first", "second", "forward"])
def test_a_planted_wrong_gradient_is_caught(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(FUNCTIONS["tanh"], "float64", 2)
    assert not list(derivative_faults(build(case)))
    wrong = {
        "first": {"vjp": (lambda g, y, x: g * (1 - y * y) * 1.00001,)},
        "second": {"vjp": (lambda g, y, x: g * (1 - y * graphc.ops.functions.sources.stop_gradient(y)),)},
        "forward": {"jvp": lambda tangents, y, x: tangents[0] * (1 + y * y)},
    }[rule]
    monkeypatch.setitem(OPS, "tanh", replace(OPS["tanh"], **wrong))
    expected = {"first": "first derivative", "second": "second derivative", "forward": "jvp against vjp"}[rule]
    assert any(fault.startswith(expected) for fault in derivative_faults(build(case)))


def test_a_wrong_reference_is_caught() -> None:
    good = np.array([1.0, 2.0])
    assert not difference(good, good)
    assert difference(good * (1 + 1e-11), good)
    assert difference(good.astype(np.float32), good)
    assert difference(good[:1], good)
    assert difference(np.array([np.nan, 2.0]), good)
